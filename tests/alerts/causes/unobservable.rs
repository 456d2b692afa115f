//! Broken pipeline files, run records, logs and state: each is reported, and other problems are still found.

use tidemark_flow::ErrorKind;

use super::{assert_quiet, only_message};
use crate::support::daily_sales::Backend;
use crate::support::watcher::run_record::run;
use crate::support::watcher::{ALL, DAILY, WatcherHarness, orders, pipeline};

/// A pipeline that starts at eight, and whose first step has succeeded today.
fn started(harness: &WatcherHarness, name: &str) {
    harness.put_run(run(name, "ingest", "2026-03-03T08:00:00Z"));
}

#[test]
fn broken_pipeline_file_beside_a_good_one() {
    let other = "slack = { secret = 'others' }";
    let mut harness = WatcherHarness::new(
        Backend::Memory,
        &[("orders", &orders(DAILY, ALL)), ("shop", &pipeline("shop", DAILY, other))],
    );
    harness.start_webhook("others");
    harness.assert_not_broken();
    harness.tick();
    harness.change("shop", &pipeline("shop", DAILY, other).replace("int64", "int65"));
    started(&harness, "orders");
    harness.put_run(run("orders", "clean", "2026-03-03T08:01:00Z").failed(ErrorKind::Data, "damaged"));
    harness.at("2026-03-03T08:05:00Z").tick();
    // each pipeline has an incident of its own
    assert_eq!(harness.headlines(), ["🔴 orders: clean failed"]);
    let message = harness.messages_to("others");
    assert_eq!(message.len(), 1, "{message:#?}");
    let message = &message[0];
    assert_eq!(message.head, "🔴 shop: its pipeline file is invalid, so it does not run");
    assert!(message.what.contains("shop.toml") && message.what.contains("int65"), "{}", message.what);
    assert!(message.what.contains("→ fix them; tidemark check shows them all"), "{}", message.what);
    assert_eq!((message.next.as_str(), message.command.as_str()), ("Nothing, until it is fixed.", "tidemark check"));
    assert_eq!((message.incident(), message.time("opened")), ("shop.blind.definition#1", "2026-03-03 08:05 UTC"));
    assert_quiet(&harness);
    assert_eq!(harness.messages_to("others"), []);
    harness.change("shop", &pipeline("shop", DAILY, other));
    harness.after(5).tick();
    let message = harness.messages_to("others");
    assert_eq!(message[0].head, "✅ Over after 1 h 45 min: shop: its pipeline file is invalid, so it does not run");
    // a start that was missed meanwhile is found now
    assert_eq!(
        message[1..].iter().map(|message| message.head.as_str()).collect::<Vec<_>>(),
        ["🔴 shop: did not start on schedule"]
    );
}

#[test]
fn broken_file_without_recipients_is_reported_to_all() {
    let other = "slack = { secret = 'others' }";
    let no_recipients = pipeline("shop", "", "").replace("[alerts]", "").replace("int64", "int65");
    let halves = pipeline("half", "", "slack = { secret = ").replace("int64", "int65");
    for broken in [no_recipients, halves] {
        let files = [("orders", &*orders("", ALL)), ("b", &pipeline("b", "", other)), ("shop", &broken)];
        let mut harness = WatcherHarness::new(Backend::Memory, &files);
        harness.start_webhook("others");
        harness.tick();
        for secret in ["others", "slack-webhook"] {
            let message = harness.messages_to(secret);
            assert_eq!(message.len(), 1, "{secret}: {message:#?}");
            assert_eq!(message[0].incident(), "shop.blind.definition#1");
        }
    }
}

#[test]
fn a_dependent_of_a_broken_pipeline_has_no_incident_of_its_own() {
    let report = "[[model]]\nname = 'totals'\nsql = 'SELECT COUNT(*) AS n FROM shop'\n\n[alerts]\nslack = { secret = 'slack-webhook' }\n";
    let mut harness = WatcherHarness::new(Backend::Memory, &[("shop", &pipeline("shop", "", ALL)), ("report", report)]);
    harness.assert_not_broken();
    harness.tick();
    harness.change("shop", &pipeline("shop", "", ALL).replace("int64", "int65"));
    harness.after(5).tick();
    assert_eq!(harness.headlines(), ["🔴 shop: its pipeline file is invalid, so it does not run"]);
    // its own problems are reported all the same
    harness.put_run(run("report", "model totals", "2026-03-03T07:06:00Z").failed(ErrorKind::Data, "damaged"));
    harness.after(5).tick();
    assert_eq!(harness.headlines(), ["🔴 report: model totals failed"]);
    assert_quiet(&harness);
}

/// No notification is lost for a recipient whose pipeline file is unreadable for a while.
#[test]
fn recipients_survive_a_broken_file() {
    let own = "slack = { secret = 'others' }";
    let mut harness =
        WatcherHarness::new(Backend::Memory, &[("orders", &orders("", ALL)), ("shop", &pipeline("shop", "", own))]);
    harness.start_webhook("others");
    harness.tick();
    harness.put_run(run("shop", "clean", "2026-03-03T07:01:00Z").failed(ErrorKind::Data, "damaged"));
    harness.after(5).tick();
    assert_eq!(harness.messages_to("others").len(), 1);
    harness.change("shop", "[alerts\n");
    harness.put_run(run("shop", "clean", "2026-03-03T07:06:00Z"));
    harness.after(5).tick();
    assert_eq!(harness.open(), ["shop.blind.definition#1"]);
    harness.messages();
    harness.change("shop", &pipeline("shop", "", own));
    harness.after(5).tick();
    let heads: Vec<_> = harness.messages_to("others").into_iter().map(|message| message.head).collect();
    assert_eq!(heads, ["✅ Over after 5 min: shop: clean failed"]);
}

#[test]
fn unreadable_run_record() {
    let harness = WatcherHarness::new(Backend::Memory, &[("orders", &orders(DAILY, ALL))]);
    harness.tick();
    started(&harness, "orders");
    let key = "runs/2026-03-03/20260303T080100000-0000ffff.json";
    harness.damage(key);
    harness.put_run(run("orders", "model orders_by_id", "2026-03-03T08:02:00Z").failed(ErrorKind::Data, "damaged"));
    let report = harness.at("2026-03-03T08:05:00Z").tick();
    assert_eq!((report.records, report.opened.len()), (2, 2));
    let message = harness.messages();
    let message = message.iter().find(|message| message.incident().starts_with("watch.")).unwrap();
    assert_eq!(message.head, "🔴 tidemark: something cannot be watched");
    assert!(message.what.starts_with(&format!("run record {key} cannot be read: ")), "{}", message.what);
    assert!(message.what.ends_with("→ delete it; no step depends on run records"), "{}", message.what);
    assert_eq!((message.next.as_str(), message.command.as_str()), ("Everything else is still watched.", ""));
    assert_eq!(message.incident(), "watch.blind.20260303T080100000-0000ffff#1");
    assert_quiet(&harness);
    // even long after its record would be read regularly
    harness.put_run(run("orders", "ingest", "2026-03-03T23:00:00Z"));
    harness.at("2026-03-03T23:05:00Z").tick();
    assert_eq!(harness.open().len(), 2);
    harness.store().delete(&key.into()).unwrap();
    assert_eq!(harness.after(5).tick().resolved.len(), 1);
    assert_eq!(only_message(&harness).head, "✅ Over after 15 h 5 min: tidemark: something cannot be watched");
}

/// A repaired record counts, however old it is.
#[test]
fn repaired_run_record_is_applied() {
    let harness = WatcherHarness::new(Backend::Memory, &[("orders", &orders("", ALL))]);
    harness.tick();
    let run_id = "20260303T070100000-0000ffff";
    let key = format!("runs/2026-03-03/{run_id}.json");
    harness.damage(&key);
    harness.ticks(30, 5);
    harness.store().delete(&key.as_str().into()).unwrap();
    harness.put_run(run("orders", "clean", "2026-03-03T07:01:00Z").id(run_id).failed(ErrorKind::Data, "damaged"));
    harness.messages();
    let report = harness.after(5).tick();
    assert_eq!((report.resolved.len(), report.opened.len()), (1, 1));
}

#[test]
fn damaged_log_is_one_incident() {
    let names = ["orders", "b", "c", "d", "e"];
    let files: Vec<_> = names.iter().map(|name| (*name, pipeline(name, "", ALL))).collect();
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let harness = WatcherHarness::new(Backend::Memory, &files);
    harness.assert_not_broken();
    harness.tick();
    harness.damage("datasets/orders.raw/_delta_log/00000000000000000000.json");
    // without changes the pipelines are checked in turn
    harness.ticks(9, 5);
    let message = only_message(&harness);
    assert_eq!(message.head, "🔴 orders: clean cannot be watched");
    assert!(message.what.contains("orders.raw") && message.what.contains("is damaged"), "{}", message.what);
    assert!(message.what.contains("→ restore it from a copy, or move the dataset's folder away"), "{}", message.what);
    assert_eq!(
        (message.incident(), message.next.as_str()),
        ("orders.clean.blind.log#1", "Nothing, until it is fixed.")
    );
    // it does not open and resolve with these turns
    assert_quiet(&harness);
    harness.put_run(run("c", "clean", "2026-03-03T09:27:00Z").failed(ErrorKind::Data, "damaged"));
    harness.after(5).tick();
    assert_eq!(harness.headlines(), ["🔴 c: clean failed"]);
    harness.store().delete(&"datasets/orders.raw/_delta_log/00000000000000000000.json".into()).unwrap();
    harness.after(5).tick();
    assert_eq!(harness.headlines(), ["✅ Over after 1 h 55 min: orders: clean cannot be watched"]);
}

#[test]
fn damaged_or_lost_state_is_rebuilt() {
    for is_lost in [false, true] {
        let harness = WatcherHarness::new(
            Backend::Memory,
            &[("orders", &orders(DAILY, ALL)), ("shop", &pipeline("shop", DAILY, ALL))],
        );
        harness.tick();
        started(&harness, "orders");
        harness.put_run(run("orders", "clean", "2026-03-03T08:01:00Z").failed(ErrorKind::Data, "damaged"));
        harness.at("2026-03-03T08:15:00Z").tick();
        let open = ["orders.clean.failed#1", "shop.not_started#1"];
        assert_eq!((harness.open(), harness.messages().len()), (open.map(str::to_owned).to_vec(), 2));
        let loses = || match is_lost {
            true => harness.store().delete(&"watch/state.json".into()).unwrap(),
            false => harness.damage("watch/state.json"),
        };
        loses();
        assert_quiet(&harness);
        assert_eq!(harness.open(), open);
        // even if the last records are too old to be read again
        harness.at("2026-03-08T09:00:00Z");
        loses();
        assert_quiet(&harness);
        assert_eq!(harness.open(), open);
        harness.put_run(run("orders", "clean", "2026-03-08T10:45:00Z"));
        harness.put_run(run("shop", "ingest", "2026-03-08T10:45:00Z"));
        assert_eq!(harness.at("2026-03-08T10:50:00Z").tick().resolved.len(), 2);
    }
}

#[test]
fn damaged_silences_and_incidents() {
    let harness =
        WatcherHarness::new(Backend::Memory, &[("orders", &orders("", ALL)), ("shop", &pipeline("shop", "", ALL))]);
    harness.tick();
    // a silence that cannot be read has no effect
    harness.damage("watch/silences/orders.json");
    harness.damage("watch/silences/..%2Fx.json");
    harness.damage("watch/elsewhere/orders.json");
    // a damaged incident is opened again if the problem persists, and ignored otherwise
    harness.damage("watch/incidents/orders.clean.failed.json");
    harness.damage("watch/incidents/shop.clean.failed.json");
    harness.put_run(run("orders", "clean", "2026-03-03T07:01:00Z").failed(ErrorKind::Data, "damaged"));
    assert_eq!(harness.after(5).tick().opened.len(), 1);
    assert_eq!(harness.headlines(), ["🔴 orders: clean failed"]);
    harness.ticks(20, 5);
    assert_eq!(harness.messages(), []);
    harness.put_run(run("shop", "clean", "2026-03-03T08:47:00Z").failed(ErrorKind::Data, "damaged"));
    harness.after(5).tick();
    assert_eq!(harness.headlines(), ["🔴 shop: clean failed"]);
    assert_eq!(harness.open().len(), 2);
}
