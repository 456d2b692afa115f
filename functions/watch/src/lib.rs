//! Looks at the lake every few minutes: what failed, what did not start, what is behind, what never ended. Each thing that is wrong is one
//! incident, opened once and resolved once, and told to those whom its pipeline names.

pub mod channel;
pub mod message;
