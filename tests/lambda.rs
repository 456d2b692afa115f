//! Lambda without Lambda: the real bootstraps as processes, each behind a Runtime API of its own, and an event bus that keeps what is
//! announced for a test to carry on.

mod bus;
mod http;
mod process;
pub mod stack;

pub use bus::Bus;
pub use http::{Asked, Reply, cut, listen, reply, runtime, serve};
pub use process::{Answer, Function};
pub use stack::{Stack, bootstrap, morning};
