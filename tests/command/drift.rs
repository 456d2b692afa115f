//! Fields of a source that the contract does not have: reported, kept, or refused.

use serde_json::{Value, json};

use crate::support::project::{Answer, MORNING, Site};

const CONTRACT: &str = "
[contract]
UNKNOWN
[contract.columns]
id = { type = \"int64\", from = \"/id\", required = true }
city = { type = \"string\", from = \"/customer/city\" }
";

fn contract(unknown: &str) -> String {
    CONTRACT.replace("UNKNOWN", unknown)
}

fn run(site: &Site) -> Answer {
    site.ask(&["run", "--at", MORNING])
}

const FIRST: &str = r#"{"id":1,"customer":{"city":"Ulm"}}
{"id":2,"customer":{"city":"Bonn","vat":"DE1"},"discount":null}
{"id":"x","customer":{"vat":"DE2"},"discount":5}
no record
"#;

fn drift() -> Value {
    json!([
        {"field": "/customer/vat", "records": 2, "first": "a.ndjson:2", "kind": "string"},
        {"field": "/discount", "records": 2, "first": "a.ndjson:2", "kind": "number"},
    ])
}

#[test]
fn unknown_fields_are_reported_and_can_be_added_to_the_contract_later() {
    let site = Site::with_orders(&contract(""));
    site.write("in/a.ndjson", FIRST);
    let answer = run(&site).expect(0);
    assert_eq!(answer.step("clean")["drift"], drift());
    assert_eq!(answer.step("ingest").get("drift"), None);
    let kept = site.ask(&["runs"]).expect(0).json();
    assert!(kept.to_string().contains(&drift().to_string()), "{kept}");
    // Only fields of new records are reported; and a column of the contract that no record has is noted.
    site.write("in/b.ndjson", "{\"id\":3,\"discount\":7}\n");
    let printed = site.call(&["run", "--at", MORNING]).expect(0);
    let line = "drift   orders: /discount (number) in 1 record, first at b.ndjson:1; add it to [contract.columns] to include it\n";
    assert!(printed.out.contains(line), "{}", printed.out);
    assert!(printed.out.contains("note: /customer/city was in none of 1 record\n"), "{}", printed.out);
    // The raw rows have these fields already.
    site.orders(&(contract("") + "discount = \"int64\"\nvat = { type = \"string\", from = \"/customer/vat\" }\n"));
    let answer = run(&site).expect(0);
    assert_eq!(answer.step("ingest")["status"], "nothing_to_do");
    assert_eq!(answer.step("clean").get("drift"), None);
    assert_eq!(
        site.sql("SELECT id, discount, vat FROM orders ORDER BY id"),
        [
            [json!(1), json!(null), json!(null)],
            [json!(2), json!(null), json!("DE1")],
            [json!(3), json!(7), json!(null)]
        ]
    );
}

#[test]
fn changing_the_setting_for_unknown_fields_rebuilds_nothing() {
    let site = Site::with_orders(&contract("unknown = \"ignore\""));
    site.write("in/a.ndjson", FIRST);
    let answer = run(&site).expect(0);
    assert_eq!(answer.step("clean").get("drift"), None);
    let printed = site.call(&["runs"]).expect(0);
    assert!(!printed.out.contains("drift"), "{}", printed.out);
    for unknown in ["", "unknown = \"fail\"", "unknown = \"keep\""] {
        site.orders(&contract(unknown));
        assert_eq!(run(&site).expect(0).step("clean")["status"], "nothing_to_do", "{unknown}");
    }
}

#[test]
fn with_unknown_fail_nothing_is_published() {
    let site = Site::with_orders(&contract("unknown = \"fail\""));
    site.write("in/a.ndjson", "{\"id\":1}\n");
    run(&site).expect(0);
    let live = site.live("orders");
    site.write("in/b.ndjson", FIRST);
    for _ in 0..2 {
        run(&site).fails(
            3,
            "data",
            &[
                "records of orders have fields that its contract does not have",
                "/customer/vat (string) in 2 records, first at b.ndjson:2; /discount (number) in 2 records, first at b.ndjson:2",
                "nothing was published",
                "[contract.columns]",
                "unknown = \"keep\"",
            ],
        );
        assert_eq!(site.live("orders"), live);
        assert_eq!(site.sql("SELECT COUNT(*) AS n FROM orders.quarantine"), [[0]]);
    }
    site.orders(&contract(""));
    run(&site).expect(0);
    assert_eq!(site.sql("SELECT id FROM orders ORDER BY id"), [[1], [1], [2]]);
}

#[test]
fn a_new_csv_column_is_reported() {
    let site = Site::with_orders("[contract.columns]\nid = \"int64\"\n");
    site.write("in/a.csv", "id\n1\n");
    assert_eq!(run(&site).expect(0).step("clean").get("drift"), None);
    site.write("in/b.csv", "id,colour\n2,red\n3,blue\n");
    let answer = run(&site).expect(0);
    let expected = json!([{"field": "colour", "records": 2, "first": "b.csv:2", "kind": "string"}]);
    assert_eq!(answer.step("clean")["drift"], expected);
    assert_eq!(answer.step("clean").get("notes"), None);
}
