//! AWS: the only crate that names it, beside the functions' `main.rs`. It turns settings of the environment into clients, buckets into
//! stores, announcements into events, and run records into metrics. It must never know what a step does.

mod bucket;
mod buckets;
mod client;
mod download;
mod fault;
mod listing;
mod location;
mod meter;
mod upload;

pub use buckets::Buckets;
pub use client::{Account, Patience};
pub use fault::S3Fault;
