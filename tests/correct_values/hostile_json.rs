//! Hostile JSON end to end: every record is in the clean dataset or in quarantine, as the contract's types say, and nothing panics.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::project::{Answer, MORNING, Site, public_data, walk};

fn run(site: &Site) -> Answer {
    site.ask(&["run", "--at", MORNING])
}

/// What a record of one member `v` becomes in a column of a type: the value, or the rule it breaks.
fn becomes(ty: &str, records: &[(&str, Result<Value, &str>)]) {
    let column = format!("v = {{ type = \"{ty}\", trim = false, nulls = [] }}");
    let site = Site::with_orders(&format!("[contract.columns]\nid = \"int64\"\n{column}\n"));
    let lines = records.iter().enumerate().map(|(id, (v, _))| format!("{{\"id\":{id},\"v\":{v}}}\n"));
    site.write("in/a.ndjson", lines.collect::<String>());
    let answer = run(&site).expect(0);
    let rows = &answer.step("clean")["rows"];
    assert_eq!(rows["in"], json!(records.len()), "{ty}: {rows}");
    let cast = if ty.starts_with("decimal") { "CAST(v AS VARCHAR)" } else { "v" };
    let clean = site.sql(&format!("SELECT id, {cast} AS v FROM orders"));
    let clean: BTreeMap<u64, Value> = clean.into_iter().map(|row| (row[0].as_u64().unwrap(), row[1].clone())).collect();
    let broken = site.sql("SELECT _row, rule FROM orders.quarantine");
    let broken: BTreeMap<u64, Value> =
        broken.into_iter().map(|row| (row[0].as_u64().unwrap() - 1, row[1].clone())).collect();
    assert_eq!(clean.len() + broken.len(), records.len());
    for (id, (v, expected)) in (0..).zip(records) {
        let shown: String = v.chars().take(60).collect();
        match expected {
            Ok(value) => assert_eq!(clean.get(&id), Some(value), "{ty}: {shown}"),
            Err(rule) => assert_eq!(broken.get(&id), Some(&json!(rule)), "{ty}: {shown}"),
        }
    }
}

#[test]
fn numbers_are_exact_or_refused() {
    let digits = "12345678901234567890123456789012345678";
    becomes(
        "int64",
        &[
            ("9223372036854775807", Ok(json!(i64::MAX))),
            ("-9223372036854775808", Ok(json!(i64::MIN))),
            ("9223372036854775808", Err("type")),
            ("-9223372036854775809", Err("type")),
            ("-0", Ok(json!(0))),
            ("1e3", Ok(json!(1000))),
            ("1e400", Err("type")),
            ("1e-400", Err("type")),
            ("1e99999999999999999999", Err("type")),
            ("0e400", Ok(json!(0))),
            ("1.5", Err("type")),
            ("\"12\"", Ok(json!(12))),
            ("null", Ok(Value::Null)),
            ("true", Err("type")),
            ("[1]", Err("type")),
            ("01", Err("format")),
        ],
    );
    becomes(
        "float64",
        &[("1e400", Err("type")), ("-1e400", Err("type")), ("1e-400", Ok(json!(0.0))), ("-0", Ok(json!(0.0)))],
    );
    let (negative, more) = (format!("-{digits}"), format!("{digits}9"));
    becomes(
        "decimal(38,0)",
        &[
            (digits, Ok(json!(digits))),
            (&negative, Ok(json!(negative))),
            (&more, Err("type")),
            ("1e37", Ok(json!(format!("1{}", "0".repeat(37))))),
            ("1e38", Err("type")),
            ("-0", Ok(json!("0"))),
            ("0.1", Err("type")),
        ],
    );
    // what is kept as text keeps every digit
    let kept = ["1.10", "-0", "1E+2", "1e400", "0.1000000000000000055511151231257827", digits];
    becomes("string", &kept.map(|text| (text, Ok(json!(text)))));
}

#[test]
fn of_equal_names_the_last_counts_and_half_characters_are_no_text() {
    becomes(
        "string",
        &[
            (r#"1,"v":"two","v":"three""#, Ok(json!("three"))),
            (r#""one","\u0076":null"#, Ok(Value::Null)),
            (r#"{"a":1,"a":2}"#, Ok(json!(r#"{"a":1,"a":2}"#))),
            (r#""\ud83d\ude00""#, Ok(json!("😀"))),
            (r#""\ud83d""#, Err("format")),
            (r#""\ude00\ud83d""#, Err("format")),
            (r#"{"\ud83d":1}"#, Err("format")),
            (r#""\u0000""#, Ok(json!("\0"))),
        ],
    );
}

#[test]
fn depth_and_length_have_ends() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let (allowed, deeper, deep, deepest) = (nested(1024), nested(1025), nested(10_000), nested(100_000));
    let open = "[".repeat(100_000);
    let objects = format!("{}1{}", r#"{"k":"#.repeat(100_000), "}".repeat(100_000));
    becomes(
        "string",
        &[
            (&allowed, Ok(json!(allowed))),
            (&deeper, Err("format")),
            (&deep, Err("format")),
            (&deepest, Err("format")),
            (&open, Err("format")),
            (&objects, Err("format")),
        ],
    );
    // a record of up to 64 MB is one
    let (long, longer) = (format!("\"{}\"", "x".repeat(60_000_000)), format!("\"{}\"", "x".repeat(100_000_000)));
    let site = Site::with_orders("[contract.columns]\nid = \"int64\"\nv = \"string\"\n");
    site.write("in/a.ndjson", format!("{{\"id\":1,\"v\":{long}}}\n{{\"id\":2,\"v\":{longer}}}\n{{\"id\":3}}\n"));
    run(&site).expect(0);
    assert_eq!(
        site.sql("SELECT id, LENGTH(v) AS n FROM orders ORDER BY id"),
        [[json!(1), json!(60_000_000)], [json!(3), json!(null)]]
    );
    assert_eq!(site.sql("SELECT _row, rule FROM orders.quarantine"), [[json!(2), json!("format")]]);
}

fn unpack(archive: &Path, into: &Path) {
    std::fs::create_dir_all(into).unwrap();
    let tar = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(into).status().unwrap();
    assert!(tar.success());
}

/// With a blank for each line end that is not in a string.
fn on_one_line(json: &[u8]) -> Vec<u8> {
    let (mut in_string, mut escaped) = (false, false);
    let each = json.iter().map(|&byte| {
        let is_end = matches!(byte, b'\n' | b'\r') && !in_string;
        if byte == b'"' && !escaped {
            in_string = !in_string;
        }
        escaped = in_string && byte == b'\\' && !escaped;
        if is_end { b' ' } else { byte }
    });
    each.collect()
}

/// Nicolas Seriot's JSONTestSuite: `y_` must be accepted, `n_` must not, and `i_` is ours to say.
#[test]
fn the_json_test_suite_ends_in_one_place_or_the_other() {
    let Some(archive) = public_data("E/JSONTestSuite.tar.gz") else { return };
    let site = Site::with_orders(
        "format = \"ndjson\"\n[contract.columns]\nid = \"int64\"\nv = { type = \"string\", trim = false, nulls = [] }\n",
    );
    unpack(&archive, &site.path("suite"));
    let files: Vec<_> =
        walk(&site.path("suite")).into_iter().filter(|path| path.to_str().unwrap().contains("test_parsing/")).collect();
    let mut suite = Vec::new();
    for (id, path) in files.iter().enumerate() {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let content = on_one_line(&std::fs::read(path).unwrap());
        let record = [format!("{{\"id\":{id},\"v\":").as_bytes(), &content, b"}\n"].concat();
        site.write(&format!("in/{name}"), record);
        suite.push((name, content));
    }
    assert!(suite.len() > 300, "{}", suite.len());
    let rows = run(&site).expect(0).step("clean")["rows"].clone();
    assert_eq!(rows["in"].as_u64(), Some(rows["written"].as_u64().unwrap() + rows["quarantined"].as_u64().unwrap()));
    let clean = site.sql("SELECT id, v FROM orders");
    let clean: BTreeMap<usize, Value> =
        clean.into_iter().map(|row| (row[0].as_u64().unwrap() as usize, row[1].clone())).collect();
    let quarantined = site.sql("SELECT _object, COUNT(*) AS n FROM orders.quarantine GROUP BY _object");
    let quarantined: BTreeMap<String, u64> =
        quarantined.into_iter().map(|row| (row[0].as_str().unwrap().to_owned(), row[1].as_u64().unwrap())).collect();
    for (id, (name, content)) in suite.iter().enumerate() {
        let (clean, quarantined) = (clean.get(&id), quarantined.get(name));
        assert!(clean.is_some() != quarantined.is_some(), "{name}: {clean:?}, {quarantined:?} quarantined");
        match &name[..2] {
            "y_" => {
                let text = str::from_utf8(content).unwrap().trim();
                let expected = match serde_json::from_str(text).unwrap() {
                    Value::Null => Value::Null,
                    Value::String(text) => Value::String(text),
                    _ => json!(text),
                };
                assert_eq!(clean, Some(&expected), "{name}");
            }
            "n_" => assert!(quarantined.is_some(), "{name}: {clean:?}"),
            _ => {}
        }
    }
}

/// Max Woolf's list: as values, as elements of an array, and as names of unknown fields.
#[test]
fn naughty_strings_come_out_as_they_went_in() {
    let Some(archive) = public_data("E/big-list-of-naughty-strings.tar.gz") else { return };
    let site = Site::with_orders(
        "[contract]\nkey = \"id\"\n[contract.columns]\nid = \"int64\"\nv = { type = \"string\", trim = false, nulls = [] }\n\
         list = \"string\"\n[contract.explode.each]\ncolumn = \"list\"\n\
         [contract.explode.each.columns]\nw = { type = \"string\", from = \"\", trim = false, nulls = [] }\n",
    );
    unpack(&archive, &site.path("list"));
    let text = std::fs::read_to_string(site.path("list/big-list-of-naughty-strings/blns.json")).unwrap();
    let strings: Vec<String> = serde_json::from_str(&text).unwrap();
    assert!(strings.len() > 500, "{}", strings.len());
    let mut lines: String =
        strings.iter().enumerate().map(|(id, v)| json!({"id": id, "v": v}).to_string() + "\n").collect();
    lines += &(json!({"id": -1, "v": "all", "list": strings}).to_string() + "\n");
    for name in strings.iter().filter(|name| !["id", "v", "list"].contains(&name.as_str())) {
        lines += &format!("{{\"id\":-2,\"v\":\"named\",{}:1}}\n", json!(name));
    }
    site.write("in/a.ndjson", lines);
    let answer = run(&site).expect(0);
    let record = answer.step("clean");
    assert_eq!(record["rows"]["quarantined"], 0, "{record}");
    assert_eq!(record["drift"].as_array().unwrap().len(), 50);
    let told = site.call(&["runs"]).expect(0);
    assert!(!told.out.is_empty());
    let values: Vec<Value> = strings.iter().map(|text| json!(text)).collect();
    let column = |query: &str| site.sql(query).into_iter().map(|row| row[0].clone()).collect::<Vec<_>>();
    assert_eq!(column("SELECT v, id FROM orders WHERE id >= 0 ORDER BY id"), values);
    assert_eq!(column("SELECT w, position FROM each ORDER BY position"), values);
}
