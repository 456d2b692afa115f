use tidemark_pipeline::definition::{self, Every, PartitionBy, Type};
use tidemark_pipeline::raw;

use super::*;

mod drift;
mod explode;
mod records;

fn column(name: &str, ty: Type) -> definition::Column {
    definition::Column {
        name: name.parse().unwrap(),
        ty,
        from: None,
        required: false,
        min: None,
        max: None,
        one_of: Vec::new(),
        pattern: None,
        formats: Vec::new(),
        timezone: None,
        trim: true,
        nulls: vec![String::new()],
    }
}

fn contract(columns: Vec<definition::Column>) -> Contract {
    Contract {
        dataset: "sales".parse().unwrap(),
        columns,
        key: Vec::new(),
        latest_by: None,
        partition_by: None,
        filters: Vec::new(),
        checks: Vec::new(),
        max_quarantined: None,
        deletes_absent: false,
        unknown: definition::Unknown::Keep,
        explodes: Vec::new(),
    }
}

fn rule(name: &str, sql: &str) -> Rule {
    Rule { name: name.to_owned(), sql: sql.to_owned() }
}

/// Raw rows with these columns. `_row` starts at 2, as in a file with a header.
fn raw(fields: Vec<Column>) -> DataFrame {
    let rows = fields.first().map_or(0, Column::len);
    let mut columns = fields;
    let texts = columns.iter().position(|column| column.name() == raw::TEXT);
    if texts.is_none() {
        columns.push(Column::full_null(raw::TEXT.into(), rows, &DataType::String));
    }
    columns.push(Column::full_null(raw::FAULT.into(), rows, &DataType::String));
    columns.push(Column::new(raw::OBJECT.into(), vec!["a.csv"; rows]));
    columns.push(Column::new(raw::ROW.into(), (2..2 + rows as i64).collect::<Vec<_>>()));
    DataFrame::new(rows, columns).unwrap()
}

fn texts(name: &str, values: &[&str]) -> Column {
    Column::new(name.into(), values)
}

fn records(values: &[&str]) -> DataFrame {
    raw(vec![texts(raw::TEXT, values)])
}

fn clean(contract: &Contract, raw: &DataFrame, layout: RawLayout) -> Cleaned {
    let cleaner = Cleaner::new(contract, "print").unwrap();
    let cleaned = cleaner.clean(raw, layout).unwrap();
    let filtered: u64 = cleaned.filtered.iter().map(|(_, rows)| rows).sum();
    let out = cleaned.rows.height() as u64 + cleaned.quarantined.height() as u64 + filtered;
    assert_eq!(out, raw.height() as u64);
    assert_eq!(&**cleaned.rows.schema(), cleaner.schema());
    assert_eq!(&**cleaned.quarantined.schema(), &Cleaner::quarantine_schema());
    cleaned
}

/// The values of a frame as text, row by row; NULL is `-`.
fn show(frame: &DataFrame, columns: &[&str]) -> Vec<String> {
    let shown = |name: &&str| -> Vec<String> {
        let series = frame.column(name).unwrap().as_materialized_series().cast(&DataType::String).unwrap();
        series.str().unwrap().iter().map(|text| text.unwrap_or("-").to_owned()).collect()
    };
    let columns: Vec<Vec<String>> = columns.iter().map(shown).collect();
    (0..frame.height()).map(|row| columns.iter().map(|c| c[row].as_str()).collect::<Vec<_>>().join("|")).collect()
}

fn broken(cleaned: &Cleaned) -> Vec<String> {
    show(&cleaned.quarantined, &["_row", "column", "rule", "value"])
}

#[test]
fn text_becomes_typed_rows() {
    let mut sold_at = column("sold_at", Type::Datetime);
    sold_at.formats = vec!["%Y-%m-%d %H:%M:%S".to_owned(), "%d/%m/%Y %H:%M".to_owned()];
    sold_at.timezone = Some("Europe/London".to_owned());
    let mut customer = column("customer", Type::Int64);
    customer.from = Some("CustomerID".to_owned());
    let mut contract = contract(vec![
        customer,
        sold_at,
        column("price", Type::Decimal { precision: 12, scale: 3 }),
        column("day", Type::Date),
        column("paid", Type::Bool),
        column("note", Type::String),
        column("at", Type::Time),
        column("rate", Type::Float64),
        column("count", Type::Int32),
    ]);
    contract.partition_by = Some(PartitionBy {
        column: "sold_at".parse().unwrap(),
        every: Some(Every::Day),
        name: "sold_on".parse().unwrap(),
        timezone: Some("Europe/London".to_owned()),
    });
    let raw = raw(vec![
        texts("CustomerID", &["17850.0", " 12 ", ""]),
        texts("sold_at", &["2011-07-01 00:30:00", "08/12/2011 8:26", ""]),
        texts("price", &["2.55", "-0.001", "99999999.999"]),
        texts("day", &["2011-07-01", "0001-01-01", "9999-12-31"]),
        texts("paid", &["TRUE", "n", ""]),
        texts("note", &["  a b  ", "é", "   "]),
        texts("at", &["08:26", "23:59:59.5", ""]),
        texts("rate", &["1e3", "-.5", ""]),
        texts("count", &["2147483647", "-2147483648", ""]),
    ]);
    let cleaned = clean(&contract, &raw, RawLayout::Columns);
    assert_eq!(broken(&cleaned), Vec::<String>::new());
    assert_eq!(
        show(&cleaned.rows, &["customer", "price", "day", "paid", "note", "at", "rate", "count", "sold_on"]),
        [
            "17850|2.550|2011-07-01|true|a b|08:26:00|1000.0|2147483647|2011-07-01",
            "12|-0.001|0001-01-01|false|é|23:59:59.500000|-0.5|-2147483648|2011-12-08",
            "-|99999999.999|9999-12-31|-|-|-|-|-|-",
        ]
    );
    let sold_at = cleaned.rows.column("sold_at").unwrap().cast(&DataType::Int64).unwrap();
    let instants: Vec<_> = sold_at.i64().unwrap().iter().collect();
    assert_eq!(instants, [Some(1_309_476_600_000_000), Some(1_323_332_760_000_000), None]);
}

#[test]
fn rows_that_break_a_rule_are_quarantined_with_the_first_in_column_order() {
    let mut id = column("id", Type::Int64);
    id.required = true;
    id.min = Some("1".to_owned());
    id.max = Some("100".to_owned());
    let mut status = column("status", Type::String);
    status.one_of = vec!["paid".to_owned(), "open".to_owned()];
    status.nulls.push("?".to_owned());
    let mut sku = column("sku", Type::String);
    sku.pattern = Some("^[A-Z]+$".to_owned());
    let mut day = column("day", Type::Date);
    day.min = Some("2024-01-01".to_owned());
    let mut contract = contract(vec![id, status, sku, day]);
    contract.checks =
        vec![rule("paid_has_sku", "status <> 'paid' OR sku IS NOT NULL"), rule("late", "day < DATE '2030-01-01'")];
    contract.filters = vec![rule("no_test", "sku <> 'TEST'"), rule("low", "id < 50")];
    contract.partition_by = Some(PartitionBy {
        column: "day".parse().unwrap(),
        every: Some(Every::Month),
        name: "month".parse().unwrap(),
        timezone: None,
    });
    let raw = raw(vec![
        texts("id", &["1", "", "0", "101", "x", "2", "3", "4", "5", "6", "7", "8", "9", "99"]),
        texts("status", &["paid", "no", "no", "?", "open", "no", "open", "open", "paid", "open", "?", "?", "?", "?"]),
        texts("sku", &["A", "A", "a", "A", "A", "A", "a", "A", "", "A", "TEST", "", "B", "TEST"]),
        texts(
            "day",
            &[
                "2024-02-29",
                "2024-02-29",
                "2024-02-29",
                "",
                "x",
                "2024-02-29",
                "x",
                "2023-12-31",
                "2024-02-29",
                "2031-01-31",
                "2024-02-29",
                "2024-02-29",
                "",
                "2024-02-29",
            ],
        ),
    ]);
    let cleaned = clean(&contract, &raw, RawLayout::Columns);
    assert_eq!(
        show(&cleaned.quarantined, &["_object", "_row", "column", "rule", "value", "contract", "day"]),
        [
            "a.csv|3|id|required||print|2024-02-29",
            "a.csv|4|id|min|0|print|2024-02-29",
            "a.csv|5|id|max|101|print|-",
            "a.csv|6|id|type|x|print|-",
            "a.csv|7|status|one_of|no|print|2024-02-29",
            "a.csv|8|sku|pattern|a|print|-",
            "a.csv|9|day|min|2023-12-31|print|2023-12-31",
            "a.csv|10|-|paid_has_sku|-|print|2024-02-29",
            "a.csv|11|-|late|-|print|2031-01-31",
        ]
    );
    assert_eq!(show(&cleaned.quarantined, &["text"])[2], r#"{"id":"101","status":"?","sku":"A","day":""}"#);
    // A condition that is NULL is not true, so the filter drops the row.
    assert_eq!(show(&cleaned.rows, &["id", "status", "sku", "month"]), ["1|paid|A|2024-02-01", "9|-|B|-"]);
    assert_eq!(cleaned.filtered, [("no_test".to_owned(), 3), ("low".to_owned(), 0)]);
}

#[test]
fn quarantined_records_keep_their_page() {
    let mut rows = raw(vec![texts("a", &["1", "x", "y"])]);
    assert_eq!(
        show(&clean(&contract(vec![column("a", Type::Int64)]), &rows, RawLayout::Columns).quarantined, &["_page"]),
        ["-", "-"]
    );
    rows.with_column(Column::new("_page".into(), &[Some(1i64), Some(1), Some(2)])).unwrap();
    let cleaned = clean(&contract(vec![column("a", Type::Int64)]), &rows, RawLayout::Columns);
    let shown = show(&cleaned.quarantined, &["_page", "_row", "text", "healed_by"]);
    assert_eq!(shown, [r#"1|3|{"a":"x"}|-"#, r#"2|4|{"a":"y"}|-"#]);
}

#[test]
fn faults_found_by_ingest_keep_their_text() {
    let contract = contract(vec![column("a", Type::Int64)]);
    let mut rows = raw(vec![texts("a", &["1", "2"])]);
    rows.replace("a", Column::new("a".into(), &[Some("1"), None])).unwrap();
    rows.replace("_text", Column::new("_text".into(), &[None, Some("2,\"x")])).unwrap();
    rows.replace("_fault", Column::new("_fault".into(), &[None, Some("a quote is not closed")])).unwrap();
    let cleaned = clean(&contract, &rows, RawLayout::Columns);
    assert_eq!(broken(&cleaned), ["3|-|format|a quote is not closed"]);
    assert_eq!(show(&cleaned.quarantined, &["text"]), ["2,\"x"]);
    let records = rows.drop("a").unwrap();
    let cleaned = clean(&contract, &records.tail(Some(1)), RawLayout::Json);
    assert_eq!(broken(&cleaned), ["3|-|format|a quote is not closed"]);
}

#[test]
fn ambiguous_and_skipped_local_times_are_quarantined_with_the_reason() {
    let mut at = column("at", Type::Datetime);
    at.timezone = Some("Europe/Berlin".to_owned());
    let raw =
        raw(vec![texts("at", &["2024-03-31T02:30:00", "2024-10-27 02:30", "2024-10-27T02:30:00+01:00", "2024-10-27"])]);
    let cleaned = clean(&contract(vec![at]), &raw, RawLayout::Columns);
    assert_eq!(
        broken(&cleaned),
        [
            "2|at|type|2024-03-31T02:30:00 (does not exist in Europe/Berlin)",
            "3|at|type|2024-10-27 02:30 (happens twice in Europe/Berlin)",
            "5|at|type|2024-10-27",
        ]
    );
    assert_eq!(show(&cleaned.rows, &["at"]), ["2024-10-27 01:30:00.000000+00:00"]);
}

#[test]
fn typed_columns_are_only_cast_without_loss() {
    let day = Series::new("date".into(), [Some(19_782i32), None]).cast(&DataType::Date).unwrap();
    let naive = Series::new("naive".into(), [1_720_000_000_000_000_123i64, 1_711_852_200_000_000_000]);
    let naive = naive.cast(&DataType::Datetime(TimeUnit::Nanoseconds, None)).unwrap();
    let raw = raw(vec![
        Column::new("wide".into(), [i64::from(i32::MAX), i64::from(i32::MAX) + 1]),
        Column::new("float".into(), [3.0f64, 3.5]),
        Column::new("big".into(), [1i64 << 53, (1 << 53) + 1]),
        Column::new("price".into(), [12.34f64, 12.345]),
        Column::new("nan".into(), [1.0f64, f64::NAN]),
        day.clone().into(),
        naive.into(),
        Column::new("number".into(), [Some(5i64), None]),
        Column::full_null("none".into(), 2, &DataType::Null),
    ]);
    let of = |name: &str, ty| {
        let mut column = column(name, ty);
        column.timezone = Some("Europe/Berlin".to_owned());
        let cleaned = clean(&contract(vec![column]), &raw, RawLayout::Columns);
        (show(&cleaned.rows, &[name]), broken(&cleaned))
    };
    let first = |value: &str, fault: &str| (vec![value.to_owned()], vec![fault.to_owned()]);
    assert_eq!(of("wide", Type::Int32), first("2147483647", "3|wide|type|2147483648"));
    assert_eq!(of("float", Type::Int64), first("3", "3|float|type|3.5"));
    assert_eq!(of("big", Type::Float64), first("9007199254740992.0", "3|big|type|9007199254740993"));
    assert_eq!(of("price", Type::Decimal { precision: 12, scale: 2 }), first("12.34", "3|price|type|12.345"));
    assert_eq!(of("nan", Type::Float64), first("1.0", "3|nan|type|NaN"));
    assert_eq!(of("date", Type::Datetime).0, ["2024-02-28 23:00:00.000000+00:00", "-"]);
    assert_eq!(of("naive", Type::Datetime).0, ["2024-07-03 07:46:40.000000+00:00"]);
    assert_eq!(of("number", Type::String).0, ["5", "-"]);
    assert_eq!(of("none", Type::Decimal { precision: 3, scale: 1 }).0, ["-", "-"]);
    let cleaner = Cleaner::new(&contract(vec![column("date", Type::Int64)]), "").unwrap();
    let error = cleaner.clean(&raw, RawLayout::Columns).unwrap_err();
    assert_eq!(
        error.to_string(),
        "column `date`: the source holds date, which cannot be converted to i64 without loss; declare another type"
    );
}

#[test]
fn a_missing_column_is_reported_with_the_most_similar() {
    let raw = raw(vec![texts("CustomerID", &["1"]), texts("Country", &["UK"])]);
    let cleaner = Cleaner::new(&contract(vec![column("customer_id", Type::Int64)]), "").unwrap();
    let error = cleaner.clean(&raw, RawLayout::Columns).unwrap_err();
    assert_eq!(
        error.to_string(),
        "column `customer_id`: the source has no column `customer_id`; did you mean `CustomerID`?; it has `CustomerID`, `Country`"
    );
}

#[test]
fn invalid_contracts_are_refused() {
    let message = |change: fn(&mut Contract)| {
        let mut contract =
            contract(vec![column("n", Type::Int64), column("s", Type::String), column("at", Type::Datetime)]);
        change(&mut contract);
        Cleaner::new(&contract, "").unwrap_err().to_string()
    };
    assert_eq!(message(|c| c.columns[0].min = Some("x".to_owned())), "column `n`: min is no i64: \"x\"");
    assert!(
        message(|c| c.columns[1].pattern = Some("(".to_owned()))
            .starts_with("column `s`: pattern is not a regular expression")
    );
    assert!(message(|c| c.columns[0].pattern = Some("1".to_owned())).contains("is for strings, not for i64"));
    assert!(message(|c| c.columns[2].formats = vec!["%Q!".to_owned()]).starts_with("column `at`: format"));
    assert!(message(|c| c.columns[2].formats = vec!["%H:%M".to_owned()]).contains("does not describe"));
    assert!(
        message(|c| c.columns[2].timezone = Some("Europe/Atlantis".to_owned())).starts_with("column `at`: timezone")
    );
    assert_eq!(message(|c| c.checks = vec![rule("x", "n +")]), "check `x` is not valid SQL over the clean columns");
    assert_eq!(message(|c| c.checks = vec![rule("x", "nn > 1")]), "check `x` is not valid SQL over the clean columns");
    assert_eq!(
        message(|c| c.filters = vec![rule("x", "n + 1")]),
        "filter `x` is not a condition: it returns i64; compare it with a value"
    );
}

#[test]
fn frames_without_rows_are_cleaned() {
    let mut contract = contract(vec![column("n", Type::Int64)]);
    contract.checks = vec![rule("x", "n > 1")];
    let cleaned = clean(&contract, &raw(vec![texts("n", &[])]), RawLayout::Columns);
    assert_eq!(cleaned.rows.height(), 0);
    clean(&contract, &records(&[]), RawLayout::Json);
}

#[test]
fn a_column_can_be_the_partition() {
    let mut contract = contract(vec![column("country", Type::String), column("n", Type::Int64)]);
    contract.partition_by = Some(PartitionBy {
        column: "country".parse().unwrap(),
        every: None,
        name: "country".parse().unwrap(),
        timezone: None,
    });
    let cleaned =
        clean(&contract, &raw(vec![texts("country", &["UK", "FR"]), texts("n", &["1", "x"])]), RawLayout::Columns);
    assert_eq!(show(&cleaned.rows, &["country", "n"]), ["UK|1"]);
    assert_eq!(show(&cleaned.quarantined, &["day"]), ["-"]);
}

/// The text of a clean value is read as the same value.
#[test]
fn casts_round_trip() {
    let values = ["-9223372036854775808", "9223372036854775807", "0", "-1"];
    let cleaned = clean(&contract(vec![column("n", Type::Int64)]), &raw(vec![texts("n", &values)]), RawLayout::Columns);
    assert_eq!(show(&cleaned.rows, &["n"]), values);
    let digits = format!("{}.{}", "9".repeat(20), "9".repeat(18));
    let values = [digits.as_str(), "-0.000000000000000001", "0.000000000000000000"];
    let ty = Type::Decimal { precision: 38, scale: 18 };
    let cleaned = clean(&contract(vec![column("d", ty)]), &raw(vec![texts("d", &values)]), RawLayout::Columns);
    assert_eq!(show(&cleaned.rows, &["d"]), values);
    let values = ["0001-01-01", "1600-02-29", "1969-12-31", "9999-12-31"];
    let cleaned = clean(&contract(vec![column("d", Type::Date)]), &raw(vec![texts("d", &values)]), RawLayout::Columns);
    assert_eq!(show(&cleaned.rows, &["d"]), values);
    let values =
        ["0001-01-01 00:00:00.000000+00:00", "1969-12-31 23:59:59.999999+00:00", "9999-12-31 23:59:59.999999+00:00"];
    let cleaned =
        clean(&contract(vec![column("d", Type::Datetime)]), &raw(vec![texts("d", &values)]), RawLayout::Columns);
    assert_eq!(show(&cleaned.rows, &["d"]), values);
}
