use super::*;

fn sales() -> LazyFrame {
    let at = ["2011-12-08T08:26:00", "2011-12-08T17:01:00", "2011-12-07T09:00:00", "2011-12-01T10:00:00"];
    let instants: Vec<i64> =
        at.iter().map(|at| format!("{at}Z").parse::<jiff::Timestamp>().unwrap().as_microsecond()).collect();
    let at = Int64Chunked::from_vec("at".into(), instants);
    let at = at.into_datetime(TimeUnit::Microseconds, Some(polars::prelude::TimeZone::UTC)).into_series();
    let unit: Int128Chunked = [100, 2_550, 2_550, 99_999_999_999i128].into_iter().map(Some).collect();
    let unit = unit.into_decimal_unchecked(12, 3).into_series().with_name("unit".into());
    let mut frame = df!(
        "invoice" => ["1", "1", "C2", "3"],
        "quantity" => [2i64, 1, -1, 7],
        "country" => [Some("UK"), Some("UK"), None, Some("France")],
    )
    .unwrap();
    frame.with_column(unit.into()).unwrap();
    frame.with_column(at.cast(&DataType::Date).unwrap().with_name("day".into()).into()).unwrap();
    frame.with_column(at.into()).unwrap();
    frame.lazy()
}

fn frame(sql: &str) -> Result<DataFrame, String> {
    let quarantine = df!("rule" => ["type", "min"], "_row" => [4i64, 7]).unwrap().lazy();
    let tables = vec![("sales".parse().unwrap(), sales()), ("sales.quarantine".parse().unwrap(), quarantine)];
    let frame = query(sql, tables).map_err(|error| error.to_string())?;
    frame.collect().map_err(|error| error.to_string())
}

/// The rows of a result, with values separated by `|`.
fn rows(sql: &str) -> Vec<String> {
    let frame = frame(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let text = |row: usize| {
        let values = frame.columns().iter().map(|column| column.get(row).unwrap().to_string().replace('"', ""));
        values.collect::<Vec<_>>().join("|")
    };
    (0..frame.height()).map(text).collect()
}

fn error(sql: &str) -> String {
    frame(sql).unwrap_err()
}

#[test]
fn quarantine_is_a_table() {
    assert_eq!(rows("SELECT count(*) AS n FROM sales.quarantine"), ["2"]);
    assert_eq!(rows("SELECT count(*) AS n FROM \"sales.quarantine\""), ["2"]);
    assert_eq!(rows("SELECT sales.quarantine.rule FROM Sales.Quarantine ORDER BY 1 LIMIT 1"), ["min"]);
    assert_eq!(
        rows(
            "SELECT s.invoice, q.rule FROM sales AS s LEFT JOIN sales.quarantine AS q ON s.quantity = q._row ORDER BY 1, 2"
        ),
        ["1|null", "1|null", "3|min", "C2|null"]
    );
    assert_eq!(rows("SELECT 'sales.quarantine' AS text FROM sales LIMIT 1"), ["sales.quarantine"]);
}

#[test]
fn the_day_is_bound_outside_of_texts_and_comments() {
    let day = jiff::civil::date(2011, 12, 8);
    let sql = "SELECT ':day', \":day\", `:day`, 'it''s :day' /* :day */ FROM t -- :day\nWHERE d=:day AND x::day AND :days AND a:day";
    let bound = "SELECT ':day', \":day\", `:day`, 'it''s :day' /* :day */ FROM t -- :day\nWHERE d=DATE '2011-12-08' AND x::day \
                 AND :days AND aDATE '2011-12-08'";
    assert_eq!(bind_day(sql, day), bound);
    assert_eq!(bind_day("'open :day", day), "'open :day");
    assert_eq!(bind_day("é:day/*", day), "éDATE '2011-12-08'/*");
    let count = |condition: &str| rows(&bind_day(&format!("SELECT count(*) AS n FROM sales WHERE {condition}"), day));
    assert_eq!(count("day = :day"), ["2"]);
    assert_eq!(count("day = :day - INTERVAL '7 days'"), ["1"]);
    assert_eq!(count("day BETWEEN :day - INTERVAL '1 day' AND :day"), ["3"]);
    assert_eq!(count("at >= :day AND at < :day + INTERVAL '1 day'"), ["2"]);
    assert_eq!(rows(&bind_day("SELECT :day AS day", day)), ["2011-12-08"]);
    assert_eq!(
        rows(&bind_day("SELECT SUM(CASE WHEN day = :day THEN quantity * unit END) AS s FROM sales", day)),
        ["2.750"]
    );
}

#[test]
fn sums_of_decimals_are_exact() {
    let result = frame("SELECT SUM(quantity * unit) OVER () AS s, quantity * unit AS p FROM sales ORDER BY p").unwrap();
    assert_eq!(result.column("p").unwrap().dtype(), &DataType::Decimal(38, 3));
    assert_eq!(result.column("s").unwrap().dtype(), &DataType::Decimal(38, 3));
    assert_eq!(rows("SELECT SUM(quantity * unit) AS s FROM sales"), ["700000000.193"]);
    // A quotient has the scale of the dividend.
    assert_eq!(rows("SELECT SUM(quantity * unit) / COUNT(DISTINCT invoice) AS s FROM sales"), ["233333333.398"]);
    assert_eq!(rows("SELECT ROUND(SUM(quantity * unit), 2) AS s FROM sales"), ["700000000.190"]);
    assert_eq!(rows("SELECT CAST(SUM(quantity * unit) AS DECIMAL(18,2)) AS s FROM sales"), ["700000000.19"]);
    assert_eq!(rows("SELECT SUM(quantity * unit) AS s FROM sales WHERE quantity > 100"), ["null"]);
}

#[test]
fn functions_that_reports_need_exist() {
    for (sql, expected) in [
        ("SELECT COUNT(DISTINCT CASE WHEN invoice LIKE 'C%' THEN invoice END) AS c FROM sales", vec!["1"]),
        ("SELECT COUNT(DISTINCT invoice) FILTER (WHERE invoice NOT LIKE 'C%') AS c FROM sales", vec!["2"]),
        (
            "SELECT EXTRACT(HOUR FROM at) AS h, COUNT(*) AS n FROM sales GROUP BY h ORDER BY h",
            vec!["8|1", "9|1", "10|1", "17|1"],
        ),
        (
            "SELECT invoice, ROW_NUMBER() OVER (ORDER BY quantity DESC) AS n FROM sales ORDER BY n",
            vec!["3|1", "1|2", "1|3", "C2|4"],
        ),
        (
            "SELECT quantity, RANK() OVER (PARTITION BY invoice ORDER BY quantity DESC) AS n FROM sales ORDER BY 1",
            vec!["-1|1", "1|2", "2|1", "7|1"],
        ),
        (
            "SELECT * FROM (SELECT invoice FROM sales UNION ALL SELECT rule FROM sales.quarantine) AS u ORDER BY invoice LIMIT 3",
            vec!["1", "1", "3"],
        ),
        (
            "WITH a AS (SELECT country, SUM(quantity) AS q FROM sales GROUP BY country), b AS (SELECT MAX(q) AS m FROM a) \
             SELECT COALESCE(a.country, 'unknown') AS c, a.q, b.m FROM a CROSS JOIN b ORDER BY q DESC",
            vec!["France|7|7", "UK|3|7", "unknown|-1|7"],
        ),
        ("SELECT country FROM sales WHERE invoice IN (SELECT invoice FROM sales WHERE quantity > 5)", vec!["France"]),
        ("SELECT country, SUM(quantity) AS s FROM sales GROUP BY country HAVING SUM(quantity) > 5", vec!["France|7"]),
        ("SELECT COUNT(*) AS n, COALESCE(SUM(quantity), 0) AS s FROM sales WHERE day = DATE '1999-01-01'", vec!["0|0"]),
        ("SELECT STRFTIME(day, '%Y-%m') AS m, CAST(at AS DATE) AS d FROM sales LIMIT 1", vec!["2011-12|2011-12-08"]),
        ("SELECT 7 / 2 AS half, 7 % 2 AS rest, ROUND(2.345, 2) AS r, 'a' || 'b' AS ab", vec!["3.5|1|2.35|ab"]),
    ] {
        assert_eq!(rows(sql), expected, "{sql}");
    }
}

#[test]
fn counts_are_signed() {
    let result = frame("SELECT COUNT(*) AS n, COUNT(DISTINCT invoice) AS d FROM sales").unwrap();
    assert!(result.columns().iter().all(|column| column.dtype() == &DataType::Int64));
}

#[test]
fn mistakes_are_reported_in_one_line() {
    assert_eq!(error("SELECT 1 FROM nothere"), "SQL: unknown dataset `nothere`; available are sales, sales.quarantine");
    assert!(
        error("SELECT nothere FROM sales")
            .starts_with("SQL: not found: unable to find column \"nothere\"; valid columns")
    );
    assert!(error("SELECT * FROM sales WHERE").contains("sql parser error"));
    assert_eq!(error("SELEC 1"), "SQL: expected SELECT or WITH, found SELEC");
    assert_eq!(error("-- nothing"), "SQL: expected SELECT or WITH, found nothing");
    assert_eq!(error("DROP TABLE sales"), "SQL: expected SELECT or WITH, found DROP");
    assert_eq!(error("SELECT * FROM READ_parquet('x')"), "SQL: READ_parquet reads files; a query reads datasets only");
    assert!(error("SELECT 1; DROP TABLE sales").contains("one (and only one) statement"));
    assert!(error("SELECT DATE_TRUNC('month', day) FROM sales").contains("unsupported function"));
    assert!(error("SELECT (SELECT 1) AS x FROM sales").contains("unexpected subquery"));
}
