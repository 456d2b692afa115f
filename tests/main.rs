//! Everything that needs more than one crate, or something real: one binary.

mod command;
mod crash;
mod evolve;
mod fault;
mod imports;
mod lake;
mod python;
mod readers;
mod retail;
mod site;
