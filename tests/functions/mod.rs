//! The Lambda functions, woken by events.

mod dispatch;
mod local_invoke;
