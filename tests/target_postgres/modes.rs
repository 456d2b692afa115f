//! Each mode applies the changes of a dataset to the table, which then has the rows of the dataset.

use polars::prelude::*;
use tidemark_flow::{ErrorKind, Status};

use crate::support::postgres_load::{LoadHarness, UPSERT, counts, numbered};

const SWAP: &str = "dataset = 'd'\ntable = 't'\nmode = 'swap'\n";
const APPEND: &str = "dataset = 'd'\ntable = 't'\nmode = 'append'\n";

/// Rows with an id, the column they are partitioned by, and a text.
fn rows(rows: &[(i64, Option<&str>, &str)]) -> DataFrame {
    df!(
        "id" => rows.iter().map(|row| row.0).collect::<Vec<_>>(),
        "part" => rows.iter().map(|row| row.1).collect::<Vec<_>>(),
        "note" => rows.iter().map(|row| row.2).collect::<Vec<_>>(),
    )
    .unwrap()
}

fn table(lab: &LoadHarness) -> Vec<String> {
    lab.lines("SELECT id, coalesce(quote_literal(part), 'NULL'), note FROM t ORDER BY id, note")
}

#[test]
fn a_swap_replaces_the_changed_partitions() {
    let Some(lab) = LoadHarness::new() else { return };
    let load = |all: &[(i64, Option<&str>, &str)]| {
        lab.commit_by("d", &rows(all), Some("part"));
        let [written, _, _, deleted, _] = counts(&lab.load(SWAP));
        let expected: Vec<String> = all
            .iter()
            .map(|(id, part, note)| {
                format!("{id},{},{note}", part.map_or("NULL".to_owned(), |part| format!("'{part}'")))
            })
            .collect();
        assert_eq!(table(&lab), expected);
        (written, deleted)
    };
    let (a, b, none, empty) = (Some("a"), Some("b"), None, Some(""));
    assert_eq!(load(&[(1, a, "x"), (2, a, "x"), (2, a, "x"), (3, b, "x"), (4, none, "x"), (5, empty, "x")]), (6, 0));
    assert_eq!(
        lab.lines("SELECT indexdef FROM pg_indexes WHERE tablename = 't'"),
        ["CREATE INDEX t_part_idx ON public.t USING btree (part)"]
    );
    // Only the changed partition is written.
    assert_eq!(load(&[(1, a, "y"), (2, a, "x"), (2, a, "x"), (3, b, "x"), (4, none, "x"), (5, empty, "x")]), (3, 3));
    // NULL and the empty text are one partition.
    assert_eq!(load(&[(1, a, "y"), (2, a, "x"), (2, a, "x"), (3, b, "x"), (4, none, "z"), (5, empty, "x")]), (2, 2));
    // A partition is removed, one is added, and a row moves.
    assert_eq!(load(&[(1, Some("c"), "y"), (2, a, "x"), (4, none, "z"), (5, empty, "x")]), (2, 4));
    // Partitioned by another column: everything is replaced.
    lab.commit_by("d", &rows(&[(1, a, "p"), (2, b, "q")]), Some("note"));
    assert_eq!(counts(&lab.load(SWAP)), [2, 0, 0, 4, 0]);
    assert_eq!(table(&lab), ["1,'a',p", "2,'b',q"]);
    // Without partitions, then without rows, then with a row again.
    lab.commit("d", &rows(&[(1, a, "p")]));
    assert_eq!(counts(&lab.load(SWAP)), [1, 0, 0, 2, 0]);
    lab.commit("d", &rows(&[]));
    assert_eq!(counts(&lab.load(SWAP)), [0, 0, 0, 1, 0]);
    lab.commit("d", &rows(&[(9, none, "r")]));
    assert_eq!(counts(&lab.load(SWAP)), [1, 0, 0, 0, 0]);
    // Changes by others stay until a full load.
    lab.query("UPDATE t SET note = 'other'; INSERT INTO t VALUES (10, 'mine', 'mine')");
    assert_eq!(lab.run(SWAP).status, Status::NothingToDo);
    lab.load_full(SWAP);
    assert!(table(&lab).contains(&"9,NULL,r".to_owned()), "{:?}", table(&lab));
}

#[test]
fn a_swap_by_day_keeps_unchanged_days() {
    let Some(lab) = LoadHarness::new() else { return };
    let days = |ids: std::ops::Range<i64>| {
        let rows = numbered(ids, |id| id.to_string()).lazy();
        rows.with_column((col("id") % lit(5)).cast(DataType::Int32).cast(DataType::Date).alias("day"))
            .collect()
            .unwrap()
    };
    lab.commit_by("d", &days(0..50), Some("day"));
    assert_eq!(counts(&lab.load(SWAP)), [50, 0, 0, 0, 0]);
    // Rows of others, in an unchanged day and in a changed one.
    lab.query("INSERT INTO t VALUES (-1, 'mine', '1970-01-05'), (-2, 'mine', '1970-01-01')");
    lab.commit_by("d", &days(0..51), Some("day"));
    assert_eq!(counts(&lab.load(SWAP)), [11, 0, 0, 11, 0]);
    assert_eq!(lab.one("SELECT count(*), count(*) FILTER (WHERE id < 0), sum(id) FROM t"), "52,1,1274");
}

#[test]
fn an_append_adds_only_new_rows() {
    let Some(lab) = LoadHarness::new() else { return };
    lab.commit("d", &numbered(0..10, |id| id.to_string()));
    assert_eq!(counts(&lab.load(APPEND)), [10, 0, 0, 0, 0]);
    lab.query("CREATE INDEX ON t (id)");
    lab.commit("d", &numbered(2..15, |id| if id == 3 { "changed".to_owned() } else { id.to_string() }));
    assert_eq!(counts(&lab.load(APPEND))[0], 6);
    assert_eq!(lab.one("SELECT count(*), count(*) FILTER (WHERE id = 3), sum(id) FROM t"), "16,2,108");
    // A full load appends nothing either.
    assert_eq!(lab.run_at(&lab.url, APPEND, true).status, Status::NothingToDo);
    lab.commit("d", &rows(&[(1, None, "x")]));
    let error = lab.fail(APPEND);
    assert_eq!(error.kind, ErrorKind::Definition);
    assert!(error.message.contains("whose columns have changed since"), "{error:?}");
    assert!(error.hint.as_ref().is_some_and(|hint| hint.contains("drop table t")), "{error:?}");
    assert_eq!(lab.one("SELECT count(*) FROM t"), "16");
}

#[test]
fn without_a_key_a_refused_row_is_named_by_its_position() {
    let Some(lab) = LoadHarness::new() else { return };
    for target in [SWAP, APPEND] {
        lab.query(
            "DROP TABLE IF EXISTS t, tidemark_loads; CREATE TABLE t (id bigint, note text CHECK (note <> 'bad')); \
             INSERT INTO t VALUES (100, 'before')",
        );
        for (bad, message) in [
            (
                "bad",
                "row 4 of the change is refused: new row for relation \"t\" violates check constraint \"t_note_check\"",
            ),
            ("a\0b", "row 4 of the change: column \"note\" has a NUL character"),
        ] {
            lab.commit("d", &numbered(0..6, |id| if id == 3 { bad.to_owned() } else { id.to_string() }));
            let error = lab.fail(target);
            assert!(error.kind == ErrorKind::Data && error.message.contains(message), "{error:?}");
            assert!(error.hint.is_some_and(|hint| hint.contains("correct the row") && !hint.contains("max_refused")));
            assert_eq!(lab.lines("SELECT id FROM t"), ["100"]);
        }
    }
}

#[test]
fn an_upsert_moves_updates_and_deletes_rows() {
    let Some(lab) = LoadHarness::new() else { return };
    let load = |all: &[(i64, Option<&str>, &str)]| {
        lab.commit_by("d", &rows(all), Some("part"));
        let found = counts(&lab.load(UPSERT));
        let texts: Vec<String> = all
            .iter()
            .map(|(id, part, note)| {
                format!("{id},{},{note}", part.map_or("NULL".to_owned(), |part| format!("'{part}'")))
            })
            .collect();
        assert_eq!(table(&lab), texts);
        found
    };
    let (a, b) = (Some("a"), Some("b"));
    assert_eq!(load(&[(1, a, "x"), (2, a, "x"), (3, b, "x"), (4, None, "x"), (5, Some(""), "x")]), [5, 0, 0, 0, 0]);
    // 2 moves, 3 is removed, 4 and 5 change between NULL and the empty text, 6 is added.
    assert_eq!(load(&[(1, a, "x"), (2, b, "x"), (4, Some(""), "x"), (5, None, "x"), (6, a, "y")]), [1, 3, 1, 1, 0]);
    // 2 and 6 swap partitions.
    assert_eq!(load(&[(1, a, "x"), (2, a, "x"), (4, Some(""), "x"), (5, None, "x"), (6, b, "y")])[1..2], [2]);
    assert_eq!(load(&[]), [0, 0, 0, 5, 0]);
    assert_eq!(load(&[(7, a, "x")]), [1, 0, 0, 0, 0]);

    // A full load corrects changes by others and keeps their rows.
    lab.query("UPDATE t SET note = 'other', part = NULL; INSERT INTO t VALUES (100, 'mine', 'mine')");
    assert_eq!(lab.run(UPSERT).status, Status::NothingToDo);
    assert_eq!(counts(&lab.load_full(UPSERT)), [0, 1, 0, 0, 0]);
    assert_eq!(table(&lab), ["7,'a',x", "100,'mine',mine"]);

    // Another key needs a unique index, and is then used to find the rows.
    lab.commit("d", &rows(&[(8, a, "x")]));
    let by_note = UPSERT.replace("'id'", "'note'");
    let error = lab.fail(&by_note);
    assert!(error.message.contains("has no unique index on its key"), "{error:?}");
    assert!(error.hint.as_ref().is_some_and(|hint| hint.contains("(\"note\")")), "{error:?}");
    lab.query("CREATE UNIQUE INDEX ON t (note)");
    assert_eq!(counts(&lab.load(&by_note)), [0, 1, 0, 0, 0]);
    assert_eq!(table(&lab), ["8,'a',x", "100,'mine',mine"]);
}

#[test]
fn two_datasets_in_one_table_keep_their_own_rows() {
    let Some(lab) = LoadHarness::new() else { return };
    let other = UPSERT.replace("'d'", "'e'");
    lab.commit("d", &numbered(0..10, |id| format!("d {id}")));
    lab.commit("e", &numbered(10..20, |id| format!("e {id}")));
    lab.load(UPSERT);
    assert_eq!(counts(&lab.load(&other)), [10, 0, 0, 0, 0]);
    assert_eq!(lab.one("SELECT count(*) FROM t"), "20");
    lab.commit("e", &numbered(15..25, |id| format!("e {id}")));
    assert_eq!(counts(&lab.load(&other))[3], 5);
    assert_eq!(lab.run(UPSERT).status, Status::NothingToDo);
    assert_eq!(lab.one("SELECT count(*), sum(id) FROM t"), "20,240");
    assert_eq!(lab.lines("SELECT dataset, version FROM tidemark_loads ORDER BY 1"), ["d,0", "e,1"]);
}

#[test]
fn small_memory_gives_the_same_table() {
    const ROWS: i64 = 5_000;
    let before = numbered(0..ROWS, |id| format!("note {}", id * 7919 % 1000));
    let after =
        numbered(
            100..ROWS + 100,
            |id| if id % 3 == 0 { "new".to_owned() } else { format!("note {}", id * 7919 % 1000) },
        );
    let mut found = Vec::new();
    for memory in [1 << 30, 100_000] {
        let Some(lab) = LoadHarness::new() else { return };
        let lab = lab.with_memory(memory);
        lab.commit("d", &before);
        for (target, name) in [(UPSERT, "u"), (SWAP, "s"), (APPEND, "a")] {
            lab.load(&target.replace("'t'", &format!("'{name}'")));
        }
        lab.commit("d", &after);
        for (target, name) in [(UPSERT, "u"), (SWAP, "s"), (APPEND, "a")] {
            let record = lab.load(&target.replace("'t'", &format!("'{name}'")));
            found.push((
                counts(&record),
                lab.one(&format!("SELECT count(*), sum(id), md5(string_agg(note, ',' ORDER BY id, note)) FROM {name}")),
            ));
        }
    }
    let (one, many) = found.split_at(3);
    assert_eq!(one, many);
    assert_eq!(one[0].0, [100, 1633, 3267, 100, 0]);
}

/// Without `MERGE` (before PostgreSQL 15), or where the server keeps no statistics, from which the counts of a `MERGE` are read.
#[test]
fn without_merge_the_result_is_the_same() {
    let Some(lab) = LoadHarness::new() else { return };
    lab.query("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET track_counts = off', current_database()); END $$");
    lab.query("CREATE TABLE t (id bigint PRIMARY KEY, note text)");
    lab.commit("d", &numbered(0..1_000, |id| id.to_string()));
    lab.load(UPSERT);
    lab.query("ALTER TABLE t ADD CHECK (note <> 'bad')");
    let next = |id| match id {
        700 => "bad".to_owned(),
        id if id % 10 == 0 => format!("{id}!"),
        id => id.to_string(),
    };
    lab.commit("d", &numbered(100..1_050, next));
    let record = lab.load(&format!("{UPSERT}max_refused = 1"));
    assert_eq!(counts(&record), [50, 89, 810, 100, 1]);
    assert_eq!(
        lab.one("SELECT count(*), count(*) FILTER (WHERE note LIKE '%!'), max(note) FILTER (WHERE id = 700) FROM t"),
        "950,94,700"
    );
}
