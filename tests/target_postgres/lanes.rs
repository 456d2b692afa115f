//! Loads over several connections.

use polars::prelude::*;

use crate::support::postgres_load::{LoadHarness, UPSERT, counts, failed, numbered};

const MANY: i64 = 60_000;

fn lanes() -> String {
    format!("{UPSERT}connections = 3\n")
}

fn staging_tables(lab: &LoadHarness) -> Vec<String> {
    lab.lines("SELECT relname FROM pg_class WHERE relname LIKE 'tidemark_staged%'")
}

#[test]
fn several_connections_load_the_same_as_one() {
    let Some(lab) = LoadHarness::new() else { return };
    lab.commit("d", &numbered(0..MANY, |id| format!("n{id}")));
    assert_eq!(counts(&lab.load(&lanes())), [MANY as u64, 0, 0, 0, 0]);
    // The staging table of another load is not touched.
    let name = "tidemark_staged";
    lab.query(&format!("CREATE TABLE {name}_0123456789abcdef_0 (x int)"));
    lab.commit("d", &numbered(100..MANY + 50, |id| if id % 2 == 0 { format!("n{id}") } else { format!("m{id}") }));
    let changed = (MANY as u64 - 100) / 2;
    assert_eq!(counts(&lab.load_full(&lanes())), [50, changed, MANY as u64 - 100 - changed, 100, 0]);
    assert_eq!(staging_tables(&lab), [format!("{name}_0123456789abcdef_0")], "not ours");
    assert_eq!(lab.one("SELECT count(*), count(*) FILTER (WHERE note LIKE 'm%') FROM t"), "59950,29975");

    // Rows that are added and removed.
    lab.commit("d", &numbered(0..MANY, |id| format!("o{id}")));
    assert_eq!(counts(&lab.load(&lanes())), [100, MANY as u64 - 100, 0, 50, 0]);
    assert!(lab.verify(&lanes()).is_same());
}

#[test]
fn a_refused_row_is_found_among_several_connections() {
    let Some(lab) = LoadHarness::new() else { return };
    lab.commit("d", &numbered(0..MANY, |id| format!("n{id}")));
    lab.load(&lanes());
    lab.query("ALTER TABLE t ADD CHECK (note <> 'm777')");
    lab.commit("d", &numbered(0..MANY, |id| format!("m{id}")));
    let error = failed(lab.run(&lanes()));
    assert!(error.message.contains("id 777"), "{error:?}");
    assert_eq!(lab.one("SELECT count(*) FROM t WHERE note LIKE 'm%'"), "0");
    let record = lab.load(&format!("{}max_refused = 1", lanes()));
    assert_eq!(counts(&record), [0, MANY as u64 - 1, 0, 0, 1]);
    assert_eq!(staging_tables(&lab), Vec::<String>::new());
}

#[test]
fn a_failed_load_leaves_no_staging_tables() {
    let Some(lab) = LoadHarness::new() else { return };
    lab.commit("d", &numbered(0..MANY, |id| format!("n{id}")));
    lab.load(&lanes());
    // Two rows with the same key.
    let twice = numbered(0..MANY, |id| format!("p{id}")).lazy().with_column((col("id") / lit(2_i64)).alias("id"));
    lab.commit("d", &twice.collect().unwrap());
    let error = failed(lab.run(&lanes()));
    assert!(error.message.contains("two rows"), "{error:?}");
    assert_eq!(staging_tables(&lab), Vec::<String>::new());
    assert_eq!(lab.one("SELECT count(*) FROM t WHERE note LIKE 'n%'"), MANY.to_string());
}
