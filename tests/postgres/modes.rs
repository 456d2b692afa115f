//! What changed in a dataset comes into the table by each mode, and the table then has what the dataset has.

use polars::prelude::*;
use tidemark_flow::{ErrorKind, Status};

use super::load_harness::{LoadHarness, UPSERT, counts, numbered};

const SWAP: &str = "dataset = 'd'\ntable = 't'\nmode = 'swap'\n";
const APPEND: &str = "dataset = 'd'\ntable = 't'\nmode = 'append'\n";

/// Rows with an id, a part by which they are partitioned, and a text.
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
fn a_swap_puts_partitions_in_place_of_what_they_were() {
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
    // only the partition that changed
    assert_eq!(load(&[(1, a, "y"), (2, a, "x"), (2, a, "x"), (3, b, "x"), (4, none, "x"), (5, empty, "x")]), (3, 3));
    // NULL and the empty text lie in one partition
    assert_eq!(load(&[(1, a, "y"), (2, a, "x"), (2, a, "x"), (3, b, "x"), (4, none, "z"), (5, empty, "x")]), (2, 2));
    // one that is there no more, one that is new, and a row that moves
    assert_eq!(load(&[(1, Some("c"), "y"), (2, a, "x"), (4, none, "z"), (5, empty, "x")]), (2, 4));
    // by another column: all of it
    lab.commit_by("d", &rows(&[(1, a, "p"), (2, b, "q")]), Some("note"));
    assert_eq!(counts(&lab.load(SWAP)), [2, 0, 0, 4, 0]);
    assert_eq!(table(&lab), ["1,'a',p", "2,'b',q"]);
    // not partitioned any more, then nothing at all, then something again
    lab.commit("d", &rows(&[(1, a, "p")]));
    assert_eq!(counts(&lab.load(SWAP)), [1, 0, 0, 2, 0]);
    lab.commit("d", &rows(&[]));
    assert_eq!(counts(&lab.load(SWAP)), [0, 0, 0, 1, 0]);
    lab.commit("d", &rows(&[(9, none, "r")]));
    assert_eq!(counts(&lab.load(SWAP)), [1, 0, 0, 0, 0]);
    // tampered with
    lab.query("UPDATE t SET note = 'other'; INSERT INTO t VALUES (10, 'mine', 'mine')");
    assert_eq!(lab.run(SWAP).status, Status::NothingToDo);
    lab.load_full(SWAP);
    assert!(table(&lab).contains(&"9,NULL,r".to_owned()), "{:?}", table(&lab));
}

#[test]
fn a_swap_by_days_keeps_the_other_days() {
    let Some(lab) = LoadHarness::new() else { return };
    let days = |ids: std::ops::Range<i64>| {
        let rows = numbered(ids, |id| id.to_string()).lazy();
        rows.with_column((col("id") % lit(5)).cast(DataType::Int32).cast(DataType::Date).alias("day"))
            .collect()
            .unwrap()
    };
    lab.commit_by("d", &days(0..50), Some("day"));
    assert_eq!(counts(&lab.load(SWAP)), [50, 0, 0, 0, 0]);
    // a row of the user's in a day that does not change, and one in a day that does
    lab.query("INSERT INTO t VALUES (-1, 'mine', '1970-01-05'), (-2, 'mine', '1970-01-01')");
    lab.commit_by("d", &days(0..51), Some("day"));
    assert_eq!(counts(&lab.load(SWAP)), [11, 0, 0, 11, 0]);
    assert_eq!(lab.one("SELECT count(*), count(*) FILTER (WHERE id < 0), sum(id) FROM t"), "52,1,1274");
}

#[test]
fn an_append_takes_what_came_and_nothing_twice() {
    let Some(lab) = LoadHarness::new() else { return };
    lab.commit("d", &numbered(0..10, |id| id.to_string()));
    assert_eq!(counts(&lab.load(APPEND)), [10, 0, 0, 0, 0]);
    lab.query("CREATE INDEX ON t (id)");
    lab.commit("d", &numbered(2..15, |id| if id == 3 { "changed".to_owned() } else { id.to_string() }));
    assert_eq!(counts(&lab.load(APPEND))[0], 6);
    assert_eq!(lab.one("SELECT count(*), count(*) FILTER (WHERE id = 3), sum(id) FROM t"), "16,2,108");
    // not even when all is asked for again
    assert_eq!(lab.run_at(&lab.url, APPEND, true).status, Status::NothingToDo);
    lab.commit("d", &rows(&[(1, None, "x")]));
    let error = lab.fail(APPEND);
    assert_eq!(error.kind, ErrorKind::Definition);
    assert!(error.message.contains("whose columns have changed since"), "{error:?}");
    assert!(error.hint.as_ref().is_some_and(|hint| hint.contains("drop table t")), "{error:?}");
    assert_eq!(lab.one("SELECT count(*) FROM t"), "16");
}

#[test]
fn a_row_without_a_key_is_named_by_its_place() {
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
            assert!(error.hint.is_some_and(|hint| hint.contains("mend the row") && !hint.contains("max_refused")));
            assert_eq!(lab.lines("SELECT id FROM t"), ["100"]);
        }
    }
}

#[test]
fn an_upsert_follows_rows_wherever_they_go() {
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
    // 2 moves, 3 goes, 4 and 5 change what only NULL and the empty text tell apart, 6 comes
    assert_eq!(load(&[(1, a, "x"), (2, b, "x"), (4, Some(""), "x"), (5, None, "x"), (6, a, "y")]), [1, 3, 1, 1, 0]);
    // 2 and 6 change places
    assert_eq!(load(&[(1, a, "x"), (2, a, "x"), (4, Some(""), "x"), (5, None, "x"), (6, b, "y")])[1..2], [2]);
    assert_eq!(load(&[]), [0, 0, 0, 5, 0]);
    assert_eq!(load(&[(7, a, "x")]), [1, 0, 0, 0, 0]);

    // somebody meddles: what comes again is put right, what only the table has stays
    lab.query("UPDATE t SET note = 'other', part = NULL; INSERT INTO t VALUES (100, 'mine', 'mine')");
    assert_eq!(lab.run(UPSERT).status, Status::NothingToDo);
    assert_eq!(counts(&lab.load_full(UPSERT)), [0, 1, 0, 0, 0]);
    assert_eq!(table(&lab), ["7,'a',x", "100,'mine',mine"]);

    // another key has no index yet, and then is what rows are found by
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
fn many_passes_come_to_the_same_as_one() {
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

/// As before PostgreSQL 15, and where a server does not count, so that what a MERGE has done could not be told.
#[test]
fn without_merge_two_statements_do_the_same() {
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
