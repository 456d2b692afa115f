//! Everything that needs more than one crate, or something real: one binary.

mod evolve;
mod lake;
