//! Counts in how many records each field occurs. While scanning, fields are identified by number; names are resolved at the end.

use polars::prelude::{InitHashMaps as _, PlHashMap};

use super::super::fields::{FieldKind, MAX_FIELDS, cut};
use super::paths::{NodeId, Paths};

/// The counts of one scanner. Records are numbered from 1; 0 means none.
#[derive(Debug)]
pub(crate) struct Tally {
    record: u32,
    /// Number of records that are JSON objects.
    good: u64,
    /// Number of the first record that has the field, per slot.
    seen: Vec<u32>,
    unknown: Vec<Unknown>,
    /// Index in `unknown` of each unknown member, by node and name. Used only for look-ups and never iterated, so its order has no effect.
    numbers: Vec<PlHashMap<String, usize>>,
    has_more: bool,
}

/// A field that no column reads.
#[derive(Debug)]
struct Unknown {
    node: NodeId,
    name: String,
    records: u64,
    first: u32,
    last: u32,
    kind: FieldKind,
    /// Number of the record that `kind` was taken from.
    kind_of: u32,
}

/// The result of a [`Tally`].
pub(crate) struct Tallied {
    pub(crate) good: u64,
    /// Whether any record has the field, per slot.
    pub(crate) seen: Vec<bool>,
    /// Pointer, number of records, index of the first of them (from 0), and kind of each unknown field.
    pub(crate) unknown: Vec<(String, u64, usize, FieldKind)>,
    pub(crate) has_more: bool,
}

impl Tally {
    pub(super) fn new(paths: &Paths) -> Tally {
        Tally {
            record: 0,
            good: 0,
            seen: vec![0; paths.slots()],
            unknown: Vec::new(),
            numbers: (0..paths.nodes()).map(|_| PlHashMap::new()).collect(),
            has_more: false,
        }
    }

    pub(super) fn begin(&mut self) {
        self.record += 1;
        self.good += 1;
    }

    /// A record without a text.
    pub(super) fn skip(&mut self) {
        self.record += 1;
    }

    #[inline]
    pub(super) fn count(&mut self, slot: usize) {
        let first = &mut self.seen[slot];
        if *first == 0 {
            *first = self.record;
        }
    }

    #[inline]
    pub(super) fn count_unknown(&mut self, nth: usize, kind: FieldKind) {
        let unknown = &mut self.unknown[nth];
        // a record may have the name twice
        if unknown.last != self.record {
            unknown.last = self.record;
            unknown.records += 1;
            if unknown.first == 0 {
                unknown.first = self.record;
            }
        }
        if unknown.kind == FieldKind::Null {
            (unknown.kind, unknown.kind_of) = (kind, self.record);
        }
    }

    /// The number of an unknown member. Returns None if there are already [`MAX_FIELDS`] others.
    pub(super) fn unknown(&mut self, node: NodeId, key: &str) -> Option<usize> {
        let name = cut(key);
        if let Some(nth) = self.numbers[node].get(name.as_ref()) {
            return Some(*nth);
        }
        let nth = self.unknown.len();
        if nth >= MAX_FIELDS {
            self.has_more = true;
            return None;
        }
        let name = name.into_owned();
        self.numbers[node].insert(name.clone(), nth);
        self.unknown.push(Unknown { node, name, records: 0, first: 0, last: 0, kind: FieldKind::Null, kind_of: 0 });
        Some(nth)
    }

    /// Discards the current record, which turned out not to be a valid one.
    #[cold]
    pub(super) fn forget(&mut self) {
        self.good -= 1;
        for first in self.seen.iter_mut().filter(|first| **first == self.record) {
            *first = 0;
        }
        for unknown in self.unknown.iter_mut().filter(|unknown| unknown.last == self.record) {
            unknown.records -= 1;
            unknown.last = 0;
            if unknown.first == self.record {
                unknown.first = 0;
            }
            if unknown.kind_of == self.record {
                (unknown.kind, unknown.kind_of) = (FieldKind::Null, 0);
            }
        }
    }

    pub(super) fn finish(&self, paths: &Paths) -> Tallied {
        let unknown = self.unknown.iter().filter(|unknown| unknown.records > 0).map(|unknown| {
            let Unknown { node, name, records, first, kind, .. } = unknown;
            (paths.pointer(*node, name), *records, *first as usize - 1, *kind)
        });
        Tallied {
            good: self.good,
            seen: self.seen.iter().map(|first| *first > 0).collect(),
            unknown: unknown.collect(),
            has_more: self.has_more,
        }
    }
}
