//! Existing databases and tables: those of users, other kinds of files, locked and full databases.

use super::*;

#[test]
fn additions_of_users_to_a_table_are_kept() {
    let folder = Folder::new("user");
    let path = folder.join("shop.db");
    let mut store = Store::open(&path).unwrap();
    let _ = upsert(&mut store, None, 0, &orders(&[1, 2], &[Some("open"), Some("open")]), &[]).unwrap();
    let user = "ALTER TABLE orders ADD COLUMN seen TEXT DEFAULT 'no'; UPDATE orders SET seen = 'yes' WHERE id = 1;
                CREATE INDEX mine ON orders (status); CREATE VIEW open AS SELECT * FROM orders WHERE status = 'open'";
    Connection::open(&path).unwrap().execute_batch(user).unwrap();

    let wider = df!("id" => [1_i64, 3], "STATUS" => ["paid", "open"], "note" => [Some("n"), None]).unwrap();
    assert_eq!(upsert(&mut store, Some(0), 1, &wider, &[2]).unwrap(), loaded(1, 1, 0, 1));
    assert_eq!(texts(&path, "SELECT id, status, seen, note FROM orders ORDER BY id"), ["1|paid|yes|n", "3|open|no|-"]);
    assert_eq!(texts(&path, "SELECT count(*) FROM sqlite_schema WHERE name IN ('mine', 'open')"), ["2"]);
}

#[test]
fn an_existing_table_is_used_if_it_is_suitable() {
    let folder = Folder::new("own");
    let path = folder.join("shop.db");
    let rows = orders(&[1], &[Some("Open")]);
    let make = |sql: &str| {
        let _ = std::fs::remove_file(&path);
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        Store::open(&path).unwrap()
    };
    for suits in [
        "CREATE TABLE Orders (status VARCHAR(9), id BIGINT UNIQUE)",
        "CREATE TABLE orders (id INT, status, more); CREATE UNIQUE INDEX u ON orders (id)",
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, status TEXT COLLATE NOCASE) STRICT, WITHOUT ROWID",
    ] {
        let mut store = make(suits);
        assert_eq!(upsert(&mut store, None, 0, &rows, &[]).unwrap(), loaded(1, 0, 0, 0), "{suits}");
        let other_case = orders(&[1], &[Some("open")]);
        assert_eq!(upsert(&mut store, Some(0), 1, &other_case, &[]).unwrap(), loaded(0, 1, 0, 0), "{suits}");
    }
    for (sql, expected) in [
        (
            "CREATE TABLE orders (id TEXT PRIMARY KEY, status TEXT)",
            "column \"id\" of table \"orders\" is declared \"TEXT\"",
        ),
        ("CREATE TABLE orders (id INT PRIMARY KEY, status NUMERIC)", "cannot hold the dataset's str without loss"),
        ("CREATE TABLE orders (id INT, status TEXT)", "CREATE UNIQUE INDEX \"orders_key\" ON \"orders\" (\"id\")"),
        ("CREATE TABLE orders (id INT, status TEXT, UNIQUE (id, status))", "no unique index on its key"),
        (
            "CREATE TABLE orders (id INT, status TEXT); CREATE UNIQUE INDEX u ON orders (id) WHERE id > 5",
            "no unique index",
        ),
        ("CREATE VIEW orders AS SELECT 1 AS id, 'x' AS status", "\"orders\" is a view, not a table"),
    ] {
        let result = upsert(&mut make(sql), None, 0, &rows, &[]);
        assert!(matches!(&result, Err(Failed::Sqlite(error)) if !error.is_data() && !error.is_transient()), "{sql}");
        let text = message(result);
        assert!(text.contains(expected), "{sql}: {text}");
    }
    let mut store = make("CREATE TABLE orders (id INT PRIMARY KEY, status TEXT CHECK (status <> 'Open'))");
    let result = upsert(&mut store, None, 0, &rows, &[]);
    assert!(
        message(result)
            .contains("row 1 of the change breaks a constraint of table \"orders\" <- CHECK constraint failed")
    );
    let mut reserved = target(&["id"]);
    reserved.to.table = "Tidemark_Loads".into();
    let change = Change::Append { rows: vec![Ok(rows.clone())] };
    assert!(message(step(&mut store, &reserved, None, 0, change, &rows)).contains("reserved for the record of loads"));
}

#[test]
fn a_table_that_was_dropped_is_loaded_in_full() {
    let folder = Folder::new("dropped");
    let path = folder.join("shop.db");
    let mut store = Store::open(&path).unwrap();
    let rows = orders(&[1], &[None]);
    let _ = append(&mut store, None, 4, &rows).unwrap();
    Connection::open(&path).unwrap().execute_batch("DROP TABLE orders").unwrap();
    assert_eq!(store.loaded(&dataset(), "orders").unwrap(), None);
    assert_eq!(append(&mut store, None, 4, &rows).unwrap(), loaded(1, 0, 0, 0));
}

#[test]
fn other_files_are_refused() {
    let folder = Folder::new("files");
    let text = folder.join("text.db");
    std::fs::write(&text, "id,status\n1,open\n".repeat(100)).unwrap();
    let error = Store::open(&text).unwrap_err();
    assert!(
        !error.is_transient() && error.to_string().contains("text.db: the file is not a SQLite database"),
        "{error}"
    );
    let error = Store::open(&folder.join("text.db/shop.db")).unwrap_err();
    assert!(error.to_string().contains("the database's folder cannot be found or created"), "{error}");
    let error = Store::open(&folder.join("")).unwrap_err();
    assert!(error.to_string().contains("choose a writable file (not a folder)"), "{error}");

    let absent = folder.join("absent.db");
    assert!(Store::open_existing(&absent).unwrap().is_none());
    assert!(!absent.exists());
    let path = folder.join("shop.db");
    let _ = append(&mut Store::open(&path).unwrap(), None, 0, &orders(&[1], &[None])).unwrap();
    let mut reader = Store::open_existing(&path).unwrap().unwrap();
    assert_eq!(reader.loaded(&dataset(), "orders").unwrap(), Some(0));
    assert!(message(append(&mut reader, Some(0), 1, &orders(&[1], &[None]))).contains("cannot be opened or written"));
}

#[test]
fn a_locked_or_full_database_is_a_transient_error() {
    let folder = Folder::new("held");
    let path = folder.join("shop.db");
    let mut store = Store::open(&path).unwrap();
    store.connection.busy_timeout(std::time::Duration::from_millis(50)).unwrap();
    let holder = Connection::open(&path).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let result = append(&mut store, None, 0, &orders(&[1], &[None]));
    assert!(matches!(&result, Err(Failed::Sqlite(error)) if error.is_transient()));
    assert!(message(result).contains("another process has locked the database for more than 30 s"));
    drop(holder);

    store.connection.execute_batch("PRAGMA max_page_count = 3").unwrap();
    let many = orders(&(0..5_000).collect::<Vec<_>>(), &vec![Some("open"); 5_000]);
    let result = append(&mut store, None, 0, &many);
    assert!(matches!(&result, Err(Failed::Sqlite(error)) if error.is_transient()));
    assert!(message(result).contains("the disk has no room for the database"));
    assert_eq!(texts(&path, "SELECT count(*) FROM sqlite_schema"), ["0"]);
}

#[test]
fn an_unfinished_transaction_of_a_killed_process_is_rolled_back() {
    let folder = Folder::new("killed");
    let path = folder.join("shop.db");
    let _ = append(&mut Store::open(&path).unwrap(), None, 4, &orders(&[1], &[None])).unwrap();
    // A transaction larger than the cache writes new pages to the file and old ones to the journal; SIGKILL leaves both.
    let half = "PRAGMA cache_size = 1; BEGIN; UPDATE tidemark_loads SET version = 5;
                WITH RECURSIVE n (id) AS (SELECT 2 UNION ALL SELECT id + 1 FROM n WHERE id < 20000)
                INSERT INTO orders SELECT id, 'open' FROM n";
    let writer = Connection::open(&path).unwrap();
    writer.execute_batch(half).unwrap();
    let dead = folder.join("dead.db");
    std::fs::copy(&path, &dead).unwrap();
    std::fs::copy(folder.join("shop.db-journal"), folder.join("dead.db-journal")).unwrap();

    let reader = Store::open_existing(&dead).unwrap().unwrap();
    assert_eq!(reader.loaded(&dataset(), "orders").unwrap(), Some(4));
    assert_eq!(texts(&dead, "SELECT count(*) FROM orders"), ["1"]);
}
