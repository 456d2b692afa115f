//! Reports are written and read back: the workbook as XML, the CSVs as text.

use std::collections::BTreeMap;
use std::process::Command;

use jiff::civil::{Date, date};
use polars::prelude::*;
use tidemark_pipeline::{CellFormat, Chart, ChartKind, ColumnName, Report, Sheet, Sql};

use super::table::Table;
use super::workbook::{Built, build};
use crate::targets::folder::Folder;

const DAY: Date = date(2011, 12, 8);

fn report() -> Report {
    Report {
        name: "report".into(),
        folder: "out".into(),
        file: "daily-sales".into(),
        title: "Daily sales".into(),
        timezone: "UTC".into(),
        sheets: Vec::new(),
        inputs: Vec::new(),
    }
}

fn table(title: &str, rows: DataFrame) -> Table {
    let sheet = Sheet {
        title: title.into(),
        sql: Sql { text: String::new(), file: "daily-sales.toml".into(), line: 1 },
        formats: Vec::new(),
        labels: Vec::new(),
        charts: Vec::new(),
        when_empty: "No sales on this day.".into(),
    };
    Table { sheet, rows }
}

fn name(column: &str) -> ColumnName {
    column.parse().unwrap()
}

fn chart(kind: ChartKind, sheet: &str, category: &str, values: &[&str]) -> Chart {
    let values = values.iter().map(|column| name(column)).collect();
    Chart { kind, title: "A chart".into(), sheet: sheet.into(), category: name(category), values }
}

fn hours() -> DataFrame {
    df!("hour" => ["08:00", "09:00"], "revenue" => [482.28, 18_384.35], "orders" => [1_i64, 13]).unwrap()
}

fn refused(tables: &[Table]) -> String {
    build(&report(), DAY, tables).unwrap_err().to_string()
}

fn csv(table: Table) -> String {
    let built = build(&report(), DAY, &[table]).unwrap();
    String::from_utf8(built[1].bytes.clone()).unwrap()
}

/// The XML parts of a workbook by name. Unzipped with Python, which the tests need anyway.
fn parts(test: &str, workbook: &Built) -> BTreeMap<String, String> {
    let folder = Folder::new(test);
    let file = folder.join(&workbook.name);
    std::fs::write(&file, &workbook.bytes).unwrap();
    let script = "import json, sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); \
                  print(json.dumps({n: z.read(n).decode() for n in z.namelist()}))";
    let output = Command::new("python3").args(["-c", script]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn sheet_xml(test: &str, table: Table) -> (String, String) {
    let built = build(&report(), DAY, &[table]).unwrap();
    let mut parts = parts(test, &built[0]);
    (parts.remove("xl/worksheets/sheet1.xml").unwrap(), parts.remove("xl/sharedStrings.xml").unwrap_or_default())
}

#[test]
fn files_are_named_by_the_day_and_the_sheet() {
    let tables = ["By hour", "Top 10 – products!", "by-hour", "€", "Länder"].map(|title| table(title, hours()));
    let names: Vec<String> = build(&report(), DAY, &tables).unwrap().into_iter().map(|built| built.name).collect();
    assert_eq!(
        names,
        [
            "daily-sales-2011-12-08.xlsx",
            "daily-sales-2011-12-08-by-hour.csv",
            "daily-sales-2011-12-08-top-10-products.csv",
            "daily-sales-2011-12-08-by-hour-2.csv",
            "daily-sales-2011-12-08-sheet.csv",
            "daily-sales-2011-12-08-länder.csv",
        ]
    );
    let escaping = Report { file: "../daily".into(), ..report() };
    assert!(build(&escaping, DAY, &[]).unwrap_err().to_string().contains("without folders: \"../daily\""));
}

#[test]
fn the_same_tables_give_the_same_bytes() {
    let mut summary = table("Summary", hours());
    summary.sheet.charts = vec![chart(ChartKind::Line, "Hours", "hour", &["revenue", "orders"])];
    let mut others: Vec<Table> = (0..8).map(|n| table(&format!("Sheet {n}"), hours())).collect();
    others.extend([summary, table("Hours", hours())]);
    let first = build(&report(), DAY, &others).unwrap();
    // Times in a ZIP file have a resolution of two seconds; wait longer than that.
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    assert!(first == build(&report(), DAY, &others).unwrap());
    assert!(parts("same", &first[0])["docProps/core.xml"].contains(">2011-12-08T00:00:00Z</dcterms:created>"));
}

#[test]
fn texts_never_become_formulas_or_numbers() {
    let evil =
        ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "http://example.com", "007", "1e5", "=cmd|' /C calc'!A0"];
    let rows = df!("=name" => evil, "change" => [-5_i64; 10]).unwrap();
    let (sheet, strings) = sheet_xml("evil", table("Evil", rows.clone()));
    assert!(!sheet.contains("<f>") && !sheet.contains("hyperlink"), "{sheet}");
    assert_eq!(sheet.matches(" t=\"s\"").count(), 2 + 2 + evil.len(), "title, date, header, texts");
    assert!(strings.contains("<t>=1+1</t>") && strings.contains("<t>007</t>") && strings.contains("<t>1e5</t>"));
    assert!(strings.contains("<t>=name</t>"));

    let text = csv(table("Evil", rows));
    let lines: Vec<&str> = text.split('\n').collect();
    assert_eq!(lines[..6], ["'=name,change", "'=1+1,-5", "'+1,-5", "'-1,-5", "'@SUM(A1),-5", "'\t=1,-5"]);
    assert_eq!(lines[6..9], ["\"'\r=1\",-5", "http://example.com,-5", "007,-5"]);
    assert_eq!(lines[10..], ["'=cmd|' /C calc'!A0,-5", ""]);
}

#[test]
fn values_keep_their_types() {
    let rows = df!(
        "text" => [Some("a,\"b\"\nc"), None],
        "flag" => [Some(true), None],
        "whole" => [9_007_199_254_740_993_i64, 12_345],
        "ratio" => [f64::NEG_INFINITY, f64::NAN],
        "amount" => ["1234567.80", "-0.05"],
        "huge" => ["1234567890123456.78", "1.00"],
        "day" => [15_316_i32, -40_000],
        "at" => [1_323_331_200_500_000_i64, 0]
    )
    .unwrap()
    .lazy()
    .with_columns([
        cols(["amount", "huge"]).as_expr().cast(DataType::Decimal(38, 2)),
        col("day").cast(DataType::Date),
        col("at").cast(DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC))),
    ])
    .collect()
    .unwrap();
    assert_eq!(
        csv(table("Values", rows.clone())),
        "text,flag,whole,ratio,amount,huge,day,at\n\
         \"a,\"\"b\"\"\nc\",true,9007199254740993,-inf,1234567.80,1234567890123456.78,2011-12-08,2011-12-08T08:00:00.5Z\n\
         ,,12345,NaN,-0.05,1.00,1860-06-26,1970-01-01T00:00:00Z\n"
    );
    let (sheet, strings) = sheet_xml("values", table("Values", rows));
    for number in
        ["<v>1234567.8</v>", "<v>-0.05</v>", "<v>12345</v>", "<v>40885</v>", "<v>40885.33333912037</v>", "<v>25569</v>"]
    {
        assert!(sheet.contains(number), "{number} in {sheet}");
    }
    for text in ["9007199254740993", "1234567890123456.78", "-inf", "NaN", "1860-06-26"] {
        assert!(strings.contains(&format!("<t>{text}</t>")), "{text} in {strings}");
    }
    assert!(sheet.contains("<c r=\"B5\" s=\"") && sheet.contains(" t=\"b\"><v>1</v>"));
    let blank = sheet.split("<c r=\"A6\"").nth(1).unwrap();
    assert!(blank.split_once('>').unwrap().0.ends_with('/'), "a NULL is a cell without a value");
}

#[test]
fn a_long_text_is_cut_in_the_workbook_only() {
    let long = "😀".repeat(20_000);
    let rows = df!("text" => [long.as_str()]).unwrap();
    let (_, strings) = sheet_xml("long", table("Long", rows.clone()));
    let shown = strings.split("<t>").find(|text| text.starts_with('😀')).unwrap().split('<').next().unwrap();
    assert_eq!(shown.encode_utf16().count(), 32_767);
    assert!(shown.ends_with("😀…"));
    assert_eq!(csv(table("Long", rows)), format!("text\n{long}\n"));
}

#[test]
fn an_empty_table_has_a_message_and_no_chart() {
    let mut empty = table("Hours", hours().head(Some(0)));
    empty.sheet.charts = vec![chart(ChartKind::Column, "Hours", "hour", &["revenue"])];
    let mut full = table("Summary", hours());
    full.sheet.charts = vec![chart(ChartKind::Column, "Hours", "hour", &["revenue"])];
    let built = build(&report(), DAY, &[empty, full]).unwrap();
    let parts = parts("empty", &built[0]);
    assert!(parts["xl/sharedStrings.xml"].contains("No sales on this day."));
    assert!(!parts.keys().any(|part| part.contains("chart") || part.contains("drawing")));
    assert_eq!(built[1].bytes, b"hour,revenue,orders\n");
}

#[test]
fn a_sheet_has_title_date_labels_and_formats() {
    let rows = df!("average_order" => [1.5], "share" => [0.125]).unwrap();
    let mut sheet = table("Summary", rows);
    sheet.sheet.formats = vec![(name("average_order"), CellFormat::Money), (name("share"), CellFormat::Percent)];
    sheet.sheet.labels = vec![(name("share"), "Share of all".into())];
    let built = build(&report(), DAY, &[sheet]).unwrap();
    let parts = parts("labels", &built[0]);
    for text in ["Daily sales", "Thursday, 8 December 2011", "Average order", "Share of all"] {
        assert!(parts["xl/sharedStrings.xml"].contains(&format!("<t>{text}</t>")), "{text}");
    }
    for format in ["#,##0.00;[Red]-#,##0.00", "0.0%;[Red]-0.0%"] {
        assert!(parts["xl/styles.xml"].contains(&format!("formatCode=\"{format}\"")), "{format}");
    }
    let xml = &parts["xl/worksheets/sheet1.xml"];
    assert!(
        xml.contains("state=\"frozen\"") && xml.contains("orientation=\"landscape\"") && !xml.contains("<autoFilter")
    );

    let long = df!("n" => (0..21).collect::<Vec<i64>>()).unwrap();
    let (xml, _) = sheet_xml("filter", table("Long", long));
    assert!(xml.contains("<autoFilter ref=\"A4:A25\""));
}

#[test]
fn charts_draw_from_other_sheets_and_lie_beside_the_table() {
    let mut summary = table("Summary", hours());
    let kinds = [ChartKind::Column, ChartKind::Bar, ChartKind::Line];
    summary.sheet.charts = kinds.map(|kind| chart(kind, "By 'hour'!", "hour", &["revenue"])).into();
    let source = table("By 'hour'!", hours());
    let built = build(&report(), DAY, &[summary.clone(), source.clone()]).unwrap();
    let parts = parts("charts", &built[0]);
    let chart_xml = &parts["xl/charts/chart1.xml"];
    assert!(chart_xml.contains("<c:f>'By ''hour''!'!$B$5:$B$6</c:f>"), "{chart_xml}");
    assert!(chart_xml.contains("A chart") && !chart_xml.contains("<c:legend>"));
    let drawing = &parts["xl/drawings/drawing1.xml"];
    assert_eq!(drawing.matches("<xdr:from><xdr:col>").count(), 3);
    assert!(!drawing.contains("<xdr:from><xdr:col>0<") && !drawing.contains("<xdr:from><xdr:col>2<"), "{drawing}");

    for (chart, message) in [
        (
            chart(ChartKind::Bar, "Hours", "hour", &["revenue"]),
            "draws from sheet \"Hours\", which the report does not have",
        ),
        (
            chart(ChartKind::Bar, "Summary", "day", &["revenue"]),
            "draws column \"day\", which sheet \"Summary\" does not have",
        ),
        (chart(ChartKind::Bar, "Summary", "hour", &["hour"]), "draws column \"hour\", which holds no numbers (str)"),
    ] {
        summary.sheet.charts = vec![chart];
        let text = refused(&[summary.clone(), source.clone()]);
        assert!(text.contains(message), "{text}");
    }
}

#[test]
fn content_that_excel_cannot_hold_is_refused() {
    for title in ["", "a/b", "[x]", "'x", "History", "tab\t", &"x".repeat(32)] {
        assert!(refused(&[table(title, hours())]).contains("cannot have this title in Excel"), "{title}");
    }
    assert!(
        refused(&[table("Hours", hours()), table("HOURS", hours())]).contains("two sheets have the title \"HOURS\"")
    );
    let many = df!("n" => vec![true; 1_048_573]).unwrap();
    assert!(refused(&[table("Many", many)]).contains("has 1048573 rows, but Excel allows 1048572"));
    let list = hours().lazy().select([col("hour").implode(true)]).collect().unwrap();
    assert!(refused(&[table("List", list)]).contains("of a type a report cannot show (list[str])"));
    let never = df!("day" => [i32::MAX]).unwrap().lazy().select([col("day").cast(DataType::Date)]).collect().unwrap();
    assert!(refused(&[table("Never", never)]).contains("row 1 of sheet \"Never\" has a date beyond the years"));
}
