//! Channels that do not accept messages.

use super::{fail, succeed};
use crate::support::daily_sales::Backend;
use crate::support::receivers::{Sink, Trouble};
use crate::support::watcher::{ALL, WatcherHarness, orders, pipeline};

const DOWN: Option<Trouble> = Some(Trouble::Says(503, "service_unavailable"));

fn two(alerts: &str) -> WatcherHarness {
    let mut harness = WatcherHarness::new(
        Backend::Memory,
        &[("orders", &orders("", alerts)), ("shop", &pipeline("shop", "", alerts))],
    );
    harness.assert_not_broken();
    harness.start_webhook("others");
    harness.tick();
    harness.after(5);
    harness
}

#[test]
fn undelivered_messages_are_sent_once() {
    let harness = two(ALL);
    harness.sink("slack-webhook").always(DOWN);
    fail(&harness, "orders");
    let report = harness.tick();
    assert_eq!((report.sent, report.unsent), (0, 1));
    harness.ticks(40, 5);
    assert!(
        harness.incident("orders.clean.failed").notifications["slack:slack-webhook"]
            .last_error
            .as_ref()
            .unwrap()
            .contains("503")
    );
    harness.sink("slack-webhook").always(None);
    harness.ticks(6, 5);
    assert_eq!(harness.headlines(), ["🔴 orders: clean failed"]);
    // later messages are sent at once
    succeed(&harness, "orders");
    harness.after(5).tick();
    assert_eq!(harness.messages().len(), 1);
}

#[test]
fn incident_resolved_meanwhile_is_one_message() {
    let harness = two(ALL);
    harness.sink("slack-webhook").always(DOWN);
    fail(&harness, "orders");
    harness.tick();
    harness.after(60);
    succeed(&harness, "orders");
    harness.tick();
    harness.ticks(3, 5);
    harness.sink("slack-webhook").always(None);
    harness.ticks(6, 5);
    assert_eq!(harness.headlines(), ["✅ Over after 1 h: orders: clean failed"]);
    harness.ticks(6, 5);
    assert_eq!(harness.messages(), []);
}

#[test]
fn one_of_two_channels_is_down() {
    let harness = two("slack = [{ secret = 'others' }, { secret = 'slack-webhook' }]\nemail = 'data@example.com'");
    harness.sink("others").always(DOWN);
    fail(&harness, "orders");
    let report = harness.tick();
    assert_eq!((report.sent, report.unsent), (2, 1));
    harness.ticks(3, 5);
    assert_eq!((harness.messages().len(), harness.mailbox.mails().len()), (1, 1));
    harness.sink("others").always(None);
    harness.after(5).tick();
    assert_eq!(
        (harness.messages().len(), harness.mailbox.mails().len(), harness.messages_to("others").len()),
        (0, 1, 1)
    );
    // the other way round
    *harness.mailbox.is_down.lock().unwrap() = true;
    succeed(&harness, "orders");
    let report = harness.after(5).tick();
    assert_eq!((report.sent, report.unsent), (2, 1));
    *harness.mailbox.is_down.lock().unwrap() = false;
    assert_eq!(harness.after(5).tick().sent, 1);
}

/// Number of requests, and of accepted messages.
fn requests(sink: &Sink) -> (usize, usize) {
    (sink.requests(), sink.taken().len())
}

#[test]
fn dead_webhook_does_not_block_others() {
    let harness = two(
        "slack = [{ secret = 'others' }, { secret = 'slack-webhook' }, { secret = 'nowhere' }]\nemail = 'data@example.com'",
    );
    harness.sink("others").always(Some(Trouble::Says(404, "no_service")));
    for pipeline in ["orders", "shop"] {
        fail(&harness, pipeline);
    }
    let report = harness.tick();
    assert_eq!((report.sent, report.unsent), (4, 4));
    assert_eq!((harness.messages().len(), harness.mailbox.mails().len()), (2, 2));
    let incident = harness.incident("shop.clean.failed");
    let trouble = |to: &str| incident.notifications[to].last_error.clone().unwrap();
    assert!(
        trouble("slack:others").contains("the webhook of secret others no longer exists"),
        "{}",
        trouble("slack:others")
    );
    assert_eq!(trouble("slack:nowhere"), "no secret nowhere");
    // it is not tried in every tick
    harness.ticks(100, 5);
    let (asked, taken) = requests(harness.sink("others"));
    assert!(taken == 0 && asked < 70, "{asked}");
    for pipeline in ["orders", "shop"] {
        succeed(&harness, pipeline);
    }
    harness.after(5).tick();
    assert_eq!((harness.messages().len(), harness.mailbox.mails().len()), (2, 4));
    // the secret gets the URL of a new webhook
    harness.sink("others").always(None);
    harness.ticks(6, 5);
    assert_eq!(harness.messages_to("others").len(), 2);
}

#[test]
fn many_messages_come_as_one_digest() {
    let names: Vec<String> = (0..12).map(|nth| format!("p{nth:02}")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), pipeline(name, "", ALL))).collect();
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let harness = WatcherHarness::new(Backend::Memory, &files);
    harness.tick();
    harness.after(5);
    for name in &names[..4] {
        fail(&harness, name);
    }
    harness.tick();
    assert_eq!(harness.messages().len(), 4);
    harness.after(5);
    for name in &names[4..] {
        fail(&harness, name);
    }
    let report = harness.tick();
    assert_eq!((report.sent, report.opened.len(), harness.sink("slack-webhook").taken().len()), (8, 8, 5));
    let message = &harness.messages()[0];
    assert_eq!((message.head.as_str(), message.lines.len()), ("🔴 8 incidents: 8 critical", 8));
    assert!(message.lines[0].starts_with("*🔴 p04: clean failed*"), "{}", message.lines[0]);
    harness.after(5);
    names.iter().for_each(|name| succeed(&harness, name));
    harness.tick();
    assert_eq!(harness.headlines(), ["✅ 12 incidents: 12 over"]);
    harness.ticks(10, 5);
    assert_eq!(harness.messages(), []);
}

/// Messages for which a function has no time left are sent by the next tick.
#[test]
fn watcher_out_of_time_loses_nothing() {
    let harness = two(ALL);
    fail(&harness, "orders");
    fail(&harness, "shop");
    let report = harness.tick_late();
    assert_eq!((report.opened.len(), report.sent, report.unsent), (2, 0, 2));
    harness.after(5).tick();
    assert_eq!(harness.headlines(), ["🔴 orders: clean failed", "🔴 shop: clean failed"]);
}
