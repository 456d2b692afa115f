//! Reads the lake back, row by row, with two readers independent of Tidemark: Python `deltalake` and DuckDB's `delta`.

use serde_json::Value;

use crate::support::project::{Answer, MORNING, Site};
use crate::support::python::python;

const TYPES: &str = r#"
[contract.columns]
id = { type = "int64", required = true }
name = "string"
small = "int32"
share = "float64"
price = "decimal(12,3)"
huge = "decimal(38,10)"
open = "bool"
day = "date"
at = "time"
sold_at = "datetime"
"#;

/// The same contract over the same folder, once in partitions and once in one piece, with models over both.
fn definitions(site: &Site, columns: &str, of_keys: &str) {
    let source = "[source]\nkind = \"files\"\npath = \"in\"\n";
    let by_day = "[contract]\npartition_by = { column = \"sold_at\", every = \"day\" }\n";
    let models = r#"
[[model]]
name = "by_day"
sql = "SELECT sold_on, COUNT(*) AS n, SUM(price) AS price, MAX(sold_at) AS last, AVG(share) AS share FROM days GROUP BY sold_on"
partition_by = "sold_on"
incremental = { lookback = "0d" }
[[model]]
name = "by_name"
sql = "SELECT name, MIN(day) AS first, COUNT(DISTINCT id) AS n FROM days GROUP BY name"
"#;
    site.write("infra/pipelines/days.toml", format!("{source}{by_day}{columns}{models}"));
    site.write("infra/pipelines/keys.toml", format!("{source}[contract]\nkey = [\"id\"]\n{of_keys}\n{columns}"));
}

const HEADER: &str = "id,name,small,share,price,huge,open,day,at,sold_at,note,\"Preis in €\",a b\n";

fn file(n: i64) -> String {
    let mut text = HEADER.to_owned();
    let huge = format!("{}{n:02}.0123456789", "1234567890".repeat(2));
    for (row, name) in ["plain", "Zoë \"東京\" 🎁", "", "two\nlines, one field", "%7E ~ 'x'"].iter().enumerate() {
        let id = n * 10 + row as i64 - 20;
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        let day = 1 + n % 9;
        text += &format!(
            "{id},{quoted},{},{}.125,{}.{row:03},{huge},{},20{:02}-02-28,1{row}:30:00.5,2011-12-{day:02}T0{row}:59:59.{row}25Z,n{n},{row},x\n",
            n * row as i64 - 7,
            -n,
            n * 1000,
            row % 2 == 0,
            10 + n,
        );
    }
    // nulls in all columns but one, and rows that break the contract
    text + &format!("{n},,,,,,,,,,,,\nno number,x,,,,,,,,,,,\n{n},torn\n")
}

fn run(site: &Site) {
    site.ask(&["run", "--at", MORNING]).expect(0);
}

fn sorted(mut rows: Vec<Vec<Value>>) -> Vec<String> {
    let mut texts: Vec<String> = rows.drain(..).map(|row| serde_json::to_string(&row).unwrap()).collect();
    texts.sort();
    texts
}

#[test]
fn two_other_readers_find_the_same_rows() {
    if python().is_none() {
        return;
    }
    let site = Site::new();
    definitions(&site, TYPES, "");
    for n in 0..12 {
        site.write(&format!("in/{n:02} ü.csv"), file(n));
        run(&site);
    }
    // one column more, and every file once more with other rows: swaps of all partitions, past a checkpoint
    definitions(&site, &format!("{TYPES}note = \"string\"\n"), "");
    for n in 0..12 {
        site.write(&format!("in/{n:02} ü.csv"), file(n + 30));
        run(&site);
    }
    let log = site.files("lake/datasets/days/_delta_log");
    assert!(log.keys().any(|name| name.contains(".checkpoint.")), "{:?}", log.keys());
    assert_read_by_others(&site);
    // `show` says the same as `sql`
    let shown = site.ask(&["show", "days", "--limit", "1000"]).expect(0).rows();
    assert_eq!(sorted(shown), sorted(site.sql("SELECT * FROM days")));
    // other types, a column less, and partitions where there were none: tables of another shape, past the same checkpoint
    let reshaped = TYPES
        .replace("id = { type = \"int64\"", "id = { type = \"string\"")
        .replace("decimal(12,3)", "float64")
        .replace("day = \"date\"", "day = \"string\"")
        .replace("huge = \"decimal(38,10)\"\n", "");
    definitions(&site, &reshaped, "partition_by = { column = \"name\" }");
    run(&site);
    assert_read_by_others(&site);
    site.write("in/99.csv", file(50));
    run(&site);
    assert_read_by_others(&site);
}

/// Both readers find in every table the rows and columns that we find.
fn assert_read_by_others(site: &Site) {
    let Some(mut python) = python() else { return };
    let names = ["days", "days.raw", "days.quarantine", "keys", "keys.raw", "keys.quarantine", "by_day", "by_name"];
    let paths = names.map(|name| site.path(&format!("lake/datasets/{name}")).display().to_string());
    let script = crate::support::project::root().join("tests/lake/readers.py");
    let answer = Answer::from_command(python.arg(script).args(&paths)).expect(0).json();
    for (name, path) in names.iter().zip(&paths) {
        let ours = site.ask(&["sql", &format!("SELECT * FROM {name}")]).expect(0);
        let expected = sorted(ours.rows());
        assert!(expected.len() > 4, "{name}: {expected:?}");
        let columns: Vec<Value> =
            ours.json()["columns"].as_array().unwrap().iter().map(|column| column["name"].clone()).collect();
        for reader in ["deltalake", "duckdb"] {
            let theirs = &answer[reader][path];
            let is_plain =
                |name: &Value| name.as_str().unwrap().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            let named: Vec<Value> = serde_json::from_value(theirs["columns"].clone()).unwrap();
            assert_eq!(columns.len(), named.len(), "{reader} {name}");
            for (ours, theirs) in columns.iter().zip(&named).filter(|(ours, _)| is_plain(ours)) {
                assert_eq!(ours, theirs, "{reader} {name}");
            }
            let found = sorted(serde_json::from_value(theirs["rows"].clone()).unwrap());
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(found, expected, "{reader} {name}");
            }
            assert_eq!(found.len(), expected.len(), "{reader} {name}");
        }
    }
}
