//! `tidemark new`: the generated pipeline is checked and run without changes.

use polars::prelude::*;
use serde_json::{Value, json};

use crate::support::project::{MORNING, Site, public_data};

/// Generates a pipeline from a file, checks it and runs it; returns the answer of `new`.
#[track_caller]
fn generate(site: &Site, name: &str, from: &str) -> Value {
    let document = site.ask(&["new", name, "--from", from]).expect(0).json();
    let keys: Vec<_> = document.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["file", "columns", "key", "rows_sampled"]);
    assert_eq!(document["file"], format!("infra/pipelines/{name}.toml"));
    let checked = site.ask(&["check"]).expect(0).json();
    assert!(checked["pipelines"].as_array().unwrap().contains(&json!(name)), "{checked}");
    site.ask(&["run", name, "--at", MORNING]).expect(0);
    document
}

fn text_of(site: &Site, name: &str) -> String {
    std::fs::read_to_string(site.path(&format!("infra/pipelines/{name}.toml"))).unwrap()
}

/// `name type from` of every column.
fn columns(document: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = document["columns"].as_array().unwrap();
    all.iter().map(|column| [&column["name"], &column["type"], &column["from"]].map(text).join(" ")).collect()
}

#[track_caller]
fn assert_clean(site: &Site, dataset: &str, rows: u64) {
    let count = |of: &str| site.sql(&format!("SELECT COUNT(*) AS n FROM {of}"))[0][0].clone();
    assert_eq!(
        (count(dataset), count(&format!("{dataset}.quarantine"))),
        (json!(rows), json!(0)),
        "{}",
        text_of(site, dataset)
    );
}

#[test]
fn a_csv_with_every_dialect_option() {
    let site = Site::new();
    let mut text = "Order No;Größe;order;Sold at;Updated-At;Betrag (€);paid?;ZIP;note\r\n".to_owned();
    for n in 0..30 {
        let (amount, zip) =
            if n == 7 { ("N/A".to_owned(), "-".to_owned()) } else { (format!("{n}.5"), format!("0{n:04}")) };
        let paid = ["yes", "no"][n % 2];
        text += &format!(
            "A-{n};{n};{n};{}.03.2026 08:{n:02};2026-03-01T10:00:00Z;{amount};{paid};{zip};\"a;\"\"b\"\"\nc\"\r\n",
            1 + n % 28
        );
    }
    site.write("in/orders.csv", windows_1252(&text));
    let document = generate(&site, "orders", "in/orders.csv");
    assert_eq!(
        columns(&document),
        [
            "order_no string Order No",
            "größe int64 Größe",
            "order_ int64 order",
            "sold_at datetime Sold at",
            "updated_at datetime Updated-At",
            "betrag decimal(18,3) Betrag (€)",
            "paid bool paid?",
            "zip string ZIP",
            "note string note",
        ]
    );
    assert_eq!((&document["key"], &document["rows_sampled"]), (&json!(["order_no"]), &json!(30)));
    assert_clean(&site, "orders", 30);
    let text = text_of(&site, "orders");
    for line in [
        r#"path = "in/orders.csv""#,
        r#"csv = { delimiter = ";", encoding = "windows-1252" }"#,
        r#"key = ["order_no"]"#,
        "# 30 of 30 values unique",
        r#"latest_by = "updated_at""#,
        r#"partition_by = { column = "sold_at", every = "day", as = "sold_on" }"#,
        r#"format = "%d.%m.%Y %H:%M""#,
        r#"nulls = ["", "N/A"]"#,
        "without time zone: UTC",
    ] {
        assert!(text.contains(line), "no {line:?} in:\n{text}");
    }
    assert_eq!(text.matches("required = true").count(), 1, "{text}");
    assert_eq!(site.sql("SELECT COUNT(*) AS n FROM orders WHERE betrag IS NULL"), [[1]]);
    // The commented lines of the file are valid too.
    let (kept, later) = text.split_once("# [[model]]").unwrap();
    let later = format!("# [[model]]{later}").replace("\n# ", "\n").replace("# [[model]]", "[[model]]");
    site.write("infra/pipelines/orders.toml", format!("{kept}{later}"));
    site.ask(&["run", "orders", "--at", MORNING]).expect(0);
    assert_eq!(site.sql("SELECT SUM(records) AS n FROM orders_counted"), [[30]]);
    assert!(site.path("orders.db").exists());
}

/// Windows-1252, for the letters of this test.
fn windows_1252(text: &str) -> Vec<u8> {
    let byte = |letter| match letter {
        '€' => 0x80,
        letter => u8::try_from(u32::from(letter)).unwrap(),
    };
    text.chars().map(byte).collect()
}

#[test]
fn invalid_and_duplicate_headers_get_valid_names() {
    let site = Site::new();
    site.write("in/a.csv", "id,amount,Amount,_row,\n1,2,3,x,\n2,4,5,y,\n");
    let document = generate(&site, "orders", "in/a.csv");
    assert_eq!(
        columns(&document),
        ["id int64 id", "amount int64 amount", "amount_2 int64 amount_2", "row string row", "column_5 string column_5"]
    );
    assert_eq!(document["key"], json!(["id"]));
    assert_clean(&site, "orders", 2);
    assert_eq!(
        site.sql("SELECT id, amount_2, \"row\" FROM orders ORDER BY id"),
        [[json!(1), json!(3), json!("x")], [json!(2), json!(5), json!("y")]]
    );
    // A header of which only letter case distinguishes the columns, above numbers.
    site.write("in/b.csv", "a,A\n1,2\n3,4\n");
    generate(&site, "numbers", "in/b.csv");
    assert_clean(&site, "numbers", 2);
}

#[test]
fn csv_dialects_and_file_names_are_recognised() {
    let site = Site::new();
    for (name, text, rows) in [
        ("tabs.tsv", "a\tb\n1\t2026-01-01\n2\t2026-01-02\n", 2),
        ("bars.txt", "a|b\n1|x\n", 1),
        ("single.csv", "a,b\n1,'x,y'\n2,'z'\n", 2),
        ("none.csv", "id,size\n1,\"5\" wide\n2,\"6\" wide\n", 2),
        ("one.csv", "a\n1\n", 1),
        ("marked.csv", "\u{feff}id;b\n1;2\n", 1),
        ("empty.csv", "a,b\n", 0),
        ("$${HOME}.csv", "${a},b\n1,2\n", 1),
        ("mac.csv", "a,b\r1,2\r3,4\r", 2),
    ] {
        let stem = name.split('.').next().unwrap();
        let pipeline: String = stem.chars().filter(char::is_ascii_lowercase).collect();
        let pipeline = if pipeline.is_empty() { "odd".to_owned() } else { pipeline };
        site.write(&format!("in/{name}"), text);
        if name.contains('{') {
            // The name is read as a glob.
            site.ask(&["new", &pipeline, "--from", &format!("in/{name}")]).fails(
                2,
                "definition",
                &["not a single file"],
            );
            continue;
        }
        generate(&site, &pipeline, &format!("in/{name}"));
        assert_clean(&site, &pipeline, rows);
    }
    assert!(text_of(&site, "bars").contains("format = \"csv\"\ncsv = { delimiter = \"|\" }"));
    assert!(text_of(&site, "tabs").contains("csv = { delimiter = \"\\t\" }"));
    // An absolute path is kept.
    let absolute = site.path("in/one.csv").display().to_string();
    generate(&site, "absolute", &absolute);
    assert!(text_of(&site, "absolute").contains(&absolute));
}

#[test]
fn json_records_are_flattened() {
    let site = Site::new();
    let mut text = String::new();
    for n in 0..25 {
        text += &format!(
            "{{\"id\": \"c{n}\", \"customer\": {{\"name\": \"x\", \"zip\": \"00123\"}}, \"tags\": [1, \"a\"], \"amount\": {n}.25, \
             \"count\": {n}, \"ok\": {}, \"at\": \"2026-0{}-01T00:00:00+01:00\", \"a/b~\": null, \"select\": 1, \"${{x}}\": 2}}\n",
            n % 2 == 0,
            1 + n % 9,
        );
    }
    text += "{\"id\": \"late\", \"extra\": {\"deep\": {\"er\": 1e-30}}, \"at\": null}\n";
    site.write("in/events.ndjson", text);
    let document = generate(&site, "events", "in/events.ndjson");
    assert_eq!(
        columns(&document),
        [
            "id string /id",
            "customer_name string /customer/name",
            "customer_zip string /customer/zip",
            "tags string /tags",
            "amount decimal(18,4) /amount",
            "count int64 /count",
            "ok bool /ok",
            "at datetime /at",
            "a_b string /a~1b~0",
            "select_ int64 /select",
            "x int64 /${x}",
            "extra_deep_er float64 /extra/deep/er",
        ]
    );
    assert_eq!(document["key"], json!(["id"]));
    assert_clean(&site, "events", 26);
    let text = text_of(&site, "events");
    assert!(text.contains(r#"customer_name = { type = "string", from = "/customer/name" }"#), "{text}");
    assert!(text.contains(r#"every = "month", as = "at_month""#), "{text}");
    assert_eq!(
        site.sql("SELECT tags, x, extra_deep_er FROM events WHERE id = 'c1'"),
        [[json!(r#"[1, "a"]"#), json!(2), json!(null)]]
    );
}

#[test]
fn parquet_keeps_its_types() {
    let site = Site::new();
    std::fs::create_dir(site.path("in")).unwrap();
    let mut frame = df!(
        "Item ID" => [1i32, 2, 3],
        "Name" => [Some("a"), None, Some("c")],
        "share" => [0.5f64, f64::NAN, 2.5],
        "weight" => [0.5f32, 1.1, 2.5],
        "open" => [true, false, true],
        "nothing" => [None::<i64>, None, None],
    )
    .unwrap();
    let days = Column::new("day".into(), [0i32, 1, 400]).cast(&DataType::Date).unwrap();
    let moments =
        Column::new("moment".into(), [0i64, 1, 2]).cast(&DataType::Datetime(TimeUnit::Microseconds, None)).unwrap();
    frame.with_column(days).unwrap();
    frame.with_column(moments).unwrap();
    ParquetWriter::new(std::fs::File::create(site.path("in/a.parquet")).unwrap()).finish(&mut frame).unwrap();
    let document = generate(&site, "items", "in/a.parquet");
    assert_eq!(
        columns(&document),
        [
            "item_id int64 Item ID",
            "name string Name",
            // A `float64` column of a contract cannot hold NaN.
            "share string share",
            "weight float64 weight",
            "open bool open",
            "nothing int64 nothing",
            "day date day",
            "moment datetime moment",
        ]
    );
    assert_clean(&site, "items", 3);
}

#[test]
fn invalid_names_and_sources_are_refused() {
    let site = Site::new();
    site.write("a.csv", "id,b\n1,2\n");
    let ask = |name: &str, from: &str| site.ask(&["new", name, "--from", from]);
    for name in ["", "Orders", "a b", "../x", "orders.toml", "1st"] {
        ask(name, "a.csv").fails(2, "definition", &["not a pipeline's name", "a-z"]);
    }
    ask("orders", "nowhere.csv").fails(2, "definition", &["nowhere.csv cannot be read"]);
    ask("orders", "s3://bucket/a.csv").fails(2, "definition", &["in a bucket"]);
    ask("orders", "*.csv").fails(2, "definition", &["not a single file"]);
    ask("orders", ".").fails(2, "definition", &["not a single file"]);
    site.write("array.json", "[{\"a\": 1}]");
    ask("orders", "array.json").fails(2, "definition", &["a JSON array", "jq"]);
    for empty in ["empty.csv", "empty.ndjson"] {
        site.write(empty, "\n");
        ask("orders", empty).fails(3, "data", &["no record"]);
    }
    site.write("book.csv", b"PK\x03\x04rest");
    ask("orders", "book.csv").fails(3, "data", &["zip archive"]);
    site.write("cut.parquet", "PAR1");
    ask("orders", "cut.parquet").fails(3, "data", &["cut.parquet"]);
    assert!(!site.path("infra").exists(), "nothing was written");

    generate(&site, "orders", "a.csv");
    let before = text_of(&site, "orders");
    ask("orders", "a.csv").fails(2, "definition", &["orders.toml already exists"]);
    assert_eq!(text_of(&site, "orders"), before);
    site.write("infra/pipelines/other.toml", before.replace("dataset = \"orders\"", "dataset = \"more_orders\""));
    ask("more-orders", "a.csv").fails(2, "definition", &["other already produces dataset more_orders"]);
}

#[test]
fn the_next_commands_are_printed() {
    let site = Site::new();
    site.write("a.csv", "id,amount\n1,2.50\n2,n/a\n3\n");
    let printed = site.call(&["new", "orders", "--from", "a.csv", "--pipelines", "mine"]).expect(0).out;
    for words in [
        "mine/orders.toml: 2 columns, from 3 records of a.csv",
        "amount  decimal(18,4)  amount",
        "`n/a` read as NULL",
        "key id: 2 of 2 values unique",
        "1 of the records cannot be read",
        "  tidemark check --pipelines mine\n  tidemark run orders --pipelines mine\n",
    ] {
        assert!(printed.contains(words), "no {words:?} in:\n{printed}");
    }
}

#[test]
fn pipelines_from_public_data_run() {
    for (name, file, rows, key) in [
        ("rates", "F/eurofxref-hist.csv.gz", 7126, json!(["date"])),
        ("countries", "F/country-codes.csv", 249, Value::Null),
        ("wiki", "B/wikiticker-2015-09-12-sampled.ndjson.gz", 39_244, json!([])),
        ("events", "B/windows_events_purplesharp_2020-10-22.ndjson.gz", 25_993, Value::Null),
        ("taxi", "C/nyc_taxi.csv", 10_320, json!([])),
    ] {
        let Some(path) = public_data(file) else { return };
        let site = Site::new();
        let document = generate(&site, name, &path.display().to_string());
        let quarantined = site.sql(&format!("SELECT COUNT(*) AS n FROM {name}.quarantine"))[0][0].as_u64().unwrap();
        assert_eq!(document["rows_sampled"].as_u64(), Some(rows.min(10_000)));
        assert_eq!(quarantined_in_sample(&site, name, rows), 0, "{name}: {}", text_of(&site, name));
        assert!(quarantined * 100 < rows, "{name}: {quarantined} of {rows}");
        assert!(key.is_null() || document["key"] == key, "{name}: {}", text_of(&site, name));
    }
}

/// Quarantined records among the first 10,000.
fn quarantined_in_sample(site: &Site, dataset: &str, rows: u64) -> u64 {
    let first = if rows <= 10_000 { u64::MAX >> 1 } else { 10_000 };
    let query = format!("SELECT COUNT(*) AS n FROM {dataset}.quarantine WHERE _row <= {first}");
    site.sql(&query)[0][0].as_u64().unwrap()
}

#[test]
fn a_pipeline_guessed_from_the_first_rows_fits_a_year_of_sales() {
    let Some(path) = public_data("A/online_retail.csv.gz") else { return };
    let site = Site::new();
    let document = generate(&site, "sales", &path.display().to_string());
    assert_eq!(
        columns(&document),
        [
            "invoice_no string InvoiceNo",
            "stock_code string StockCode",
            "description string Description",
            "quantity int64 Quantity",
            "invoice_date datetime InvoiceDate",
            "unit_price decimal(18,4) UnitPrice",
            "customer_id int64 CustomerID",
            "country string Country",
        ]
    );
    assert_eq!(document["key"], json!([]));
    assert_clean(&site, "sales", 541_909);
    assert_eq!(site.sql("SELECT SUM(quantity * unit_price) AS total FROM sales"), [[9747747.934]]);
}
