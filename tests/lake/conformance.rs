//! A conformance suite for every backend of a lake.

mod schema_change;

use std::sync::Arc;

use object_store::memory::InMemory;
use polars::prelude::*;
use tidemark_lake::{
    CommitInfo, DataFile, Draft, Key, Lake, LakeError, Meta, Meter, Outcome, Partition, SchemaMismatch, Store, Table,
    Writer,
};
use tidemark_pipeline::{ColumnName, DatasetName};

use crate::support::s3_server::Server;

fn runtime() -> tokio::runtime::Handle {
    static RUNTIME: std::sync::OnceLock<tokio::runtime::Runtime> = std::sync::OnceLock::new();
    RUNTIME
        .get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap())
        .handle()
        .clone()
}

fn in_memory() -> Lake {
    Lake::open(Store::new(Arc::new(InMemory::new()), "memory", runtime()), true).unwrap()
}

/// Runs a check on every backend.
fn on_every_backend(check: fn(&Lake)) {
    check(&in_memory());
    let folder = tempfile::tempdir().unwrap();
    check(&Lake::open_folder(folder.path(), true, runtime(), &Meter::default()).unwrap());
    let server = Server::atomic();
    let place = server.bucket("lake");
    check(&Lake::open(server.store(&format!("{place}/of/tests"), runtime()), true).unwrap());
}

fn sales() -> DatasetName {
    "sales".parse().unwrap()
}

fn day(n: i64) -> String {
    format!("2011-12-{n:02}")
}

/// Rows of one day: `id`, `amount` (decimal), `note` (text, nullable), `sold_on` (the partition).
fn rows(n: i64, ids: std::ops::Range<i64>) -> DataFrame {
    let ids: Vec<i64> = ids.collect();
    df!(
        "id" => &ids,
        "cents" => ids.iter().map(|id| id * 100 + n).collect::<Vec<_>>(),
        "note" => ids.iter().map(|id| (id % 3 > 0).then(|| format!("row {id}"))).collect::<Vec<_>>(),
        "sold_on" => vec![day(n); ids.len()],
    )
    .unwrap()
    .lazy()
    .with_column(col("sold_on").str().to_date(StrptimeOptions::default()))
    .with_column(col("cents").cast(DataType::Decimal(12, 2)).alias("amount"))
    .select([col("id"), col("amount"), col("note"), col("sold_on")])
    .collect()
    .unwrap()
}

fn draft(lake: &Lake, run_id: &str, adds: &[(i64, DataFrame)], removes: Vec<DataFile>) -> Draft {
    let schema = adds.first().map_or_else(|| (**rows(1, 0..1).schema()).clone(), |(_, rows)| (**rows.schema()).clone());
    let mut files = Vec::new();
    for (n, rows) in adds {
        let dataset = sales();
        let partition = Partition::new([("sold_on", Some(day(*n).as_str()))]);
        let mut writer = Writer::new(lake, &dataset, &schema, partition);
        writer.write(rows).unwrap();
        files.extend(writer.finish(false).unwrap());
    }
    Draft {
        dataset: sales(),
        schema,
        partition_by: vec!["sold_on".parse::<ColumnName>().unwrap()],
        adds: files,
        removes,
        consumed: vec![("sales.raw".into(), 7)],
        meta: Meta {
            watermark: Some("2011-12-09T08:00:00Z".parse().unwrap()),
            fingerprint: "f".into(),
            ..Meta::default()
        },
        info: CommitInfo {
            run_id: run_id.into(),
            step: "clean".into(),
            balance: serde_json::json!({"in": 3, "written": 3}),
        },
    }
}

fn commit(lake: &Lake, run_id: &str, adds: &[(i64, DataFrame)], removes: Vec<DataFile>) -> Table {
    let base = lake.table(&sales()).unwrap();
    let outcome = draft(lake, run_id, adds, removes).commit(lake, base.as_ref()).unwrap();
    assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
    lake.existing(&sales()).unwrap()
}

fn all(lake: &Lake, table: &Table) -> DataFrame {
    let files = table.files(lake).unwrap();
    table.scan(lake, &files).unwrap().sort(["sold_on", "id"], SortMultipleOptions::default()).collect().unwrap()
}

#[test]
fn a_dataset_that_never_was_is_none() {
    on_every_backend(|lake| {
        assert!(lake.table(&sales()).unwrap().is_none());
        assert!(matches!(lake.existing(&sales()), Err(LakeError::NoSuchDataset(_))));
        assert!(lake.datasets().unwrap().is_empty());
    });
}

#[test]
fn one_commit_makes_the_table_and_holds_everything() {
    on_every_backend(|lake| {
        let table = commit(lake, "run-1", &[(1, rows(1, 0..5)), (2, rows(2, 5..9))], vec![]);
        assert_eq!(table.version(), 0);
        assert_eq!(table.consumed(lake, "sales.raw").unwrap(), Some(7));
        assert_eq!(table.consumed(lake, "other").unwrap(), None);
        assert_eq!(table.meta(lake).unwrap().watermark, Some("2011-12-09T08:00:00Z".parse().unwrap()));
        assert_eq!(table.partition_by(), ["sold_on".parse().unwrap()]);
        assert_eq!(table.rows(lake).unwrap(), 9);
        let mut expected = rows(1, 0..5);
        expected.vstack_mut(&rows(2, 5..9)).unwrap();
        assert!(all(lake, &table).equals_missing(&expected));
        let entry = lake.entry(&sales(), 0).unwrap().unwrap();
        assert_eq!((entry.files_added, entry.files_removed), (2, 0));
        assert_eq!(entry.info.unwrap().run_id, "run-1");
        assert_eq!(lake.datasets().unwrap(), [sales()]);
    });
}

#[test]
fn a_partition_is_swapped_in_one_version() {
    on_every_backend(|lake| {
        let before = commit(lake, "run-1", &[(1, rows(1, 0..5)), (2, rows(2, 5..9))], vec![]);
        let gone = before
            .files(lake)
            .unwrap()
            .into_iter()
            .filter(|f| f.partition.get("sold_on") == Some("2011-12-01"))
            .collect();
        let after = commit(lake, "run-2", &[(1, rows(1, 0..7))], gone);
        assert_eq!((after.version(), after.rows(lake).unwrap()), (1, 11));
        let diff = after.since(lake, Some(0)).unwrap();
        assert_eq!((diff.added.len(), diff.removed.len()), (1, 1));
        assert_eq!(diff.partitions(), [Partition::new([("sold_on", Some("2011-12-01"))])]);
        assert_eq!(lake.table_at(&sales(), 0).unwrap().rows(lake).unwrap(), 9);
        assert!(all(lake, &lake.table_at(&sales(), 0).unwrap()).equals_missing(&all(lake, &before)));
        assert_eq!(after.since(lake, None).unwrap().added.len(), 2);
        assert!(matches!(lake.table_at(&sales(), 9), Err(LakeError::NoSuchVersion { latest: 1, .. })));
    });
}

#[test]
fn the_version_last_looked_at_is_not_asked_for() {
    let server = Server::atomic();
    let lake = Lake::open(server.store(&server.bucket("lake"), runtime()), true).unwrap();
    commit(&lake, "run-1", &[(1, rows(1, 0..5))], vec![]);
    commit(&lake, "run-2", &[(2, rows(2, 5..9))], vec![]);
    let asked = |version| {
        server.asked();
        assert_eq!(lake.table_at(&sales(), version).unwrap().version(), version);
        server.asked().len()
    };
    assert_eq!(asked(1), 0);
    assert!(asked(0) > 0);
}

#[test]
fn the_same_rows_have_the_same_bytes_and_path() {
    on_every_backend(|lake| {
        let first = draft(lake, "a", &[(1, rows(1, 0..500))], vec![]).adds;
        let second = draft(lake, "b", &[(1, rows(1, 0..500))], vec![]).adds;
        assert_eq!(first[0].path, second[0].path);
        commit(lake, "run-1", &[(1, rows(1, 0..500))], vec![]);
        let live = lake.existing(&sales()).unwrap().files(lake).unwrap();
        let table = commit(lake, "run-2", &[(1, rows(1, 0..500))], live);
        let entry = lake.entry(&sales(), table.version()).unwrap().unwrap();
        assert_eq!((entry.files_added, entry.files_removed), (0, 0), "taken away and given back is unchanged");
        assert_eq!(table.rows(lake).unwrap(), 500);
    });
}

#[test]
fn a_column_can_be_added() {
    on_every_backend(|lake| {
        commit(lake, "run-1", &[(1, rows(1, 0..2))], vec![]);
        let wider = rows(2, 2..4).lazy().with_column(lit("x").alias("a b")).collect().unwrap();
        let table = commit(lake, "run-2", &[(2, wider)], vec![]);
        let found = all(lake, &table);
        assert_eq!(found.get_column_names(), ["id", "amount", "note", "sold_on", "a b"]);
        let added: Vec<_> = found.column("a b").unwrap().str().unwrap().iter().collect();
        assert_eq!(added, [None, None, Some("x"), Some("x")]);
    });
}

/// The rows of a day in another shape: columns turned, `amount` a text, `note` gone, `country` new.
#[test]
fn of_two_commits_on_one_version_one_loses() {
    on_every_backend(|lake| {
        for base in [None, Some(0)] {
            let base = base.map(|version| lake.table_at(&sales(), version).unwrap());
            let one = draft(lake, "one", &[(1, rows(1, 0..2))], vec![]);
            let two = draft(lake, "two", &[(2, rows(2, 0..3))], vec![]);
            assert!(matches!(one.clone().commit(lake, base.as_ref()).unwrap(), Outcome::Committed(_)));
            assert!(matches!(two.commit(lake, base.as_ref()).unwrap(), Outcome::Lost(_)));
            // the reply of the first was lost and it asks again: its own commit stands, so it has not lost
            assert!(matches!(one.commit(lake, base.as_ref()).unwrap(), Outcome::Committed(_)));
        }
    });
}

#[test]
fn many_writers_lose_nothing() {
    on_every_backend(|lake| {
        std::thread::scope(|scope| {
            for writer in 0..8 {
                scope.spawn(move || {
                    loop {
                        let base = lake.table(&sales()).unwrap();
                        let rows = rows(1, writer * 10..writer * 10 + 10);
                        let draft = draft(lake, &format!("w{writer}"), &[(1, rows)], vec![]);
                        if let Outcome::Committed(_) = draft.commit(lake, base.as_ref()).unwrap() {
                            break;
                        }
                    }
                });
            }
        });
        let table = lake.existing(&sales()).unwrap();
        assert_eq!((table.version(), table.rows(lake).unwrap()), (7, 80));
        let ids: Vec<_> = all(lake, &table).column("id").unwrap().i64().unwrap().into_no_null_iter().collect();
        assert_eq!(ids, (0..80).collect::<Vec<_>>());
    });
}

#[test]
fn a_checkpoint_comes_every_20_commits_and_changes_nothing() {
    on_every_backend(|lake| {
        for n in 0..45 {
            commit(lake, &format!("run-{n}"), &[(1, rows(1, n * 2..n * 2 + 2))], vec![]);
        }
        let table = lake.existing(&sales()).unwrap();
        assert_eq!(table.rows(lake).unwrap(), 90);
        assert_eq!(table.consumed(lake, "sales.raw").unwrap(), Some(7));
        let checkpoints =
            lake.store().list(None).unwrap().iter().filter(|o| o.location.as_ref().contains("checkpoint.")).count();
        assert_eq!(checkpoints, 2);
        assert_eq!(lake.history(&sales(), 3).unwrap().iter().map(|e| e.version).collect::<Vec<_>>(), [44, 43, 42]);
    });
}

#[test]
fn vacuum_deletes_what_no_version_names_and_is_old() {
    on_every_backend(|lake| {
        let table = commit(lake, "run-1", &[(1, rows(1, 0..5))], vec![]);
        commit(lake, "run-2", &[(1, rows(1, 0..9))], table.files(lake).unwrap());
        let now = jiff::Timestamp::now();
        let hour = jiff::SignedDuration::from_hours(1);
        assert_eq!(lake.vacuum(&sales(), now, hour).unwrap().files, 0, "young files may belong to a commit to come");
        assert_eq!(lake.vacuum(&sales(), now + hour + hour, hour).unwrap().files, 1);
        assert_eq!(all(lake, &lake.existing(&sales()).unwrap()).height(), 9);
    });
}

/// Also by a lake that has read it before.
#[test]
fn a_table_that_was_deleted_is_made_anew() {
    on_every_backend(|lake| {
        for run in ["run-1", "run-2"] {
            commit(lake, run, &[(1, rows(1, 0..5))], vec![]);
        }
        assert_eq!(lake.existing(&sales()).unwrap().version(), 1);
        for object in lake.store().list(Some(&Key::Table(&sales()).path())).unwrap() {
            lake.store().delete(&object.location).unwrap();
        }
        assert!(lake.table(&sales()).unwrap().is_none());
        let table = commit(lake, "run-3", &[(1, rows(1, 0..3))], vec![]);
        assert_eq!((table.version(), all(lake, &table).height()), (0, 3));
    });
}

#[test]
fn what_is_no_lake_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("thesis.doc"), "x").unwrap();
    assert!(matches!(
        Lake::open_folder(folder.path(), true, runtime(), &Meter::default()),
        Err(LakeError::NotALake { .. })
    ));
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(
        Lake::open_folder(empty.path(), false, runtime(), &Meter::default()),
        Err(LakeError::NotALake { .. })
    ));
    Lake::open_folder(empty.path(), true, runtime(), &Meter::default()).unwrap();
    std::fs::write(empty.path().join("tidemark.json"), r#"{"lake_format": 99}"#).unwrap();
    assert!(matches!(
        Lake::open_folder(empty.path(), true, runtime(), &Meter::default()),
        Err(LakeError::Newer { found: 99, .. })
    ));
    std::fs::write(empty.path().join("tidemark.json"), "{").unwrap();
    assert!(matches!(
        Lake::open_folder(empty.path(), true, runtime(), &Meter::default()),
        Err(LakeError::Corrupt { .. })
    ));
}

#[test]
fn damage_is_said_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open_folder(folder.path(), true, runtime(), &Meter::default()).unwrap();
    let table = commit(&lake, "run-1", &[(1, rows(1, 0..50))], vec![]);
    let file = table.files(&lake).unwrap().remove(0);
    let path = folder.path().join("datasets/sales").join(&file.path);
    let content = std::fs::read(&path).unwrap();
    for broken in [content[..content.len() / 2].to_vec(), vec![7; content.len()], Vec::new()] {
        std::fs::write(&path, &broken).unwrap();
        let files = table.files(&lake).unwrap();
        assert!(matches!(table.read(&lake, &files), Err(LakeError::Corrupt { .. })));
    }
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(table.read(&lake, &table.files(&lake).unwrap()), Err(LakeError::Corrupt { .. })));
    let log = folder.path().join("datasets/sales/_delta_log/00000000000000000000.json");
    for broken in ["", "{", "[]", "{\"add\":7}\n", "\0\0\0"] {
        std::fs::write(&log, broken).unwrap();
        // one that has been read would not be read again
        let lake = Lake::open_folder(folder.path(), false, runtime(), &Meter::default()).unwrap();
        assert!(matches!(lake.table(&sales()), Err(LakeError::Corrupt { .. })), "{broken:?}");
    }
}
