//! The command, verb by verb, on good input and on bad.

mod bad_files;
mod bad_lake;
mod complete;
mod contract;
mod definitions;
mod demo;
mod disks;
mod drift;
mod explode;
mod files;
mod models;
mod new;
mod quarantine;
mod schedules;
mod unfinished;
mod verbs;
