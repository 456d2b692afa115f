//! The price of a run: its billed time and its requests. Prices are dated, and for the region us-east-1.

use tidemark_lake::Requests;

/// AWS Lambda, USD per GB-second, x86_64 and arm64, first tier. Source: <https://aws.amazon.com/lambda/pricing>, 2026-11.
const GB_SECOND_X86: f64 = 0.000_016_666_7;
const GB_SECOND_ARM: f64 = 0.000_013_333_4;
/// AWS Lambda, USD per invocation. Same source.
const INVOCATION: f64 = 0.000_000_2;
/// S3 Standard, USD per PUT, COPY, POST or LIST. Source: <https://aws.amazon.com/s3/pricing>, 2026-11.
const PUT: f64 = 0.000_005;
/// S3 Standard, USD per GET and all other requests that are charged. Same source.
const GET: f64 = 0.000_000_4;
/// EventBridge, USD per custom event. Source: <https://aws.amazon.com/eventbridge/pricing>, 2026-11.
const EVENT: f64 = 0.000_001;

/// The properties of a function that determine its price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ComputeProfile {
    pub memory_mb: u32,
    pub is_arm: bool,
}

impl ComputeProfile {
    /// The function as the templates deploy it: 1,769 MB is the memory at which Lambda provides one full vCPU.
    pub const DEPLOYED: ComputeProfile = ComputeProfile { memory_mb: 1769, is_arm: true };

    fn second(self) -> f64 {
        f64::from(self.memory_mb) / 1024.0 * if self.is_arm { GB_SECOND_ARM } else { GB_SECOND_X86 }
    }
}

/// Price in USD of an invocation with this billed time and these requests.
pub(crate) fn cost(compute: ComputeProfile, billed_ms: u64, requests: Requests) -> f64 {
    let Requests { get, put, list, delete: _, events, api: _ } = requests;
    let usd = billed_ms as f64 / 1000.0 * compute.second()
        + INVOCATION
        + (put + list) as f64 * PUT
        + get as f64 * GET
        + events as f64 * EVENT;
    // round to 1e-7 dollars; smaller amounts mean nothing
    (usd * 1e7).round() / 1e7
}

/// Price in USD of this many announcements.
pub(crate) fn price_of_events(events: usize) -> f64 {
    events as f64 * EVENT
}

/// Estimated price in USD of a future run: its seconds, and some requests for every partition it writes.
pub fn estimate(seconds: f64, partitions: u64) -> f64 {
    // listing, reading and committing a log, its run record, and its announcements
    const PER_RUN: u64 = 6;
    let requests = Requests { put: partitions + PER_RUN, get: partitions + 10, events: 1, ..Requests::default() };
    cost(ComputeProfile::DEPLOYED, (seconds * 1000.0) as u64, requests)
}
