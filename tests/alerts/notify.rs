//! Who is notified, when, and how often.

mod channels;
mod flapping;
mod routing;
mod waiting;

use jiff::SignedDuration;
use tidemark_flow::ErrorKind;

use crate::support::watcher::WatcherHarness;
use crate::support::watcher::run_record::run;

/// Stores the record of a run that failed permanently a minute ago.
fn fail(harness: &WatcherHarness, pipeline: &str) {
    let began = (harness.now() - SignedDuration::from_mins(1)).to_string();
    harness.put_run(run(pipeline, "clean", &began).failed(ErrorKind::Data, "a page is damaged"));
}

/// Stores the record of a run that succeeded a minute ago.
fn succeed(harness: &WatcherHarness, pipeline: &str) {
    let began = (harness.now() - SignedDuration::from_mins(1)).to_string();
    harness.put_run(run(pipeline, "clean", &began));
}

/// Alternates failure and success, each followed by a tick and five minutes.
fn flap(harness: &WatcherHarness, pipeline: &str, times: usize) {
    for _ in 0..times {
        fail(harness, pipeline);
        harness.tick();
        harness.after(5);
        succeed(harness, pipeline);
        harness.tick();
        harness.after(5);
    }
}
