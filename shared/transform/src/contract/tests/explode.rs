use tidemark_pipeline::definition::Children;

use super::*;

fn items() -> Vec<definition::Column> {
    let mut quantity = column("quantity", Type::Int32);
    quantity.min = Some("1".to_owned());
    quantity.required = true;
    let mut price = column("price", Type::Decimal { precision: 12, scale: 2 });
    price.from = Some("/unit/price".to_owned());
    vec![column("sku", Type::String), quantity, price]
}

fn orders() -> Contract {
    let mut orders =
        contract(vec![column("id", Type::Int64), column("items", Type::String), column("tags", Type::String)]);
    orders.key = vec!["id".parse().unwrap()];
    orders.checks = vec![rule("small", "id < 100")];
    let tag = definition::Column {
        from: Some(String::new()),
        one_of: vec!["a".into(), "b".into()],
        ..column("tag", Type::String)
    };
    let explode = |name: &str, column: &str, columns| definition::Explode {
        name: name.parse().unwrap(),
        column: column.parse().unwrap(),
        columns,
    };
    orders.explodes = vec![explode("order_items", "items", items()), explode("order_tags", "tags", vec![tag])];
    orders
}

fn exploder(nth: usize, partition: Option<&str>) -> Exploder {
    let orders = orders();
    let definition::Explode { column, columns, .. } = orders.explodes[nth].clone();
    Exploder::new(&Children { key: orders.key, column, columns }, partition).unwrap()
}

#[test]
fn elements_become_rows() {
    let raw = records(&[
        r#"{"id":1,"items":[{"sku":"x","quantity":2,"unit":{"price":1.5}},{"quantity":"3","sku":null}],"tags":["a","b",null]}"#,
        r#"{"id":2,"items":{"quantity":1,"unit":{"price":"7"}},"tags":[]}"#,
        r#"{"id":3,"items":null,"tags":"[\"b\"]"}"#,
        r#"{"id":4,"items":[]}"#,
    ]);
    let cleaned = clean(&orders(), &raw, RawLayout::Json);
    assert_eq!(broken(&cleaned), Vec::<String>::new());
    let rows = exploder(0, None).explode(&cleaned.rows).unwrap();
    assert_eq!(
        show(&rows, &["id", "position", "sku", "quantity", "price"]),
        ["1|1|x|2|1.50", "1|2|-|3|-", "2|1|-|1|7.00"]
    );
    let names: Vec<&str> = rows.columns().iter().map(|column| column.name().as_str()).collect();
    assert_eq!(names, ["id", "position", "sku", "quantity", "price"]);
    let tags = exploder(1, Some("items")).explode(&cleaned.rows).unwrap();
    assert_eq!(show(&tags, &["id", "position", "tag"]), ["1|1|a", "1|2|b", "1|3|-", "3|1|b"]);
    assert_eq!(tags.columns()[3].name().as_str(), "items");
    // Without elements the columns are the same.
    let none = exploder(0, None).explode(&cleaned.rows.clear()).unwrap();
    assert_eq!((none.schema(), none.height()), (rows.schema(), 0));
    assert_eq!(exploder(0, Some("id")).needs(), ["id", "items"]);
}

#[test]
fn an_element_that_breaks_a_rule_quarantines_its_record() {
    let raw = records(&[
        r#"{"id":1,"items":[{"quantity":1},{"quantity":0},{"quantity":-5}]}"#,
        r#"{"id":2,"items":[{"quantity":"many","sku":"s"}]}"#,
        r#"{"id":3,"items":[{"sku":"s"}]}"#,
        r#"{"id":4,"items":5}"#,
        r#"{"id":5,"items":[{"quantity":1},7]}"#,
        r#"{"id":6,"items":"[{\"quantity\":1}"}"#,
        r#"{"id":7,"items":"[{\"quantity\":1}]]"}"#,
        r#"{"id":8,"tags":["a","z"]}"#,
        r#"{"id":"no","items":[{}]}"#,
        r#"{"id":900,"items":[{"quantity":1}],"tags":["c"]}"#,
        r#"{"id":901,"items":[{"quantity":1}],"tags":["a"]}"#,
        r#"{"id":10,"items":[[{"quantity":1}]]}"#,
        r#"{"id":11,"items":[null]}"#,
    ]);
    let cleaned = clean(&orders(), &raw, RawLayout::Json);
    assert_eq!(
        broken(&cleaned),
        [
            "2|order_items/quantity|min|0",
            "3|order_items/quantity|type|many",
            "4|order_items/quantity|required|-",
            "5|items|type|5",
            r#"6|items|type|[{"quantity":1},7]"#,
            r#"7|items|type|[{"quantity":1}"#,
            r#"8|items|type|[{"quantity":1}]]"#,
            "9|order_tags/tag|one_of|z",
            "10|id|type|no",
            "11|order_tags/tag|one_of|c",
            "12|-|small|-",
            "13|order_items/quantity|required|-",
            "14|order_items/quantity|required|-",
        ]
    );
    // Also for raw columns instead of JSON records.
    let columns = raw_of_columns();
    let cleaned = clean(&orders(), &columns, RawLayout::Columns);
    assert_eq!(broken(&cleaned), ["3|order_items/quantity|min|0", "4|items|type|x"]);
    assert!(exploder(0, None).explode(&df!("id" => [1i64], "items" => ["[{}]"]).unwrap()).is_err());
}

fn raw_of_columns() -> DataFrame {
    raw(vec![
        texts("id", &["1", "2", "3"]),
        texts("items", &[r#" [{"quantity":1}] "#, r#"{"quantity":0}"#, "x"]),
        texts("tags", &["", "", ""]),
    ])
}

#[test]
fn elements_of_many_chunks_keep_their_row() {
    let texts: Vec<String> = (0..50)
        .map(|row| {
            let items: Vec<String> =
                (0..row * 9).map(|n| format!(r#"{{"sku":"{row}-{n}","quantity":{}}}"#, n + 1)).collect();
            format!(r#"{{"id":{row},"items":[{}]}}"#, items.join(","))
        })
        .collect();
    let cleaned = clean(&orders(), &records(&texts.iter().map(String::as_str).collect::<Vec<_>>()), RawLayout::Json);
    assert_eq!(cleaned.rows.height(), 50);
    let rows = exploder(0, None).explode(&cleaned.rows).unwrap();
    let expected: Vec<String> =
        (0..50).flat_map(|row| (0..row * 9).map(move |n| format!("{row}|{}|{row}-{n}|{}", n + 1, n + 1))).collect();
    assert_eq!(show(&rows, &["id", "position", "sku", "quantity"]), expected);
}

#[test]
fn invalid_rules_of_elements_are_refused_with_position() {
    let mut orders = orders();
    orders.explodes[0].columns[0].pattern = Some("(".to_owned());
    let error = Cleaner::new(&orders, "").unwrap_err().to_string();
    assert!(error.starts_with("column `order_items/sku`: pattern is not a regular expression"), "{error}");
}
