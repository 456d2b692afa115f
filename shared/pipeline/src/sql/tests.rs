use super::*;

fn tables(sql: &str) -> String {
    match query(sql, false) {
        Ok(tables) => tables.iter().map(|table| table.name.as_str()).collect::<Vec<_>>().join(" "),
        Err(faults) => text(&faults),
    }
}

fn text(faults: &[SqlFault]) -> String {
    let line = |fault: &SqlFault| {
        let hint = fault.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
        format!("{}:{}: {}; expected {}{hint}", fault.at.line, fault.at.column, fault.found, fault.expected)
    };
    faults.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn rule(sql: &str) -> String {
    let columns: Vec<ColumnName> =
        ["quantity", "amount", "customer"].iter().map(|name| name.parse().unwrap()).collect();
    expression(sql, &columns).map(|()| "good".to_owned()).unwrap_or_else(|faults| text(&faults))
}

#[test]
fn tables_in_order_of_first_use() {
    assert_eq!(tables("SELECT * FROM sales"), "sales");
    assert_eq!(tables("SELECT * FROM b JOIN a ON a.x = b.x JOIN b AS c ON TRUE;"), "b a");
    assert_eq!(tables("SELECT 1"), "");
    assert_eq!(tables("SELECT * FROM sales.quarantine, \"sales.raw\""), "sales.quarantine sales.raw");
    assert_eq!(tables("SELECT * FROM a UNION ALL (SELECT * FROM b EXCEPT SELECT * FROM c)"), "a b c");
    assert_eq!(tables("SELECT (SELECT max(x) FROM b) FROM a WHERE y IN (SELECT y FROM c)"), "b a c");
}

#[test]
fn tables_of_a_with_are_its_own() {
    assert_eq!(tables("WITH x AS (SELECT * FROM a), y AS (SELECT * FROM x, b) SELECT * FROM y JOIN x ON TRUE"), "a b");
    // within its own query the name refers to the dataset
    assert_eq!(tables("WITH sales AS (SELECT * FROM sales WHERE ok) SELECT * FROM sales"), "sales");
    // as it does outside the parentheses
    assert_eq!(tables("SELECT * FROM (WITH t AS (SELECT * FROM a) SELECT * FROM t) AS q, t"), "a t");
    assert_eq!(tables("WITH t AS (SELECT 1 AS one) SELECT * FROM (SELECT * FROM t) AS q"), "");
    assert_eq!(tables("WITH t AS (WITH u AS (SELECT * FROM a) SELECT * FROM u) SELECT * FROM t, u"), "a u");
}

#[test]
fn what_is_not_a_query() {
    assert_eq!(tables("DROP TABLE sales"), "1:1: a statement that is not a query; expected one `SELECT …` or `WITH …`");
    assert_eq!(tables("SELECT 1; SELECT 2"), "1:11: `SELECT` after the query; expected its end");
    assert_eq!(tables("SELECT *\nFRM sales"), "2:1: `FRM` after the query; expected its end");
    assert_eq!(tables("SELECT 1 +"), "0:0: the SQL ends too early; expected an expression");
    assert_eq!(tables("SELECT a FROM sales\nWHERE )"), "2:7: the SQL does not parse at `)`; expected an expression");
    assert_eq!(
        tables("SELECT 'open FROM sales"),
        "1:8: the SQL does not parse: unterminated string literal; expected valid SQL in the dialect of polars"
    );
    assert_eq!(
        tables("SELECT * FROM read_csv('/etc/passwd')"),
        "1:15: the table function `read_csv`; expected the name of a dataset"
    );
    assert!(tables("WITH x AS (SELECT 1) DELETE FROM a").contains("expected"));
    assert!(tables("SELECT * INTO b FROM a").contains("SELECT INTO"));
    assert!(tables("TABLE a").contains("expected"));
    assert!(tables("").contains("expected"));
    assert!(tables("\0").contains("expected"));
}

#[test]
fn the_day_is_for_reports() {
    assert_eq!(
        tables("SELECT * FROM s WHERE d = :day"),
        "1:27: the placeholder `:day`; expected SQL without placeholders; \
         `:day` is only available in the sheets of a report"
    );
    assert!(query("SELECT :day - INTERVAL '1 day' FROM s WHERE d = :day", true).is_ok());
    let faults = query("SELECT :today, $1", true).unwrap_err();
    assert_eq!(faults.len(), 2, "{}", text(&faults));
}

#[test]
fn rules_are_about_the_columns_of_one_row() {
    assert_eq!(rule("quantity * amount >= 0 AND customer <> 'TEST'"), "good");
    assert_eq!(rule("\"quantity\" IS NOT NULL OR abs(amount) BETWEEN 1 AND 2"), "good");
    assert_eq!(
        rule("quantty > 0"),
        "1:1: unknown column `quantty`; expected a column of the contract; did you mean `quantity`?"
    );
    assert_eq!(
        rule("customer <> \"TEST\""),
        "1:13: unknown column `TEST`; expected a column of the contract; text is written 'TEST'"
    );
    assert_eq!(rule("sum(amount) > 0"), "1:1: `sum(…)` depends on several rows; expected an expression over one row");
    assert!(rule("row_number() OVER (ORDER BY amount) = 1").contains("depends on several rows"));
    assert_eq!(
        rule("amount > 0 amount"),
        "1:12: `amount` after the expression; expected one SQL expression, as after WHERE"
    );
    assert!(rule("amount IN (SELECT 1)").contains("a query in an expression"));
    assert!(rule("amount = :day").contains("placeholder"));
    assert!(rule("").contains("expected"));
}

#[test]
fn deep_and_long_sql_is_refused_and_overflows_nothing() {
    let deep = format!("SELECT {}1{}", "(".repeat(20_000), ")".repeat(20_000));
    assert_eq!(tables(&deep), "1:1: SQL that is nested too deeply; expected fewer levels");
    let chain = format!("SELECT 1{}", "+1".repeat(20_000));
    assert_eq!(tables(&chain), "1:1: SQL with 20001 operators; expected at most 1000".replace("20001", "20000"));
    assert_eq!(tables(&format!("SELECT 1{}", "+1".repeat(900))), "");
    assert_eq!(tables(&format!("SELECT 1{}", " UNION SELECT 1".repeat(900))), "");
    assert!(tables(&format!("SELECT {}1", "NOT ".repeat(30_000))).contains("expected"));
    assert!(tables(&format!("SELECT a{}", "[1]".repeat(20_000))).contains("expected"));
    assert!(tables(&format!("SELECT a{}", "::int".repeat(12_000))).contains("expected"));
    assert!(tables(&format!("SELECT {}", "a,".repeat(30_000))).is_empty());
    assert!(tables(&" ".repeat(70_000)).contains("bytes"));
}
