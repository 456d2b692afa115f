//! The command `tidemark`: runs all steps in one process on this machine.

mod alerts;
pub mod args;
mod definitions;
mod demo;
pub mod dev;
pub mod environment;
pub mod exit;
mod frames;
mod inspect;
mod new;
mod plan;
mod print;
mod progress;
mod quarantine;
pub mod run;
mod schedules;
mod status;
pub mod steps;
pub mod verbs;
mod verify;

pub use definitions::load;
