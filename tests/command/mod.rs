//! Tests of the command: each verb with valid and invalid input.

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
