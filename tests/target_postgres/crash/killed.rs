//! The server is killed, or whoever loads.

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

/// So many statements of each load are the server's last, where not all are.
const SAMPLED: usize = 3;

/// One that may be killed: nobody else is on it.
fn mortal() -> Option<&'static Server> {
    static MORTAL: OnceLock<Option<Server>> = OnceLock::new();
    MORTAL.get_or_init(|| Server::start(&[])).as_ref()
}

#[test]
fn a_load_rides_over_the_death_of_its_server_at_any_statement() {
    let Some(server) = mortal() else { return };
    let is_all = std::env::var("TIDEMARK_CRASH").is_ok_and(|wanted| wanted == "all");
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
        // what comes of COMMIT as well, before it and after
        let mortal = statements.into_iter().skip(every / 2).step_by(every).chain(bench.commit());
        for number in mortal {
            let ended = bench.run_with_fault("", |proxy| {
                proxy.restart_on_message(number, || server.stop_immediate(), || server.start_again());
            });
            let Ended { first, occurred } = ended.unwrap_or_else(|error| panic!("{} at {number}: {error}", bench.name));
            assert_eq!((occurred, first.status), (true, Status::Done), "{} at {number}: {:?}", bench.name, first.error);
        }
    }
}

/// How often a run is killed in its load before it may finish: at as many messages, each in its part of them.
const KILLS: usize = 4;
/// So many times 300 rows, so that a run takes its time.
const TIMES: i64 = 10;

#[test]
fn killed_at_any_moment_the_next_run_ends_as_a_clean_one() {
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
            // before it has said anything to the server: when the raw rows are there, and when all is ready to be loaded
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

/// Of a run over a copy of lake and database, which ends well: up to the one that says that its transaction is over.
fn messages(workspace: &Workspace, database: &Database) -> usize {
    let _ = DatabaseState::from_database(database);
    let copy = database.fork();
    let proxy = Proxy::before(copy.port());
    Answer::from_command(&mut workspace.copy(&proxy.url(copy.name())).command()).expect(0);
    proxy.wait_closed();
    commit_of(&proxy.messages()) + 1
}

/// Kills a run that is held before it hands message `number` on, or before that if it is time.
fn kill_at(workspace: &Workspace, proxy: &Proxy, number: usize, mut is_time: impl FnMut() -> bool) {
    proxy.wait_closed();
    proxy.recount();
    let ((reached, comes), (gone, goes_on)) = (channel(), channel::<()>());
    proxy.on_message(number, move || {
        reached.send(()).unwrap();
        // until the run is killed
        let _ = goes_on.recv();
    });
    let was_there = kill_when(&mut workspace.command(), libc::SIGKILL, || is_time() || comes.try_recv().is_ok());
    drop(gone);
    assert!(was_there, "it ended before message {number}");
}
