//! Incremental reading by time: how far a source has been read, and which records of the next answer are in the raw dataset already. It is
//! independent of the kind of source: requests and paging are not its concern.
//!
//! | file | purpose |
//! |---|---|
//! | `window` | the time ranges in which a source is read, and the one to read next |
//! | `bookmark` | how far the source has been read, as stored in the raw dataset's log |
//! | `event_time` | the column that says when a record was last changed |
//! | `observed` | the times of the records of a window |
//! | `digest` | order-independent digests of records, to detect that nothing is new |
//! | `advance` | computes the next bookmark from the result of a window |
//! | `overlap`, `late` | records that are in the raw dataset already, and records that came late |

pub(crate) mod advance;
pub(crate) mod bookmark;
pub(crate) mod digest;
pub(crate) mod event_time;
pub(crate) mod late;
pub(crate) mod observed;
pub(crate) mod overlap;
pub(crate) mod window;
