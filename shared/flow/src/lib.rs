//! Orchestration: how a step runs, which events wake it, what it records and announces, and the kinds of error.
//!
//! The flow is `event → Trigger → Plan → Vec<Task> → Receipt… → Draft (files + balance) → Commit → run record → announcements`. This crate
//! must never know what a step computes, nor anything about AWS.

mod activity;
mod balance;
mod checkpoint;
mod context;
mod definitions;
mod dispatcher;
mod drift;
mod error;
pub mod event;
mod executor;
mod heartbeat;
pub mod host;
mod mail;
mod panics;
mod price;
mod record;
mod remote;
mod scope;
mod secret;
pub mod settings;
mod step;
mod tasks;
mod trigger;

pub use activity::Activity;
pub use balance::Balance;
pub use context::{Context, Environment, Folders, Place, Process, Progress, Quiet, Secrets, Sources, is_bucket};
pub use definitions::{
    BrokenPipeline, DefinitionErrors, Selection, load as load_definitions, load_readable as load_readable_definitions,
};
pub use dispatcher::{Bus, Dispatcher, EventOutcome, StepFactory, due, function_of, is_behind, wakes};
pub use drift::{Drift, thousands};
pub use error::{Error, ErrorKind, joined};
pub use event::{DeadLetter, Event, StepDue};
pub use executor::{NOT_KEPT, Runnable};
pub use heartbeat::{HEARTBEAT_AFTER, Heartbeat};
pub use mail::{Mail, Mailer};
pub use panics::watch_panics;
pub use price::{ComputeProfile, estimate};
pub use record::{Bytes, ErrorRecord, Input, Output, RunRecord, Status};
pub use remote::{RemoteTasks, TaskMessage, TaskReply};
pub use scope::{Scope, ScopeRecord, Size};
pub use secret::Secret;
pub use step::{DraftSummary, Step, TaskOutcome, TaskScope};
pub use tasks::Executor;
pub use trigger::{Cause, Days, Trigger};
