//! Step `model`: SQL over datasets, or the elements of a dataset's arrays, recomputed if the inputs changed, committed if the
//! result differs. A task computes some of the partitions.

mod compute;
mod definition;
mod draft;
mod plan;
mod receipts;
mod step;

pub use definition::Model;
