//! Channels that do not take what they are told.

use super::super::tower::{ALL, Tower, orders, pipeline};
use super::super::{Sink, Trouble};
use super::{ends_well, fails};
use crate::crash::house::Backend;

const DOWN: Option<Trouble> = Some(Trouble::Says(503, "service_unavailable"));

fn two(alerts: &str) -> Tower {
    let mut tower =
        Tower::new(Backend::Memory, &[("orders", &orders("", alerts)), ("shop", &pipeline("shop", "", alerts))]);
    tower.is_sound();
    tower.listens("others");
    tower.tick();
    tower.after(5);
    tower
}

#[test]
fn what_could_not_be_told_for_hours_is_told_once() {
    let tower = two(ALL);
    tower.sink("slack-webhook").always(DOWN);
    fails(&tower, "orders");
    let ticked = tower.tick();
    assert_eq!((ticked.sent, ticked.unsent), (0, 1));
    tower.ticks(40, 5);
    assert!(
        tower.incident("orders.clean.failed").notifications["slack:slack-webhook"]
            .last_error
            .as_ref()
            .unwrap()
            .contains("503")
    );
    tower.sink("slack-webhook").always(None);
    tower.ticks(6, 5);
    assert_eq!(tower.heads(), ["🔴 orders: clean failed"]);
    // and what began after that, or ended, at once
    ends_well(&tower, "orders");
    tower.after(5).tick();
    assert_eq!(tower.messages().len(), 1);
}

#[test]
fn what_was_over_by_then_is_one_message() {
    let tower = two(ALL);
    tower.sink("slack-webhook").always(DOWN);
    fails(&tower, "orders");
    tower.tick();
    tower.after(60);
    ends_well(&tower, "orders");
    tower.tick();
    tower.ticks(3, 5);
    tower.sink("slack-webhook").always(None);
    tower.ticks(6, 5);
    assert_eq!(tower.heads(), ["✅ Over after 1 h: orders: clean failed"]);
    tower.ticks(6, 5);
    assert_eq!(tower.messages(), []);
}

#[test]
fn one_of_two_is_down() {
    let tower = two("slack = [{ secret = 'others' }, { secret = 'slack-webhook' }]\nemail = 'data@example.com'");
    tower.sink("others").always(DOWN);
    fails(&tower, "orders");
    let ticked = tower.tick();
    assert_eq!((ticked.sent, ticked.unsent), (2, 1));
    tower.ticks(3, 5);
    assert_eq!((tower.messages().len(), tower.mailbox.mails().len()), (1, 1));
    tower.sink("others").always(None);
    tower.after(5).tick();
    assert_eq!((tower.messages().len(), tower.mailbox.mails().len(), tower.messages_of("others").len()), (0, 1, 1));
    // and the other way round
    *tower.mailbox.is_down.lock().unwrap() = true;
    ends_well(&tower, "orders");
    let ticked = tower.after(5).tick();
    assert_eq!((ticked.sent, ticked.unsent), (2, 1));
    *tower.mailbox.is_down.lock().unwrap() = false;
    assert_eq!(tower.after(5).tick().sent, 1);
}

/// Which of what has come are whole messages.
fn requests(sink: &Sink) -> (usize, usize) {
    (sink.requests(), sink.taken().len())
}

#[test]
fn a_webhook_that_is_gone_holds_up_nobody() {
    let tower = two(
        "slack = [{ secret = 'others' }, { secret = 'slack-webhook' }, { secret = 'nowhere' }]\nemail = 'data@example.com'",
    );
    tower.sink("others").always(Some(Trouble::Says(404, "no_service")));
    for pipeline in ["orders", "shop"] {
        fails(&tower, pipeline);
    }
    let ticked = tower.tick();
    assert_eq!((ticked.sent, ticked.unsent), (4, 4));
    assert_eq!((tower.messages().len(), tower.mailbox.mails().len()), (2, 2));
    let incident = tower.incident("shop.clean.failed");
    let trouble = |to: &str| incident.notifications[to].last_error.clone().unwrap();
    assert!(trouble("slack:others").contains("the webhook of secret others is gone"), "{}", trouble("slack:others"));
    assert_eq!(trouble("slack:nowhere"), "no secret nowhere");
    // nobody asks it all the time
    tower.ticks(100, 5);
    let (asked, taken) = requests(tower.sink("others"));
    assert!(taken == 0 && asked < 70, "{asked}");
    for pipeline in ["orders", "shop"] {
        ends_well(&tower, pipeline);
    }
    tower.after(5).tick();
    assert_eq!((tower.messages().len(), tower.mailbox.mails().len()), (2, 4));
    // a new webhook is put into the secret
    tower.sink("others").always(None);
    tower.ticks(6, 5);
    assert_eq!(tower.messages_of("others").len(), 2);
}

#[test]
fn many_at_once_come_as_one() {
    let names: Vec<String> = (0..12).map(|nth| format!("p{nth:02}")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), pipeline(name, "", ALL))).collect();
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let tower = Tower::new(Backend::Memory, &files);
    tower.tick();
    tower.after(5);
    for name in &names[..4] {
        fails(&tower, name);
    }
    tower.tick();
    assert_eq!(tower.messages().len(), 4);
    tower.after(5);
    for name in &names[4..] {
        fails(&tower, name);
    }
    let ticked = tower.tick();
    assert_eq!((ticked.sent, ticked.opened.len(), tower.sink("slack-webhook").taken().len()), (8, 8, 5));
    let said = &tower.messages()[0];
    assert_eq!((said.head.as_str(), said.lines.len()), ("🔴 8 incidents: 8 critical", 8));
    assert!(said.lines[0].starts_with("*🔴 p04: clean failed*"), "{}", said.lines[0]);
    tower.after(5);
    names.iter().for_each(|name| ends_well(&tower, name));
    tower.tick();
    assert_eq!(tower.heads(), ["✅ 12 incidents: 12 over"]);
    tower.ticks(10, 5);
    assert_eq!(tower.messages(), []);
}

/// What a function has no time left for is told by the next.
#[test]
fn a_watcher_that_runs_out_of_time_loses_nothing() {
    let tower = two(ALL);
    fails(&tower, "orders");
    fails(&tower, "shop");
    let ticked = tower.tick_late();
    assert_eq!((ticked.opened.len(), ticked.sent, ticked.unsent), (2, 0, 2));
    tower.after(5).tick();
    assert_eq!(tower.heads(), ["🔴 orders: clean failed", "🔴 shop: clean failed"]);
}
