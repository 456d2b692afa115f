//! Classifies errors of any store by what can be done about them.

use std::error::Error;
use std::io;

/// What the user has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorAction {
    /// Retry: the error may be temporary.
    RunAgain,
    /// Grant a permission, or sign in again.
    Permit,
    /// Free some space.
    Free,
    /// Correct the location or the connection settings.
    Correct,
}

/// An error with a hint about its solution. A store sets it as the source of the `object_store::Error` it returns. Display omits the hint.
#[derive(Debug)]
pub struct StoreErrorContext {
    pub action: StoreErrorAction,
    /// What the user can do.
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
    /// Finds the context in the chain of an error's sources.
    pub fn find_in<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a StoreErrorContext> {
        causes(error).find_map(|cause| cause.downcast_ref())
    }
}

impl StoreErrorAction {
    /// Classifies an error of a store: by its [`StoreErrorContext`], else by the kind of the system's or the store's error.
    pub fn for_error(error: &(dyn Error + 'static)) -> StoreErrorAction {
        if let Some(context) = StoreErrorContext::find_in(error) {
            return context.action;
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
