//! The order of things: the corridor every step walks, what wakes it, what it reports and announces, and the kinds of error.
//!
//! `event → Trigger → Plan → Draft (files + balance) → Commit → run record → announcements`, once, in one direction. This crate must
//! never know what a step computes, or AWS.

mod balance;
mod context;
mod definitions;
mod dispatcher;
mod drift;
pub mod event;
mod executor;
mod failure;
pub mod host;
mod mail;
mod mark;
mod price;
mod record;
mod secret;
pub mod settings;
mod trigger;

pub use balance::Balance;
pub use context::{Context, Place, Progress, Quiet, is_bucket};
pub use definitions::{
    Broken, Mistakes, Wanted, load as load_definitions, load_what_can_be as load_definitions_that_can_be,
};
pub use dispatcher::{Bus, Handled, Walk, due, function_of, handle, is_behind, wakes};
pub use drift::{Drift, thousands};
pub use event::{Event, GivenUp, StepDue};
pub use executor::{Drafted, Drafting, NOT_KEPT, Size, Step, walk};
pub use failure::{Failure, Kind, joined};
pub use mail::{Mail, Mailer};
pub use mark::{MARK_AFTER, Mark};
pub use price::{Machine, estimate};
pub use record::{About, Activity, Bytes, ErrorRecord, Input, Output, RunRecord, Status};
pub use secret::Secret;
pub use trigger::{Cause, Days, Trigger};
