//! The process of `tidemark dev`: its lock, and how it is stopped by signals.

use std::path::Path;
use std::sync::mpsc::Sender;

use tidemark_flow::{Error, ErrorKind, is_bucket};
use tidemark_lake::Key;
use tokio::signal::unix::{SignalKind, signal};

use super::time::Signal;
use crate::environment::LocalEnvironment;

/// Locks a lake in a folder, so that only one `tidemark dev` uses it. The lock is released when the process ends.
pub(super) fn lock_lake(place: &str) -> Result<Option<std::fs::File>, Error> {
    if is_bucket(place) {
        return Ok(None);
    }
    let path = Path::new(place).join(Key::DevLock.path().as_ref());
    let failed = |error| Error::new(ErrorKind::Refused, format!("{} cannot be locked", path.display())).because(error);
    std::fs::create_dir_all(path.with_file_name("")).map_err(failed)?;
    let file = std::fs::File::create(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(Error::new(ErrorKind::Refused, format!("another tidemark dev uses {place}"))
                .hint("stop it first, or choose another lake with --lake"))
        }
        Err(std::fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// The first signal stops it after the running step; the second exits at once, which leaves the lake consistent too.
pub(super) fn stop_on_signal(local: &LocalEnvironment, to: Sender<Signal>) -> Result<(), Error> {
    let handle = local.handle();
    let _within = handle.enter();
    // handlers are installed here, so that no signal is missed before the task runs
    let hear = |kind| {
        signal(kind)
            .map_err(|error| Error::new(ErrorKind::Refused, "signal handlers cannot be installed").because(error))
    };
    let (mut interrupted, mut terminated) = (hear(SignalKind::interrupt())?, hear(SignalKind::terminate())?);
    handle.spawn(async move {
        for nth in 0.. {
            tokio::select! {
                _ = interrupted.recv() => {}
                _ = terminated.recv() => {}
            }
            if nth > 0 || to.send(Signal::Stop).is_err() {
                std::process::exit(130);
            }
        }
    });
    Ok(())
}
