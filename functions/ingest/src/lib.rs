//! Ingest: source → raw dataset. Plain functions over ports; never names AWS.

pub mod source;
