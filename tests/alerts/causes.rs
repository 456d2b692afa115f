//! Each kind of problem: it is opened once, not repeated while it lasts, resolved when it is fixed, and described correctly.

mod behind;
mod dead_letters;
mod failed;
mod never_ended;
mod not_started;
mod quarantine;
mod unobservable;

use crate::support::receivers::SlackMessage;
use crate::support::watcher::WatcherHarness;

/// Returns the only message.
#[track_caller]
fn only_message(harness: &WatcherHarness) -> SlackMessage {
    let messages = harness.messages();
    assert_eq!(messages.len(), 1, "{messages:#?}");
    messages.into_iter().next().unwrap()
}

/// Checks that nothing is opened, resolved or sent while the problem lasts.
#[track_caller]
fn assert_quiet(harness: &WatcherHarness) {
    for report in harness.ticks(20, 5) {
        assert_eq!(
            (report.opened.len(), report.resolved.len(), report.sent, report.unsent),
            (0, 0, 0, 0),
            "{report:#?}"
        );
    }
    assert_eq!(harness.messages(), []);
}
