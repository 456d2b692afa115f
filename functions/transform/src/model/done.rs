//! What of a model has been computed and written, as it is kept where an invocation ends before the work does.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tidemark_flow::{Failure, Kind};
use tidemark_lake::DataFile;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Done {
    /// The result has another shape than what stands, so all of its days are computed.
    pub is_anew: bool,
    /// Of those to compute, so many of the first.
    pub days: usize,
    pub adds: Vec<DataFile>,
    pub rows: u64,
    /// Bytes of the inputs.
    pub read: u64,
}

impl Done {
    /// What an earlier invocation has kept; nothing where that cannot be read.
    pub(crate) fn taken_up(kept: Option<Bytes>) -> Done {
        kept.and_then(|kept| serde_json::from_slice(&kept).ok()).unwrap_or_default()
    }

    pub(crate) fn keep(&self) -> Result<Bytes, Failure> {
        let json = serde_json::to_vec(self);
        json.map(Bytes::from).map_err(|error| Failure::new(Kind::Bug, "a model cannot be put down").because(error))
    }
}
