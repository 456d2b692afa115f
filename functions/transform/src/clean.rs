//! Step `clean`: what is new in the raw dataset goes through the contract, and the partitions it touches are swapped.
//!
//! | stage | a task of it | leaves |
//! |---|---|---|
//! | 1 | some new raw files, through the contract | rows by partition, broken rows by object, keys by bucket |
//! | 1 | some raw files that are no more, through the contract | rows to take out, by partition |
//! | 1 | some files of the dataset as it stands | keys by bucket |
//! | 2 | a bucket of keys | keys by the partitions that their newest version has left |
//! | 2 | an object, its broken rows | files of the quarantine |
//! | 3 | a partition: what stands, what comes and what goes | files of the dataset |

mod definition;
mod draft;
mod plan;
mod receipts;
mod run;
mod step;
mod tasks;

pub use definition::Clean;
