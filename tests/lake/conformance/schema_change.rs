//! Commits that change the columns of a table, or what it is partitioned by.

use super::*;

fn reshaped(n: i64, ids: std::ops::Range<i64>) -> DataFrame {
    rows(n, ids)
        .lazy()
        .select([
            col("sold_on"),
            col("amount").cast(DataType::String),
            when(col("id").gt(lit(2))).then(lit("FR")).otherwise(lit("UK")).alias("country"),
            col("id"),
        ])
        .collect()
        .unwrap()
}

/// A draft of the reshaped rows, partitioned by what is given (one value for all of them), in place of `removes`.
fn reshape(lake: &Lake, run_id: &str, by: &[(&str, &str)], rows: &DataFrame, removes: Vec<DataFile>) -> Draft {
    let partition = Partition::new(by.iter().map(|(column, value)| (*column, Some(*value))));
    let dataset = sales();
    let mut writer = Writer::new(lake, &dataset, rows.schema(), partition);
    writer.write(rows).unwrap();
    Draft {
        schema: (**rows.schema()).clone(),
        partition_by: by.iter().map(|(column, _)| column.parse().unwrap()).collect(),
        adds: writer.finish(false).unwrap(),
        removes,
        ..draft(lake, run_id, &[], vec![])
    }
}

/// The `metaData` of a commit.
fn metadata(lake: &Lake, version: i64) -> serde_json::Value {
    let log = lake.store().get(&Key::Commit(&sales(), version).path()).unwrap();
    let actions = log.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    let mut actions = actions.map(|line| serde_json::from_slice::<serde_json::Value>(line).unwrap());
    actions.find_map(|mut action| action.get_mut("metaData").map(serde_json::Value::take)).unwrap()
}

#[test]
fn a_commit_that_replaces_every_file_can_change_the_shape() {
    on_every_backend(|lake| {
        let before = commit(lake, "run-1", &[(1, rows(1, 0..5)), (2, rows(2, 5..9))], vec![]);
        let old = all(lake, &before);
        let draft =
            reshape(lake, "run-2", &[("sold_on", "2011-12-01")], &reshaped(1, 0..4), before.files(lake).unwrap());
        assert!(matches!(draft.commit(lake, Some(&before)).unwrap(), Outcome::Committed(1)));

        let table = lake.existing(&sales()).unwrap();
        assert!(all(lake, &table).equals_missing(&reshaped(1, 0..4)));
        assert_eq!(table.schema(), &**reshaped(1, 0..1).schema());
        assert_eq!(table.partition_by(), ["sold_on".parse().unwrap()]);
        assert_eq!(table.consumed(lake, "sales.raw").unwrap(), Some(7));
        assert_eq!(table.meta(lake).unwrap().fingerprint, "f");
        let (first, second) = (metadata(lake, 0), metadata(lake, 1));
        for kept in ["id", "configuration", "createdTime", "format", "partitionColumns"] {
            assert_eq!(first[kept], second[kept], "{kept}");
        }

        let then = lake.table_at(&sales(), 0).unwrap();
        assert_eq!(then.schema(), before.schema());
        assert!(all(lake, &then).equals_missing(&old));
        let diff = table.since(lake, Some(0)).unwrap();
        assert_eq!((diff.added.len(), diff.removed.len()), (1, 2));
        assert_eq!(then.read(lake, &diff.removed).unwrap().height(), 9);
        let entry = lake.entry(&sales(), 1).unwrap().unwrap();
        assert_eq!((entry.files_added, entry.files_removed, entry.info.unwrap().run_id.as_str()), (1, 2, "run-2"));

        // ordinary changes afterwards: rows added, a partition swapped, a checkpoint
        let more = reshape(lake, "run-3", &[("sold_on", "2011-12-02")], &reshaped(2, 9..12), vec![]);
        assert!(matches!(more.commit(lake, Some(&table)).unwrap(), Outcome::Committed(2)));
        for n in 0..25 {
            let table = lake.existing(&sales()).unwrap();
            let day = Partition::new([("sold_on", Some("2011-12-01"))]);
            let gone = table.files(lake).unwrap().into_iter().filter(|file| file.partition == day).collect();
            let rows = reshaped(1, 0..n + 1);
            let swap = reshape(lake, &format!("swap-{n}"), &[("sold_on", "2011-12-01")], &rows, gone);
            assert!(matches!(swap.commit(lake, Some(&table)).unwrap(), Outcome::Committed(_)));
        }
        let table = lake.existing(&sales()).unwrap();
        assert_eq!((table.version(), table.rows(lake).unwrap()), (27, 28));
        assert_eq!(table.schema(), &**reshaped(1, 0..1).schema());
        assert!(all(lake, &lake.table_at(&sales(), 0).unwrap()).equals_missing(&old));
        assert_eq!(lake.history(&sales(), 100).unwrap().len(), 28);
    });
}

#[test]
fn a_commit_that_replaces_every_file_can_change_the_partitions() {
    on_every_backend(|lake| {
        let mut table = commit(lake, "run-1", &[(1, rows(1, 0..5)), (2, rows(2, 5..9))], vec![]);
        let shapes: [&[(&str, &str)]; 5] = [
            &[("country", "UK")],
            &[],
            &[("country", "UK"), ("sold_on", "2011-12-01")],
            &[("sold_on", "2011-12-01"), ("country", "UK")],
            &[("sold_on", "2011-12-01")],
        ];
        for by in shapes {
            let rows = reshaped(1, 0..3);
            let draft = reshape(lake, "next", by, &rows, table.files(lake).unwrap());
            assert!(matches!(draft.commit(lake, Some(&table)).unwrap(), Outcome::Committed(_)));
            let version = table.version() + 1;
            table = lake.existing(&sales()).unwrap();
            assert_eq!(table.version(), version);
            assert_eq!(table.partition_by(), by.iter().map(|(name, _)| name.parse().unwrap()).collect::<Vec<_>>());
            let files = table.files(lake).unwrap();
            assert_eq!(files.len(), 1);
            assert_eq!(files[0].partition, Partition::new(by.iter().map(|(name, value)| (*name, Some(*value)))));
            assert!(all(lake, &table).equals_missing(&rows));
        }
        assert_eq!(lake.table_at(&sales(), 0).unwrap().rows(lake).unwrap(), 9);
    });
}

#[test]
fn a_checkpoint_of_a_commit_that_changes_the_shape_has_the_new_one() {
    on_every_backend(|lake| {
        let mut table = commit(lake, "run-0", &[(1, rows(1, 0..5))], vec![]);
        for n in 1..45 {
            let (rows, by): (_, &[_]) =
                if n % 2 == 0 { (rows(1, 0..n), &[("sold_on", "2011-12-01")]) } else { (reshaped(1, 0..n), &[]) };
            let draft = reshape(lake, &format!("run-{n}"), by, &rows, table.files(lake).unwrap());
            assert!(matches!(draft.commit(lake, Some(&table)).unwrap(), Outcome::Committed(version) if version == n));
            table = lake.existing(&sales()).unwrap();
            assert_eq!(table.schema(), &**rows.schema());
            assert_eq!(table.partition_by().len(), by.len());
            assert!(all(lake, &table).equals_missing(&rows));
        }
        let log = lake.store().list(Some(&Key::Log(&sales()).path())).unwrap();
        assert_eq!(log.iter().filter(|object| object.location.as_ref().contains(".checkpoint.")).count(), 2);
    });
}

#[test]
fn files_that_stay_keep_the_shape() {
    on_every_backend(|lake| {
        let table = commit(lake, "run-1", &[(1, rows(1, 0..5)), (2, rows(2, 5..9))], vec![]);
        let some = table.files(lake).unwrap()[..1].to_vec();
        let refused = |rows: DataFrame, by: &[(&str, &str)]| match reshape(lake, "run-2", by, &rows, some.clone())
            .commit(lake, Some(&table))
        {
            Err(LakeError::SchemaMismatch { mismatch, .. }) => mismatch,
            other => panic!("{other:?}"),
        };
        let day: &[_] = &[("sold_on", "2011-12-01")];
        let text = rows(1, 0..5).lazy().with_column(col("amount").cast(DataType::String)).collect().unwrap();
        let (table_ty, now) = ("decimal(12,2)".into(), "string".into());
        assert_eq!(refused(text, day), SchemaMismatch::Type { column: "amount".into(), table: table_ty, now });
        let less = rows(1, 0..5).drop("note").unwrap();
        assert_eq!(refused(less, day), SchemaMismatch::Missing { column: "note".into(), table: "string".into() });
        let by = vec!["sold_on".parse().unwrap()];
        assert_eq!(refused(rows(1, 0..5), &[]), SchemaMismatch::Partition { table: by, now: vec![] });
        assert_eq!(lake.existing(&sales()).unwrap().version(), 0);
        // the order of columns alone is no reason: files are read by name
        let turned = rows(1, 0..2).select(["sold_on", "note", "id", "amount"]).unwrap();
        let draft = reshape(lake, "run-2", day, &turned, some.clone());
        assert!(matches!(draft.commit(lake, Some(&table)).unwrap(), Outcome::Committed(1)));
        let table = lake.existing(&sales()).unwrap();
        assert_eq!(all(lake, &table).get_column_names(), ["id", "amount", "note", "sold_on"]);
        assert_eq!(table.rows(lake).unwrap(), 6);
    });
}

#[test]
fn of_two_that_change_the_shape_one_loses() {
    on_every_backend(|lake| {
        let table = commit(lake, "run-1", &[(1, rows(1, 0..5))], vec![]);
        let files = || table.files(lake).unwrap();
        let one = reshape(lake, "one", &[("country", "UK")], &reshaped(1, 0..2), files());
        let two = reshape(lake, "two", &[], &reshaped(1, 0..3), files());
        assert!(matches!(one.clone().commit(lake, Some(&table)).unwrap(), Outcome::Committed(1)));
        assert!(matches!(two.commit(lake, Some(&table)).unwrap(), Outcome::Lost(1)));
        assert!(matches!(one.commit(lake, Some(&table)).unwrap(), Outcome::Committed(1)));
        assert_eq!(lake.existing(&sales()).unwrap().partition_by(), ["country".parse().unwrap()]);
    });
}
