//! The real command, by the real clock.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use jiff::Timestamp;
use serde_json::Value;
use watch::{PipelineState, WatchState};

use crate::support::http_server::{listen, reply};
use crate::support::kill::send;
use crate::support::project::{Answer, Site, tidemark};
use crate::support::wait::{HANG, until};

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
    fn says(&self, words: &str) -> String {
        let mut said = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(HANG) {
            if line.contains(words) {
                return line;
            }
            said.push(line);
        }
        panic!("no {words:?}: {said:#?}");
    }

    fn signal(&self, signal: i32) {
        send(&self.process, signal);
    }

    /// Waits until it has heard every signal and only waits itself: none is pending, and each of its threads is asleep, however often this
    /// is looked at.
    fn settles(&self) {
        let mut looks = 0;
        until("the process only waits", || {
            looks = if self.only_waits() { looks + 1 } else { 0 };
            looks == 20
        });
    }

    fn only_waits(&self) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.process.id())).unwrap().flatten();
        let mut states = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
        states.all(|status| {
            let has = |name: &str, what: &str| {
                let value = status.lines().find_map(|line| line.strip_prefix(name));
                value.is_some_and(|value| value.trim().starts_with(what))
            };
            has("State:", "S") && ["SigPnd:", "ShdPnd:"].iter().all(|pending| has(pending, "0000000000000000"))
        })
    }

    /// How it ends; `None` by a signal.
    #[track_caller]
    fn ends(&mut self) -> Option<i32> {
        let mut status = None;
        until("it ends", || {
            status = self.process.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

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
#[expect(clippy::disallowed_methods, reason = "by the real clock")]
fn it_runs_at_the_minute_and_stops_when_it_is_told() {
    let site = Site::new();
    let text = format!("schedule = {{ rate = \"1 minute\" }}\n[source]\nkind = \"files\"\npath = \"in\"\n{CONTRACT}");
    site.write("infra/pipelines/orders.toml", text);
    site.write("in/1.csv", "id\n1\n2\n");
    let began = Timestamp::now();
    let mut first = Dev::start(&mut dev(&site, &[]));
    let next = first.says("orders");
    assert!(next.starts_with("· orders  next at 20") && next.ends_with("in less than a minute"), "{next}");
    first.says("watching every 5 minutes; Ctrl-C stops");
    // a lake has one
    let second = Answer::from_command(&mut dev(&site, &["--json"]));
    second.fails(1, "refused", &["another tidemark dev uses lake", "stop it first"]);
    first.says("✓ orders  ingest");
    first.says("✓ orders  clean");
    first.signal(libc::SIGTERM);
    let stopped = first.says("stopped:");
    // another minute may have come meanwhile
    assert!(!stopped.starts_with("stopped: 0 starts"), "{stopped}");
    assert!(stopped.ends_with(" steps run, 0 of them failed, 0 messages sent"), "{stopped}");
    assert_eq!(first.ends(), Some(0));
    // at the first minute after it began, and not before
    let runs = site.ask(&["runs"]).expect(0).json();
    let moment = |name: &str| -> Timestamp {
        let of_ingest = runs["runs"].as_array().unwrap().iter().rfind(|run| run["step"] == "ingest").unwrap();
        of_ingest[name].as_str().unwrap().parse().unwrap()
    };
    let (scheduled, started) = (moment("scheduled_time"), moment("started_at"));
    let minute = (began.as_second() / 60 + 1) * 60;
    assert!(scheduled.as_second() == minute || scheduled.as_second() == minute + 60, "{began}: {scheduled}");
    assert!(started >= scheduled, "{scheduled}: {started}");
    assert_eq!(site.sql("SELECT COUNT(*) AS n FROM orders"), [[2]]);
}

/// A time that is over, and one that nobody will see: no start is due by the clock while a test runs.
const ONCE: &str = "0 0 1 1 ? 2020,2199";

/// A watcher's memory of a pipeline that was watched before, so that its last start is missed and made up for at once.
fn was_here(site: &Site) {
    assert_eq!(Answer::from_command(site.command(tidemark()).args(["status", "--lake", "lake"])).code, 2);
    let schedule = format!("cron {ONCE} (UTC)");
    let known = PipelineState { since: "2019-12-31T00:00:00Z".parse().unwrap(), schedule, ..PipelineState::default() };
    let memory = WatchState { pipelines: [("orders".to_owned(), known)].into(), ..WatchState::default() };
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
        let schedule = format!("schedule = {{ cron = \"{ONCE}\", timezone = \"UTC\" }}\n");
        site.write("infra/pipelines/orders.toml", format!("{schedule}{source}{contract}"));
        was_here(&site);
        Shop { site, asked }
    }

    /// The request that a start makes; it is answered when what comes back is dropped.
    fn asked(&self) -> tokio::sync::oneshot::Sender<()> {
        self.asked.recv_timeout(HANG).expect("the API is asked")
    }
}

#[test]
fn a_signal_lets_the_step_end_and_two_do_not() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let shop = Shop::new();
        let mut dev = Dev::start(&mut dev(&shop.site, &["--json"]));
        let request = shop.asked();
        dev.signal(signal);
        dev.settles();
        assert_eq!(dev.process.try_wait().unwrap(), None);
        drop(request);
        assert_eq!(dev.ends(), Some(0));
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
    assert_eq!(dev.ends(), Some(130));
}

#[test]
fn killed_in_a_step_it_goes_on_when_it_is_there_again() {
    let shop = Shop::new();
    let mut killed = Dev::start(&mut dev(&shop.site, &[]));
    let request = shop.asked();
    killed.signal(libc::SIGKILL);
    assert_eq!(killed.ends(), None);
    drop(request);
    let mut again = Dev::start(&mut dev(&shop.site, &[]));
    again.says("· orders  1 missed start to catch up on");
    drop(shop.asked());
    again.says("✓ orders  ingest");
    again.says("✓ orders  clean");
    again.signal(libc::SIGINT);
    again.says("stopped: 1 starts, 2 steps run, 0 of them failed, 0 messages sent");
    assert_eq!(again.ends(), Some(0));
    assert_eq!(shop.site.sql("SELECT COUNT(*) AS n FROM orders"), [[2]]);
    // what is done is not done again
    let mut idle = Dev::start(&mut dev(&shop.site, &[]));
    idle.says("watching every 5 minutes; Ctrl-C stops");
    idle.signal(libc::SIGTERM);
    idle.says("stopped: 0 starts, 0 steps run");
    assert_eq!(idle.ends(), Some(0));
}
