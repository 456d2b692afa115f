//! The order of things: the corridor every step walks, what wakes it, what it reports, and the kinds of error.
//!
//! `event → Trigger → Plan → Draft (files + balance) → Commit → run record`, once, in one direction. This crate must never know
//! what a step computes, where a source lies, or AWS.

mod balance;
mod corridor;
mod failure;
mod ports;
mod price;
mod record;
pub mod settings;
mod trigger;

pub use balance::Balance;
pub use corridor::{Drafted, Size, Step, walk};
pub use failure::{Failure, Kind};
pub use ports::{Place, Ports, Progress, Quiet};
pub use price::estimate;
pub use record::{Bytes, ErrorRecord, Input, Output, RunRecord, Status};
pub use trigger::Trigger;
