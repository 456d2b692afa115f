//! `verify` finds every difference between table and dataset, and none where the server only changes the notation.

use polars::prelude::*;

use crate::support::postgres_load::{LoadHarness, UPSERT, numbered};

fn dated() -> DataFrame {
    let rows = numbered(0..30, |id| format!("n{id}"));
    let day = (col("id") % lit(3_i64)).cast(DataType::Int32).cast(DataType::Date).alias("day");
    rows.lazy().with_column(day).collect().unwrap()
}

/// Partition, rows in the lake, rows in the table, refused rows, and whether they are equal.
fn compared(lab: &LoadHarness, target: &str) -> Vec<(String, u64, u64, u64, bool)> {
    let of = |one: load::PartitionComparison| (one.partition, one.lake_rows, one.table_rows, one.refused, one.same);
    lab.verify(target).partitions.into_iter().map(of).collect()
}

#[test]
fn loaded_rows_are_equal() {
    let Some(lab) = LoadHarness::new() else { return };
    assert_eq!(lab.verify(UPSERT).version, None);
    assert!(!lab.verify(UPSERT).is_same(), "nothing was loaded yet");
    let rows = df!(
        "id" => [1_i64, 2, 3, 4],
        "float" => [Some(f64::NAN), Some(-0.0), None, Some(f64::INFINITY)],
        "single" => [Some(-0.0_f32), Some(f32::NAN), None, Some(1.5)],
        "money" => ["0.00", "-12.30", "1000000.00", "9999999999.99"],
        "text" => [Some(""), Some("é\t\\"), None, Some("x")],
        "doc" => [Some("{\"b\": 1.0, \"a\": [1]}"), Some("null"), None, Some("1e2")],
    )
    .unwrap();
    let money = col("money").cast(DataType::Decimal(12, 2));
    lab.commit("d", &rows.lazy().with_column(money).collect().unwrap());
    // A `numeric` without scale keeps the digits as loaded.
    lab.query("CREATE TABLE t (id bigint PRIMARY KEY, money numeric, mine text DEFAULT 'x')");
    let target = format!("{UPSERT}types = {{ doc = 'jsonb', text = 'varchar(9)' }}");
    lab.load(&target);
    let verified = lab.verify(&target);
    assert!(verified.is_same(), "{verified:#?}");
    assert_eq!(verified.null_checked, ["doc"]);
    lab.query("UPDATE t SET money = -12.3000 WHERE id = 2; UPDATE t SET float = 0 WHERE id = 2; UPDATE t SET doc = '{}' WHERE id = 1");
    assert!(lab.verify(&target).is_same(), "equal to the server is equal");
    lab.query("UPDATE t SET doc = NULL WHERE id = 1");
    assert!(!lab.verify(&target).is_same(), "a NULL is seen in any column");
}

#[test]
fn differences_are_reported_per_partition() {
    let Some(lab) = LoadHarness::new() else { return };
    lab.commit_by("d", &dated(), Some("day"));
    lab.load(UPSERT);
    let same = |day: &str| (day.to_owned(), 10, 10, 0, true);
    assert_eq!(compared(&lab, UPSERT), [same("1970-01-01"), same("1970-01-02"), same("1970-01-03")]);
    lab.query(
        "UPDATE t SET note = 'other' WHERE id = 0; DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (100, 'x', '1970-01-03'), \
         (101, 'x', '1999-12-31'), (102, 'x', NULL)",
    );
    let reported = |day: &str, ours, theirs| (day.to_owned(), ours, theirs, 0, false);
    assert_eq!(
        compared(&lab, UPSERT),
        [
            reported("1970-01-01", 10, 10),
            reported("1970-01-02", 10, 9),
            reported("1970-01-03", 10, 11),
            reported("1999-12-31", 0, 1),
            reported("NULL", 0, 1),
        ]
    );
    // Two rows with swapped values are a difference.
    lab.query("DELETE FROM t WHERE id >= 100");
    lab.load_full(UPSERT);
    assert!(lab.verify(UPSERT).is_same());
    lab.query("UPDATE t SET note = CASE id WHEN 0 THEN 'n3' ELSE 'n0' END WHERE id IN (0, 3)");
    assert_eq!(compared(&lab, UPSERT)[0], reported("1970-01-01", 10, 10));
}

#[test]
fn refused_rows_are_counted_separately() {
    let Some(lab) = LoadHarness::new() else { return };
    lab.commit_by("d", &dated(), Some("day"));
    lab.query("CREATE TABLE t (id bigint PRIMARY KEY CHECK (id <> 4), note text, day date)");
    let target = format!("{UPSERT}max_refused = 2");
    lab.load(&target);
    assert_eq!(compared(&lab, &target)[1], ("1970-01-02".to_owned(), 9, 9, 1, true));
    // The table is compared with the version that was loaded.
    lab.commit_by("d", &dated().head(Some(5)), Some("day"));
    let verified = lab.verify(&target);
    assert_eq!((verified.version, verified.latest_version, verified.is_same()), (Some(0), Some(1), true));
}
