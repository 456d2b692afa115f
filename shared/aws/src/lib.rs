//! AWS: the only crate that names it, beside the functions' `main.rs`. It turns settings of the environment into clients, buckets into
//! stores, announcements into events, and run records into metrics. It must never know what a step does.

mod bucket;
mod buckets;
#[cfg(feature = "lambda")]
mod bus;
mod client;
#[cfg(feature = "lambda")]
mod function;
#[cfg(feature = "lambda")]
mod metrics;

pub use buckets::Buckets;
#[cfg(feature = "lambda")]
pub use function::{Act, Error, serve};
