//! Each kind of change is made completely or not at all.

use super::*;

#[test]
fn an_upsert_changes_and_counts_only_different_rows() {
    let folder = Folder::new("upsert");
    let path = folder.join("new/folder/shop.db");
    let mut store = Store::open(&path).unwrap();
    assert_eq!(store.loaded(&dataset(), "orders").unwrap(), None);
    let first = orders(&[1, 2, 3, 4], &[Some("open"), Some("open"), None, Some("paid")]);
    assert_eq!(upsert(&mut store, None, 7, &first, &[]).unwrap(), loaded(4, 0, 0, 0));

    let user = "CREATE TABLE touched (id); CREATE TRIGGER t AFTER UPDATE ON orders BEGIN INSERT INTO touched VALUES (new.id); END";
    Connection::open(&path).unwrap().execute_batch(user).unwrap();
    let second = orders(&[2, 3, 4, 5], &[Some("paid"), None, None, Some("open")]);
    assert_eq!(upsert(&mut store, Some(7), 9, &second, &[1, 99]).unwrap(), loaded(1, 2, 1, 1));

    assert_eq!(store.loaded(&dataset(), "orders").unwrap(), Some(9));
    assert_eq!(texts(&path, "SELECT * FROM orders ORDER BY id"), ["2|paid", "3|-", "4|-", "5|open"]);
    assert_eq!(texts(&path, "SELECT id FROM touched"), ["2", "4"]);
    assert_eq!(texts(&path, "SELECT * FROM tidemark_loads"), ["orders|orders|9|run-1|1|2|1|1"]);
}

#[test]
fn a_repeated_load_or_one_from_another_version_writes_nothing() {
    let folder = Folder::new("twice");
    let path = folder.join("shop.db");
    let mut store = Store::open(&path).unwrap();
    let rows = orders(&[1], &[None]);
    assert_eq!(append(&mut store, None, 0, &rows).unwrap(), loaded(1, 0, 0, 0));
    // The same run gets its counts again.
    assert_eq!(append(&mut store, None, 0, &rows).unwrap(), loaded(1, 0, 0, 0));
    assert_eq!(append_of("run-2", &mut store, None, 0, &rows).unwrap(), Outcome::AlreadyLoaded);
    assert_eq!(append_of("run-2", &mut store, Some(0), 0, &rows).unwrap(), Outcome::AlreadyLoaded);
    assert_eq!(append(&mut store, None, 1, &rows).unwrap(), Outcome::Stale);
    assert_eq!(append(&mut store, Some(5), 6, &rows).unwrap(), Outcome::Stale);
    assert_eq!(texts(&path, "SELECT count(*) FROM orders"), ["1"]);
}

#[test]
fn concurrent_loads_of_a_version_load_it_once() {
    let folder = Folder::new("race");
    let path = folder.join("shop.db");
    let rows = orders(&(0..2_000).collect::<Vec<_>>(), &vec![Some("open"); 2_000]);
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let race = |run_id| append_of(run_id, &mut Store::open(&path).unwrap(), None, 3, &rows).unwrap();
        let racers = ["run-1", "run-2", "run-3", "run-4"].map(|run_id| scope.spawn(move || race(run_id)));
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    assert_eq!(outcomes.iter().filter(|&&outcome| outcome == loaded(2_000, 0, 0, 0)).count(), 1);
    assert_eq!(outcomes.iter().filter(|&&outcome| outcome == Outcome::AlreadyLoaded).count(), 3);
    assert_eq!(texts(&path, "SELECT count(*) FROM orders"), ["2000"]);
}

#[test]
fn a_failed_load_changes_nothing() {
    let folder = Folder::new("break");
    let path = folder.join("shop.db");
    let mut store = Store::open(&path).unwrap();
    let rows = orders(&[1, 2], &[None, None]);
    let _ = upsert(&mut store, None, 0, &rows, &[]).unwrap();

    let wider = df!("id" => [3_i64], "status" => [Some("x")], "note" => ["new"]).unwrap();
    let frames: Frames = vec![Ok(wider.clone()), Err(Failed::Lake)];
    let change = Change::Upsert { rows: frames, deleted_keys: keys(&[1]) };
    let result = step(&mut store, &target(&["id"]), Some(0), 1, change, &wider);
    assert!(matches!(result, Err(Failed::Lake)));

    assert_eq!(store.loaded(&dataset(), "orders").unwrap(), Some(0));
    assert_eq!(texts(&path, "SELECT * FROM orders"), ["1|-", "2|-"]);
}

#[test]
fn a_killed_load_changes_nothing() {
    let folder = Folder::new("killed");
    let path = folder.join("shop.db");
    let _ = append(&mut Store::open(&path).unwrap(), None, 0, &orders(&[1], &[None])).unwrap();

    // Copies the files during a transaction with written pages, as a kill would leave them.
    let writer = Connection::open(&path).unwrap();
    writer.execute_batch("PRAGMA cache_size = 2; PRAGMA cache_spill = 1; BEGIN IMMEDIATE").unwrap();
    for id in 0..5_000 {
        writer.execute("INSERT INTO orders VALUES (?1, 'some text to fill pages with')", [id]).unwrap();
    }
    let copy = folder.join("copy.db");
    std::fs::copy(&path, &copy).unwrap();
    std::fs::copy(folder.join("shop.db-journal"), folder.join("copy.db-journal")).unwrap();
    assert!(std::fs::metadata(&copy).unwrap().len() > 50_000, "the half transaction is not on the disk");

    let mut store = Store::open(&copy).unwrap();
    assert_eq!(store.loaded(&dataset(), "orders").unwrap(), Some(0));
    assert_eq!(append(&mut store, Some(0), 1, &orders(&[2], &[None])).unwrap(), loaded(1, 0, 0, 0));
    assert_eq!(texts(&copy, "SELECT id FROM orders"), ["1", "2"]);
}

#[test]
fn a_swap_replaces_partitions_or_all() {
    let folder = Folder::new("swap");
    let path = folder.join("shop.db");
    let mut store = Store::open(&path).unwrap();
    let days = |values: &[Option<i32>]| Series::new("day".into(), values).cast(&DataType::Date).unwrap();
    let rows = |values: &[Option<i32>], units: &[i64]| {
        DataFrame::new_infer_height(vec![days(values).into(), Series::new("units".into(), units).into()]).unwrap()
    };
    let first = rows(&[Some(0), Some(0), Some(1), None], &[1, 2, 3, 4]);
    assert_eq!(swap(&mut store, None, 0, &first, Some(days(&[Some(0), Some(1), None]))).unwrap(), loaded(4, 0, 0, 0));
    let second = rows(&[Some(0), None], &[10, 40]);
    assert_eq!(swap(&mut store, Some(0), 1, &second, Some(days(&[Some(0), None]))).unwrap(), loaded(2, 0, 0, 3));
    let sql = "SELECT * FROM orders ORDER BY day";
    assert_eq!(texts(&path, sql), ["-|40", "1970-01-01|10", "1970-01-02|3"]);
    let plan = texts(&path, "EXPLAIN QUERY PLAN DELETE FROM orders WHERE day IS '1970-01-01'");
    assert!(plan[0].contains("orders_by_day"), "{plan:?}");

    let all = rows(&[Some(5)], &[50]);
    assert_eq!(swap(&mut store, Some(1), 2, &all, None).unwrap(), loaded(1, 0, 0, 3));
    assert_eq!(texts(&path, sql), ["1970-01-06|50"]);
    assert_eq!(swap(&mut store, Some(2), 3, &all.head(Some(0)), None).unwrap(), loaded(0, 0, 0, 1));
}

#[test]
fn every_type_has_a_column_type() {
    let folder = Folder::new("types");
    let path = folder.join("shop.db");
    let frame = df!(
        "flag" => [Some(true), Some(false), None],
        "small" => [1_i32, 2, 3],
        "count" => [u32::MAX, 0, 1],
        "ratio" => [0.5, f64::INFINITY, f64::NAN],
        "name" => ["007", "", "a\u{0}b"],
        "day" => [15_316_i32, -1, 0],
        "at" => [1_323_331_200_500_000_i64, 0, -1],
        "amount" => ["12.30", "-0.05", "9999999999999.99"],
        "nothing" => [None::<i32>; 3]
    )
    .unwrap()
    .lazy()
    .with_columns([
        col("day").cast(DataType::Date),
        col("at").cast(DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC))),
        col("amount").cast(DataType::Decimal(38, 2)),
        lit(Scalar::null(DataType::Null)).alias("nothing"),
    ])
    .collect()
    .unwrap();
    let mut store = Store::open(&path).unwrap();
    assert_eq!(append(&mut store, None, 0, &frame).unwrap(), loaded(3, 0, 0, 0));
    assert_eq!(
        texts(&path, "SELECT name || ' ' || type FROM pragma_table_info('orders')"),
        [
            "flag INTEGER",
            "small INTEGER",
            "count INTEGER",
            "ratio REAL",
            "name TEXT",
            "day TEXT",
            "at TEXT",
            "amount REAL",
            "nothing "
        ]
    );
    assert_eq!(
        texts(&path, "SELECT * FROM orders"),
        [
            "1|1|4294967295|0.5|007|2011-12-08|2011-12-08T08:00:00.500000Z|12.3|-",
            "0|2|0|inf||1969-12-31|1970-01-01T00:00:00.000000Z|-0.05|-",
            "-|3|1|-|a\u{0}b|1970-01-01|1969-12-31T23:59:59.999999Z|9999999999999.99|-",
        ]
    );
    assert_eq!(append(&mut store, Some(0), 1, &frame).unwrap(), loaded(3, 0, 0, 0), "its own table suits it");
}

#[test]
fn values_that_sqlite_cannot_hold_are_refused() {
    let folder = Folder::new("unheld");
    let mut store = Store::open(&folder.join("shop.db")).unwrap();
    let amount = df!("amount" => ["1.00", "12345678901234.567"]).unwrap();
    let amount = amount.lazy().select([col("amount").cast(DataType::Decimal(20, 3))]).collect().unwrap();
    let result = append(&mut store, None, 0, &amount);
    assert!(matches!(&result, Err(Failed::Sqlite(error)) if error.is_data() && !error.is_transient()));
    let text = message(result);
    assert!(text.contains("row 2") && text.contains("\"amount\"") && text.ends_with("model"), "{text}");

    let list = df!("id" => [1_i64]).unwrap().lazy().select([col("id").implode(true)]).collect().unwrap();
    assert!(message(append(&mut store, None, 0, &list)).contains("SQLite has no type for column \"id\" (list[i64])"));
    let twins = df!("Id" => [1_i64], "iD" => [1_i64]).unwrap();
    assert!(message(append(&mut store, None, 0, &twins)).contains("columns \"Id\" and \"iD\" are the same in SQLite"));
}

#[test]
fn a_row_without_a_key_is_named() {
    let folder = Folder::new("key");
    let mut store = Store::open(&folder.join("shop.db")).unwrap();
    let good = df!("id" => [Some(1_i64), Some(2)]).unwrap();
    let bad = df!("id" => [Some(3_i64), None]).unwrap();
    let change = Change::Upsert { rows: vec![Ok(good.clone()), Ok(bad)], deleted_keys: keys(&[]) };
    let text = message(step(&mut store, &target(&["id"]), None, 0, change, &good));
    assert!(text.contains("row 4 of the change has no value in key column \"id\" of table \"orders\""), "{text}");

    let change = Change::Upsert { rows: vec![Ok(good.clone())], deleted_keys: keys(&[]) };
    assert!(message(step(&mut store, &target(&[]), None, 0, change, &good)).contains("needs a key"));
    let change = Change::Upsert { rows: vec![Ok(good.clone())], deleted_keys: keys(&[]) };
    assert!(message(step(&mut store, &target(&["nr"]), None, 0, change, &good)).contains("has no column \"nr\""));
}

#[test]
fn tables_of_key_columns_only() {
    let folder = Folder::new("keys");
    let path = folder.join("shop.db");
    let mut store = Store::open(&path).unwrap();
    let rows = df!("a\"b" => ["x", "y"], "select" => [1_i64, 1]).unwrap();
    let target = target(&["select", "a\"b"]);
    let change = || Change::Upsert { rows: vec![Ok(rows.clone())], deleted_keys: rows.head(Some(1)) };
    assert_eq!(step(&mut store, &target, None, 0, change(), &rows).unwrap(), loaded(2, 0, 0, 0));
    assert_eq!(step(&mut store, &target, Some(0), 1, change(), &rows).unwrap(), loaded(1, 0, 1, 1));
}
