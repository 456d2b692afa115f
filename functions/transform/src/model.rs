//! Step `model`: SQL over datasets, or the elements of a dataset's arrays, recomputed where the inputs changed, committed where the
//! result differs. A task computes some of the partitions.

mod compute;
mod definition;
mod draft;
mod plan;
mod receipts;
mod step;

pub use definition::Model;
