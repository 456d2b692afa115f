//! What can be done about an error of a store, whichever store it is.

use std::error::Error;
use std::io;

/// What the reader has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// It may go away by itself.
    RunAgain,
    /// Somebody has to be allowed something, or to sign in again.
    Permit,
    /// Space has to be made.
    Free,
    /// The place, or how it is reached, is set wrongly.
    Correct,
}

/// An error that knows its remedy. A store puts it below the `object_store::Error` it returns; Display says only what is wrong.
#[derive(Debug)]
pub struct Explained {
    pub remedy: Remedy,
    /// What to do.
    pub hint: String,
    pub fault: Box<dyn Error + Send + Sync>,
}

impl std::fmt::Display for Explained {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.fault.fmt(f)
    }
}

impl Error for Explained {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.fault.source()
    }
}

impl Explained {
    /// The explanation among the causes of an error.
    pub fn among<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Explained> {
        chain(error).find_map(|cause| cause.downcast_ref())
    }
}

impl Remedy {
    /// Sorts an error that comes from a store: by its own explanation, else by what the system or the store says.
    pub fn of(error: &(dyn Error + 'static)) -> Remedy {
        if let Some(explained) = Explained::among(error) {
            return explained.remedy;
        }
        let os = chain(error).find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
        use io::ErrorKind as Os;
        match os {
            Some(Os::StorageFull | Os::QuotaExceeded) => return Remedy::Free,
            Some(Os::PermissionDenied | Os::ReadOnlyFilesystem | Os::NotADirectory | Os::IsADirectory) => {
                return Remedy::Permit;
            }
            _ => {}
        }
        use object_store::Error as Store;
        let is_denied = |store: &Store| matches!(store, Store::PermissionDenied { .. } | Store::Unauthenticated { .. });
        if chain(error).filter_map(|cause| cause.downcast_ref()).any(is_denied) {
            Remedy::Permit
        } else {
            Remedy::RunAgain
        }
    }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}
