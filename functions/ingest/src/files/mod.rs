//! Source `files`: objects of a bucket or folder, decoded into raw frames, and the step that brings them into the raw dataset.
//!
//! | layer | file | turns |
//! |---|---|---|
//! | stored bytes | `compression` | gzip, zstd or plain into the bytes that were compressed |
//! | text | `text`, `window` | byte order mark and Windows-1252 into UTF-8; refuses what is no text |
//! | records | `csv`, `ndjson`, `parquet` | bytes into rows |
//! | frames | `frame`, `columns` | rows into raw frames with their origin |
//! | positions | `position` | where a frame begins into what it takes to read on from there another time |
//! | an object | `decode` | all of the above, by the object's format |
//! | data files | `object` | one object of a source into data files of the raw dataset |
//! | a source | `listing`, `gather`, `step` | what there is and is new into one commit; `receipt`, `marks`: in parts |

mod batch;
mod columns;
mod compression;
mod copied;
mod csv;
mod decode;
mod error;
mod format;
mod frame;
mod gather;
mod input;
mod limits;
mod listing;
mod marks;
mod ndjson;
mod object;
mod parquet;
mod position;
mod receipt;
mod stats;
pub(crate) mod step;
mod text;
mod verdict;
mod window;

#[cfg(test)]
mod tests;

pub use batch::Batch;
pub use decode::{head, read};
pub use error::{FileFault, ReadError};
pub use format::format_of;
pub use input::Input;
pub use position::Position;
pub use stats::ReadStats;
