//! Recipients, by pipeline and severity.

use tidemark_pipeline::Severity;

use super::{fail, succeed};
use crate::support::daily_sales::Backend;
use crate::support::watcher::run_record::run;
use crate::support::watcher::{ALL, WatcherHarness, orders, pipeline};

/// Quarantines more rows than allowed: a warning, by default.
fn exceed_quarantine_limit(harness: &WatcherHarness) {
    let began = (harness.now() - jiff::SignedDuration::from_mins(1)).to_string();
    harness.put_run(run("orders", "clean", &began).rows(1000, 500));
}

#[test]
fn recipients_have_a_minimum_severity() {
    let alerts = "slack = [{ secret = 'slack-webhook', severity = 'critical' }, { secret = 'others' }]\n\
                  email = ['all@example.com', { to = 'worst@example.com', severity = 'critical' }]\nmax_quarantined = 5";
    let mut harness = WatcherHarness::new(Backend::Memory, &[("orders", &orders("", alerts))]);
    harness.assert_not_broken();
    harness.start_webhook("others");
    harness.tick();
    exceed_quarantine_limit(&harness);
    harness.tick();
    let mails = |harness: &WatcherHarness| {
        let mails = harness.mailbox.mails();
        let mut to: Vec<_> = mails.iter().map(|mail| format!("{}: {}", mail.to.join(" "), mail.subject)).collect();
        to.sort();
        to
    };
    assert_eq!((harness.messages().len(), harness.messages_to("others").len()), (0, 1));
    assert_eq!(mails(&harness), ["all@example.com: [warning] orders: clean put many records into quarantine"]);
    harness.after(5);
    fail(&harness, "orders");
    harness.tick();
    assert_eq!(
        (harness.headlines(), harness.messages_to("others").len()),
        (vec!["🔴 orders: clean failed".to_owned()], 1)
    );
    assert_eq!(
        mails(&harness)[..2],
        [
            "all@example.com: [critical] orders: clean failed",
            "all@example.com: [warning] orders: clean put many records into quarantine"
        ]
    );
    assert_eq!(mails(&harness)[2..], ["worst@example.com: [critical] orders: clean failed"]);
    // recipients who were not notified of the opening are not notified of the end
    harness.after(5);
    succeed(&harness, "orders");
    exceed_quarantine_limit(&harness);
    harness.after(5);
    let began = (harness.now() - jiff::SignedDuration::from_mins(1)).to_string();
    harness.put_run(run("orders", "clean", &began).rows(1000, 0));
    harness.tick();
    assert_eq!(harness.headlines(), ["✅ Over after 10 min: orders: clean failed"]);
    assert_eq!(harness.messages_to("others").len(), 2);
}

#[test]
fn severity_can_be_configured_and_change() {
    let with = |severity: &str| {
        orders(
            "",
            &format!(
                "slack = {{ secret = 'slack-webhook', severity = 'critical' }}\nseverity = {{ failed = '{severity}' }}"
            ),
        )
    };
    let mut harness = WatcherHarness::new(Backend::Memory, &[("orders", &with("warning"))]);
    harness.assert_not_broken();
    harness.tick();
    fail(&harness, "orders");
    harness.tick();
    assert_eq!((harness.messages(), harness.incident("orders.clean.failed").severity), (Vec::new(), Severity::Warning));
    harness.change("orders", &with("critical"));
    harness.after(5).tick();
    assert_eq!(harness.headlines(), ["🔴 orders: clean failed"]);
    // it was notified, so its end is notified too
    harness.change("orders", &with("warning"));
    harness.after(5).tick();
    assert_eq!(harness.messages(), []);
    succeed(&harness, "orders");
    harness.after(5).tick();
    assert_eq!(harness.headlines().len(), 1);
}

#[test]
fn pipeline_without_recipients_has_incidents() {
    let harness =
        WatcherHarness::new(Backend::Memory, &[("orders", &orders("", "")), ("shop", &pipeline("shop", "", ALL))]);
    harness.tick();
    fail(&harness, "orders");
    let report = harness.tick();
    assert_eq!((report.opened.len(), report.sent, harness.open().len()), (1, 0, 1));
    succeed(&harness, "orders");
    assert_eq!(harness.after(5).tick().resolved.len(), 1);
    assert_eq!(harness.messages(), []);
}

#[test]
fn recipients_may_change_while_an_incident_is_open() {
    let both = "slack = [{ secret = 'slack-webhook' }, { secret = 'others' }]";
    let mut harness =
        WatcherHarness::new(Backend::Memory, &[("orders", &orders("", ALL)), ("shop", &pipeline("shop", "", ALL))]);
    harness.start_webhook("others");
    harness.tick();
    fail(&harness, "orders");
    harness.tick();
    assert_eq!((harness.messages().len(), harness.messages_to("others").len()), (1, 0));
    harness.change("orders", &orders("", both));
    harness.after(5).tick();
    assert_eq!(harness.messages(), []);
    assert_eq!(harness.messages_to("others")[0].head, "🔴 orders: clean failed");
    harness.change("orders", &orders("", "slack = { secret = 'others' }"));
    harness.after(5).tick();
    // a recipient who returns has been notified already
    harness.change("orders", &orders("", both));
    harness.after(5).tick();
    assert_eq!((harness.messages(), harness.messages_to("others")), (Vec::new(), Vec::new()));
    harness.change("orders", &orders("", "slack = { secret = 'others' }"));
    harness.after(5);
    succeed(&harness, "orders");
    harness.tick();
    assert_eq!((harness.messages().len(), harness.messages_to("others").len()), (0, 1));
    // and nothing is sent later
    harness.change("orders", &orders("", both));
    harness.ticks(5, 5);
    assert_eq!((harness.messages(), harness.messages_to("others")), (Vec::new(), Vec::new()));
    fail(&harness, "orders");
    harness.tick();
    assert_eq!((harness.messages().len(), harness.messages_to("others").len()), (1, 1));
}
