//! `tidemark quarantine`: broken records with the reason, and their replay with a corrected contract.

use serde_json::{Value, json};

use crate::support::project::{MORNING, Site};

/// A contract, a model and a table in SQLite.
fn pipeline(columns: &str) -> String {
    format!(
        "[contract]\npartition_by = {{ column = 'sold_on' }}\n[contract.columns]\nid = {{ type = 'int64', required = true }}\n\
         sold_on = 'date'\n{columns}\n\
         [[model]]\nname = 'by_day'\nsql = 'SELECT sold_on, COUNT(*) AS orders, SUM(amount) AS total FROM orders GROUP BY sold_on'\n\
         [[target]]\nkind = 'sqlite'\ndataset = 'by_day'\npath = 'out/shop.db'\ntable = 'by_day'\nmode = 'swap'\n"
    )
}

const STRICT: &str = "amount = 'decimal(12,2)'";
const CORRECTED: &str = "amount = { type = 'decimal(12,2)', nulls = ['n/a'], min = 0 }";

/// Twenty valid orders, three without an amount, one with an invalid date, one with a negative amount, and a line that is not a record.
fn shop(columns: &str) -> Site {
    let site = Site::with_orders(&pipeline(columns));
    let mut text = String::from("id,sold_on,amount\n");
    (1..=20).for_each(|id| text += &format!("{id},2026-03-0{},{id}.50\n", 1 + id % 2));
    text += "21,2026-03-01,n/a\n22,2026-03-02,n/a\n23,2026-03-02,n/a\n24,never,1.00\n25,2026-03-02,-7.00\ntorn\n";
    site.write("in/a.csv", text);
    site
}

fn run(site: &Site) {
    site.ask(&["run", "orders", "--at", MORNING]).expect(0);
}

fn replay(site: &Site) -> Value {
    site.ask(&["quarantine", "replay", "--at", MORNING]).expect(0).json()
}

fn loaded(site: &Site) -> Vec<(String, i64)> {
    let database = rusqlite::Connection::open(site.path("out/shop.db")).unwrap();
    let mut select = database.prepare("SELECT sold_on, orders FROM by_day ORDER BY sold_on").unwrap();
    select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn list_shows_reasons_and_samples() {
    let site = shop(STRICT);
    run(&site);
    let document = site.ask(&["quarantine", "list"]).expect(0).json();
    assert_eq!((keys(&document), &document["healed"]), (vec!["reasons", "healed"], &json!(0)));
    let reasons = document["reasons"].as_array().unwrap();
    let of = |reason: &Value| (reason["column"].clone(), reason["rule"].clone(), reason["records"].clone());
    assert_eq!(
        reasons.iter().map(of).collect::<Vec<_>>(),
        [
            (json!("amount"), json!("type"), json!(3)),
            (json!(null), json!("format"), json!(1)),
            (json!("sold_on"), json!("type"), json!(1)),
        ]
    );
    let amount = &reasons[0];
    assert_eq!([&amount["dataset"], &amount["first_day"], &amount["last_day"]], ["orders", "2026-03-01", "2026-03-02"]);
    assert!(amount["first_came_in"].is_string() && amount["contracts"].as_array().unwrap().len() == 1, "{amount}");
    let text = r#"{"id":"21","sold_on":"2026-03-01","amount":"n/a"}"#;
    assert_eq!(amount["samples"][0], json!({"object": "a.csv", "page": null, "row": 22, "value": "n/a", "text": text}));
    assert_eq!(amount["samples"].as_array().unwrap().len(), 3);
    assert_eq!(reasons[1]["samples"][0]["text"], "torn");

    let printed = site.call(&["quarantine", "list", "orders"]).expect(0).out;
    for words in [
        "DATASET  REASON",
        "orders   amount: type",
        "2026-03-01 to 2026-03-02",
        "a.csv:22",
        "correct the source",
        "5 broken, 0 healed",
    ] {
        assert!(printed.contains(words), "no {words:?} in:\n{printed}");
    }
    assert!(printed.lines().all(|line| line.chars().count() <= 100), "{printed}");
}

#[test]
fn list_can_be_filtered() {
    let site = shop(STRICT);
    run(&site);
    let records = |arguments: &[&str]| -> Vec<i64> {
        let document = site.ask(&[&["quarantine", "list"], arguments].concat()).expect(0).json();
        document["reasons"].as_array().unwrap().iter().map(|reason| reason["records"].as_i64().unwrap()).collect()
    };
    assert_eq!(records(&["orders.quarantine"]), [3, 1, 1]);
    assert_eq!(records(&["--reason", "AMOUNT: t"]), [3]);
    assert_eq!(records(&["--reason", "nothing"]), [0; 0]);
    // The other records have no day, so the time of their arrival counts.
    assert_eq!(records(&["--since", "2026-03-02"]), [2, 1, 1]);
    assert_eq!(records(&["--since", "2026-03-03"]), [1, 1]);
    assert_eq!(records(&["--since", "9999-01-01"]), [0; 0]);
    assert_eq!(records(&["--limit", "1"]), [3]);
    assert_eq!(records(&["--healed"]), [0; 0]);
    let printed = site.call(&["quarantine", "list", "--limit", "1"]).expect(0).out;
    assert!(printed.contains("1 of 3 reasons"), "{printed}");
    let printed = site.call(&["quarantine", "list", "--reason", "nothing"]).expect(0).out;
    assert!(printed.contains("no match among 5 broken"), "{printed}");
}

#[test]
fn replay_runs_all_dependent_steps() {
    let site = shop(STRICT);
    run(&site);
    assert_eq!(loaded(&site), [("2026-03-01".into(), 10), ("2026-03-02".into(), 11)]);
    // With the same contract nothing changes.
    let document = replay(&site);
    assert_eq!(keys(&document), ["replays", "runs"]);
    assert_eq!(
        document,
        json!({"replays": [{"dataset": "orders", "broken_before": 5, "healed": 0, "broken_after": 5}], "runs": []})
    );
    let printed = site.call(&["quarantine", "replay"]).expect(0).out;
    for words in [
        "orders: 5 are broken (amount: type 3, format 1, sold_on: type 1)",
        "a replay would have no effect",
        "→ correct [contract]",
    ] {
        assert!(printed.contains(words), "no {words:?} in:\n{printed}");
    }

    site.orders(&pipeline(CORRECTED));
    let printed = site.call(&["quarantine", "replay", "orders", "--at", MORNING]).expect(0).out;
    let words =
        "orders: 5 were broken; 3 healed, 2 still broken, 1 newly broken (amount: min 1, format 1, sold_on: type 1)\n";
    assert!(printed.starts_with(words), "{printed}");
    let lines = ["✓ orders  clean", "✓ orders  model by_day", "✓ orders  load sqlite-by_day", "3 steps done"];
    for words in lines {
        assert!(printed.contains(words), "no {words:?} in:\n{printed}");
    }
    assert!(!printed.contains("ingest"), "{printed}");
    assert_eq!(site.sql("SELECT COUNT(*) AS n FROM orders"), [[23]]);
    assert_eq!(loaded(&site), [("2026-03-01".into(), 11), ("2026-03-02".into(), 12)]);
    let rows = site.sql("SELECT _row, rule, healed_by IS NOT NULL AS healed FROM orders.quarantine ORDER BY _row");
    let row = |row: i64, rule: &str, healed: bool| vec![json!(row), json!(rule), json!(healed)];
    assert_eq!(
        rows,
        [
            row(22, "type", true),
            row(23, "type", true),
            row(24, "type", true),
            row(25, "type", false),
            row(26, "min", false),
            row(27, "format", false),
        ]
    );
    let document = site.ask(&["quarantine", "list", "--healed"]).expect(0).json();
    assert_eq!((&document["healed"], &document["reasons"][0]["records"]), (&json!(3), &json!(3)));
    let printed = site.call(&["status"]).expect(0).out;
    assert!(printed.contains("3 (+ 3 healed)"), "{printed}");
    assert_eq!(site.ask(&["status"]).expect(0).json()["datasets"][2]["healed"], 3);

    // Neither a second replay nor a run finds anything to do.
    assert_eq!(replay(&site)["runs"], json!([]));
    let statuses = site.ask(&["run", "orders", "--at", MORNING]).expect(0).statuses();
    assert!(statuses.iter().all(|(_, status)| status == "nothing_to_do"), "{statuses:?}");
    // A new file does not remove healed records; a replaced file removes its own.
    site.write("in/b.csv", "id,sold_on,amount\n30,2026-03-02,word\n");
    run(&site);
    assert_eq!(site.sql("SELECT COUNT(*) AS n FROM orders.quarantine WHERE healed_by IS NOT NULL"), [[3]]);
    site.write("in/a.csv", "id,sold_on,amount\n1,2026-03-02,1.00\n");
    run(&site);
    assert_eq!(site.sql("SELECT _object, value FROM orders.quarantine"), [["b.csv", "word"]]);
}

#[test]
fn replay_runs_only_the_pipelines_that_read_the_dataset() {
    let site = shop(STRICT);
    let model = "[[model]]\nname = 'owed'\nsql = 'SELECT COUNT(*) AS n FROM orders'\n\
                 [[target]]\nkind = 'sqlite'\ndataset = 'owed'\npath = '${BOOKS}'\ntable = 'owed'\nmode = 'swap'\n";
    site.write("infra/pipelines/books.toml", model);
    let other = "[source]\nkind = 'files'\npath = '${ELSEWHERE}'\n[contract]\n[contract.columns]\nid = 'int64'\n";
    site.write("infra/pipelines/other.toml", other);
    site.ask(&["run", "orders", "books", "--set", "BOOKS=out/books.db", "--at", MORNING]).expect(0);
    site.orders(&pipeline(CORRECTED));
    site.ask(&["quarantine", "replay"]).fails(2, "definition", &["BOOKS"]);
    let answer = site.ask(&["quarantine", "replay", "--set", "BOOKS=out/books.db", "--at", MORNING]).expect(0);
    let steps: Vec<_> = answer.statuses().into_iter().map(|(step, _)| step).collect();
    assert_eq!(steps, ["clean", "model owed", "load sqlite-owed", "model by_day", "load sqlite-by_day"]);
    assert_eq!(site.sql("SELECT n FROM owed"), [[23]]);
}

#[test]
fn a_failed_replay_is_reported_like_a_failed_run() {
    let site = shop(STRICT);
    run(&site);
    site.orders(&pipeline(CORRECTED).replace("[contract]\n", "[contract]\nmax_quarantined = 1\n"));
    let answer = site.ask(&["quarantine", "replay"]);
    answer.fails(3, "data", &["3 of 26 rows break the contract of orders", "nothing was published"]);
    assert_eq!(answer.statuses(), [("clean".to_owned(), "failed".to_owned())]);
    assert_eq!(answer.json()["replays"][0]["healed"], 0);
    assert_eq!(site.sql("SELECT COUNT(*) AS n FROM orders"), [[21]]);
    // With a larger budget the replay is repeated, since the clean step has not committed.
    site.orders(&pipeline(CORRECTED));
    assert_eq!(replay(&site)["replays"][0]["healed"], 3);
}

#[test]
fn missing_lakes_and_datasets_are_reported() {
    let site = Site::with_orders(&pipeline(STRICT));
    for verb in [&["quarantine", "list"][..], &["quarantine", "replay"]] {
        site.ask(verb).fails(2, "definition", &["no lake at lake", "--lake"]);
    }
    // A lake without datasets.
    std::fs::remove_dir(site.path("in")).unwrap();
    assert_ne!(site.ask(&["run", "orders", "--at", MORNING]).code, 0);
    let list = site.ask(&["quarantine", "list"]).expect(0).json();
    assert_eq!(list, json!({"reasons": [], "healed": 0}));
    assert_eq!(replay(&site), json!({"replays": [], "runs": []}));
    assert_eq!(site.call(&["quarantine", "list"]).expect(0).out, "nothing is in quarantine\n");
    assert!(site.call(&["quarantine", "replay"]).expect(0).out.contains("no records are broken"));
    site.ask(&["quarantine", "list", "orders"]).fails(2, "definition", &["no quarantine of orders", "tidemark run"]);
    site.write("in/a.csv", "id,sold_on,amount\n1,2026-03-02,1.00\n");
    run(&site);
    assert_eq!(site.ask(&["quarantine", "list", "orders"]).expect(0).json(), list);
    for verb in ["list", "replay"] {
        site.ask(&["quarantine", verb, "oders"]).fails(2, "definition", &["oders", "orders"]);
        site.ask(&["quarantine", verb, "../orders"]).fails(2, "definition", &["../orders"]);
    }
    assert_eq!(site.call(&["quarantine"]).code, 2);
    assert_eq!(site.call(&["quarantine", "list", "--since", "soon"]).code, 2);
}
