//! Rows that the database refuses: the load fails and names one, or they are recorded and all other rows are loaded.

use polars::prelude::*;
use tidemark_flow::ErrorKind;

use crate::support::postgres_load::{LoadHarness, UPSERT, counts, numbered};

const KEPT: &str = "SELECT key, version, reason FROM tidemark_refused ORDER BY key";

/// Count, sum of ids and hash of the texts of the table.
fn digest(lab: &LoadHarness) -> String {
    lab.one("SELECT count(*) || ' ' || coalesce(sum(id), 0) || ' ' || md5(string_agg(note, ',' ORDER BY id)) FROM t")
}

fn with_budget(budget: &str) -> String {
    format!("{UPSERT}max_refused = {budget}")
}

/// Name of a rule, the table with this rule, and the server's error for row 7.
const RULES: [(&str, &str, &str); 8] = [
    (
        "CHECK",
        "CREATE TABLE t (id bigint PRIMARY KEY, note text CHECK (note <> 'bad'))",
        "violates check constraint \"t_note_check\"",
    ),
    ("NOT NULL", "CREATE TABLE t (id bigint PRIMARY KEY, note text NOT NULL)", "null value in column \"note\""),
    (
        "foreign key",
        "CREATE TABLE said (note text PRIMARY KEY); INSERT INTO said SELECT n::text FROM generate_series(0, 999) n; \
         CREATE TABLE t (id bigint PRIMARY KEY, note text REFERENCES said)",
        "violates foreign key constraint \"t_note_fkey\"",
    ),
    ("unique", "CREATE TABLE t (id bigint PRIMARY KEY, note text UNIQUE)", "violates unique constraint \"t_note_key\""),
    (
        "exclusion",
        "CREATE TABLE t (id bigint PRIMARY KEY, note text, \
         EXCLUDE USING btree (md5(note) WITH =))",
        "violates exclusion constraint",
    ),
    (
        "trigger",
        "CREATE TABLE t (id bigint PRIMARY KEY, note text); \
         CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF NEW.note = 'bad' THEN RAISE EXCEPTION 'not this one'; END IF; RETURN NEW; END $$; \
         CREATE TRIGGER guard BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION guard()",
        "not this one (SQLSTATE P0001)",
    ),
    (
        "domain",
        "CREATE DOMAIN short AS text CHECK (length(VALUE) < 4 AND VALUE <> 'bad'); CREATE TABLE t (id bigint PRIMARY KEY, note short)",
        "value for domain short violates check constraint",
    ),
    (
        "deferred",
        "CREATE TABLE said (note text PRIMARY KEY); INSERT INTO said SELECT n::text FROM generate_series(0, 999) n; \
         CREATE TABLE t (id bigint PRIMARY KEY, note text REFERENCES said DEFERRABLE INITIALLY DEFERRED)",
        "violates foreign key constraint",
    ),
];

/// Rows of which row 7 breaks the rule.
fn broken(rule: &str, ids: std::ops::Range<i64>) -> DataFrame {
    let rows = numbered(ids, |id| id.to_string());
    let bad = match rule {
        "NOT NULL" => lit(NULL).cast(DataType::String),
        "unique" | "exclusion" => lit("6"),
        _ => lit("bad"),
    };
    rows.lazy()
        .with_column(when(col("id").eq(lit(7))).then(bad).otherwise(col("note")).alias("note"))
        .collect()
        .unwrap()
}

#[test]
fn a_row_that_breaks_a_rule_is_named_or_recorded_until_it_is_valid() {
    let Some(lab) = LoadHarness::new() else { return };
    for (rule, make, says) in RULES {
        // Into an empty table, and into one with rows.
        for first in [0, 5] {
            lab.query(make);
            if first > 0 {
                lab.commit("d", &numbered(0..first, |id| id.to_string()));
                lab.load(UPSERT);
            }
            let before = digest(&lab);
            lab.commit("d", &broken(rule, 0..100));
            let error = lab.fail(UPSERT);
            assert_eq!(error.kind, ErrorKind::Data, "{rule}: {error:?}");
            // Of two conflicting rows either may be named.
            let either = ["id 7)", "id 6)"];
            assert!(
                either.iter().any(|key| error.message.contains(key)) && error.message.contains(says),
                "{rule}: {error:?}"
            );
            assert!(!error.message.contains("bad") || rule == "trigger", "{rule}: {error:?}");
            assert!(error.hint.as_ref().is_some_and(|hint| hint.contains("max_refused")), "{rule}: {error:?}");
            assert_eq!(digest(&lab), before, "{rule}");

            let record = lab.load(&with_budget("1"));
            assert_eq!(counts(&record), [99 - first as u64, 0, first as u64, 0, 1], "{rule}");
            assert_eq!(record.notes, ["1 row was rejected by the database: see table tidemark_refused"]);
            assert_eq!(lab.one("SELECT count(*) FROM t"), "99");
            assert_eq!(
                lab.one("SELECT inserted, unchanged, refused FROM tidemark_loads"),
                format!("{},{first},1", 99 - first)
            );
            let kept = lab.lines(KEPT);
            let number = lab.one("SELECT version FROM tidemark_loads");
            assert!(kept.len() == 1 && kept[0].contains(says), "{rule}: {kept:?}");
            assert!(
                either.iter().any(|key| kept[0].starts_with(&format!("[{}],{number},", &key[3..4]))),
                "{rule}: {kept:?}"
            );
            assert_eq!(
                lab.one("SELECT row::jsonb ->> 'id' = key::jsonb ->> 0, run_id FROM tidemark_refused"),
                format!("t,{}", record.run_id)
            );

            // Refused again: its record has the new version. Once valid, its record is removed.
            lab.commit("d", &broken(rule, 0..101));
            assert_eq!(counts(&lab.load(&with_budget("1")))[..2], [1, 0], "{rule}");
            lab.commit("d", &broken(rule, 0..101).lazy().with_column(lit(1).alias("wide")).collect().unwrap());
            assert_eq!(counts(&lab.load(&with_budget("1"))), [0, 100, 0, 0, 1], "{rule}");
            assert_eq!(
                lab.lines("SELECT version - (SELECT version FROM tidemark_loads) FROM tidemark_refused"),
                ["0"],
                "{rule}"
            );
            lab.commit("d", &numbered(0..101, |id| id.to_string()));
            let [written, ..] = counts(&lab.load(&with_budget("1")));
            assert_eq!(
                (written, lab.lines(KEPT).len(), lab.one("SELECT count(*) FROM t")),
                (1, 0, "101".to_owned()),
                "{rule}"
            );
            lab.query("DROP TABLE t, tidemark_loads; DROP TABLE IF EXISTS said; DROP FUNCTION IF EXISTS guard; DROP DOMAIN IF EXISTS short");
        }
    }
}

#[test]
fn one_some_and_all_refused_rows_are_found() {
    let Some(lab) = LoadHarness::new() else { return };
    const ROWS: i64 = 20_000;
    let with_bad = |every: i64| {
        numbered(0..ROWS, |id| if id % every == every - 1 { "bad".to_owned() } else { format!("note {id}") })
    };
    let make = "DROP TABLE IF EXISTS t, tidemark_loads, tidemark_refused; CREATE TABLE t (id bigint PRIMARY KEY, note text CHECK (note <> 'bad'))";
    for (every, refused, below, filled) in [(ROWS, 1, "0", false), (ROWS, 1, "0", true), (400, 50, "49", true)] {
        lab.query(make);
        if filled {
            lab.commit("d", &numbered(0..ROWS / 2, |id| format!("before {id}")));
            lab.load(UPSERT);
        }
        let before = digest(&lab);
        lab.commit("d", &with_bad(every));
        let error = lab.fail(&with_budget(below));
        assert_eq!(error.kind, ErrorKind::Data, "{error:?}");
        match below {
            "0" => {
                assert!(error.message.contains(&format!("(id {}) of the change is refused", every - 1)), "{error:?}")
            }
            _ => {
                assert!(
                    error.message.contains("50 of 20000 rows were rejected, but max_refused allows 49"),
                    "{error:?}"
                )
            }
        }
        assert_eq!(digest(&lab), before);
        let record = lab.load(&with_budget("'1%'"));
        let (written, updated) = if filled { (ROWS / 2, ROWS / 2) } else { (ROWS, 0) };
        let found = counts(&record);
        assert_eq!(found[4], refused);
        assert_eq!(found[0] + found[1] + refused, (written + updated) as u64, "{found:?}");
        assert_eq!(
            lab.one("SELECT count(*) FROM tidemark_refused WHERE key::jsonb ->> 0 = row::jsonb ->> 'id'"),
            refused.to_string()
        );
        let accepted = ROWS as u64 - refused;
        let kept_old = lab.one("SELECT count(*) FROM t WHERE note LIKE 'before %'").parse::<u64>().unwrap();
        assert_eq!(lab.one("SELECT count(*) FROM t"), (accepted + kept_old).to_string());
        assert!(kept_old <= refused);
    }

    lab.query(make);
    lab.commit("d", &numbered(0..500, |_| "bad".to_owned()));
    let error = lab.fail(&with_budget("'50%'"));
    assert!(error.message.contains("rows were rejected, but max_refused allows 50%"), "{error:?}");
    let record = lab.load(&with_budget("'100%'"));
    assert_eq!((counts(&record), lab.one("SELECT count(*) FROM t")), ([0, 0, 0, 0, 500], "0".to_owned()));
    assert_eq!(record.notes, ["500 rows were rejected by the database: see table tidemark_refused"]);
    // Records of rows that the dataset no longer has are removed.
    lab.commit("d", &numbered(0..10, |id| id.to_string()));
    assert_eq!(counts(&lab.load(&with_budget("'100%'")))[0], 10);
    assert_eq!(lab.lines(KEPT), Vec::<String>::new());
}

#[test]
fn values_outside_a_type_are_recorded_with_the_reason() {
    let Some(lab) = LoadHarness::new() else { return };
    let frame = df!(
        "id" => [1_i64, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
        "note" => ["good", "a\0b", "good", "good", "good", "good", "good", "good", "good", "good", "good"],
        "doc" => ["{}", "[1]", "{", r#"{"a": "\u0000"}"#, r#""\ud83d""#, "1", "null", "\"x\"", "[]", "{\"a\": 1e1}", "true"],
        "who" => ["0e4ab0e5-0b4c-4d8a-9d55-7a1f5a4a0e4a"; 11],
        "n" => [1_i64, 2, 3, 4, 5, 40_000, 7, 8, 9, 10, 11],
        "day" => [0_i32, 0, 0, 0, 0, 0, 2_147_483_647, 0, 0, 0, 0],
        "code" => ["abc", "abc", "abc", "abc", "abc", "abc", "abc", "abcd", "abc", "a€c", "abc   "],
    )
    .unwrap();
    let bad_id = when(col("id").eq(lit(9))).then(lit("not one")).otherwise(col("who")).alias("who");
    let frame = frame.lazy().with_columns([col("day").cast(DataType::Date), bad_id]).collect().unwrap();
    let target = format!("{UPSERT}types = {{ doc = 'jsonb', who = 'uuid', n = 'smallint', code = 'varchar(3)' }}");
    let reasons = [
        // The server would cut off the blanks without an error.
        ("[11]", "column \"code\" has a text that is longer than its type"),
        ("[2]", "column \"note\" has a NUL character, which PostgreSQL does not allow in text"),
        ("[3]", "column \"doc\" has a text that is not JSON"),
        ("[4]", "column \"doc\" has a NUL character, which PostgreSQL does not allow in text"),
        ("[5]", "column \"doc\" has a text that is not JSON"),
        ("[6]", "column \"n\" has a number that is too large, or too small, for its type"),
        ("[7]", "column \"day\" has a day before 4714-11-24 BC or after 5874897-12-31"),
        ("[8]", "column \"code\" has a text that is longer than its type"),
        ("[9]", "column \"who\" has a text that is not a UUID"),
    ];
    for filled in [false, true] {
        lab.query("DROP TABLE IF EXISTS t, tidemark_loads, tidemark_refused");
        if filled {
            lab.commit("d", &frame.clone().lazy().filter(col("id").eq(lit(1))).collect().unwrap());
            lab.load(&target);
        }
        lab.commit("d", &frame);
        let error = lab.fail(&target);
        assert!(error.message.contains("(id 2) of the change: column \"note\" has a NUL character"), "{error:?}");
        assert_eq!(lab.one("SELECT to_regclass('t')") == "-", !filled);
        let error = lab.fail(&format!("{target}\nmax_refused = 7"));
        assert!(error.message.contains("9 of 1") && error.message.contains("max_refused allows 7"), "{error:?}");
        let record = lab.load(&format!("{target}\nmax_refused = '90%'"));
        assert_eq!(counts(&record)[4], 9, "{record:?}");
        let kept = lab.lines("SELECT key, reason FROM tidemark_refused ORDER BY key");
        assert_eq!(kept, reasons.map(|(key, reason)| format!("{key},{reason}")));
        assert_eq!(lab.one("SELECT string_agg(id::text, ',' ORDER BY id) FROM t"), "1,10");
        assert_eq!(
            lab.one("SELECT row::jsonb - 'doc' FROM tidemark_refused WHERE key = '[8]'").replace(' ', ""),
            "{\"n\":8,\"id\":8,\"day\":\"1970-01-01\",\"who\":\"0e4ab0e5-0b4c-4d8a-9d55-7a1f5a4a0e4a\",\"code\":\"abcd\",\"note\":\"good\"}"
        );
    }
}

#[test]
fn values_in_messages_of_the_server_are_not_repeated() {
    let Some(lab) = LoadHarness::new() else { return };
    lab.query(
        "CREATE TYPE mood AS ENUM ('calm'); CREATE TABLE t (id bigint PRIMARY KEY, note text, mood mood); \
         CREATE FUNCTION counted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         PERFORM NEW.note::int; RETURN NEW; END $$; \
         CREATE TRIGGER counted BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION counted()",
    );
    for (note, mood, message) in [
        ("987654321987", "calm", "a number is out of range (SQLSTATE 22003)"),
        ("hush", "calm", "a value is not of its column's type (SQLSTATE 22P02)"),
        ("1", "hush", "a value of column \"mood\" is not of its type (SQLSTATE 22P02)"),
    ] {
        lab.commit("d", &df!("id" => [1_i64, 2], "note" => ["7", note], "mood" => ["calm", mood]).unwrap());
        let error = lab.fail(UPSERT);
        assert!(error.message.contains("(id 2)") && error.message.contains(message), "{error:?}");
        assert!(!format!("{error:?}").contains("hush") && !format!("{error:?}").contains("987654"), "{error:?}");
        lab.query("DROP TABLE IF EXISTS tidemark_loads, tidemark_refused; DELETE FROM t");
        assert_eq!(counts(&lab.load(&with_budget("1"))), [1, 0, 0, 0, 1]);
        let reason = lab.one("SELECT reason FROM tidemark_refused");
        assert!(reason.contains(message), "{reason}");
        lab.query("DROP TABLE tidemark_loads, tidemark_refused; DELETE FROM t");
    }
}

#[test]
fn duplicate_keys_are_named() {
    let Some(lab) = LoadHarness::new() else { return };
    let twice = |ids: &[i64]| {
        let texts: Vec<String> = ids.iter().map(|id| format!("row {id}")).collect();
        df!("id" => ids, "part" => &texts, "note" => (0..ids.len() as i64).collect::<Vec<_>>()).unwrap()
    };
    let target = "dataset = 'd'\ntable = 't'\nmode = 'upsert'\nkey = ['id', 'part']\n";
    for budget in ["", "max_refused = '100%'"] {
        for made in [false, true] {
            lab.query("DROP TABLE IF EXISTS t, tidemark_loads, tidemark_refused");
            if made {
                lab.query("CREATE TABLE t (id bigint, part text, note bigint, UNIQUE (part, id))");
            }
            lab.commit("d", &twice(&[1, 2, 3, 2, 4]));
            let error = lab.fail(&format!("{target}{budget}"));
            assert_eq!(error.kind, ErrorKind::Data, "{error:?}");
            assert!(error.message.contains("id 2, part row 2"), "{made} {budget}: {error:?}");
            lab.commit("d", &twice(&[1, 2]));
            lab.load(&format!("{target}{budget}"));
            lab.commit("d", &twice(&[0, 1, 3, 3]));
            let error = lab.fail(&format!("{target}{budget}"));
            assert_eq!(error.kind, ErrorKind::Data, "{error:?}");
            assert!(
                error.message.contains("two rows of the dataset have the key id 3, part row 3"),
                "{made} {budget}: {error:?}"
            );
            assert!(error.hint.as_ref().is_some_and(|hint| hint.contains("unique")), "{error:?}");
            assert_eq!(lab.one("SELECT count(*) FROM t"), "2");
        }
    }
}
