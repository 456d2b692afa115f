//! An incident that keeps opening and resolving is reported as flapping, once.

use super::{fail, flap, succeed};
use crate::support::daily_sales::Backend;
use crate::support::watcher::{ALL, WatcherHarness, orders};

fn harness() -> WatcherHarness {
    let harness = WatcherHarness::new(Backend::Memory, &[("orders", &orders("", ALL))]);
    harness.tick();
    harness.after(5);
    harness
}

#[test]
fn flapping_is_reported_once_and_then_its_end() {
    let harness = harness();
    flap(&harness, "orders", 10);
    let heads = harness.headlines();
    assert_eq!(
        heads,
        [
            "🔴 orders: clean failed",
            "✅ Over after 5 min: orders: clean failed",
            "🔴 orders: clean failed",
            "✅ Over after 5 min: orders: clean failed",
            "🟠 Flapping: orders: clean failed",
        ]
    );
    // resolved for five minutes; nothing changes for six hours
    harness.after(-10);
    harness.ticks(71, 5);
    assert_eq!(harness.messages(), []);
    harness.ticks(2, 5);
    assert_eq!(harness.headlines(), ["✅ Over after 5 min: orders: clean failed"]);
    harness.ticks(300, 5);
    assert_eq!(harness.messages(), []);
    // a day later it is an ordinary incident again
    fail(&harness, "orders");
    harness.tick();
    assert_eq!(harness.headlines(), ["🔴 orders: clean failed"]);
    assert_eq!(harness.incident("orders.clean.failed").id(), "orders.clean.failed#11");
}

#[test]
fn flapping_message_counts_openings() {
    let harness = harness();
    flap(&harness, "orders", 2);
    harness.messages();
    fail(&harness, "orders");
    harness.tick();
    let message = &harness.messages()[0];
    assert!(
        message.what.starts_with(
            "It has opened 3 times within a day. Its notifications are paused until it has been stable for 6 hours.\n\
             a page is damaged"
        ),
        "{}",
        message.what
    );
    assert_eq!(message.incident(), "orders.clean.failed#3");
}

#[test]
fn flapping_that_ends_open_is_reported_as_open() {
    let harness = harness();
    flap(&harness, "orders", 4);
    fail(&harness, "orders");
    harness.tick();
    harness.messages();
    harness.ticks(71, 5);
    assert_eq!(harness.messages(), []);
    harness.after(5).tick();
    assert_eq!(harness.headlines(), ["🔴 orders: clean failed"]);
    harness.after(5);
    succeed(&harness, "orders");
    harness.tick();
    // now its end is reported
    assert_eq!(harness.headlines(), ["✅ Over after 6 h 5 min: orders: clean failed"]);
}

#[test]
fn one_failure_a_day_is_not_flapping() {
    let harness = harness();
    for _ in 0..30 {
        fail(&harness, "orders");
        harness.tick();
        harness.after(60);
        succeed(&harness, "orders");
        harness.tick();
        harness.after(23 * 60);
    }
    let heads = harness.headlines();
    assert_eq!(heads.len(), 60);
    assert!(heads.chunks(2).all(|pair| pair[0].starts_with('🔴') && pair[1].starts_with('✅')), "{heads:#?}");
}
