//! Datasets of child rows (`[contract.explode]`): they always match the parent rows.

use serde_json::{Value, json};

use crate::support::project::{Answer, MORNING, Site};

const CONTRACT: &str = r#"
[contract]
key = "order_id"
latest_by = "edition"
PARTITION
[contract.columns]
order_id = { type = "int64", from = "/id", required = true }
day = "date"
country = "string"
edition = "int64"
items = "string"
[contract.explode.order_items]
column = "items"
[contract.explode.order_items.columns]
sku = "string"
quantity = { type = "int32", min = 1 }
price = { type = "decimal(12,2)", from = "/unit/price" }
"#;

fn contract(partition: &str) -> String {
    CONTRACT.replace("PARTITION", partition)
}

fn run(site: &Site) -> Answer {
    site.ask(&["run", "--at", MORNING])
}

/// `count` orders as NDJSON. Every fourth id is the same in all files, with a different partition.
fn orders(file: u64, edition: u64, count: u64) -> String {
    let order = |n: u64| {
        let id = if n.is_multiple_of(4) { n } else { n + 100 * file };
        let items: Vec<Value> = (0..(n + edition) % 4)
            .map(|at| json!({"sku": format!("{file}-{n}-{at}"), "quantity": at + 1, "unit": {"price": n}}))
            .collect();
        let items = match n % 7 {
            0 => json!(null),
            1 => json!({"sku": "one", "quantity": "1"}),
            _ => json!(items),
        };
        let country = ["UK", "DE", ""][((n + edition + file) % 3) as usize];
        let day = format!("2025-0{}-01", 1 + (n * 3 + edition + file) % 4);
        json!({"id": id, "day": day, "country": country, "edition": edition, "items": items}).to_string() + "\n"
    };
    (0..count).map(order).collect()
}

/// The expected child rows, computed from the parent rows.
fn expected(site: &Site) -> Vec<Vec<Value>> {
    let mut rows = Vec::new();
    for parent in site.sql("SELECT order_id, items FROM orders ORDER BY order_id") {
        let items = parent[1].as_str().map_or(json!([]), |text| serde_json::from_str(text).unwrap());
        let items = if items.is_object() { vec![items] } else { items.as_array().unwrap().clone() };
        for (at, item) in (1..).zip(items) {
            let quantity = item["quantity"].as_i64().unwrap_or(1);
            rows.push(vec![parent[0].clone(), json!(at), item["sku"].clone(), json!(quantity)]);
        }
    }
    rows
}

fn children(site: &Site) -> Vec<Vec<Value>> {
    site.sql("SELECT order_id, position, sku, quantity FROM order_items ORDER BY order_id, position")
}

#[test]
fn children_follow_their_parents() {
    let reader = "[[model]]\nname = 'by_sku'\nsql = 'SELECT sku, SUM(quantity) AS n FROM order_items GROUP BY sku'\n\
                  [[target]]\nkind = 'sqlite'\ndataset = 'order_items'\npath = 'x.db'\ntable = 't'\nmode = 'upsert'\n";
    let partitions =
        ["", "partition_by = { column = 'day', every = 'month' }", "partition_by = 'country'", "partition_by = 'day'"];
    for partition in partitions {
        let site = Site::with_orders(&(contract(partition) + reader));
        for (morning, change) in (1..).zip([(1, 0), (2, 0), (1, 1), (3, 2)]) {
            site.write(&format!("in/{}.ndjson", change.0), orders(change.0, change.1, 20));
            let answer = run(&site).expect(0);
            assert_eq!(answer.step("model order_items")["status"], "done", "{partition}, morning {morning}");
            assert_eq!(answer.step("load sqlite-t")["status"], "done");
            let found = children(&site);
            assert!(found.len() > 15, "{found:?}");
            assert_eq!(found, expected(&site), "{partition}, morning {morning}");
            let again = run(&site).expect(0);
            assert!(again.statuses().iter().all(|(_, status)| status == "nothing_to_do"), "{:?}", again.statuses());
        }
        // A removed file takes its parents and their children with it.
        std::fs::remove_file(site.path("in/2.ndjson")).unwrap();
        site.ask(&["run", "--at", MORNING, "--full"]).expect(0);
        assert_eq!(children(&site), expected(&site), "{partition}");
        let sums = site.sql("SELECT SUM(n) AS n FROM by_sku");
        assert_eq!(sums, site.sql("SELECT SUM(quantity) AS n FROM order_items"));
        // The same files as in a lake that had only the remaining sources.
        let fresh = Site::with_orders(&contract(partition));
        for (name, text) in site.files("in") {
            fresh.write(&format!("in/{name}"), text);
        }
        run(&fresh).expect(0);
        assert_eq!(fresh.live("order_items"), site.live("order_items"), "{partition}");
    }
}

#[test]
fn only_changed_partitions_are_rebuilt() {
    let site = Site::with_orders(&contract("partition_by = 'country'"));
    let order = |id: u64, country: &str, sku: &str| {
        json!({"id": id, "country": country, "edition": 1, "items": [{"sku": sku, "quantity": 1}]}).to_string() + "\n"
    };
    site.write("in/a.ndjson", order(1, "UK", "a") + &order(2, "DE", "b") + &order(3, "", "c"));
    run(&site).expect(0);
    let before = site.live("order_items");
    site.write("in/b.ndjson", order(4, "DE", "d"));
    let record = run(&site).expect(0).step("model order_items");
    assert_eq!((&record["outputs"][0]["partitions"], &record["rows"]["in"]), (&json!(1), &json!(2)));
    let after = site.live("order_items");
    let kept = before.iter().filter(|file| after.contains(file)).count();
    assert_eq!((before.len(), after.len(), kept), (3, 3, 2));
    // A partition without rows has no file.
    site.write("in/a.ndjson", order(2, "DE", "b") + &order(3, "", "c"));
    run(&site).expect(0);
    assert_eq!(site.live("order_items").len(), 2);
    assert_eq!(children(&site), expected(&site));
    let columns = site.ask(&["show", "order_items"]).expect(0).json();
    let names: Vec<&str> = columns["columns"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["order_id", "position", "sku", "quantity", "price", "country"]);
}

#[test]
fn a_broken_element_quarantines_its_record_and_a_changed_rule_rebuilds_all() {
    let site = Site::with_orders(&contract(""));
    site.write(
        "in/a.ndjson",
        "{\"id\":1,\"items\":[{\"sku\":\"x\",\"quantity\":1}]}\n\
         {\"id\":2,\"items\":[{\"quantity\":5},{\"quantity\":0}]}\n\
         {\"id\":3,\"items\":7}\n",
    );
    let record = run(&site).expect(0).step("clean");
    assert_eq!([&record["rows"]["in"], &record["rows"]["written"], &record["rows"]["quarantined"]], [3, 1, 2]);
    let quarantine = "SELECT _row, column, rule, value FROM orders.quarantine WHERE healed_by IS NULL ORDER BY _row";
    assert_eq!(
        site.sql(quarantine),
        [
            [json!(2), json!("order_items/quantity"), json!("min"), json!("0")],
            [json!(3), json!("items"), json!("type"), json!("7")]
        ]
    );
    assert_eq!(children(&site), [[json!(1), json!(1), json!("x"), json!(1)]]);
    site.orders(&contract("").replace("min = 1", "min = 0"));
    run(&site).expect(0);
    assert_eq!(children(&site).len(), 3);
    assert_eq!(site.sql(quarantine).len(), 1);
    // A new column, from values that the parents have already; and another type.
    site.orders(
        &contract("")
            .replace("\"int32\", min = 1", "\"string\"")
            .replace("price =", "all = { type = \"string\", from = \"\" }\nprice ="),
    );
    run(&site).expect(0);
    let rows = site.sql("SELECT quantity, all FROM order_items ORDER BY order_id, position");
    assert_eq!(rows[0], [json!("1"), json!("{\"sku\":\"x\",\"quantity\":1}")]);
}

#[test]
fn the_name_of_a_child_dataset_must_be_unique() {
    let site = Site::with_orders(&(contract("") + "[[model]]\nname = 'order_items'\nsql = 'SELECT 1 AS one'\n"));
    let mistakes = site.ask(&["check"]).expect(2).json()["mistakes"].clone();
    assert_eq!(mistakes[0]["found"], "a second dataset `order_items`");
    assert_eq!(mistakes[0]["hint"], "the first is at infra/pipelines/orders.toml:15:19");
    let site = Site::with_orders(&contract(""));
    let drawn = site.call(&["check"]).expect(0).out;
    assert!(drawn.contains("└─ orders + orders.quarantine\n        └─ order_items"), "{drawn}");
}
