//! The server is killed, or the loading process.

use std::sync::OnceLock;
use std::sync::mpsc::channel;

use tidemark_flow::Status;

use crate::support::kill::kill_when;
use crate::support::postgres::{Database, Direction, Proxy, Server, database};
use crate::support::postgres_load::interrupted::{Bench, Ended, commit_of};
use crate::support::postgres_load::orders::{
    DatabaseState, Loader, Mode, Order, Workspace, added_rows, lake_at, many, texts,
};
use crate::support::project::{Answer, walk};
use crate::support::random::Random;
use crate::support::sample::is_whole;

/// Number of statements per load at which the server is killed, unless all are tested.
const SAMPLED: usize = 3;

/// A server that may be killed, used by one test only.
fn killable_server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(|| Server::start(&[])).as_ref()
}

#[test]
fn a_load_survives_a_killed_server_at_any_statement() {
    let Some(server) = killable_server() else { return };
    let is_all = is_whole();
    let new = || Database::create(server, "");
    let loaded = |database: &Database| drop(Loader::new(&database.url(), Mode::Upsert, "").load(&lake_at(0)));
    let strict = |database: &Database| {
        loaded(database);
        database.query("ALTER TABLE orders ADD CHECK (id <> 305)");
    };
    let benches = [
        Bench::new("a new table", (Mode::Upsert, ""), 0, new(), |_| {}),
        Bench::new("an upsert", (Mode::Upsert, ""), 1, new(), loaded),
        Bench::new("refused rows", (Mode::Upsert, "max_refused = 5"), 1, new(), strict),
    ];
    for bench in &benches {
        let is_statement = |number: &usize| bench.messages[*number].0 == Direction::ToServer;
        let statements: Vec<usize> = (0..bench.messages.len()).filter(is_statement).collect();
        let every = if is_all { 1 } else { statements.len().div_ceil(SAMPLED) };
        // Always before and after COMMIT.
        let numbers = statements.into_iter().skip(every / 2).step_by(every).chain(bench.commit());
        for number in numbers {
            let ended = bench.run_with_fault("", |proxy| {
                proxy.restart_on_message(number, || server.stop_immediate(), || server.start_again());
            });
            let Ended { first, occurred } = ended.unwrap_or_else(|error| panic!("{} at {number}: {error}", bench.name));
            assert_eq!((occurred, first.status), (true, Status::Done), "{} at {number}: {:?}", bench.name, first.error);
        }
    }
}

/// Number of kills during a load, at random messages spread over the load.
const KILLS: usize = 4;
/// Multiple of 300 rows, so that a run takes some time.
const TIMES: i64 = 10;

#[test]
fn after_a_kill_at_any_message_the_next_run_ends_as_a_clean_one() {
    let mut random = Random::new(5);
    for mode in [Mode::Upsert, Mode::Append, Mode::Swap] {
        let Some(database) = database() else { return };
        let proxy = Proxy::before(database.port());
        let workspace = Workspace::new(&proxy.url(database.name()), mode);
        let (mut before, mut wanted): (Vec<Order>, Vec<String>) = Default::default();
        for version in 0..3 {
            let rows = many(version, TIMES);
            workspace.put(&rows);
            let messages = messages(&workspace, &database);
            // Before the first message to the server: when the raw rows are committed, and when the load begins.
            for is_time in [Some(workspace.log("orders.raw")), None] {
                kill_at(&workspace, &proxy, 0, || is_time.as_ref().is_some_and(|log| walk(log).len() as i64 > version));
            }
            for kill in 0..KILLS {
                kill_at(&workspace, &proxy, (kill * messages + random.below(messages)) / KILLS, || false);
            }
            Answer::from_command(&mut workspace.command()).expect(0);
            wanted = if mode == Mode::Append { [wanted, added_rows(&before, &rows)].concat() } else { texts(&rows) };
            wanted.sort();
            before = rows;
            let state = DatabaseState::from_database(&database);
            assert!(state.rows == wanted, "{mode:?}, version {version}: {} and not {}", state.rows.len(), wanted.len());
            let [line] = state.loads.as_slice() else { panic!("{:?}", state.loads) };
            let counts: Vec<&str> = line.split(' ').collect();
            assert_eq!(counts[..2], ["orders", "orders"], "{line}");
            let again = Answer::from_command(&mut workspace.command()).expect(0);
            assert_eq!(again.step("load postgres-orders")["status"], "nothing_to_do");
        }
    }
}

/// Number of messages of a complete run over a copy of lake and database, up to COMMIT.
fn messages(workspace: &Workspace, database: &Database) -> usize {
    let _ = DatabaseState::from_database(database);
    let copy = database.fork();
    let proxy = Proxy::before(copy.port());
    Answer::from_command(&mut workspace.copy(&proxy.url(copy.name())).command()).expect(0);
    proxy.wait_closed();
    commit_of(&proxy.messages()) + 1
}

/// Kills a run that is held before message `number` is forwarded, or earlier if `is_time`.
fn kill_at(workspace: &Workspace, proxy: &Proxy, number: usize, mut is_time: impl FnMut() -> bool) {
    proxy.wait_closed();
    proxy.recount();
    let ((reached, comes), (gone, goes_on)) = (channel(), channel::<()>());
    proxy.on_message(number, move || {
        reached.send(()).unwrap();
        // Blocks until the run has been killed.
        let _ = goes_on.recv();
    });
    let was_killed = kill_when(&mut workspace.command(), libc::SIGKILL, || is_time() || comes.try_recv().is_ok());
    drop(gone);
    assert!(was_killed, "it ended before message {number}");
}
