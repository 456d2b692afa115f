//! A lake in the midst of its work, as version 0.1.0 of this program left it: every later version reads all of it, goes on with it, and ends
//! where that one would have ended.
//!
//! Folder `fixture` holds what lay on the disk: `lake`, the databases and reports in `out`, the pipelines of then, the `events` that were
//! still to be handled; what the sources had and were to get (`sources`); and what everything comes to two mornings later
//! (`expected.json`). `story.rs` says how all that came to be. It is not written again: what a later version writes is no proof of what
//! an earlier one wrote.

mod read;

use serde_json::Value;

use crate::support::fixture::deployment::Deployment;
use crate::support::fixture::story::{Trouble, begins, goes_on, is_run_on};
use crate::support::fixture::{self as kept, sources};

/// What differs, dataset by dataset and report by report, so that one can see it.
#[track_caller]
fn assert_same(outcome: &Value, expected: &Value, of: &[&str], but: &[&str]) {
    for part in of {
        let (ours, theirs) = (outcome[part].as_object().unwrap(), expected[part].as_object().unwrap());
        let names = |all: &serde_json::Map<String, Value>| {
            all.keys().filter(|name| !but.iter().any(|end| name.ends_with(end))).cloned().collect::<Vec<_>>()
        };
        assert_eq!(names(ours), names(theirs), "{part}");
        for name in names(ours) {
            assert_eq!(ours[&name], theirs[&name], "{part}: {name}");
        }
    }
}

/// An order that is in no dataset.
const ANOTHER_ORDER: &str = "CREATE TEMPORARY TABLE another AS SELECT * FROM orders LIMIT 1;
    UPDATE another SET order_id = -1;
    INSERT INTO orders SELECT * FROM another";

const ALL: [&str; 3] = ["datasets", "reports", "tables"];

/// Writes the fixture. Nobody does that but the version whose lake it is (`TIDEMARK_FIXTURE=write`).
#[test]
fn it_was_written_so() {
    if std::env::var_os("TIDEMARK_FIXTURE").is_none_or(|wanted| wanted != "write") {
        return;
    }
    let folder = kept::folder();
    for name in ["lake", "out", "events", "sources"] {
        let _ = std::fs::remove_dir_all(folder.join(name));
    }
    sources::write(&folder.join("sources"));
    let deployment = Deployment::new();
    begins(&deployment, Trouble::Much);
    deployment.keep(&folder);
    drop(deployment);
    let deployment = Deployment::as_it_was_left();
    goes_on(&deployment);
    std::fs::write(folder.join("expected.json"), format!("{:#}\n", deployment.outcome())).unwrap();
}

#[test]
fn events_end_what_was_begun() {
    // a work may be gone on with, or begun anew
    for has_works in [true, false] {
        let deployment = Deployment::as_it_was_left();
        if !has_works {
            deployment.loses_works();
        }
        // what a load has not written it leaves alone, if it knows how far it was
        deployment.change("orders.db", ANOTHER_ORDER);
        goes_on(&deployment);
        assert_eq!(deployment.change("orders.db", "DELETE FROM orders WHERE order_id = -1"), 1);
        assert_same(&deployment.outcome(), &kept::expected(), &ALL, &[]);
        assert!(deployment.waiting().is_empty());
        // all is well again, and of the pipeline that is silenced nobody has heard a word
        assert_eq!(watch::open_incidents(&deployment.lake()).unwrap(), []);
        let told = deployment.told();
        assert!(
            told.len() == 2 && told.iter().all(|head| head.contains("orders") && head.starts_with('✅')),
            "{told:?}"
        );
    }
}

#[test]
fn the_command_ends_what_was_begun() {
    let deployment = Deployment::as_it_was_left();
    is_run_on(&deployment);
    // the version in which a raw row arrived is part of its file's name, and a run without news commits less often
    assert_same(&deployment.outcome(), &kept::expected(), &ALL, &["orders.raw"]);
}

#[test]
fn without_any_trouble_all_is_the_same() {
    let deployment = Deployment::new();
    begins(&deployment, Trouble::None);
    goes_on(&deployment);
    // what an API has said lies in other files if it was asked in other parts
    assert_same(&deployment.outcome(), &kept::expected(), &ALL, &["orders.raw"]);
}

#[test]
fn all_at_once_it_is_the_same() {
    let deployment = Deployment::new();
    ["1", "2", "3", "4", "5"].into_iter().for_each(|news| deployment.comes(news));
    deployment.command(&["run", "--at", "2026-03-05T08:00:00Z"]).expect(0);
    // what has never been broken has not healed, and only one day has been asked for
    assert_same(&deployment.outcome(), &kept::expected(), &["datasets", "tables"], &[".raw", ".quarantine"]);
}
