//! Where the rows are that a task has left for later stages, by cell: what receipts carry instead of rows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A number of rows in one place, as receipts and tasks name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Chunk {
    /// In the buffer of the process that made it.
    Local(usize),
    /// Spill object of the checkpoint, first byte, and the byte after the last.
    Object(String, u64, u64),
}

/// The rows of one cell, chunk by chunk in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Chunks {
    pub rows: u64,
    /// Of all rows, as if in memory.
    pub bytes: u64,
    pub chunks: Vec<Chunk>,
}

impl Chunks {
    /// Adds those of a later task.
    pub(crate) fn append(&mut self, more: &Chunks) {
        self.rows += more.rows;
        self.bytes += more.bytes;
        self.chunks.extend_from_slice(&more.chunks);
    }
}

/// What a task has left, by cell: the index of its spill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent, bound(serialize = "K: Serialize", deserialize = "K: Deserialize<'de>"))]
pub(crate) struct SpillManifest<K: Ord>(#[serde(with = "cells")] BTreeMap<K, Chunks>);

/// A map as a list of pairs: its keys are no texts.
mod cells {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Chunks;

    pub(super) fn serialize<K: Serialize, S: Serializer>(
        cells: &BTreeMap<K, Chunks>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(cells)
    }

    pub(super) fn deserialize<'de, K: Deserialize<'de> + Ord, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<K, Chunks>, D::Error> {
        Ok(Vec::deserialize(from)?.into_iter().collect())
    }
}

impl<K: Ord> Default for SpillManifest<K> {
    fn default() -> SpillManifest<K> {
        SpillManifest(BTreeMap::new())
    }
}

impl<K: Ord + Clone> SpillManifest<K> {
    pub(crate) fn cells(&self) -> impl Iterator<Item = (&K, &Chunks)> {
        self.0.iter()
    }

    /// Adds the chunks of a cell that come next.
    pub(crate) fn push(&mut self, cell: K, rows: u64, bytes: u64, chunk: Chunk) {
        self.0.entry(cell).or_default().append(&Chunks { rows, bytes, chunks: vec![chunk] });
    }

    pub(crate) fn get(&self, cell: &K) -> Option<&Chunks> {
        self.0.get(cell)
    }

    /// Adds what a later task has left.
    pub(crate) fn append(&mut self, more: &SpillManifest<K>) {
        for (cell, chunks) in &more.0 {
            self.0.entry(cell.clone()).or_default().append(chunks);
        }
    }

    pub(crate) fn chunks_mut(&mut self) -> impl Iterator<Item = &mut Chunk> {
        self.0.values_mut().flat_map(|chunks| &mut chunks.chunks)
    }

    /// The spill objects it needs.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &str> {
        self.0.values().flat_map(|chunks| &chunks.chunks).filter_map(|chunk| match chunk {
            Chunk::Object(name, _, _) => Some(name.as_str()),
            Chunk::Local(_) => None,
        })
    }
}
