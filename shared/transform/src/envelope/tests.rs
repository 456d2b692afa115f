use super::*;

fn read<'a>(records: &str, others: &[&str], body: &'a str) -> Result<Page<'a>, Broken> {
    Envelope::new(records, others.iter().copied()).read(body)
}

#[test]
fn records_and_other_fields_are_read() {
    let body = r#" {"meta": {"next": "a\"b", "total": 2}, "data": [{"id":1}, {"id": 2, "x": "]}"} ], "links":[{"href":"/n"}]} "#;
    let page = read("/data", &["/meta/next", "/meta/total", "/links/0/href", "/none"], body).unwrap();
    assert_eq!(page.records, Found::Array(vec![r#"{"id":1}"#, r#"{"id": 2, "x": "]}"}"#]));
    assert_eq!(page.values, [Some(r#""a\"b""#), Some("2"), Some(r#""/n""#), None]);
    assert_eq!(page.values[0].and_then(scalar).as_deref(), Some("a\"b"));
}

#[test]
fn the_body_itself_can_be_the_records() {
    assert_eq!(read("", &[], "[1, {}]").unwrap().records, Found::Array(vec!["1", "{}"]));
    assert_eq!(read("", &["/next"], r#"{"next":3}"#).unwrap().values, [Some("3")]);
    assert_eq!(
        read("", &["/1"], "[1,2]").unwrap(),
        Page { records: Found::Array(vec!["1", "2"]), values: vec![Some("2")] }
    );
}

#[test]
fn values_other_than_arrays_are_distinguished() {
    let of = |body| read("/a", &[], body).unwrap().records;
    assert_eq!(of(r#"{"a": null}"#), Found::Null);
    assert_eq!(of(r#"{"a": {}}"#), Found::Object("{}"));
    assert_eq!(of(r#"{"a": "x"}"#), Found::Scalar("\"x\""));
    assert_eq!(of(r#"{"b": []}"#), Found::Absent);
    assert_eq!(of(r#"[]"#), Found::Absent);
}

#[test]
fn the_last_of_duplicate_members_counts() {
    assert_eq!(read("/a", &[], r#"{"a": [1], "a": [2]}"#).unwrap().records, Found::Array(vec!["2"]));
    assert_eq!(read("/a/b", &[], r#"{"a": {"b": [1]}, "a": {}}"#).unwrap().records, Found::Absent);
}

#[test]
fn a_broken_record_does_not_reject_the_page() {
    let body = r#"{"data":[{"id":01},{"id":"\ud800"},{"a" 1},[}]}"#;
    let Found::Array(records) = read("/data", &[], body).unwrap().records else { panic!() };
    assert_eq!(records, [r#"{"id":01}"#, r#"{"id":"\ud800"}"#, r#"{"a" 1}"#, "[}"]);
}

#[test]
fn truncated_and_invalid_bodies_are_distinguished() {
    let whole = r#"{"data":[{"id":"a\\"},2],"n":"x"}"#;
    for end in 0..whole.len() {
        let broken = read("/data", &["/n"], &whole[..end]).unwrap_err();
        assert!(broken.is_cut, "{end}: {broken}");
    }
    assert_eq!(read("/data", &[], "<html>").unwrap().records, Found::Absent);
    let broken = read("/data", &[], r#"{"data": [1 2]}"#).unwrap_err();
    assert_eq!((broken.to_string().as_str(), broken.is_cut), ("expected `,` or `]` at byte 12", false));
    assert!(read("", &[], "{} x").is_err() && read("", &[], "").is_err() && read("", &[], "]").is_err());
}

#[test]
fn depth_is_not_limited() {
    let deep = format!(r#"{{"data":[{}{}]}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let Found::Array(records) = read("/data", &[], &deep).unwrap().records else { panic!() };
    assert_eq!(records[0].len(), 200_000);
}

#[test]
fn names_of_members_are_listed() {
    assert_eq!(members(r#"{"error": {"a": [1]}, "me\u0073sage": 1}"#), ["error", "message"]);
    assert_eq!(members("[1]"), [""; 0]);
}
