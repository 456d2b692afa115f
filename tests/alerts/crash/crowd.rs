//! Concurrent watchers over one lake: each incident is opened once, and each message is sent by one of them.

use std::collections::BTreeMap;
use std::sync::Barrier;

use tidemark_flow::ErrorKind;

use crate::support::daily_sales::Backend;
use crate::support::watcher::run_record::run;
use crate::support::watcher::{WatcherHarness, pipeline};

const NAMES: [&str; 3] = ["orders", "shop", "till"];

/// In each round some of the pipelines fail, and others succeed again.
fn acts(harness: &WatcherHarness, round: usize) {
    harness.at("2026-03-03T08:00:00Z").after(60 * round as i64);
    for (nth, name) in NAMES.iter().enumerate() {
        let began = (harness.now() - jiff::SignedDuration::from_mins(1)).to_string();
        if (round + nth).is_multiple_of(2) {
            harness.put_run(run(name, "clean", &began).failed(ErrorKind::Data, "a page is damaged"));
        } else {
            harness.put_run(run(name, "clean", &began));
        }
    }
}

fn harness(backend: Backend) -> WatcherHarness {
    let files = NAMES.map(|name| (name, pipeline(name, "", "email = ['a@example.com', 'b@example.com']")));
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let harness = WatcherHarness::new(backend, &files);
    harness.at("2026-03-03T07:55:00Z").tick();
    harness
}

/// How often each mail was sent, by recipients, message id and subject.
fn mails(harness: &WatcherHarness) -> BTreeMap<String, usize> {
    let mut mails = BTreeMap::new();
    for mail in harness.mailbox.mails() {
        *mails.entry(format!("{} {} {}", mail.to.join(" "), mail.message_id, mail.subject)).or_default() += 1;
    }
    mails
}

/// The parts of the incidents that must be equal: notifications, and openings.
fn common_state(harness: &WatcherHarness) -> BTreeMap<String, String> {
    let of = |incident: watch::Incident| {
        let (openings, resolved) = (&incident.openings, incident.resolved_at);
        format!("{} {openings:?} {resolved:?} {:?}", incident.id(), incident.notifications)
    };
    harness.incidents().into_iter().map(|(name, incident)| (name, of(incident))).collect()
}

#[test]
fn concurrent_watchers_send_each_message_once() {
    for (backend, rounds) in [(Backend::Memory, 30), (Backend::Folder, 15), (Backend::S3, 5)] {
        let alone = harness(Backend::Memory);
        for round in 0..rounds {
            acts(&alone, round);
            alone.tick();
        }
        let expected = mails(&alone);
        assert!(expected.values().all(|times| *times == 1) && expected.len() >= 24, "{expected:#?}");
        for crowd in [2, 4] {
            let harness = harness(backend);
            for round in 0..rounds {
                acts(&harness, round);
                let start = Barrier::new(crowd);
                std::thread::scope(|scope| {
                    for _ in 0..crowd {
                        scope.spawn(|| {
                            start.wait();
                            harness.tick();
                        });
                    }
                });
            }
            assert_eq!(mails(&harness), expected, "{crowd} watchers, {backend:?}");
            assert_eq!(common_state(&harness), common_state(&alone), "{crowd} watchers, {backend:?}");
        }
    }
}
