use super::*;

fn sales() -> LazyFrame {
    df!(
        "invoice" => ["1", "1", "C2", "3"],
        "quantity" => [2i64, 1, -1, 7],
        "country" => [Some("UK"), Some("UK"), None, Some("France")],
        "unit" => ["0.100", "2.550", "2.550", "99999999.999"],
        "day" => ["2011-12-08", "2011-12-08", "2011-12-07", "2011-12-01"],
        "at" => ["2011-12-08T08:26:00", "2011-12-08T17:01:00", "2011-12-07T09:00:00", "2011-12-01T10:00:00"],
    )
    .unwrap()
    .lazy()
    .with_columns([
        col("unit").cast(DataType::Decimal(12, 3)).alias("unit"),
        col("day").cast(DataType::Date),
        col("at").str().to_datetime(Some(TimeUnit::Microseconds), None, StrptimeOptions::default(), lit("raise")),
    ])
    .with_column(col("at").dt().replace_time_zone(
        Some(polars::prelude::TimeZone::UTC),
        lit("raise"),
        NonExistent::Raise,
    ))
}

fn run(sql: &str) -> Result<DataFrame, String> {
    let quarantine = df!("rule" => ["type", "min"], "_row" => [4i64, 5]).unwrap().lazy();
    let tables = vec![("sales".parse().unwrap(), sales()), ("sales.quarantine".parse().unwrap(), quarantine)];
    let frame = query(sql, tables).map_err(|error| error.to_string())?;
    frame.collect().map_err(|error| error.to_string())
}

fn print(sql: &str) {
    println!("{sql}");
    match run(sql) {
        Ok(frame) => {
            for column in frame.columns() {
                let values: Vec<String> = column.as_materialized_series().iter().map(|v| v.to_string()).collect();
                println!("    {} {}: {}", column.name(), column.dtype(), values.join(" | "));
            }
        }
        Err(error) => println!("    ERROR {error}"),
    }
}

#[test]
fn explore() {
    for sql in [
        "SELECT DATE('2011-12-08') AS d, DATE('2011-12-08') - INTERVAL '7 days' AS e",
        "SELECT count(*) AS n FROM sales WHERE at >= DATE('2011-12-08') AND at < DATE('2011-12-08') + INTERVAL '1 day'",
        "SELECT count(*) AS n FROM sales WHERE day = '2011-12-08'",
        "SELECT invoice FROM sales UNION ALL SELECT rule AS invoice FROM \"sales.quarantine\" ORDER BY invoice LIMIT 3",
        "SELECT * FROM (SELECT invoice FROM sales UNION ALL SELECT rule FROM \"sales.quarantine\") t ORDER BY invoice LIMIT 3",
        "SELECT 1 WHERE 1 = 0",
        "SELECT s.country, t.m FROM sales s, (SELECT MAX(quantity) AS m FROM sales) t",
        "SELECT count(*) FROM sales.quarantine",
        "SELECT q.rule FROM sales.quarantine AS q JOIN \"sales.quarantine\" p ON q._row = p._row",
        "SELECT quantity * unit AS v FROM sales",
        "SELECT SUM(quantity * unit) AS v, SUM(unit) AS u, AVG(unit) AS a, SUM(quantity) FROM sales",
        "SELECT SUM(quantity * unit) / COUNT(DISTINCT invoice) AS v FROM sales",
        "SELECT CAST(SUM(quantity * unit) AS DECIMAL(18,2)) AS v FROM sales",
        "SELECT ROUND(SUM(quantity * unit), 2) AS v FROM sales",
        "SELECT * FROM sales WHERE day = DATE '2011-12-08'",
        "SELECT * FROM sales WHERE day = CAST('2011-12-08' AS DATE)",
        "SELECT count(*) FROM sales WHERE day = DATE '2011-12-08' - INTERVAL '7 days'",
        "SELECT count(*) FROM sales WHERE day BETWEEN DATE '2011-12-08' - INTERVAL '7 days' AND DATE '2011-12-08'",
        "SELECT DATE '2011-12-08' AS d, DATE '2011-12-08' - INTERVAL '1 day' AS e",
        "SELECT COUNT(DISTINCT CASE WHEN invoice LIKE 'C%' THEN invoice END) AS c FROM sales",
        "SELECT COUNT(DISTINCT invoice) FILTER (WHERE invoice LIKE 'C%') AS c FROM sales",
        "SELECT EXTRACT(HOUR FROM at) AS h, COUNT(*) AS n FROM sales GROUP BY EXTRACT(HOUR FROM at) ORDER BY h",
        "SELECT EXTRACT(HOUR FROM at) AS h, COUNT(*) AS n FROM sales GROUP BY h ORDER BY h",
        "SELECT invoice, ROW_NUMBER() OVER (ORDER BY quantity DESC) AS n, RANK() OVER (ORDER BY country) AS r FROM sales",
        "SELECT invoice, ROW_NUMBER() OVER (PARTITION BY country ORDER BY quantity DESC) AS n FROM sales",
        "SELECT invoice, SUM(quantity) OVER (PARTITION BY country) AS n FROM sales",
        "SELECT invoice FROM sales UNION ALL SELECT rule FROM \"sales.quarantine\" ORDER BY invoice LIMIT 3",
        "WITH a AS (SELECT country, SUM(quantity) AS q FROM sales GROUP BY country), b AS (SELECT MAX(q) AS m FROM a) SELECT a.*, b.m FROM a CROSS JOIN b ORDER BY q",
        "SELECT COALESCE(country, 'unknown') AS c, ROUND(SUM(quantity) * 1.0 / 3, 2) AS r FROM sales GROUP BY c ORDER BY r DESC LIMIT 10",
        "SELECT a.invoice, b.rule FROM sales a LEFT JOIN \"sales.quarantine\" b ON a.quantity = b._row ORDER BY 1",
        "SELECT (SELECT SUM(quantity) FROM sales) AS s",
        "SELECT quantity FROM sales WHERE quantity > (SELECT AVG(quantity) FROM sales)",
        "SELECT country FROM sales WHERE invoice IN (SELECT invoice FROM sales WHERE quantity < 0)",
        "SELECT SUM(quantity * unit) AS s FROM sales WHERE day = DATE '1999-01-01'",
        "SELECT COUNT(*) AS n, COALESCE(SUM(quantity), 0) AS s FROM sales WHERE day = DATE '1999-01-01'",
        "SELECT SUM(CASE WHEN day = DATE '2011-12-08' THEN quantity * unit END) AS s FROM sales",
        "SELECT SUM(CASE WHEN day = DATE '2011-12-08' THEN quantity * unit ELSE 0 END) AS s FROM sales",
        "SELECT country, SUM(quantity) AS s FROM sales GROUP BY country HAVING SUM(quantity) > 2",
        "SELECT DATE_TRUNC('month', day) AS m FROM sales",
        "SELECT STRFTIME(day, '%Y-%m') AS m FROM sales",
        "SELECT CAST(at AS DATE) AS d FROM sales",
        "SELECT SUM(quantity * unit) / NULLIF(SUM(quantity), 0) AS r FROM sales",
        "SELECT SUM(CAST(quantity AS DECIMAL(38,0)) * unit) AS r FROM sales",
        "SELECT first(country) AS f, max(unit) m FROM sales",
        "SELECT nothere FROM sales",
        "SELECT 1 FROM nothere",
        "SELEC 1",
        "SELECT 'a' || 'b' AS c, UPPER('x') AS u, 7 / 2 AS i, 7 % 2 AS m",
        "SELECT quantity::int AS q, unit::decimal(20,2) AS u FROM sales",
        "DROP TABLE sales",
    ] {
        print(sql);
    }
}
