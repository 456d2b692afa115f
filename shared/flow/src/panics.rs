//! Turns panics into errors with their source location.

use std::any::Any;
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, ErrorKind};

static LAST_PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Installs a panic hook that records the location of each panic.
pub fn watch_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(ToString::to_string);
        *LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner) = place;
        before(panic);
    }));
}

/// Location of the panic that was just caught, as `file:line:column`.
fn last_panic() -> Option<String> {
    LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Turns a caught panic into an error that includes its location.
pub(crate) fn panicked(what: &str, panic: Box<dyn Any + Send>) -> Error {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let text = text.unwrap_or("without a message");
    let place = last_panic().map(|place| format!(" at {place}")).unwrap_or_default();
    let error = Error::new(ErrorKind::Bug, format!("{what} panicked{place}"));
    error.hint("nothing was committed; please report this").because(text.to_owned())
}
