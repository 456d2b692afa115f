//! `tidemark dev` by a clock of its own: schedules, worker and watcher over days that pass in seconds.

mod catch_up;
mod command;
mod cost;
mod month;
mod overlap;
