//! `tidemark dev` by a clock of its own: schedules, worker and watcher over days that pass in seconds.

mod catch_up;
mod clock;
mod command;
mod cost;
mod month;
mod office;
mod overlap;

pub use clock::Script;
pub use office::{Office, Told};
