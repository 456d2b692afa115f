//! What can be done about an error of a store, whichever store it is.

use std::error::Error;
use std::io;

/// What the reader has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorAction {
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
pub struct StoreErrorContext {
    pub remedy: StoreErrorAction,
    /// What to do.
    pub hint: String,
    pub fault: Box<dyn Error + Send + Sync>,
}

impl std::fmt::Display for StoreErrorContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.fault.fmt(f)
    }
}

impl Error for StoreErrorContext {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.fault.source()
    }
}

impl StoreErrorContext {
    /// The explanation among the causes of an error.
    pub fn among<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a StoreErrorContext> {
        causes(error).find_map(|cause| cause.downcast_ref())
    }
}

impl StoreErrorAction {
    /// Sorts an error that comes from a store: by its own explanation, else by what the system or the store says.
    pub fn for_error(error: &(dyn Error + 'static)) -> StoreErrorAction {
        if let Some(explained) = StoreErrorContext::among(error) {
            return explained.remedy;
        }
        let os = causes(error).find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
        use io::ErrorKind as Os;
        match os {
            Some(Os::StorageFull | Os::QuotaExceeded) => return StoreErrorAction::Free,
            Some(Os::PermissionDenied | Os::ReadOnlyFilesystem | Os::NotADirectory | Os::IsADirectory) => {
                return StoreErrorAction::Permit;
            }
            _ => {}
        }
        use object_store::Error as Store;
        let is_denied = |store: &Store| matches!(store, Store::PermissionDenied { .. } | Store::Unauthenticated { .. });
        if causes(error).filter_map(|cause| cause.downcast_ref()).any(is_denied) {
            StoreErrorAction::Permit
        } else {
            StoreErrorAction::RunAgain
        }
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}
