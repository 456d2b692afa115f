//! Where the bytes of an object come from.

use std::fs::File;
use std::io::Read;

/// The bytes of an object, as stored.
pub enum Input {
    /// Read once, front to back. A resumed read starts at [`Position::stored`](super::Position::stored). Parquet needs seeking: a stream of
    /// it is held in memory, up to 1 GiB.
    Stream(Box<dyn Read + Send>),
    /// A local file. Parquet is mapped into memory rather than read.
    File(File),
}
