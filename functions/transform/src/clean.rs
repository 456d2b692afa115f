//! Step `clean`: applies the contract to new raw rows and replaces the affected partitions of the clean dataset.
//!
//! | stage | input of a task | output |
//! |---|---|---|
//! | 1 | some new raw files, through the contract | rows by partition, broken rows by object, keys by bucket |
//! | 1 | some removed raw files, through the contract | rows to remove, by partition |
//! | 1 | some existing files of the clean dataset | keys by bucket |
//! | 2 | a bucket of keys | superseded keys, by the partitions that hold an older version |
//! | 2 | the broken rows of an object | files of the quarantine |
//! | 3 | a partition: existing, incoming and removed rows | files of the clean dataset |

mod definition;
mod draft;
mod plan;
mod receipts;
mod run;
mod step;
mod tasks;

pub use definition::Clean;
