//! A local emulation of Lambda: the real bootstraps as processes, each with its own Runtime API, and an event bus that records
//! announcements for the test to deliver.

mod event_bus;
mod function;
pub mod stack;

pub use event_bus::Bus;
pub use function::{Answer, Function};
pub use stack::{Stack, bootstrap, morning};
