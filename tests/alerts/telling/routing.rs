//! To whom: by pipeline and severity.

use tidemark_pipeline::Severity;

use super::super::record::run;
use super::super::tower::{ALL, Tower, orders, pipeline};
use super::{ends_well, fails};
use crate::crash::house::Backend;

/// Puts more aside than is allowed: a warning, by default.
fn spills(tower: &Tower) {
    let began = (tower.now() - jiff::SignedDuration::from_mins(1)).to_string();
    tower.ran(run("orders", "clean", &began).rows(1000, 500));
}

#[test]
fn each_is_told_of_what_is_bad_enough() {
    let alerts = "slack = [{ secret = 'slack-webhook', severity = 'critical' }, { secret = 'others' }]\n\
                  email = ['all@example.com', { to = 'worst@example.com', severity = 'critical' }]\nmax_quarantined = 5";
    let mut tower = Tower::new(Backend::Memory, &[("orders", &orders("", alerts))]);
    tower.is_sound();
    tower.listens("others");
    tower.tick();
    spills(&tower);
    tower.tick();
    let mails = |tower: &Tower| {
        let mails = tower.mailbox.mails();
        let mut to: Vec<_> = mails.iter().map(|mail| format!("{}: {}", mail.to.join(" "), mail.subject)).collect();
        to.sort();
        to
    };
    assert_eq!((tower.messages().len(), tower.messages_of("others").len()), (0, 1));
    assert_eq!(mails(&tower), ["all@example.com: [warning] orders: clean put many records into quarantine"]);
    tower.after(5);
    fails(&tower, "orders");
    tower.tick();
    assert_eq!((tower.heads(), tower.messages_of("others").len()), (vec!["🔴 orders: clean failed".to_owned()], 1));
    assert_eq!(
        mails(&tower)[..2],
        [
            "all@example.com: [critical] orders: clean failed",
            "all@example.com: [warning] orders: clean put many records into quarantine"
        ]
    );
    assert_eq!(mails(&tower)[2..], ["worst@example.com: [critical] orders: clean failed"]);
    // who has not heard that it began does not hear that it ended
    tower.after(5);
    ends_well(&tower, "orders");
    spills(&tower);
    tower.after(5);
    let began = (tower.now() - jiff::SignedDuration::from_mins(1)).to_string();
    tower.ran(run("orders", "clean", &began).rows(1000, 0));
    tower.tick();
    assert_eq!(tower.heads(), ["✅ Over after 10 min: orders: clean failed"]);
    assert_eq!(tower.messages_of("others").len(), 2);
}

#[test]
fn how_bad_it_is_may_be_said_otherwise_and_change_meanwhile() {
    let with = |severity: &str| {
        orders(
            "",
            &format!(
                "slack = {{ secret = 'slack-webhook', severity = 'critical' }}\nseverity = {{ failed = '{severity}' }}"
            ),
        )
    };
    let mut tower = Tower::new(Backend::Memory, &[("orders", &with("warning"))]);
    tower.is_sound();
    tower.tick();
    fails(&tower, "orders");
    tower.tick();
    assert_eq!((tower.messages(), tower.incident("orders.clean.failed").severity), (Vec::new(), Severity::Warning));
    tower.changes("orders", &with("critical"));
    tower.after(5).tick();
    assert_eq!(tower.heads(), ["🔴 orders: clean failed"]);
    // it has been told, and is heard to its end
    tower.changes("orders", &with("warning"));
    tower.after(5).tick();
    assert_eq!(tower.messages(), []);
    ends_well(&tower, "orders");
    tower.after(5).tick();
    assert_eq!(tower.heads().len(), 1);
}

#[test]
fn a_pipeline_that_names_nobody_has_its_incidents_all_the_same() {
    let tower = Tower::new(Backend::Memory, &[("orders", &orders("", "")), ("shop", &pipeline("shop", "", ALL))]);
    tower.tick();
    fails(&tower, "orders");
    let ticked = tower.tick();
    assert_eq!((ticked.opened.len(), ticked.sent, tower.open().len()), (1, 0, 1));
    ends_well(&tower, "orders");
    assert_eq!(tower.after(5).tick().resolved.len(), 1);
    assert_eq!(tower.messages(), []);
}

#[test]
fn who_is_named_while_it_lasts_is_told_and_who_is_named_no_more_is_not() {
    let both = "slack = [{ secret = 'slack-webhook' }, { secret = 'others' }]";
    let mut tower = Tower::new(Backend::Memory, &[("orders", &orders("", ALL)), ("shop", &pipeline("shop", "", ALL))]);
    tower.listens("others");
    tower.tick();
    fails(&tower, "orders");
    tower.tick();
    assert_eq!((tower.messages().len(), tower.messages_of("others").len()), (1, 0));
    tower.changes("orders", &orders("", both));
    tower.after(5).tick();
    assert_eq!(tower.messages(), []);
    assert_eq!(tower.messages_of("others")[0].head, "🔴 orders: clean failed");
    tower.changes("orders", &orders("", "slack = { secret = 'others' }"));
    tower.after(5).tick();
    // who comes back knows it already
    tower.changes("orders", &orders("", both));
    tower.after(5).tick();
    assert_eq!((tower.messages(), tower.messages_of("others")), (Vec::new(), Vec::new()));
    tower.changes("orders", &orders("", "slack = { secret = 'others' }"));
    tower.after(5);
    ends_well(&tower, "orders");
    tower.tick();
    assert_eq!((tower.messages().len(), tower.messages_of("others").len()), (0, 1));
    // and nothing of it comes later
    tower.changes("orders", &orders("", both));
    tower.ticks(5, 5);
    assert_eq!((tower.messages(), tower.messages_of("others")), (Vec::new(), Vec::new()));
    fails(&tower, "orders");
    tower.tick();
    assert_eq!((tower.messages().len(), tower.messages_of("others").len()), (1, 1));
}
