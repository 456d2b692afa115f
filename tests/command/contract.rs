//! The contract: records that break it, the error budget, and versions of a row.

use serde_json::json;

use crate::support::project::{Answer, MORNING, Site, sales};

fn run(site: &Site) -> Answer {
    site.ask(&["run", "--at", MORNING])
}

#[test]
fn over_the_budget_only_the_quarantine_is_committed() {
    let site = Site::with_daily_sales();
    site.write("in/07.csv", sales("2011-12-07", &[("1", "A", 1, "1"); 30]));
    site.morning("in", "2011-12-08T08:00:00Z").expect(0);
    let (live, out) = (site.live("sales"), site.files("out"));
    let mut rows = vec![("2", "A", 1, "1"); 18];
    rows.extend([("3", "A", 1, "n/a"), ("4", "A", 1, "free")]);
    site.write("in/08.csv", sales("2011-12-08", &rows));
    for _ in 0..2 {
        let answer = site.morning("in", MORNING);
        let words = [
            "2 of 20 rows break the contract of sales",
            "max_quarantined = 5%",
            "2 × unit_price: type (first at 08.csv:20)",
            "nothing was published",
            "tidemark quarantine list sales",
        ];
        answer.fails(3, "data", &words);
        assert_eq!(answer.statuses().len(), 2, "what comes after clean waits");
        assert_eq!(site.live("sales"), live);
        assert!(site.files("out") == out);
        let quarantine = site.sql("SELECT _object, _row, column, rule, value FROM sales.quarantine ORDER BY _row");
        assert_eq!(quarantine.iter().map(|row| row[4].as_str().unwrap()).collect::<Vec<_>>(), ["n/a", "free"]);
    }
    // Without `--json` the same is printed.
    let printed = site.call(&["run", "--set", "SALES=in", "--set", "REPORTS=out", "--at", MORNING]).expect(3);
    assert!(
        printed.out.contains("✗ daily-sales  clean") && printed.out.contains("→ nothing was published"),
        "{}",
        printed.out
    );
    // With a corrected file the run succeeds and the quarantine is empty.
    site.write("in/08.csv", sales("2011-12-08", &[("2", "A", 1, "1"); 20]));
    site.morning("in", MORNING).expect(0);
    assert_eq!(site.sql("SELECT COUNT(*) AS n FROM sales"), [[50]]);
    assert_eq!(site.sql("SELECT COUNT(*) AS n FROM sales.quarantine"), [[0]]);
}

#[test]
fn the_quarantine_keeps_the_original_record() {
    let site = Site::with_daily_sales();
    let mut text = sales("2011-12-08", &[("1", "A", 1, "1"); 60]);
    text += "2,A, x ,1,yesterday,1.5,,\"Côte d'Ivoire\"\n";
    text += "3,A,torn\n";
    site.write("in/a.csv", text);
    site.morning("in", MORNING).expect(0);
    let rows = site.sql("SELECT _object, _row, column, rule, value, text, day FROM sales.quarantine ORDER BY _row");
    let fields = r#"{"InvoiceNo":"2","StockCode":"A","Description":" x ","Quantity":"1","InvoiceDate":"yesterday","UnitPrice":"1.5","CustomerID":"","Country":"Côte d'Ivoire"}"#;
    assert_eq!(
        rows,
        [
            vec![
                json!("a.csv"),
                json!(62),
                json!("sold_at"),
                json!("type"),
                json!("yesterday"),
                json!(fields),
                json!(null)
            ],
            vec![
                json!("a.csv"),
                json!(63),
                json!(null),
                json!("format"),
                json!("expected 8 fields, found 3"),
                json!("3,A,torn"),
                json!(null)
            ],
        ]
    );
    let quality = String::from_utf8(site.files("out")["daily-sales-2011-12-08-data-quality.csv"].clone()).unwrap();
    assert!(quality.contains("sold_at,type,1,yesterday,a.csv,62"), "{quality}");
}

const KEYED: &str = r#"
[contract]
key = ["id"]
latest_by = "changed"
[contract.columns]
id = { type = "int64", required = true }
changed = "datetime"
state = "string"
[contract.filter]
no_tests = "state <> 'test'"
no_zero = "id > 0"
[contract.check]
known = "state <> 'lost'"
"#;

#[test]
fn the_newest_version_of_a_key_wins_across_files() {
    let site = Site::with_orders(KEYED);
    site.write(
        "in/a.csv",
        "id,changed,state\n1,2024-01-01T00:00:00Z,open\n2,2024-01-02T00:00:00Z,open\n2,2024-01-01T00:00:00Z,old\n",
    );
    let rows = run(&site).expect(0).step("clean")["rows"].clone();
    assert_eq!([&rows["in"], &rows["written"], &rows["deduplicated"]], [3, 2, 1]);
    site.write(
        "in/b.csv",
        "id,changed,state\n1,2024-01-03T00:00:00Z,paid\n2,2023-01-01T00:00:00Z,older\n3,2024-01-01T00:00:00Z,open\n",
    );
    let rows = run(&site).expect(0).step("clean")["rows"].clone();
    assert_eq!([&rows["in"], &rows["written"], &rows["updated"], &rows["deduplicated"]], [3, 1, 1, 1], "{rows}");
    let states = |site: &Site| site.sql("SELECT id, state FROM orders ORDER BY id");
    assert_eq!(states(&site), [[json!(1), json!("paid")], [json!(2), json!("open")], [json!(3), json!("open")]]);
    // Without the newest version in its file, the older version is the newest again.
    site.write("in/b.csv", "id,changed,state\n3,2024-01-01T00:00:00Z,open\n");
    run(&site).expect(0);
    assert_eq!(states(&site), [[json!(1), json!("open")], [json!(2), json!("open")], [json!(3), json!("open")]]);
}

#[test]
fn filtered_rows_are_counted_and_failed_checks_are_quarantined() {
    let site = Site::with_orders(KEYED);
    site.write(
        "in/a.csv",
        "id,changed,state\n1,,open\n2,,test\n0,,test\n0,,open\n-1,,open\n3,,lost\n4,never,open\n,,open\n",
    );
    let rows = run(&site).expect(0).step("clean")["rows"].clone();
    assert_eq!(rows["filtered"], json!({"no_tests": 2, "no_zero": 2}));
    assert_eq!([&rows["in"], &rows["written"], &rows["quarantined"]], [8, 1, 3]);
    let rules = site.sql("SELECT _row, column, rule FROM orders.quarantine ORDER BY _row");
    assert_eq!(
        rules,
        [
            [json!(7), json!(null), json!("known")],
            [json!(8), json!("changed"), json!("type")],
            [json!(9), json!("id"), json!("required")],
        ]
    );
}

#[test]
fn a_changed_contract_rebuilds_from_raw_rows_without_the_source() {
    let site = Site::with_orders(KEYED);
    site.write("in/a.csv", "id,changed,state\n1,,open\n2,,test\n3,,lost\n");
    run(&site).expect(0);
    assert_eq!(site.sql("SELECT id FROM orders ORDER BY id"), [[1]]);
    site.orders(&KEYED.replace("state <> 'test'", "state <> 'open'").replace("state <> 'lost'", "state <> 'never'"));
    let answer = run(&site).expect(0);
    assert_eq!(
        (&answer.step("ingest")["status"], &answer.step("clean")["rows"]["in"]),
        (&json!("nothing_to_do"), &json!(3))
    );
    assert_eq!(site.sql("SELECT id FROM orders ORDER BY id"), [[2], [3]]);
    let quarantine = site.sql("SELECT _row, rule, healed_by IS NULL AS is_broken FROM orders.quarantine");
    assert_eq!(quarantine, [[json!(4), json!("known"), json!(false)]]);
    // A new column, whose values the raw rows have already.
    site.orders(&KEYED.replace("state = \"string\"", "state = \"string\"\ncolour = \"string\""));
    run(&site).fails(2, "definition", &["colour"]);
    site.write("in/b.csv", "id,changed,state,colour\n4,,open,red\n");
    run(&site).expect(0);
    assert_eq!(
        site.sql("SELECT id, colour FROM orders ORDER BY id"),
        [[json!(1), json!(null)], [json!(4), json!("red")]]
    );
}

#[test]
fn a_changed_type_rebuilds_the_dataset() {
    let site = Site::with_orders(KEYED);
    site.write("in/a.csv", "id,changed,state\n1,,7\n2,,8\n");
    run(&site).expect(0);
    site.orders(
        &KEYED
            .replace("state = \"string\"", "state = \"int32\"")
            .replace("state <> 'test'", "state <> 8")
            .replace("state <> 'lost'", "state > 0"),
    );
    run(&site).expect(0);
    let shown = site.ask(&["show", "orders"]).expect(0);
    assert_eq!(
        (&shown.json()["columns"][2]["type"], shown.rows()),
        (&json!("int32"), vec![vec![json!(1), json!(null), json!(7)]])
    );
}

#[test]
fn a_key_that_changes_between_null_and_an_empty_text_keeps_its_partition() {
    let site = Site::with_orders(
        "[contract]\nkey = ['id']\npartition_by = 'region'\n[contract.columns]\nid = 'int64'\nregion = { type = 'string', nulls = [] }\n",
    );
    site.write(
        "in/a.ndjson",
        "{\"id\": 1, \"region\": \"\"}\n{\"id\": 2, \"region\": null}\n{\"id\": 3, \"region\": \"EU\"}\n",
    );
    run(&site).expect(0);
    site.write(
        "in/b.ndjson",
        "{\"id\": 1, \"region\": null}\n{\"id\": 2, \"region\": \"\"}\n{\"id\": 3, \"region\": \"\"}\n",
    );
    run(&site).expect(0);
    assert_eq!(
        site.sql("SELECT id, COALESCE(region, '') FROM orders ORDER BY id"),
        [[json!(1), json!("")], [json!(2), json!("")], [json!(3), json!("")]]
    );
}
