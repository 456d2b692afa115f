//! Rust source, as far as the tests of the architecture read it.

pub mod dependencies;
pub mod tokens;
