//! A local emulation of Lambda: the real bootstraps as processes, each with its own Runtime API, and an event bus that records
//! announcements for the test to deliver.

mod bus;
mod http;
mod process;
pub mod stack;

pub use bus::Bus;
pub use http::{Asked, Reply, cut, listen, reply, runtime, serve};
pub use process::{Answer, Function};
pub use stack::{Stack, bootstrap, morning};
