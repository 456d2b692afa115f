//! `tidemark dev` by a clock of its own: schedules, worker and watcher over days that pass in seconds.

mod clock;
mod cost;
mod month;
mod office;

pub use clock::Script;
pub use office::{Office, Told};
