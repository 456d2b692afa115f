//! What a run costs: its billed time and its requests. One table, dated, for the region us-east-1.

use tidemark_lake::Requests;

/// AWS Lambda, USD per GB-second, x86_64 and arm64, first tier. Source: <https://aws.amazon.com/lambda/pricing>, 2026-11.
const GB_SECOND_X86: f64 = 0.000_016_666_7;
const GB_SECOND_ARM: f64 = 0.000_013_333_4;
/// AWS Lambda, USD per invocation. Same source.
const INVOCATION: f64 = 0.000_000_2;
/// S3 Standard, USD per PUT, COPY, POST or LIST. Source: <https://aws.amazon.com/s3/pricing>, 2026-11.
const PUT: f64 = 0.000_005;
/// S3 Standard, USD per GET and all others that cost. Same source.
const GET: f64 = 0.000_000_4;
/// EventBridge, USD per event of one's own. Source: <https://aws.amazon.com/eventbridge/pricing>, 2026-11.
const EVENT: f64 = 0.000_001;

/// The function a step runs in, as far as it has a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ComputeProfile {
    pub memory_mb: u32,
    pub is_arm: bool,
}

impl ComputeProfile {
    /// A function as the templates deploy it: the memory at which Lambda gives one whole processor.
    pub const DEPLOYED: ComputeProfile = ComputeProfile { memory_mb: 1769, is_arm: true };

    fn second(self) -> f64 {
        f64::from(self.memory_mb) / 1024.0 * if self.is_arm { GB_SECOND_ARM } else { GB_SECOND_X86 }
    }
}

/// USD of an invocation that was billed `billed_ms` and made these requests.
pub(crate) fn cost(machine: ComputeProfile, billed_ms: u64, requests: Requests) -> f64 {
    let Requests { get, put, list, delete: _, events, api: _ } = requests;
    let usd = billed_ms as f64 / 1000.0 * machine.second()
        + INVOCATION
        + (put + list) as f64 * PUT
        + get as f64 * GET
        + events as f64 * EVENT;
    // a tenth of a millionth of a dollar is the finest that means anything
    (usd * 1e7).round() / 1e7
}

/// USD of so many announcements.
pub(crate) fn price_of_events(events: usize) -> f64 {
    events as f64 * EVENT
}

/// USD of a run that is yet to come: its seconds, and some requests for every partition it writes.
pub fn estimate(seconds: f64, partitions: u64) -> f64 {
    // listing, reading and committing a log, its run record, and what it announces
    const PER_RUN: u64 = 6;
    let requests = Requests { put: partitions + PER_RUN, get: partitions + 10, events: 1, ..Requests::default() };
    cost(ComputeProfile::DEPLOYED, (seconds * 1000.0) as u64, requests)
}
