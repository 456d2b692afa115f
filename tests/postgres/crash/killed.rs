//! The server is killed, or whoever loads.

use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use tidemark_flow::Status;

use super::bench::{Bench, Ended};
use super::house::{Desk, Loader, Mode, Order, Standing, came, lake_at, many, texts};
use crate::postgres::{Database, Direction, Server, database};
use crate::site::Answer;

/// So many statements of each load are the server's last, where not all are.
const SAMPLED: usize = 4;

/// One that may be killed: nobody else is on it.
fn mortal() -> Option<&'static Server> {
    static MORTAL: OnceLock<Option<Server>> = OnceLock::new();
    MORTAL.get_or_init(|| Server::start(&[])).as_ref()
}

#[test]
fn a_load_rides_over_the_death_of_its_server_at_any_statement() {
    let Some(server) = mortal() else { return };
    let is_all = std::env::var("TIDEMARK_CRASH").is_ok_and(|wanted| wanted == "all");
    let new = || Database::made(server, "");
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
            let ended = bench.suffer(|proxy| {
                proxy.on_message(number, move || {
                    server.stop_immediate();
                    std::thread::spawn(move || {
                        std::thread::sleep(Duration::from_millis(300));
                        server.start_again();
                    });
                });
            });
            let Ended { first, befell } = ended.unwrap_or_else(|error| panic!("{} at {number}: {error}", bench.name));
            assert_eq!((befell, first.status), (true, Status::Done), "{} at {number}: {:?}", bench.name, first.error);
        }
    }
}

/// How often a run is killed before it may finish.
const KILLS: usize = 4;
/// So many times 300 rows, so that a run takes its time.
const TIMES: i64 = 10;

#[test]
fn killed_at_any_moment_the_next_run_ends_as_a_clean_one() {
    let (mut random, mut window, mut killed, mut runs) = (Random(5), Duration::from_millis(600), 0, 0);
    for mode in [Mode::Upsert, Mode::Append, Mode::Swap] {
        let Some(database) = database() else { return };
        let desk = Desk::new(&database, mode);
        let (mut before, mut wanted): (Vec<Order>, Vec<String>) = Default::default();
        for version in 0..3 {
            let rows = many(version, TIMES);
            desk.put(&rows);
            for _ in 0..KILLS {
                let mut process = desk.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
                std::thread::sleep(window.mul_f64(random.share()));
                let was_there = process.try_wait().unwrap().is_none();
                process.kill().unwrap();
                process.wait().unwrap();
                (killed, runs) = (killed + usize::from(was_there), runs + 1);
                window = window.mul_f64(if was_there { 1.1 } else { 0.7 });
            }
            Answer::of(&mut desk.command()).expect(0);
            wanted = if mode == Mode::Append { [wanted, came(&before, &rows)].concat() } else { texts(&rows) };
            wanted.sort();
            before = rows;
            let standing = Standing::of(&database);
            assert!(
                standing.rows == wanted,
                "{mode:?}, version {version}: {} and not {}",
                standing.rows.len(),
                wanted.len()
            );
            let [line] = standing.loads.as_slice() else { panic!("{:?}", standing.loads) };
            let counts: Vec<&str> = line.split(' ').collect();
            assert_eq!(counts[..2], ["orders", "orders"], "{line}");
            let again = Answer::of(&mut desk.command()).expect(0);
            assert_eq!(again.step("load postgres-orders")["status"], "nothing_to_do");
        }
    }
    println!("killed {killed} of {runs} runs");
    assert!(killed >= runs / 3, "most runs were over before they were killed: {killed} of {runs}");
}

/// The same numbers at every run of the test.
struct Random(u64);

impl Random {
    fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}
