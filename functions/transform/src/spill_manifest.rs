//! Locations of the rows that a task has spilled for later stages, by cell. Receipts carry these instead of rows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Reference to a group of spilled rows, as used in receipts and tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Chunk {
    /// Index in the buffer of the process that wrote it.
    Local(usize),
    /// Spill object of the checkpoint, first byte, and end (exclusive).
    Object(String, u64, u64),
}

/// The rows of one cell, chunk by chunk in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Chunks {
    pub rows: u64,
    /// Size of all rows in memory.
    pub bytes: u64,
    pub chunks: Vec<Chunk>,
}

impl Chunks {
    /// Adds the chunks of a later task.
    pub(crate) fn append(&mut self, more: &Chunks) {
        self.rows += more.rows;
        self.bytes += more.bytes;
        self.chunks.extend_from_slice(&more.chunks);
    }
}

/// The chunks that a task has spilled, by cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent, bound(serialize = "K: Serialize", deserialize = "K: Deserialize<'de>"))]
pub(crate) struct SpillManifest<K: Ord>(#[serde(with = "cells")] BTreeMap<K, Chunks>);

/// Serializes a map as a list of pairs, because its keys are not strings.
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

    /// Appends a chunk to a cell.
    pub(crate) fn push(&mut self, cell: K, rows: u64, bytes: u64, chunk: Chunk) {
        self.0.entry(cell).or_default().append(&Chunks { rows, bytes, chunks: vec![chunk] });
    }

    pub(crate) fn get(&self, cell: &K) -> Option<&Chunks> {
        self.0.get(cell)
    }

    /// Adds the chunks of a later task.
    pub(crate) fn append(&mut self, more: &SpillManifest<K>) {
        for (cell, chunks) in &more.0 {
            self.0.entry(cell.clone()).or_default().append(chunks);
        }
    }

    pub(crate) fn chunks_mut(&mut self) -> impl Iterator<Item = &mut Chunk> {
        self.0.values_mut().flat_map(|chunks| &mut chunks.chunks)
    }

    /// Names of the spill objects it refers to.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &str> {
        self.0.values().flat_map(|chunks| &chunks.chunks).filter_map(|chunk| match chunk {
            Chunk::Object(name, _, _) => Some(name.as_str()),
            Chunk::Local(_) => None,
        })
    }
}
