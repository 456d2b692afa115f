//! Folders that are not lakes, and damaged lakes: nothing is written to them, and undamaged parts stay readable.

use std::path::PathBuf;

use crate::support::project::{MORNING, Site, sales};

const RUN: [&str; 8] = ["run", "daily-sales", "--set", "SALES=in", "--set", "REPORTS=out", "--at", MORNING];
const NEXT: [&str; 8] =
    ["run", "daily-sales", "--set", "SALES=in", "--set", "REPORTS=out", "--at", "2011-12-10T08:00:00Z"];

/// A lake with sales of two days.
fn two_days() -> Site {
    let site = Site::with_daily_sales();
    site.write("in/07.csv", sales("2011-12-07", &[("1", "A", 2, "1.5"), ("2", "B", 1, "2")]));
    site.ask(&RUN).expect(0);
    site.write("in/08.csv", sales("2011-12-08", &[("3", "A", 3, "1.5")]));
    site.ask(&RUN).expect(0);
    site
}

fn total(site: &Site) -> i64 {
    site.sql("SELECT SUM(quantity) AS n FROM sales")[0][0].as_i64().unwrap()
}

#[test]
fn other_folders_and_files_are_refused_as_a_lake() {
    let site = Site::with_daily_sales();
    site.write("in/07.csv", sales("2011-12-07", &[("1", "A", 2, "1.5")]));
    site.write("lake/thesis.txt", "all my work");
    for verb in [&RUN[..], &["status"], &["sql", "SELECT 1"], &["plan", "--set", "SALES=in"]] {
        site.ask(verb).fails(2, "definition", &["lake is not a lake", "--lake"]);
    }
    assert_eq!(site.files("lake").into_keys().collect::<Vec<_>>(), ["thesis.txt"]);
    // A file is not a lake either.
    site.write("file", "kept");
    for verb in [&RUN[..], &["status"], &["plan", "--set", "SALES=in"]] {
        let answer = site.ask(&[verb, &["--lake", "file"]].concat());
        assert!(answer.code > 0 && answer.error()["message"].as_str().unwrap().contains("file"), "{answer:?}");
    }
    assert_eq!(std::fs::read(site.path("file")).unwrap(), b"kept");
}

#[test]
fn a_lake_of_a_newer_format_is_refused() {
    let site = two_days();
    let marker = std::fs::read(site.path("lake/tidemark.json")).unwrap();
    site.write("lake/tidemark.json", r#"{"lake_format": 99}"#);
    let before = site.files("lake");
    for verb in [&NEXT[..], &["status"], &["show", "sales"]] {
        site.ask(verb).fails(1, "refused", &["newer tidemark", "format 99", "update tidemark"]);
    }
    assert!(site.files("lake") == before);
    site.write("lake/tidemark.json", "not json");
    site.ask(&NEXT).fails(3, "data", &["tidemark.json is damaged"]);
    site.write("lake/tidemark.json", marker);
    site.ask(&NEXT).expect(0);
}

#[test]
fn a_damaged_log_is_reported() {
    let site = two_days();
    let log = "lake/datasets/sales/_delta_log";
    let first = format!("{log}/00000000000000000000.json");
    let last = format!("{log}/00000000000000000001.json");
    let (good_first, good_last) = (std::fs::read(site.path(&first)).unwrap(), std::fs::read(site.path(&last)).unwrap());
    site.write("in/09.csv", sales("2011-12-09", &[("4", "A", 4, "1.5")]));
    let damages: [(&str, Option<&[u8]>); 4] = [
        (&last, Some(b"\x00\x01 garbage")),
        (&last, Some(&good_last[..good_last.len() / 2])),
        (&first, None),
        (&first, Some(b"{\"what\": 1}\n")),
    ];
    for (path, damage) in damages {
        match damage {
            Some(bytes) => site.write(path, bytes),
            None => std::fs::remove_file(site.path(path)).unwrap(),
        }
        let before = site.files("lake/datasets/sales");
        for verb in [&NEXT[..], &["show", "sales"], &["sql", "SELECT * FROM sales"], &["status"]] {
            let answer = site.ask(verb);
            answer.fails(3, "data", &["dataset sales", "damaged", "restore"]);
        }
        assert!(site.files("lake/datasets/sales") == before, "{path}");
        site.write(&first, &good_first);
        site.write(&last, &good_last);
    }
    site.ask(&NEXT).expect(0);
    assert_eq!(total(&site), 10);
}

/// Path of the only live data file of a dataset.
fn data_file(site: &Site, dataset: &str) -> PathBuf {
    let live = site.live(dataset);
    assert_eq!(live.len(), 1, "{live:?}");
    site.path(&format!("lake/datasets/{dataset}/{}", live[0]))
}

#[test]
fn damaged_data_files_are_reported() {
    let site = two_days();
    let path = data_file(&site, "sales");
    let good = std::fs::read(&path).unwrap();
    // One more row in this partition, so that it must be read and rewritten.
    site.write("in/08b.csv", sales("2011-12-08", &[("4", "A", 4, "1.5")]));
    let mut garbled = good.clone();
    let length = garbled.len();
    garbled[8..length - 8].fill(0xA5);
    let mut without_magic = good.clone();
    without_magic[length - 4..].fill(0);
    let mut pages = good.clone();
    pages[4..length / 4].fill(0xA5);
    for damage in
        [Some(good[..length / 2].to_vec()), Some(Vec::new()), Some(garbled), Some(pages), Some(without_magic), None]
    {
        match &damage {
            Some(bytes) => std::fs::write(&path, bytes).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let before = site.files("lake/datasets/sales/_delta_log");
        for verb in [&NEXT[..], &["show", "sales", "--limit", "100"], &["sql", "SELECT SUM(quantity) FROM sales"]] {
            site.ask(verb).fails(3, "data", &["sales", "damaged", "restore"]);
        }
        assert!(site.files("lake/datasets/sales/_delta_log") == before);
        std::fs::write(&path, &good).unwrap();
    }
    site.ask(&NEXT).expect(0);
    assert_eq!(total(&site), 10);
}

#[test]
fn a_full_run_replaces_a_damaged_file() {
    let site = two_days();
    let before = site.live("sales");
    let path = data_file(&site, "sales");
    std::fs::write(&path, b"short").unwrap();
    site.ask(&[&RUN[..], &["--full"]].concat()).expect(0);
    assert_eq!((total(&site), site.live("sales")), (6, before));
}

#[test]
fn a_full_run_replaces_a_damaged_quarantine() {
    let site = Site::with_daily_sales();
    let mut rows = vec![("1", "A", 2, "1.5"); 30];
    rows.push(("2", "B", 1, "n/a"));
    site.write("in/07.csv", sales("2011-12-07", &rows));
    site.ask(&RUN).expect(0);
    let path = data_file(&site, "sales.quarantine");
    std::fs::write(&path, b"short").unwrap();
    site.ask(&[&RUN[..], &["--full"]].concat()).expect(0);
    assert_eq!(site.sql("SELECT value FROM sales.quarantine"), [["n/a"]]);
}

#[test]
fn damaged_raw_files_are_reported() {
    let site = Site::with_daily_sales();
    site.write("in/07.csv", sales("2011-12-07", &[("1", "A", 2, "1.5")]));
    site.ask(&RUN).expect(0);
    let path = data_file(&site, "sales.raw");
    let good = std::fs::read(&path).unwrap();
    std::fs::write(&path, &good[..good.len() - 10]).unwrap();
    // With a changed contract all raw rows are read again.
    let definition = std::fs::read_to_string(site.path("infra/pipelines/daily-sales.toml")).unwrap();
    site.write(
        "infra/pipelines/daily-sales.toml",
        definition.replace("from = \"Description\"", "from = \"Description\", nulls = [\"\", \"?\"]"),
    );
    let answer = site.ask(&NEXT);
    answer.fails(3, "data", &["sales.raw", "damaged"]);
    assert_eq!(answer.statuses().last().unwrap().0, "clean");
    std::fs::write(&path, &good).unwrap();
    site.ask(&NEXT).expect(0);
    assert_eq!(total(&site), 2);
}
