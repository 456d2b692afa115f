//! Everything the raw rows have become so far, and what of it is kept where an invocation ends before the work does.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tidemark_flow::{Balance, Failure, Kind};
use tidemark_lake::{DataFile, Lake, Work};
use tidemark_pipeline::Contract;

use crate::drift::Drifts;
use crate::narrow::{LaidNarrow, Narrow};
use crate::pass::Position;
use crate::quarantine::Faults;
use crate::room::Room;
use crate::spread::{Laid, Spread};

/// A partition's value.
pub(crate) type Value = Option<String>;

/// How far the work has come. Each stage is done piece by piece, and what is kept says which piece is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// Keys that stand are read.
    Standing(Position),
    /// New raw files go through the contract.
    Added(Position),
    /// Raw files that are no more do.
    Removed(Position),
    /// Keys in more than one partition are looked for, in this bucket and those behind it.
    Strays(usize),
    /// Quarantined rows are written, object by object.
    Quarantined,
    /// Clean rows are merged, partition by partition.
    Merged,
}

pub(crate) struct Sorted<'a> {
    pub stage: Stage,
    /// Rows by the partition they go to.
    pub incoming: Spread<'a, Value>,
    /// Rows by the partition they leave.
    pub removed: Spread<'a, Value>,
    pub quarantined: Spread<'a, String>,
    /// Keys by the partitions that their newest version has left: a key is one row of the whole dataset, not one of each partition.
    pub strays: Spread<'a, Value>,
    pub narrow: Option<Narrow<'a>>,
    pub receipts: Receipts,
}

/// What is small, and kept as it is.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Receipts {
    pub balance: Balance,
    /// Rows that stood in another partition than the one they come to.
    pub moved: u64,
    pub faults: Faults,
    pub drifts: Drifts,
    /// Files of the quarantine.
    pub quarantined: Vec<DataFile>,
    /// Partitions that are done, and their files.
    pub merged: Vec<Value>,
    pub written: Vec<DataFile>,
}

/// What is kept: where it stands, receipts, and where rows lie in the lake.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    stage: Stage,
    incoming: Laid<Value>,
    removed: Laid<Value>,
    quarantined: Laid<String>,
    strays: Laid<Value>,
    narrow: Option<LaidNarrow>,
    receipts: Receipts,
}

impl<'a> Sorted<'a> {
    /// Of the beginning. `rows`: how many there will be, those that stand included.
    pub(crate) fn new(room: Room<'a>, memory: usize, contract: &'a Contract, rows: u64) -> Sorted<'a> {
        let narrow = Narrow::new(contract, rows, memory, room);
        let stage = if narrow.is_some() { Stage::Standing } else { Stage::Added };
        Sorted {
            stage: stage(Position::default()),
            incoming: Spread::new(room, memory / 8),
            removed: Spread::new(room, memory / 16),
            quarantined: Spread::new(room, memory / 16),
            strays: Spread::new(room, usize::MAX),
            narrow,
            receipts: Receipts::default(),
        }
    }

    /// Puts down all rows, and gives what it takes to go on.
    pub(crate) fn keep(mut self) -> Result<Bytes, Failure> {
        let kept = Kept {
            stage: self.stage,
            incoming: self.incoming.lay()?,
            removed: self.removed.lay()?,
            quarantined: self.quarantined.lay()?,
            strays: self.strays.lay()?,
            narrow: self.narrow.as_mut().map(Narrow::lay).transpose()?,
            receipts: self.receipts,
        };
        let json = serde_json::to_vec(&kept);
        json.map(Bytes::from).map_err(|error| Failure::new(Kind::Bug, "clean cannot be put down").because(error))
    }

    /// Of what an earlier invocation has kept; `None` if it cannot be read or its rows are no more, and the work begins anew.
    pub(crate) fn taken_up(
        kept: &Bytes,
        lake: &'a Lake,
        work: &'a Work,
        memory: usize,
        contract: &'a Contract,
    ) -> Result<Option<Sorted<'a>>, Failure> {
        let Ok(kept) = serde_json::from_slice::<Kept>(kept) else { return Ok(None) };
        let Kept { stage, incoming, removed, quarantined, strays, narrow, receipts } = kept;
        let objects = incoming.objects().chain(removed.objects()).chain(quarantined.objects()).chain(strays.objects());
        let objects = objects.chain(narrow.iter().flat_map(|narrow| narrow.rows.objects()));
        if !lake.has_pieces(work, objects)? {
            return Ok(None);
        }
        let read = || {
            Some(Sorted {
                stage,
                incoming: Spread::taken_up(incoming, lake, work, memory / 8)?,
                removed: Spread::taken_up(removed, lake, work, memory / 16)?,
                quarantined: Spread::taken_up(quarantined, lake, work, memory / 16)?,
                strays: Spread::taken_up(strays, lake, work, usize::MAX)?,
                narrow: match narrow {
                    Some(narrow) => Some(Narrow::taken_up(narrow, contract, lake, work, memory)?),
                    None => None,
                },
                receipts,
            })
        };
        Ok(read())
    }
}
