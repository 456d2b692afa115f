//! What makes a process of it: that it is alone, and how it is stopped.

use std::path::Path;
use std::sync::mpsc::Sender;

use tidemark_flow::{Error, ErrorKind, is_bucket};
use tidemark_lake::Key;
use tokio::signal::unix::{SignalKind, signal};

use super::time::Signal;
use crate::environment::LocalEnvironment;

/// A lake in a folder has one `tidemark dev`; the lock goes with the process.
pub(super) fn alone(place: &str) -> Result<Option<std::fs::File>, Error> {
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
            Err(Error::new(ErrorKind::Refused, format!("another tidemark dev is at work on {place}"))
                .hint("stop it first, or name another lake with --lake"))
        }
        Err(std::fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// The first signal lets the step that is being walked end; the second does not, which leaves nothing half done either.
pub(super) fn stop_on_signal(world: &LocalEnvironment, to: Sender<Signal>) -> Result<(), Error> {
    let handle = world.handle();
    let _within = handle.enter();
    // heard from now on, and none is missed between two looks
    let hear =
        |kind| signal(kind).map_err(|error| Error::new(ErrorKind::Refused, "no signal can be heard").because(error));
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
