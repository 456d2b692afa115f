//! Everything specific to AWS. This is the only crate that depends on AWS, besides the `main.rs` of the functions. It turns environment
//! variables into clients, buckets into stores, announcements into events, and run records into metrics. It must never know what a step
//! does.

mod bucket;
mod buckets;
#[cfg(feature = "lambda")]
mod bus;
mod client;
mod download;
#[cfg(feature = "lambda")]
mod environment;
mod fault;
#[cfg(feature = "lambda")]
mod function;
mod listing;
mod location;
#[cfg(feature = "lambda")]
mod mail;
mod meter;
#[cfg(feature = "lambda")]
mod metrics;
#[cfg(feature = "lambda")]
mod secrets;
mod store;
mod upload;

pub use buckets::Buckets;
pub use client::{Account, RetryPolicy};
pub use fault::S3Fault;
#[cfg(feature = "lambda")]
pub use function::{RuntimeError, Watch, WatchEnvironment, serve, serve_watch};
#[cfg(feature = "lambda")]
pub use mail::Topic;
