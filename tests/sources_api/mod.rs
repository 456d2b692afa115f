//! Tests of the source `http`: the real command against an HTTP server. Pagination, time filters, credentials, errors and interruption.

mod crash;
mod deadline;
mod function;
mod kills;
mod new;
mod pages;
mod public;
mod time;
mod trouble;
mod who;
