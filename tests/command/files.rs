//! Which files are read, and the rows of files that are changed, removed or unchanged.

use std::fs::File;
use std::time::Duration;

use polars::prelude::{ParquetWriter, df};
use serde_json::json;

use crate::support::project::{Answer, MORNING, Site};

const CONTRACT: &str = r#"
[contract]
partition_by = { column = "sold_at", every = "day" }
[contract.columns]
id = { type = "int64", required = true }
sold_at = "datetime"
price = "decimal(10,2)"
"#;

fn csv(rows: &[(i64, &str, &str)]) -> String {
    let rows = rows.iter().map(|(id, day, price)| format!("{id},{day}T10:00:00Z,{price}\n"));
    "id,sold_at,price\n".to_owned() + &rows.collect::<String>()
}

fn run(site: &Site) -> Answer {
    site.ask(&["run", "--at", MORNING]).expect(0)
}

fn ids(site: &Site) -> Vec<i64> {
    site.sql("SELECT id FROM orders ORDER BY id").iter().map(|row| row[0].as_i64().unwrap()).collect()
}

#[test]
fn a_changed_file_replaces_its_rows() {
    let site = Site::with_orders(CONTRACT);
    site.write("in/a.csv", csv(&[(1, "2011-12-07", "1"), (2, "2011-12-07", "2"), (3, "2011-12-08", "3")]));
    // The same row in two files is two rows; when one file changes, the other row stays.
    site.write("in/b.csv", csv(&[(2, "2011-12-07", "2"), (9, "2011-12-06", "9"), (8, "2011-12-06", "word")]));
    run(&site);
    assert_eq!(ids(&site), [1, 2, 2, 3, 9]);
    let untouched = site.files("lake/datasets/orders/sold_on=2011-12-06");

    site.write("in/a.csv", csv(&[(1, "2011-12-07", "1"), (4, "2011-12-08", "4"), (5, "2011-12-09", "no price")]));
    let answer = run(&site);
    assert_eq!(ids(&site), [1, 2, 4, 9]);
    let ingest = answer.step("ingest");
    assert_eq!(
        (&ingest["rows"]["in"], &ingest["outputs"][0]["partitions"]),
        (&json!(3), &json!(1)),
        "only a.csv is read"
    );
    let rows = &answer.step("clean")["rows"];
    let counts = ["in", "written", "unchanged", "quarantined", "deleted"].map(|name| rows[name].as_i64().unwrap());
    assert_eq!(counts, [3, 1, 1, 1, 2], "{rows}");
    assert!(site.files("lake/datasets/orders/sold_on=2011-12-06") == untouched);
    let quarantine = site.sql("SELECT _object, _row, value FROM orders.quarantine ORDER BY _object");
    assert_eq!(quarantine, [[json!("a.csv"), json!(4), json!("no price")], [json!("b.csv"), json!(4), json!("word")]]);

    // With a corrected file its quarantined row is removed.
    site.write("in/a.csv", csv(&[(1, "2011-12-07", "1"), (4, "2011-12-08", "4"), (5, "2011-12-09", "5")]));
    run(&site);
    assert_eq!(ids(&site), [1, 2, 4, 5, 9]);
    assert_eq!(site.sql("SELECT _object FROM orders.quarantine"), [["b.csv"]]);
    // The same files as in a lake that had only the latest sources.
    let clean = Site::with_orders(CONTRACT);
    for (name, content) in site.files("in") {
        clean.write(&format!("in/{name}"), content);
    }
    run(&clean);
    assert_eq!(clean.live("orders"), site.live("orders"));
}

#[test]
fn an_unchanged_file_is_not_read_again() {
    let site = Site::with_orders(CONTRACT);
    site.write("in/a.csv", csv(&[(1, "2011-12-07", "1")]));
    run(&site);
    let answer = run(&site);
    assert!(answer.statuses().iter().all(|(_, status)| status == "nothing_to_do"), "{answer:?}");
    // On the next morning only the watermark moves; no file is read.
    let answer = site.ask(&["run", "--at", "2011-12-10T08:00:00Z"]).expect(0);
    let ingest = answer.step("ingest");
    assert_eq!(
        (&ingest["status"], &ingest["bytes"]["read"], &ingest["rows"]["in"]),
        (&json!("done"), &json!(0), &json!(0))
    );
    // If a file is added, only that one is read.
    site.write("in/b.csv", csv(&[(2, "2011-12-07", "1")]));
    let read = run(&site).step("ingest")["bytes"]["read"].clone();
    assert_eq!(read, site.files("in")["b.csv"].len());
}

#[test]
fn a_touched_file_changes_no_row() {
    let site = Site::with_orders(CONTRACT);
    site.write("in/a.csv", csv(&[(1, "2011-12-07", "1"), (2, "2011-12-08", "2")]));
    run(&site);
    let live = site.live("orders");
    let file = File::options().append(true).open(site.path("in/a.csv")).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    file.set_modified(modified + Duration::from_secs(5)).unwrap();
    let rows = run(&site).step("clean")["rows"].clone();
    assert_eq!([&rows["in"], &rows["unchanged"], &rows["written"], &rows["deleted"]], [2, 2, 0, 0]);
    assert_eq!(site.live("orders"), live);
}

#[test]
fn a_removed_file_keeps_its_rows_until_a_full_run() {
    let site = Site::with_orders(CONTRACT);
    site.write("in/a.csv", csv(&[(1, "2011-12-07", "1")]));
    site.write("in/b.csv", csv(&[(2, "2011-12-07", "2")]));
    run(&site);
    std::fs::remove_file(site.path("in/a.csv")).unwrap();
    run(&site);
    assert_eq!(ids(&site), [1, 2]);
    site.ask(&["run", "--at", MORNING, "--full"]).expect(0);
    assert_eq!(ids(&site), [2]);
}

#[test]
fn globs_select_files_and_hidden_or_unknown_files_are_skipped() {
    let site = Site::with_orders(CONTRACT);
    for (name, id) in [("a.csv", 1), (".b.csv", 2), ("c.txt", 3), ("d/e.csv", 4), ("f g ü.csv", 5)] {
        site.write(&format!("in/{name}"), csv(&[(id, "2011-12-07", "1")]));
    }
    let notes = run(&site).step("ingest")["notes"].to_string();
    assert!(notes.contains("c.txt is skipped"), "{notes}");
    assert_eq!(ids(&site), [1, 4, 5]);
    let objects = site.sql("SELECT DISTINCT _object FROM orders.raw ORDER BY _object");
    assert_eq!(objects, [["a.csv"], ["d/e.csv"], ["f g ü.csv"]]);

    let globbed = Site::with_orders(CONTRACT);
    let text = std::fs::read_to_string(globbed.path("infra/pipelines/orders.toml")).unwrap();
    globbed.write("infra/pipelines/orders.toml", text.replace("path = \"in\"", "path = \"in/**/*[ab].csv\""));
    globbed.write("in/a.csv", csv(&[(1, "2011-12-07", "1")]));
    globbed.write("in/d/b.csv", csv(&[(2, "2011-12-07", "1")]));
    globbed.write("in/c.csv", csv(&[(3, "2011-12-07", "1")]));
    run(&globbed);
    assert_eq!(ids(&globbed), [1, 2]);
}

#[test]
fn ndjson_records_are_read() {
    let site = Site::with_orders(
        r#"
[contract]
key = ["id"]
[contract.columns]
id = { type = "int64", required = true }
name = { type = "string", from = "/customer/name" }
price = { type = "decimal(10,2)", min = 0 }
"#,
    );
    let good = r#"{"id": 1, "customer": {"name": "Zoë \"Z\" 东京"}, "price": 1.10, "more": [1, 2]}"#;
    site.write(
        "in/a.ndjson",
        format!("{good}\n{{\"id\": 2, \"price\": \"2.5\"}}\n{{\"id\": 3,\n{{\"id\": 4, \"price\": -1}}\n"),
    );
    let answer = run(&site);
    let rows = answer.step("clean")["rows"].clone();
    assert_eq!([&rows["in"], &rows["written"], &rows["quarantined"]], [4, 2, 2]);
    assert_eq!(
        site.sql("SELECT * FROM orders ORDER BY id"),
        [[json!(1), json!("Zoë \"Z\" 东京"), json!(1.1)], [json!(2), json!(null), json!(2.5)],]
    );
    let quarantine = site.sql("SELECT _row, column, rule, text FROM orders.quarantine ORDER BY _row");
    assert_eq!(
        quarantine,
        [
            [json!(3), json!(null), json!("format"), json!("{\"id\": 3,")],
            [json!(4), json!("price"), json!("min"), json!("{\"id\": 4, \"price\": -1}")],
        ]
    );
    assert_eq!(site.sql("SELECT _text FROM orders.raw WHERE _row = 1"), [[good]]);
}

#[test]
fn parquet_rows_are_read() {
    let site = Site::with_orders(
        r#"
[contract.columns]
id = "int64"
name = { type = "string", required = true }
share = "float64"
open = "bool"
"#,
    );
    let mut frame = df!(
        "id" => [1i32, 2, 3],
        "name" => [Some("a"), None, Some("c")],
        "share" => [0.5f64, 1.5, 2.5],
        "open" => [true, false, true],
        "unused" => [1i64, 2, 3],
    )
    .unwrap();
    ParquetWriter::new(File::create(site.path("in/a.parquet")).unwrap()).finish(&mut frame).unwrap();
    run(&site);
    assert_eq!(
        site.sql("SELECT * FROM orders ORDER BY id"),
        [[json!(1), json!("a"), json!(0.5), json!(true)], [json!(3), json!("c"), json!(2.5), json!(true)],]
    );
    let quarantine = site.sql("SELECT _row, column, rule, text FROM orders.quarantine");
    let text = r#"{"id":"2","name":null,"share":"1.5","open":"false","unused":"2"}"#;
    assert_eq!(quarantine, [[json!(2), json!("name"), json!("required"), json!(text)]]);
    assert_eq!(site.sql("SELECT unused FROM orders.raw ORDER BY _row"), [[1], [2], [3]]);
    site.write("in/b.parquet", "this is no parquet");
    site.ask(&["run", "--at", MORNING]).fails(3, "data", &["b.parquet"]);
    assert_eq!(ids(&site), [1, 3]);
}

#[test]
fn files_may_add_and_omit_columns() {
    let site = Site::with_orders(CONTRACT);
    site.write("in/a.csv", csv(&[(1, "2011-12-07", "1")]));
    run(&site);
    site.write("in/b.csv", "price,sold_at,colour,id\n2,2011-12-08T10:00:00Z,red,2\n");
    run(&site);
    assert_eq!(ids(&site), [1, 2]);
    let raw = site.sql("SELECT id, colour FROM orders.raw ORDER BY id");
    assert_eq!(raw, [[json!("1"), json!(null)], [json!("2"), json!("red")]]);
    // The rows of a file without a required column break the contract; other rows do not.
    site.write("in/c.csv", "sold_at\n2011-12-08T10:00:00Z\n");
    let answer = run(&site);
    assert_eq!(answer.step("clean")["rows"]["quarantined"], 1);
    assert_eq!(ids(&site), [1, 2]);
}
