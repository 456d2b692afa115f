//! Source `files`: objects of a bucket or folder, decoded into raw frames, and the step that writes them to the raw dataset.
//!
//! | layer | file | purpose |
//! |---|---|---|
//! | stored bytes | `compression` | decompresses gzip and zstd, passes on plain bytes |
//! | text | `text`, `window` | removes the byte order mark, decodes Windows-1252 to UTF-8, refuses binary files |
//! | records | `csv`, `ndjson`, `parquet` | splits bytes into records |
//! | frames | `frame`, `columns` | builds raw frames of the records and their origin |
//! | positions | `position` | the start of a frame, and the state needed to resume reading there |
//! | an object | `decode` | decodes an object with all of the above, by its format |
//! | data files | `object` | writes one object of a source to data files of the raw dataset |
//! | a source | `listing`, `plan`, `receipt`, `gather`, `step` | finds the new objects, reads them in tasks, and commits them together |

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
mod ndjson;
mod object;
mod parquet;
mod plan;
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
