//! A document, followed as a reader would.

pub mod markdown;
pub mod same;
pub mod session;
