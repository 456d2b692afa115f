//! What a run costs. One table, dated, for the region us-east-1.

use std::sync::atomic::Ordering;

use tidemark_lake::{Requests, Store};

/// AWS Lambda, arm64, USD per GB-second. Source: the public price list, 2026-11.
const GB_SECOND: f64 = 0.000_013_333_4;
/// AWS Lambda, USD per invocation.
const INVOCATION: f64 = 0.000_000_2;
/// S3 Standard, USD per PUT, COPY, POST or LIST.
const PUT: f64 = 0.000_005;
/// S3 Standard, USD per GET and all others.
const GET: f64 = 0.000_000_4;
/// Memory of a function as the templates deploy it, in GB: the size at which Lambda gives one whole processor.
const MEMORY_GB: f64 = 1769.0 / 1024.0;

/// Requests at one moment.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tally {
    get: u64,
    put: u64,
}

impl Tally {
    pub(crate) fn of(store: &Store) -> Tally {
        let Requests { get, put, list, delete: _ } = store.requests();
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        Tally { get: load(get), put: load(put) + load(list) }
    }
}

/// USD of a run of `duration_ms` that made the requests between two tallies.
pub(crate) fn cost(duration_ms: u64, before: Tally, after: Tally) -> f64 {
    let requests = |after: u64, before: u64| after.saturating_sub(before) as f64;
    let usd = duration_ms as f64 / 1000.0 * MEMORY_GB * GB_SECOND
        + INVOCATION
        + requests(after.put, before.put) * PUT
        + requests(after.get, before.get) * GET;
    // a tenth of a millionth of a dollar is the finest that means anything
    (usd * 1e7).round() / 1e7
}

/// USD of a run that is yet to come: its seconds, and some requests for every partition it writes.
pub fn estimate(seconds: f64, partitions: u64) -> f64 {
    // listing, reading and committing a log, and its run record
    const PER_RUN: f64 = 6.0;
    seconds * MEMORY_GB * GB_SECOND
        + INVOCATION
        + (partitions as f64 + PER_RUN) * PUT
        + (partitions as f64 + 10.0) * GET
}
