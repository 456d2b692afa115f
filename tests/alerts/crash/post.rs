//! Faults of the channel: each message of the morning fails in each way.

use std::time::Duration;

use super::{ROUNDS, files, texts};
use crate::support::daily_sales::Backend;
use crate::support::receivers::SlackMessage;
use crate::support::receivers::Trouble;
use crate::support::watcher::{ALL, SLACK, WatcherHarness};

/// The failures of a webhook.
fn troubles() -> [(&'static str, Trouble); 5] {
    [
        ("refused", Trouble::Says(503, "service_unavailable")),
        ("limited", Trouble::Limited(60)),
        ("cut before it is taken", Trouble::CutBefore),
        ("cut when it has been taken", Trouble::CutAfter),
        ("slow", Trouble::Slow(Duration::from_millis(40))),
    ]
}

/// The messages of the morning, of which one request may fail.
fn morning(trouble: Option<(usize, Trouble)>) -> (WatcherHarness, Vec<SlackMessage>) {
    let files = files(&format!("{ALL}\nmax_quarantined = 10"));
    let harness = WatcherHarness::new(Backend::Memory, &texts(&files));
    if let Some((nth, trouble)) = trouble {
        let calm = std::iter::repeat_n(Trouble::Slow(Duration::ZERO), nth);
        harness.sink(SLACK).trouble(calm.chain([trouble]));
    }
    for (time, act) in ROUNDS {
        act(harness.at(time));
        harness.tick();
    }
    harness.after(5).tick();
    let messages = harness.messages();
    (harness, messages)
}

/// What identifies a message: the incident and its state.
fn names(messages: &[SlackMessage]) -> Vec<String> {
    let mut names: Vec<_> = messages
        .iter()
        .map(|slack_message| format!("{} {}", slack_message.incident(), slack_message.is_over()))
        .collect();
    names.sort();
    names
}

#[test]
fn channel_fails_at_each_message_in_each_way() {
    let (clean, messages) = morning(None);
    let (incidents, clean) = (clean.incidents(), names(&messages));
    assert_eq!(clean.len(), 10);
    let mut repeats = 0;
    for nth in 0..clean.len() {
        for (name, trouble) in troubles() {
            let (harness, messages) = morning(Some((nth, trouble)));
            let mut found = names(&messages);
            if matches!(trouble, Trouble::CutAfter) {
                // Slack accepted the message, but the watcher cannot know, so it is sent again.
                assert_eq!(found.len(), clean.len() + 1, "{name} at {nth}: {found:#?}");
                found.dedup();
                repeats += 1;
            }
            assert_eq!(found, clean, "{name} at {nth}");
            assert_eq!(harness.incidents(), incidents, "{name} at {nth}");
        }
    }
    println!("{} requests failed in {} ways; {repeats} led to a repeated message", clean.len(), troubles().len());
}
