//! The lake on every backend, and as other programs read it.

mod conformance;
mod readers;
mod s3;
