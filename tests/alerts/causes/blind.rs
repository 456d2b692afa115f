//! What the watcher cannot see hides nothing else, and is told.

use tidemark_flow::ErrorKind;

use super::super::record::run;
use super::super::tower::{ALL, DAILY, Tower, orders, pipeline};
use super::{lasts, one};
use crate::crash::house::Backend;

/// A pipeline that starts at eight, and whose first step has ended well today.
fn started(tower: &Tower, name: &str) {
    tower.ran(run(name, "ingest", "2026-03-03T08:00:00Z"));
}

#[test]
fn a_broken_pipeline_file_beside_a_good_one() {
    let other = "slack = { secret = 'others' }";
    let mut tower =
        Tower::new(Backend::Memory, &[("orders", &orders(DAILY, ALL)), ("shop", &pipeline("shop", DAILY, other))]);
    tower.listens("others");
    tower.is_sound();
    tower.tick();
    tower.changes("shop", &pipeline("shop", DAILY, other).replace("int64", "int65"));
    started(&tower, "orders");
    tower.ran(run("orders", "clean", "2026-03-03T08:01:00Z").failed(ErrorKind::Data, "damaged"));
    tower.at("2026-03-03T08:05:00Z").tick();
    // each its own
    assert_eq!(tower.heads(), ["🔴 orders: clean failed"]);
    let said = tower.messages_of("others");
    assert_eq!(said.len(), 1, "{said:#?}");
    let said = &said[0];
    assert_eq!(said.head, "🔴 shop: its pipeline file is broken, nothing of it runs");
    assert!(said.what.contains("shop.toml") && said.what.contains("int65"), "{}", said.what);
    assert!(said.what.contains("→ mend them; tidemark check shows them all"), "{}", said.what);
    assert_eq!((said.next.as_str(), said.command.as_str()), ("Nothing, until it is mended.", "tidemark check"));
    assert_eq!((said.incident(), said.time("opened")), ("shop.blind.definition#1", "2026-03-03 08:05 UTC"));
    lasts(&tower);
    assert_eq!(tower.messages_of("others"), []);
    tower.changes("shop", &pipeline("shop", DAILY, other));
    tower.after(5).tick();
    let said = tower.messages_of("others");
    assert_eq!(said[0].head, "✅ Over after 1 h 45 min: shop: its pipeline file is broken, nothing of it runs");
    // and what was meant meanwhile was not started, now that it can be
    assert_eq!(
        said[1..].iter().map(|said| said.head.as_str()).collect::<Vec<_>>(),
        ["🔴 shop: did not start on schedule"]
    );
}

#[test]
fn a_broken_file_that_names_nobody_is_told_to_everybody() {
    let other = "slack = { secret = 'others' }";
    let nobody = pipeline("shop", "", "").replace("[alerts]", "").replace("int64", "int65");
    let halves = pipeline("half", "", "slack = { secret = ").replace("int64", "int65");
    for broken in [nobody, halves] {
        let files = [("orders", &*orders("", ALL)), ("b", &pipeline("b", "", other)), ("shop", &broken)];
        let mut tower = Tower::new(Backend::Memory, &files);
        tower.listens("others");
        tower.tick();
        for secret in ["others", "slack-webhook"] {
            let said = tower.messages_of(secret);
            assert_eq!(said.len(), 1, "{secret}: {said:#?}");
            assert_eq!(said[0].incident(), "shop.blind.definition#1");
        }
    }
}

#[test]
fn who_only_lacks_what_a_broken_one_makes_is_no_second_incident() {
    let report = "[[model]]\nname = 'totals'\nsql = 'SELECT COUNT(*) AS n FROM shop'\n\n[alerts]\nslack = { secret = 'slack-webhook' }\n";
    let mut tower = Tower::new(Backend::Memory, &[("shop", &pipeline("shop", "", ALL)), ("report", report)]);
    tower.is_sound();
    tower.tick();
    tower.changes("shop", &pipeline("shop", "", ALL).replace("int64", "int65"));
    tower.after(5).tick();
    assert_eq!(tower.heads(), ["🔴 shop: its pipeline file is broken, nothing of it runs"]);
    // what is wrong with it is wrong all the same
    tower.ran(run("report", "model totals", "2026-03-03T07:06:00Z").failed(ErrorKind::Data, "damaged"));
    tower.after(5).tick();
    assert_eq!(tower.heads(), ["🔴 report: model totals failed"]);
    lasts(&tower);
}

/// For an address whose pipeline file cannot be read for a while nothing is lost.
#[test]
fn whom_an_incident_is_for_is_not_forgotten_with_a_broken_file() {
    let own = "slack = { secret = 'others' }";
    let mut tower = Tower::new(Backend::Memory, &[("orders", &orders("", ALL)), ("shop", &pipeline("shop", "", own))]);
    tower.listens("others");
    tower.tick();
    tower.ran(run("shop", "clean", "2026-03-03T07:01:00Z").failed(ErrorKind::Data, "damaged"));
    tower.after(5).tick();
    assert_eq!(tower.messages_of("others").len(), 1);
    tower.changes("shop", "[alerts\n");
    tower.ran(run("shop", "clean", "2026-03-03T07:06:00Z"));
    tower.after(5).tick();
    assert_eq!(tower.open(), ["shop.blind.definition#1"]);
    tower.messages();
    tower.changes("shop", &pipeline("shop", "", own));
    tower.after(5).tick();
    let heads: Vec<_> = tower.messages_of("others").into_iter().map(|said| said.head).collect();
    assert_eq!(heads, ["✅ Over after 5 min: shop: clean failed"]);
}

#[test]
fn a_run_record_that_cannot_be_read() {
    let tower = Tower::new(Backend::Memory, &[("orders", &orders(DAILY, ALL))]);
    tower.tick();
    started(&tower, "orders");
    let key = "runs/2026-03-03/20260303T080100000-0000ffff.json";
    tower.damages(key);
    tower.ran(run("orders", "model orders_by_id", "2026-03-03T08:02:00Z").failed(ErrorKind::Data, "damaged"));
    let ticked = tower.at("2026-03-03T08:05:00Z").tick();
    assert_eq!((ticked.records, ticked.opened.len()), (2, 2));
    let said = tower.messages();
    let blind = said.iter().find(|said| said.incident().starts_with("watch.")).unwrap();
    assert_eq!(blind.head, "🔴 tidemark: something cannot be watched");
    assert!(blind.what.starts_with(&format!("run record {key} cannot be read: ")), "{}", blind.what);
    assert!(
        blind.what.ends_with("→ delete it: a run record is for people only, nothing hangs on it"),
        "{}",
        blind.what
    );
    assert_eq!((blind.next.as_str(), blind.command.as_str()), ("The rest is watched all the same.", ""));
    assert_eq!(blind.incident(), "watch.blind.20260303T080100000-0000ffff#1");
    lasts(&tower);
    // also long after it would be looked at by itself
    tower.ran(run("orders", "ingest", "2026-03-03T23:00:00Z"));
    tower.at("2026-03-03T23:05:00Z").tick();
    assert_eq!(tower.open().len(), 2);
    tower.store().delete(&key.into()).unwrap();
    assert_eq!(tower.after(5).tick().resolved.len(), 1);
    assert_eq!(one(&tower).head, "✅ Over after 15 h 5 min: tidemark: something cannot be watched");
}

/// One that is mended counts, however old.
#[test]
fn a_run_record_that_is_mended_is_taken_in() {
    let tower = Tower::new(Backend::Memory, &[("orders", &orders("", ALL))]);
    tower.tick();
    let run_id = "20260303T070100000-0000ffff";
    let key = format!("runs/2026-03-03/{run_id}.json");
    tower.damages(&key);
    tower.ticks(30, 5);
    tower.store().delete(&key.as_str().into()).unwrap();
    tower.ran(run("orders", "clean", "2026-03-03T07:01:00Z").id(run_id).failed(ErrorKind::Data, "damaged"));
    tower.messages();
    let ticked = tower.after(5).tick();
    assert_eq!((ticked.resolved.len(), ticked.opened.len()), (1, 1));
}

#[test]
fn a_log_that_is_damaged_is_one_incident_of_its_pipeline() {
    let names = ["orders", "b", "c", "d", "e"];
    let files: Vec<_> = names.iter().map(|name| (*name, pipeline(name, "", ALL))).collect();
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let tower = Tower::new(Backend::Memory, &files);
    tower.is_sound();
    tower.tick();
    tower.damages("datasets/orders.raw/_delta_log/00000000000000000000.json");
    // each is looked at in its turn, if nothing moves
    tower.ticks(9, 5);
    let said = one(&tower);
    assert_eq!(said.head, "🔴 orders: clean cannot be watched");
    assert!(said.what.contains("orders.raw") && said.what.contains("is damaged"), "{}", said.what);
    assert!(said.what.contains("→ restore it from a copy, or move the dataset's folder away"), "{}", said.what);
    assert_eq!((said.incident(), said.next.as_str()), ("orders.clean.blind.log#1", "Nothing, until it is mended."));
    // it does not come and go with the turns
    lasts(&tower);
    tower.ran(run("c", "clean", "2026-03-03T09:27:00Z").failed(ErrorKind::Data, "damaged"));
    tower.after(5).tick();
    assert_eq!(tower.heads(), ["🔴 c: clean failed"]);
    tower.store().delete(&"datasets/orders.raw/_delta_log/00000000000000000000.json".into()).unwrap();
    tower.after(5).tick();
    assert_eq!(tower.heads(), ["✅ Over after 1 h 55 min: orders: clean cannot be watched"]);
}

#[test]
fn a_state_that_is_damaged_or_lost_is_gathered_again() {
    for is_lost in [false, true] {
        let tower =
            Tower::new(Backend::Memory, &[("orders", &orders(DAILY, ALL)), ("shop", &pipeline("shop", DAILY, ALL))]);
        tower.tick();
        started(&tower, "orders");
        tower.ran(run("orders", "clean", "2026-03-03T08:01:00Z").failed(ErrorKind::Data, "damaged"));
        tower.at("2026-03-03T08:15:00Z").tick();
        let open = ["orders.clean.failed#1", "shop.not_started#1"];
        assert_eq!((tower.open(), tower.messages().len()), (open.map(str::to_owned).to_vec(), 2));
        let loses = || match is_lost {
            true => tower.store().delete(&"watch/state.json".into()).unwrap(),
            false => tower.damages("watch/state.json"),
        };
        loses();
        lasts(&tower);
        assert_eq!(tower.open(), open);
        // also if the last records are too old to be read again
        tower.at("2026-03-08T09:00:00Z");
        loses();
        lasts(&tower);
        assert_eq!(tower.open(), open);
        tower.ran(run("orders", "clean", "2026-03-08T10:45:00Z"));
        tower.ran(run("shop", "ingest", "2026-03-08T10:45:00Z"));
        assert_eq!(tower.at("2026-03-08T10:50:00Z").tick().resolved.len(), 2);
    }
}

#[test]
fn what_the_watcher_keeps_may_be_damaged() {
    let tower = Tower::new(Backend::Memory, &[("orders", &orders("", ALL)), ("shop", &pipeline("shop", "", ALL))]);
    tower.tick();
    // a silence, of which nobody knows whether it lasts, silences nobody
    tower.damages("watch/silences/orders.json");
    tower.damages("watch/silences/..%2Fx.json");
    tower.damages("watch/elsewhere/orders.json");
    // an incident that is wrong still is opened anew; one that is not is in nobody's way
    tower.damages("watch/incidents/orders.clean.failed.json");
    tower.damages("watch/incidents/shop.clean.failed.json");
    tower.ran(run("orders", "clean", "2026-03-03T07:01:00Z").failed(ErrorKind::Data, "damaged"));
    assert_eq!(tower.after(5).tick().opened.len(), 1);
    assert_eq!(tower.heads(), ["🔴 orders: clean failed"]);
    tower.ticks(20, 5);
    assert_eq!(tower.messages(), []);
    tower.ran(run("shop", "clean", "2026-03-03T08:47:00Z").failed(ErrorKind::Data, "damaged"));
    tower.after(5).tick();
    assert_eq!(tower.heads(), ["🔴 shop: clean failed"]);
    assert_eq!(tower.open().len(), 2);
}
