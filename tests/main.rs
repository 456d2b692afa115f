//! Everything that needs more than one crate, or something real: one binary.

#![allow(clippy::disallowed_methods, reason = "a test is a door: it has a clock")]

mod support;

mod alerts;
mod architecture;
mod command;
mod correct_values;
mod deployment;
mod documents;
mod exactly_once;
mod functions;
mod lake;
mod schedules;
mod sources_api;
mod target_postgres;
mod upgrades;
