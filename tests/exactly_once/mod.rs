//! A run that is interrupted, repeated, split or run concurrently ends as one clean run.

mod checkpoint;
mod concurrent_runs;
mod crash;
mod executor;
mod killed_command;
mod parts;
mod parts_of_transform;
mod tasks;
