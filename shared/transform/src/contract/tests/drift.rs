use super::*;

fn from(name: &str, pointer: &str) -> definition::Column {
    definition::Column { from: Some(pointer.to_owned()), ..column(name, Type::String) }
}

/// `field kind records first`, in order of first occurrence.
fn unknown(drift: &Drift) -> Vec<String> {
    let shown =
        |unknown: &Unknown| format!("{} {} {} {}", unknown.field, unknown.kind.name(), unknown.records, unknown.first);
    drift.unknown.iter().map(shown).collect()
}

#[test]
fn unread_members_of_scanned_objects_are_counted() {
    let contract = contract(vec![
        from("id", "/id"),
        from("city", "/customer/address/city"),
        from("second", "/list/1/x"),
        // Stored as a whole, so everything below it is known.
        from("meta", "/meta"),
        from("by", "/meta/by"),
    ]);
    let raw = records(&[
        r#"{"id":1,"a~/b":null,"customer":{"vat":"DE1","address":{"city":"x","zip":{"deep":1}}},"meta":{"by":1,"else":2}}"#,
        r#"{"id":2,"customer":{"address":{"zip":[]},"vat":null},"a~/b":1.5,"a~/b":true,"list":[{"y":1},{"x":1,"y":2}]}"#,
        // Not an object, so no members are scanned or counted.
        r#"{"\u0069d":3,"customer":"x","a\u007e/b":[1]}"#,
    ]);
    let drift = clean(&contract, &raw, RawLayout::Json).drift;
    assert_eq!(
        unknown(&drift),
        [
            "/a~0~1b number 3 a.csv:2",
            "/customer/vat string 2 a.csv:2",
            "/customer/address/zip object 2 a.csv:2",
            "/list/1/y number 1 a.csv:3",
        ]
    );
    assert_eq!((drift.records, drift.absent), (3, Vec::new()));
}

#[test]
fn invalid_records_are_not_counted() {
    let contract = contract(vec![from("a", "/a"), from("b", "b"), column("c", Type::Int64)]);
    let mut raw = records(&[
        r#"{"x":1,"y":"s","b":1,"#,
        r#"{"y":null,"a":1}"#,
        r#"{"y":{},"x":2,"c":"broken rule"}"#,
        r#"{"z":1,"b":1}"#,
        r#"{"y":1,"x":1,"b":1"#,
    ]);
    // A record that ingest has marked as invalid.
    raw.replace("_fault", Column::new("_fault".into(), [None, None, None, Some("not UTF-8"), None])).unwrap();
    let drift = clean(&contract, &raw, RawLayout::Json).drift;
    assert_eq!(unknown(&drift), ["/x number 1 a.csv:4", "/y object 2 a.csv:3"]);
    assert_eq!((drift.records, drift.absent), (2, vec!["/b".to_owned()]));
    let none = clean(&contract, &records(&["[]"]), RawLayout::Json).drift;
    assert_eq!(none, Drift::default());
}

#[test]
fn the_number_and_length_of_unknown_names_are_limited() {
    let contract = contract(vec![from("id", "/id")]);
    let texts: Vec<String> = (0..MAX_FIELDS + 5).map(|n| format!(r#"{{"id":1,"{n}":1}}"#)).collect();
    let drift =
        clean(&contract, &records(&texts.iter().map(String::as_str).collect::<Vec<_>>()), RawLayout::Json).drift;
    assert_eq!((drift.unknown.len(), drift.has_more), (MAX_FIELDS, true));
    let long = format!(r#"{{"{}":1}}"#, "é".repeat(500));
    let drift = clean(&contract, &records(&[&long, &long]), RawLayout::Json).drift;
    assert_eq!(unknown(&drift), [format!("/{}… number 2 a.csv:2", "é".repeat(200))]);
}

#[test]
fn unread_raw_columns_are_counted_where_they_have_a_value() {
    let contract = contract(vec![from("id", "ID")]);
    let raw = raw(vec![
        texts("ID", &["1", "2", "3"]),
        Column::new("new".into(), [None, Some("x"), Some("")]),
        Column::new("flag".into(), [Some(true), None, None]),
        Column::new("gone".into(), [None::<i64>; 3]),
        Column::new("rate".into(), [Some(0.5), None, None]),
    ]);
    let drift = clean(&contract, &raw, RawLayout::Columns).drift;
    assert_eq!(unknown(&drift), ["new string 2 a.csv:3", "flag boolean 1 a.csv:2", "rate number 1 a.csv:2"]);
    assert_eq!((drift.records, drift.absent), (0, Vec::new()));
}
