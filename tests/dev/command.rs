//! The real command, by the real clock.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;
use watch::{Known, Memory};

use crate::lambda::{listen, reply};
use crate::site::{Answer, Site, tidemark};

/// A process that ends with the test.
struct Dev {
    process: Child,
    lines: Receiver<String>,
}

impl Dev {
    fn start(command: &mut Command) -> Dev {
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (to_test, lines) = channel();
        let out = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = to_test.send(line);
            }
        });
        Dev { process, lines }
    }

    /// The first line with these words in it, among those that come.
    #[track_caller]
    fn says(&self, words: &str, within: Duration) -> String {
        let (began, mut said) = (Instant::now(), Vec::new());
        while let Some(left) = within.checked_sub(began.elapsed()) {
            let Ok(line) = self.lines.recv_timeout(left) else { break };
            if line.contains(words) {
                return line;
            }
            said.push(line);
        }
        panic!("no {words:?} within {within:?}: {said:#?}");
    }

    #[expect(unsafe_code, reason = "the standard library sends SIGKILL only")]
    fn signal(&self, signal: i32) {
        // SAFETY: sends a signal to a child that has not been waited for, so that the id is still its own
        assert_eq!(unsafe { libc::kill(self.process.id().cast_signed(), signal) }, 0);
    }

    /// How it ends; `None` by a signal.
    #[track_caller]
    fn ends(&mut self, within: Duration) -> Option<i32> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.code();
            }
            assert!(began.elapsed() < within, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const SOON: Duration = Duration::from_secs(20);

const CONTRACT: &str = r#"
[contract]
dataset = "orders"

[contract.columns]
id = { type = "int64", required = true }
"#;

fn dev(site: &Site, more: &[&str]) -> Command {
    let mut command = site.command(tidemark());
    command.arg("dev").args(more);
    command
}

/// Waits a minute at most.
#[test]
fn it_runs_at_the_minute_and_stops_when_it_is_told() {
    let site = Site::new();
    let text = format!("schedule = {{ rate = \"1 minute\" }}\n[source]\nkind = \"files\"\npath = \"in\"\n{CONTRACT}");
    site.write("infra/pipelines/orders.toml", text);
    site.write("in/1.csv", "id\n1\n2\n");
    let mut first = Dev::start(&mut dev(&site, &[]));
    let next = first.says("orders", SOON);
    assert!(next.starts_with("· orders  next at 20") && next.ends_with("in less than a minute"), "{next}");
    first.says("watching every 5 minutes; Ctrl-C stops", SOON);
    // a lake has one
    let second = Answer::of(&mut dev(&site, &["--json"]));
    second.fails(1, "refused", &["another tidemark dev is at work on lake", "stop it first"]);
    first.says("✓ orders  ingest", Duration::from_secs(61));
    let ran_at = Timestamp::now().as_second() % 60;
    assert!(ran_at < 10, "{ran_at} s after the minute");
    first.says("✓ orders  clean", SOON);
    first.signal(libc::SIGTERM);
    let stopped = first.says("stopped:", SOON);
    assert_eq!(stopped, "stopped: 1 starts, 2 steps walked, 0 of them failed, 0 messages sent");
    assert_eq!(first.ends(SOON), Some(0));
    assert_eq!(site.sql("SELECT COUNT(*) AS n FROM orders"), [[2]]);
}

/// A watcher's memory of a pipeline that was watched before, so that its last start is missed and made up for at once.
fn was_here(site: &Site) {
    assert_eq!(Answer::of(site.command(tidemark()).args(["status", "--lake", "lake"])).code, 2);
    let known =
        Known { since: "2026-01-01T00:00:00Z".parse().unwrap(), schedule: "rate 1 day".into(), ..Known::default() };
    let memory = Memory { pipelines: [("orders".to_owned(), known)].into(), ..Memory::default() };
    site.write("lake/tidemark.json", r#"{"lake_format":1}"#);
    site.write("lake/watch/state.json", serde_json::to_vec(&memory).unwrap());
}

/// An API that answers when it is allowed to, and tells when it is asked.
struct Shop {
    site: Site,
    asked: Receiver<tokio::sync::oneshot::Sender<()>>,
}

impl Shop {
    fn new() -> Shop {
        let (to_test, asked) = channel();
        let (address, _) = listen(move |_| {
            let (release, released) = tokio::sync::oneshot::channel();
            let _ = to_test.send(release);
            async move {
                let _ = released.await;
                reply(200, r#"[{"id": 1}, {"id": 2}]"#)
            }
        });
        let site = Site::new();
        let source = format!(
            "[source]\nkind = \"http\"\nurl = \"http://{address}/orders\"\npagination = {{ kind = \"single\" }}\n"
        );
        let contract = CONTRACT.replace("\"orders\"", "\"orders\"\nkey = [\"id\"]");
        site.write("infra/pipelines/orders.toml", format!("schedule = {{ rate = \"1 day\" }}\n{source}{contract}"));
        was_here(&site);
        Shop { site, asked }
    }

    /// The request that a start makes; it is answered when what comes back is dropped.
    fn asked(&self) -> tokio::sync::oneshot::Sender<()> {
        self.asked.recv_timeout(SOON).expect("the API is asked")
    }
}

#[test]
fn a_signal_lets_the_step_end_and_two_do_not() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let shop = Shop::new();
        let mut dev = Dev::start(&mut dev(&shop.site, &["--json"]));
        let request = shop.asked();
        dev.signal(signal);
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(dev.process.try_wait().unwrap(), None);
        drop(request);
        assert_eq!(dev.ends(SOON), Some(0));
        let out: Vec<String> = dev.lines.iter().collect();
        // one document, and nothing else
        let done: Value = serde_json::from_str(&out.concat()).unwrap_or_else(|error| panic!("{error}: {out:#?}"));
        assert_eq!((&done["started"], &done["steps"], &done["failed"]), (&1.into(), &1.into(), &0.into()), "{done}");
    }
    let shop = Shop::new();
    let mut dev = Dev::start(&mut dev(&shop.site, &[]));
    let _request = shop.asked();
    dev.signal(libc::SIGINT);
    dev.signal(libc::SIGTERM);
    assert_eq!(dev.ends(Duration::from_secs(2)), Some(130));
}

#[test]
fn killed_in_a_step_it_goes_on_when_it_is_there_again() {
    let shop = Shop::new();
    let mut killed = Dev::start(&mut dev(&shop.site, &[]));
    let request = shop.asked();
    killed.signal(libc::SIGKILL);
    assert_eq!(killed.ends(SOON), None);
    drop(request);
    let mut again = Dev::start(&mut dev(&shop.site, &[]));
    again.says("· orders  1 missed start to make up for", SOON);
    drop(shop.asked());
    again.says("✓ orders  ingest", SOON);
    again.says("✓ orders  clean", SOON);
    again.signal(libc::SIGINT);
    again.says("stopped: 1 starts, 2 steps walked, 0 of them failed, 0 messages sent", SOON);
    assert_eq!(again.ends(SOON), Some(0));
    assert_eq!(shop.site.sql("SELECT COUNT(*) AS n FROM orders"), [[2]]);
    // what is done is not done again
    let mut idle = Dev::start(&mut dev(&shop.site, &[]));
    idle.says("watching every 5 minutes; Ctrl-C stops", SOON);
    idle.signal(libc::SIGTERM);
    idle.says("stopped: 0 starts, 0 steps walked", SOON);
    assert_eq!(idle.ends(SOON), Some(0));
}
