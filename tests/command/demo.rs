//! `tidemark demo`, which needs the binary and an empty folder.

use serde_json::json;

use crate::support::project::{Site, tidemark};

#[test]
fn the_demo_needs_only_a_folder() {
    let site = Site::new();
    let out = site.call(&["demo"]).expect(0).out;
    let lines: Vec<&str> = out.lines().map(str::trim).filter(|line| line.starts_with("tidemark ")).collect();
    assert!(out.contains("report  tidemark-demo/reports/daily-sales-2026-03-03.xlsx"), "{out}");
    assert!(lines.len() >= 7, "{out}");
    // Two requests to the API fail and are repeated, one order is quarantined, and the second fetch reads only new orders.
    let of = |step: &str| -> Vec<&str> { out.lines().filter(|line| line.contains(step)).collect() };
    assert!(out.contains("note: 2 requests were sent again (1 × 429, 1 × 503)"), "{out}");
    let (ingests, cleans) = (of("orders  ingest"), of("orders  clean"));
    assert!(ingests[0].contains("70 rows") && ingests[1].contains("81 rows, 10 unchanged"), "{ingests:?}");
    assert!(cleans[0].contains("1 quarantined") && cleans[1].contains("71 rows, 1 updated"), "{cleans:?}");
    assert!(!out.contains("drift"), "{out}");
    let reports = site.files("tidemark-demo/reports");
    for day in ["2026-03-02", "2026-03-03"] {
        assert!(reports[&format!("daily-sales-{day}.xlsx")].starts_with(b"PK"));
    }
    // The commands that the demo suggests work.
    for line in lines.iter().filter(|line| !line.contains(" run ")) {
        let arguments: Vec<&str> = match line.split_once('"') {
            None => line.split_whitespace().skip(1).collect(),
            Some((before, after)) => {
                let (query, rest) = after.split_once('"').unwrap();
                before.split_whitespace().skip(1).chain([query]).chain(rest.split_whitespace()).collect()
            }
        };
        assert!(!site.call(&arguments).expect(0).out.is_empty(), "{line}");
    }
}

#[test]
fn the_demo_has_quarantined_records_and_is_reproducible() {
    let site = Site::new();
    let runs = site.ask(&["demo", "deep/er"]).expect(0).json()["runs"].as_array().unwrap().clone();
    assert_eq!(runs.len(), 26);
    assert!(runs.iter().all(|run| run["status"] == "done"), "{runs:?}");
    let lake = site.path("deep/er/lake");
    let query = "SELECT COUNT(*) AS n FROM sales.quarantine";
    let answer = site.ask(&["sql", query, "--lake", lake.to_str().unwrap()]).expect(0);
    assert!(answer.rows()[0][0].as_i64() > Some(0));
    // A second demo has the same result.
    let again = Site::new();
    // Also if the environment sets parameters of the pipelines.
    let mut command = again.command(tidemark());
    let command = command.args(["demo", "deep/er"]).env("WAREHOUSE", "postgres://loader@db.example.com/shop");
    crate::support::project::Answer::from_command(command).expect(0);
    let without_db = |site: &Site| {
        let mut files = site.files("deep/er/reports");
        files.retain(|name, _| !name.ends_with(".db"));
        files
    };
    assert!(without_db(&site) == without_db(&again));
    assert_eq!(site.files("deep/er/sales"), again.files("deep/er/sales"));
    for dataset in ["orders", "orders_by_day"] {
        let files = |site: &Site| {
            site.files(&format!("deep/er/lake/datasets/{dataset}"))
                .into_keys()
                .filter(|name| name.ends_with(".parquet"))
                .collect::<Vec<_>>()
        };
        assert_eq!(files(&site), files(&again));
    }
    // The secret of the demo is in no file.
    for (name, bytes) in site.files("deep") {
        assert!(!bytes.windows(16).any(|part| part == b"of-the-demo-only"), "{name}");
    }
}

#[test]
fn the_demo_refuses_a_folder_that_is_not_empty() {
    let site = Site::new();
    site.write("mine/precious.txt", "kept");
    site.ask(&["demo", "mine"]).fails(2, "definition", &["mine is not empty", "another folder"]);
    assert_eq!(site.files("mine").into_iter().collect::<Vec<_>>(), [("precious.txt".to_owned(), b"kept".to_vec())]);
    site.write("file", "kept");
    let answer = site.ask(&["demo", "file"]);
    assert!(answer.code > 0 && !answer.error()["message"].as_str().unwrap().is_empty(), "{answer:?}");
    assert_eq!(json!(std::fs::read_to_string(site.path("file")).unwrap()), "kept");
}
