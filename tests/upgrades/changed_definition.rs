//! A pipeline whose definition changes: the next run rebuilds what it affects, and ends where a first run would have.

use std::path::PathBuf;

use crate::support::running::runs;
use polars::prelude::*;
use rusqlite::types::Value;
use tempfile::TempDir;
use tidemark::args::Common;
use tidemark::environment::LocalEnvironment;
use tidemark::load;
use tidemark_flow::{ErrorKind, Quiet, RunRecord, Selection, Status, Trigger};
use tidemark_lake::Lake;

/// A shop whose pipeline file is rewritten several times.
struct Shop {
    folder: TempDir,
    world: LocalEnvironment,
}

/// The parts of the pipeline file that change.
#[derive(Clone, Copy)]
struct Definition {
    /// `[contract]` before its columns.
    contract: &'static str,
    columns: &'static str,
    /// Model `by_day` after its name.
    by_day: &'static str,
    /// How the model `everything` goes into SQLite.
    mode: &'static str,
}

const FIRST: Definition = Definition {
    contract: "partition_by = { column = 'day' }",
    columns: "id = 'int64'\nday = 'date'\namount = 'decimal(12,2)'\nnote = 'string'",
    by_day: "sql = 'SELECT day, SUM(amount) AS total, COUNT(*) AS orders FROM orders GROUP BY day'\n\
             partition_by = 'day'\nincremental = { lookback = '0d' }",
    mode: "'upsert'\nkey = ['id']",
};

/// Partitions of texts, of which one is empty, and NULL.
const BY_NOTE: Definition = Definition {
    contract: "partition_by = { column = 'note' }",
    columns: "id = 'int64'\nday = 'date'\namount = 'decimal(12,2)'\nnote = { type = 'string', nulls = ['-'] }",
    by_day: "sql = 'SELECT day, note, COUNT(*) AS orders FROM orders GROUP BY day, note'\npartition_by = 'note'",
    mode: "'swap'",
};

impl Shop {
    fn new(days: u32) -> Shop {
        let shop = Shop { folder: tempfile::tempdir().unwrap(), world: LocalEnvironment::new().unwrap() };
        std::fs::create_dir_all(shop.path("in")).unwrap();
        std::fs::create_dir_all(shop.path("pipelines")).unwrap();
        (1..=days).for_each(|day| shop.sell(day));
        shop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file with the orders of a day. One of them has an amount that is no whole number.
    fn sell(&self, day: u32) {
        let rows: String = (0..4)
            .map(|n| {
                format!(
                    "{},2026-03-{day:02},{}.{}0,{},{}\n",
                    day * 10 + n,
                    n + day,
                    n / 3,
                    ["a", "", "-", "b c"][n as usize],
                    day * 2
                )
            })
            .collect();
        std::fs::write(self.path(&format!("in/{day}.csv")), format!("id,day,amount,note,country\n{rows}")).unwrap();
    }

    fn define(&self, definition: &Definition) {
        let Definition { contract, columns, by_day, mode } = definition;
        let (orders, database) = (self.path("in"), self.path("shop.db"));
        let target = |dataset: &str, mode: &str| {
            format!(
                "[[target]]\nkind = 'sqlite'\ndataset = '{dataset}'\npath = '{}'\ntable = '{dataset}'\nmode = {mode}\n",
                database.display()
            )
        };
        let text = format!(
            "[source]\nkind = 'files'\npath = '{}'\nformat = 'csv'\n\n[contract]\ndataset = 'orders'\n{contract}\n\n\
             [contract.columns]\n{columns}\n\n\
             [[model]]\nname = 'by_day'\n{by_day}\n\n\
             [[model]]\nname = 'everything'\nsql = 'SELECT * FROM orders'\n\n{}{}{}",
            orders.display(),
            target("by_day", "'upsert'\nkey = ['day']"),
            target("everything", mode),
            target("orders", "'swap'"),
        );
        std::fs::write(self.path("pipelines/shop.toml"), text).unwrap();
    }

    fn records(&self) -> Vec<RunRecord> {
        let common =
            Common { lake: self.place(), pipelines: self.path("pipelines"), parameters: Vec::new(), json: true };
        let graph = load(&common, Selection::Named(&[])).unwrap();
        let trigger = Trigger::at("2026-04-01T08:00:00Z".parse().unwrap(), "evolve");
        self.world.with_context(&self.lake(), &Quiet, |context| runs(context, &self.world, &graph, &[], &trigger))
    }

    fn run(&self) {
        for record in self.records() {
            assert!(record.status != Status::Failed, "{record:#?}");
        }
    }

    fn place(&self) -> String {
        self.path("lake").display().to_string()
    }

    fn lake(&self) -> Lake {
        self.world.lake(&self.place()).unwrap()
    }

    fn rows(&self, dataset: &str) -> DataFrame {
        let lake = self.lake();
        let table = lake.existing(&dataset.parse().unwrap()).unwrap();
        let mut rows = table.read(&lake, &table.files(&lake).unwrap()).unwrap();
        if let Ok(healed_by) = rows.column("healed_by") {
            // a quarantine remembers what was broken under an earlier contract, and a first run has had none
            rows = rows.filter(&healed_by.is_null()).unwrap();
        }
        let by: Vec<_> = rows.get_column_names_owned();
        rows.sort(by, SortMultipleOptions::default()).unwrap()
    }

    /// The rows of a table, in the columns the dataset has.
    fn loaded(&self, dataset: &str) -> Vec<Vec<Value>> {
        let columns = self.rows(dataset).schema().iter_names().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        let database = rusqlite::Connection::open(self.path("shop.db")).unwrap();
        let mut select = database.prepare(&format!("SELECT {columns} FROM {dataset} ORDER BY {columns}")).unwrap();
        let width = select.column_count();
        let rows = select.query_map([], |row| (0..width).map(|at| row.get(at)).collect::<Result<Vec<_>, _>>()).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }
}

/// Both shops have the same, to the column, the type and the partition.
fn assert_same(evolved: &Shop, first: &Shop, what: &str) {
    for dataset in ["orders", "orders.quarantine", "by_day", "everything"] {
        let (found, expected) = (evolved.rows(dataset), first.rows(dataset));
        assert_eq!(found.schema(), expected.schema(), "{what}: {dataset}");
        for (found, expected) in found.columns().iter().zip(expected.columns()) {
            assert!(found.equals_missing(expected), "{what}: {dataset}:\n{found:?}\n{expected:?}");
        }
        let by = |shop: &Shop| shop.lake().existing(&dataset.parse().unwrap()).unwrap().partition_by();
        assert_eq!(by(evolved), by(first), "{what}: {dataset}");
    }
    for dataset in ["by_day", "everything", "orders"] {
        assert_eq!(evolved.loaded(dataset), first.loaded(dataset), "{what}: {dataset} in SQLite");
    }
}

#[test]
fn a_changed_definition_ends_where_a_first_run_would() {
    let steps = [
        (
            "the type of a column",
            Definition { columns: "id = 'int64'\nday = 'date'\namount = 'float64'\nnote = 'string'", ..FIRST },
        ),
        ("a column less", Definition { columns: "id = 'int64'\nday = 'date'\namount = 'float64'", ..FIRST }),
        (
            "a column more, in the midst, and a narrower one",
            Definition { columns: "id = 'int32'\ncountry = 'int64'\nday = 'date'\namount = 'float64'", ..FIRST },
        ),
        (
            "a type that not every row has",
            Definition { columns: "country = 'int64'\nid = 'int64'\nday = 'date'\namount = 'decimal(9,0)'", ..FIRST },
        ),
        (
            "another partition, and SQL that gives another type",
            Definition {
                contract: "partition_by = { column = 'day', every = 'month' }",
                columns: "id = 'int64'\nday = 'date'\namount = 'decimal(12,2)'\ncountry = 'int64'",
                by_day: "sql = 'SELECT day, SUM(CAST(amount AS DOUBLE)) AS total, COUNT(*) AS orders FROM orders GROUP BY day'",
                ..FIRST
            },
        ),
        ("partitions of texts, of an empty one and of none", BY_NOTE),
        (
            "a key that SQLite holds as another text",
            Definition {
                by_day: "sql = 'SELECT CAST(day AS TIMESTAMP) AS day, COUNT(*) AS orders FROM orders GROUP BY day'",
                ..FIRST
            },
        ),
        (
            "no partition",
            Definition {
                contract: "",
                by_day: "sql = 'SELECT day, SUM(amount) AS total, COUNT(*) AS orders FROM orders GROUP BY day'\n\
                         partition_by = 'day'",
                ..FIRST
            },
        ),
        ("the beginning", FIRST),
    ];
    let evolved = Shop::new(3);
    evolved.define(&FIRST);
    evolved.run();
    let mut day = 3;
    for (what, definition) in &steps {
        day += 1;
        evolved.sell(day);
        let first = Shop::new(day);
        for shop in [&evolved, &first] {
            shop.define(definition);
            shop.run();
        }
        assert_same(&evolved, &first, what);
        // the definition stays and a file comes: an ordinary run
        day += 1;
        for shop in [&evolved, &first] {
            shop.sell(day);
            shop.run();
        }
        assert_same(&evolved, &first, what);
        let last = evolved.records();
        assert!(last.iter().all(|record| record.status == Status::NothingToDo), "{what}: {last:#?}");
    }
    // every version is still to be read, each with its own columns
    let lake = evolved.lake();
    let orders = "orders".parse().unwrap();
    let mut widths = Vec::new();
    for version in 0..=lake.existing(&orders).unwrap().version() {
        let table = lake.table_at(&orders, version).unwrap();
        let rows = table.read(&lake, &table.files(&lake).unwrap()).unwrap();
        assert_eq!(&**rows.schema(), table.schema());
        widths.push(rows.width());
    }
    widths.dedup();
    assert_eq!(widths, [4, 3, 4, 5, 4]);
}

#[test]
fn a_target_that_cannot_follow_says_so_and_is_loaded_anew_once_its_table_is_gone() {
    let text = "id = 'int64'\nday = 'date'\namount = 'string'\nnote = 'string'";
    for (mode, word) in [("'swap'", "declared \"REAL\""), ("'append'", "column amount from decimal(12,2) to string")] {
        let by_day = "sql = 'SELECT day, COUNT(*) AS orders FROM orders GROUP BY day'";
        let shop = Shop::new(2);
        shop.define(&Definition { by_day, mode, ..FIRST });
        shop.run();
        shop.define(&Definition { by_day, mode, columns: text, ..FIRST });
        let records = shop.records();
        let error = records.iter().find_map(|record| record.error.as_ref()).unwrap();
        assert_eq!(error.kind, ErrorKind::Definition);
        let said = format!("{} {}", error.message, error.hint.as_deref().unwrap_or_default());
        assert!(said.contains(word) && said.contains("drop"), "{mode}: {said}");
        // the lake is up to date, and only the targets are pending: each says so, whichever is loaded first
        assert_eq!(shop.rows("everything").column("amount").unwrap().dtype(), &DataType::String);
        let failed = records.iter().filter(|record| record.status == Status::Failed);
        let failed: Vec<String> = failed.map(|record| record.step.to_string()).collect();
        assert_eq!(failed, ["load sqlite-everything", "load sqlite-orders"]);
        let database = rusqlite::Connection::open(shop.path("shop.db")).unwrap();
        database.execute_batch("DROP TABLE everything; DROP TABLE orders").unwrap();
        shop.run();
        assert_eq!(shop.loaded("everything").len(), 8);
    }
}

#[test]
fn a_text_is_a_partition_as_it_is_and_an_empty_one_lies_with_null() {
    let shop = Shop::new(2);
    shop.define(&BY_NOTE);
    shop.run();
    shop.sell(3);
    shop.run();
    let lake = shop.lake();
    for (dataset, rows) in [("orders", 6), ("by_day", 6)] {
        let partitions = lake.existing(&dataset.parse().unwrap()).unwrap().partitions(&lake).unwrap();
        let found: Vec<_> = partitions.keys().map(|partition| partition.get("note")).collect();
        assert_eq!(found, [None, Some("a"), Some("b c")], "{dataset}");
        let nulls = partitions.values().next().unwrap().iter().map(|file| file.rows).sum::<u64>();
        assert_eq!(nulls, rows, "{dataset}");
    }
    assert_eq!(shop.rows("orders").height(), 12);
}
