//! Everything that needs more than one crate, or something real: one binary.

#![allow(clippy::disallowed_methods, reason = "a test is a door: it has a clock")]

mod a_year_of_sales;
mod alerts;
mod api;
mod cloud;
mod command;
mod dispatch;

mod crash;
mod dev;
mod documents;
mod evolve;
mod executor;
mod fault;
mod fixture;
mod group;
mod http;
mod imports;
mod json;
mod lake;
mod lambda;
mod parts;
mod parts_of_transform;
mod postgres;
mod python;
mod readers;
mod s3;
mod site;
mod support;
mod tasks;
mod watch;
mod words;
