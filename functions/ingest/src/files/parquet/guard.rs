//! Contains panics of the Parquet decoder, which malformed files can cause.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use polars::prelude::PolarsResult;

use super::super::error::Fault;

const UNDECODED: &str = "the file is damaged, or uses an unsupported feature of Parquet; write it again";

thread_local! {
    static DECODING: Cell<bool> = const { Cell::new(false) };
}

/// Runs a decoder on this thread. Its error or panic becomes a fault of the file, at `what`. The panic message is not printed.
pub(super) fn decode<T>(what: &str, decode: impl FnOnce() -> PolarsResult<T>) -> Result<T, Fault> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !DECODING.get() {
                print(panic);
            }
        }));
    });
    DECODING.set(true);
    // unwind safe: every call creates its own reader, so no state of a decoder that panicked is used again
    let decoded = panic::catch_unwind(AssertUnwindSafe(decode));
    DECODING.set(false);
    let message = match decoded {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => first_line(&error.to_string()),
        Err(panic) => first_line(text(panic.as_ref())),
    };
    Err(Fault::file(format!("the Parquet file cannot be decoded at {what}: {message}"), UNDECODED))
}

fn text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("the decoder gave up")
}

fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().chars().take(300).collect()
}
