//! Concurrent loads.

use std::process::Stdio;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidemark_flow::{RunRecord, Status};

use crate::support::postgres::{Database, database};
use crate::support::postgres_load::orders::{
    DatabaseState, Loader, Mode, Objects, Order, Workspace, check_records, commit, counts, lake_at, open, orders, texts,
};
use crate::support::project::Answer;

const CROWD: usize = 8;

/// Runs `load` in several threads; every load must succeed.
fn run_all(database: &Database, mode: Mode, load: impl Fn(&Loader) -> Vec<RunRecord> + Sync) -> Vec<RunRecord> {
    let start = Barrier::new(CROWD);
    let records = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..CROWD)
            .map(|_| {
                scope.spawn(|| {
                    let loader = Loader::new(&database.url(), mode, "");
                    start.wait();
                    load(&loader)
                })
            })
            .collect();
        runs.into_iter().flat_map(|run| run.join().unwrap()).collect::<Vec<_>>()
    });
    for record in &records {
        assert!(record.error.is_none(), "{mode:?}: {:?}", record.error);
    }
    records
}

#[test]
fn concurrent_loads_of_a_version_load_it_once() {
    for mode in Mode::ALL {
        let (Some(crowded), Some(clean)) = (database(), database()) else { return };
        for version in 0..3 {
            let objects = lake_at(version);
            let alone = Loader::new(&clean.url(), mode, "").load(&objects);
            let records = run_all(&crowded, mode, |loader| vec![loader.load(&objects)]);
            let state = DatabaseState::from_database(&crowded);
            state
                .equals(&DatabaseState::from_database(&clean))
                .unwrap_or_else(|error| panic!("{mode:?}, version {version}: {error}"));
            check_records(&records, &state).unwrap();
            let loaded: Vec<_> = records.iter().map(counts).filter(|counts| *counts == self::counts(&alone)).collect();
            assert_eq!(loaded.len(), 1, "{mode:?}");
        }
    }
}

/// A dataset whose versions only add rows, as `append` requires.
fn grown(version: i64) -> Vec<Order> {
    orders(0).into_iter().take(100 * usize::try_from(version + 1).unwrap()).collect()
}

#[test]
fn concurrent_loads_end_at_the_last_of_several_versions() {
    for mode in Mode::ALL {
        let Some(database) = database() else { return };
        let version = |version| if mode == Mode::Append { grown(version) } else { orders(version) };
        let objects = Objects::default();
        let lake = open(&objects);
        commit(&lake, &version(0));
        let is_over = AtomicBool::new(false);
        let records = std::thread::scope(|scope| {
            scope.spawn(|| {
                for next in [1, 2] {
                    std::thread::sleep(Duration::from_millis(300));
                    commit(&lake, &version(next));
                }
                is_over.store(true, Ordering::SeqCst);
            });
            run_all(&database, mode, |loader| {
                let mut records = Vec::new();
                loop {
                    let is_last = is_over.load(Ordering::SeqCst);
                    records.push(loader.load(&objects));
                    if is_last {
                        return records;
                    }
                }
            })
        });
        let state = DatabaseState::from_database(&database);
        assert_eq!(state.rows, texts(&version(2)), "{mode:?}");
        let [line] = state.loads.as_slice() else { panic!("{:?}", state.loads) };
        assert!(line.starts_with("orders orders 2 "), "{line}");
        let written: u64 = records.iter().map(|record| record.rows.written).sum();
        let deleted: u64 = records.iter().map(|record| record.rows.deleted).sum();
        assert_eq!(written - deleted, version(2).len() as u64, "{mode:?}");
        assert_eq!(Loader::new(&database.url(), mode, "").load(&objects).status, Status::NothingToDo);
    }
}

/// The first loads of a database create its schema and Tidemark's tables.
#[test]
fn concurrent_loads_create_a_schema_once() {
    let Some(database) = database() else { return };
    let objects = Objects::default();
    let mut rows = orders(0);
    // A character that no text of PostgreSQL may have, so the row is refused.
    rows[17].note = Some("\0".to_owned());
    commit(&open(&objects), &rows);
    let start = Barrier::new(CROWD);
    std::thread::scope(|scope| {
        for number in 0..CROWD {
            let (database, objects, start) = (&database, &objects, &start);
            scope.spawn(move || {
                let rest = format!("schema = \"new\"\nmax_refused = 1\nname = \"n{number}\"");
                let loader = Loader::for_table(&database.url(), Mode::Upsert, &format!("orders{number}"), &rest);
                start.wait();
                let record = loader.load(objects);
                assert!(record.error.is_none(), "{:?}", record.error);
            });
        }
    });
    let loads = database.query("SELECT version, inserted, refused FROM new.tidemark_loads");
    assert_eq!(loads, vec![["0", "299", "1"].map(|count| Some(count.to_owned())).to_vec(); CROWD]);
    let refused = database.query("SELECT count(DISTINCT \"table\"), count(*) FROM new.tidemark_refused");
    assert_eq!(refused, [["8", "8"].map(|count| Some(count.to_owned())).to_vec()]);
}

#[test]
fn concurrent_processes_load_a_version_once() {
    for mode in [Mode::Upsert, Mode::Append] {
        let Some(database) = database() else { return };
        let workspace = Workspace::new(&database.url(), mode);
        for version in 0..3 {
            let rows = if mode == Mode::Append { grown(version) } else { orders(version) };
            workspace.put(&rows);
            let mut command = workspace.command();
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            let crowd: Vec<_> = (0..CROWD).map(|_| command.spawn().unwrap()).collect();
            let ends = crowd.into_iter().map(|process| process.wait_with_output().unwrap());
            let records: Vec<RunRecord> = ends
                .map(|output| {
                    let answer = Answer::from(output).expect(0);
                    serde_json::from_value(answer.step("load postgres-orders")).unwrap()
                })
                .collect();
            let state = DatabaseState::from_database(&database);
            assert_eq!(state.rows, texts(&rows), "{mode:?}");
            check_records(&records, &state).unwrap();
        }
    }
}
