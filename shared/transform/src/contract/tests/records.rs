//! JSON records.

use super::*;

#[test]
fn json_records_become_typed_rows() {
    let mut id = column("id", Type::Int64);
    id.required = true;
    let mut city = column("city", Type::String);
    city.from = Some("/user/address/city".to_owned());
    let mut tags = column("tags", Type::String);
    tags.from = Some("/tags".to_owned());
    let contract = contract(vec![
        id,
        column("amount", Type::Decimal { precision: 38, scale: 10 }),
        column("at", Type::Datetime),
        column("ok", Type::Bool),
        city,
        tags,
        column("rate", Type::Float64),
    ]);
    let records = records(&[
        r#"{"id":9223372036854775807,"amount":1234567890123456789012345678.0123456789,"at":"2026-01-01T01:00:00+01:00","ok":true,"user":{"address":{"city":"Zü\u0072ich"}},"tags":["a",{"b":1}],"rate":1e-3}"#,
        r#"{"id":"7","amount":"12.5","at":null,"ok":"no","user":{"address":[]},"tags":12.50,"rate":"2"}"#,
        r#"{"id":1e3,"amount":1.5e-3,"ok":0,"user":5,"tags":false}"#,
        r#"{"amount":1}"#,
        r#"{"id":1.5}"#,
        r#"{"id":true}"#,
        r#"{"id":[1]}"#,
        r#"{"id":1,"at":1700000000}"#,
        r#"{"id":1,"amount":0.00000000001}"#,
        r#"{"id":9223372036854775808}"#,
        r#"{"id":1"#,
        r#"[1]"#,
        r#"{"id":1,"at":"\ud800"}"#,
        "",
        r#"{"id":1,"id":2}"#,
        r#"{"id":1,"at":" \t2026-01-01T00:00:00.000001Z\n "}"#,
    ]);
    let cleaned = clean(&contract, &records, RawLayout::Json);
    assert_eq!(
        show(&cleaned.rows, &["id", "amount", "at", "ok", "city", "tags", "rate"]),
        [
            r#"9223372036854775807|1234567890123456789012345678.0123456789|2026-01-01 00:00:00.000000+00:00|true|Zürich|["a",{"b":1}]|0.001"#,
            "7|12.5000000000|-|false|-|12.50|2.0",
            "1000|0.0015000000|-|false|-|false|-",
            "2|-|-|-|-|-|-",
            "1|-|2026-01-01 00:00:00.000001+00:00|-|-|-|-",
        ]
    );
    assert_eq!(
        broken(&cleaned),
        [
            "5|id|required|-",
            "6|id|type|1.5",
            "7|id|type|true",
            "8|id|type|[1]",
            "9|at|type|1700000000",
            "10|amount|type|0.00000000001",
            "11|id|type|9223372036854775808",
            "12|-|format|the record ends too early at byte 7",
            "13|-|format|expected a JSON object at byte 0",
            "14|-|format|half a surrogate pair at byte 20",
            "15|-|format|the record ends too early at byte 0",
        ]
    );
    assert_eq!(show(&cleaned.quarantined, &["text"])[1], r#"{"id":1.5}"#);
}

#[test]
fn records_of_many_batches_keep_their_row() {
    let contract = contract(vec![column("id", Type::Int64), column("s", Type::String)]);
    let lines: Vec<String> = (0..1000)
        .map(|n| match n % 5 {
            0 => format!(r#"{{"id":{n}}}"#),
            1 => format!(r#"{{"s":"{n}","id":{n}}}"#),
            2 => format!(r#"{{"id":"x{n}"}}"#),
            3 => format!(r#"{{"id":{n},"s":"{n}""#),
            _ => format!(r#"{{"id":{n},"s":"\u0041{n}"}}"#),
        })
        .collect();
    let cleaned = clean(&contract, &records(&lines.iter().map(String::as_str).collect::<Vec<_>>()), RawLayout::Json);
    let rows = show(&cleaned.rows, &["id", "s"]);
    let bad = broken(&cleaned);
    assert_eq!((rows.len(), bad.len()), (600, 400));
    for n in 0..200 {
        let row = n * 5;
        assert_eq!(
            rows[n * 3..n * 3 + 3],
            [format!("{row}|-"), format!("{0}|{0}", row + 1), format!("{0}|A{0}", row + 4)]
        );
        assert_eq!(bad[n * 2], format!("{}|id|type|x{}", row + 4, row + 2));
        assert!(bad[n * 2 + 1].starts_with(&format!("{}|-|format|", row + 5)));
    }
}
