//! Readers of object bytes: one that counts, and a copy to a temporary file that supports seeking.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes copied at a time.
const BLOCK: usize = 1 << 20;

/// A reader that counts the bytes read.
pub(super) struct Counted<R> {
    pub(super) inner: R,
    pub(super) read: Arc<AtomicU64>,
}

impl<R: io::Read> io::Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let taken = self.inner.read(buffer)?;
        self.read.fetch_add(taken as u64, Ordering::Relaxed);
        Ok(taken)
    }
}

/// Why a stream could not be copied.
pub(super) enum NotCopied {
    Unread(io::Error),
    Unwritten(io::Error),
}

/// Copies a stream to an unnamed temporary file, which supports seeking and is deleted when its handle is closed.
pub(super) fn copied(mut stream: impl io::Read, folder: &Path) -> Result<File, NotCopied> {
    let mut file = tempfile::tempfile_in(folder).map_err(NotCopied::Unwritten)?;
    let mut block = vec![0; BLOCK];
    loop {
        match stream.read(&mut block) {
            Ok(0) => return Ok(file),
            Ok(length) => file.write_all(&block[..length]).map_err(NotCopied::Unwritten)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(NotCopied::Unread(error)),
        }
    }
}
