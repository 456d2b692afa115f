//! Many watchers at once over one lake: each incident is opened once, and each message sent by one of them.

use std::collections::BTreeMap;
use std::sync::Barrier;

use tidemark_flow::ErrorKind;

use super::super::record::run;
use super::super::tower::{Tower, pipeline};
use crate::crash::house::Backend;

const NAMES: [&str; 3] = ["orders", "shop", "till"];

/// In each round some of the pipelines fail and others end well again.
fn acts(tower: &Tower, round: usize) {
    tower.at("2026-03-03T08:00:00Z").after(60 * round as i64);
    for (nth, name) in NAMES.iter().enumerate() {
        let began = (tower.now() - jiff::SignedDuration::from_mins(1)).to_string();
        if (round + nth).is_multiple_of(2) {
            tower.ran(run(name, "clean", &began).failed(ErrorKind::Data, "a page is damaged"));
        } else {
            tower.ran(run(name, "clean", &began));
        }
    }
}

fn tower(backend: Backend) -> Tower {
    let files = NAMES.map(|name| (name, pipeline(name, "", "email = ['a@example.com', 'b@example.com']")));
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let tower = Tower::new(backend, &files);
    tower.at("2026-03-03T07:55:00Z").tick();
    tower
}

/// How often each mail came to each.
fn mails(tower: &Tower) -> BTreeMap<String, usize> {
    let mut mails = BTreeMap::new();
    for mail in tower.mailbox.mails() {
        *mails.entry(format!("{} {} {}", mail.to.join(" "), mail.message_id, mail.subject)).or_default() += 1;
    }
    mails
}

/// What two of one incident have to have in common: who was told of what, and each turn.
fn standing(tower: &Tower) -> BTreeMap<String, String> {
    let of = |incident: watch::Incident| {
        let (openings, resolved) = (&incident.openings, incident.resolved_at);
        format!("{} {openings:?} {resolved:?} {:?}", incident.id(), incident.notifications)
    };
    tower.incidents().into_iter().map(|(name, incident)| (name, of(incident))).collect()
}

#[test]
fn watchers_at_once_end_as_one() {
    for (backend, rounds) in [(Backend::Memory, 30), (Backend::Folder, 15), (Backend::S3, 5)] {
        let alone = tower(Backend::Memory);
        for round in 0..rounds {
            acts(&alone, round);
            alone.tick();
        }
        let expected = mails(&alone);
        assert!(expected.values().all(|times| *times == 1) && expected.len() >= 24, "{expected:#?}");
        for crowd in [2, 4] {
            let tower = tower(backend);
            for round in 0..rounds {
                acts(&tower, round);
                let start = Barrier::new(crowd);
                std::thread::scope(|scope| {
                    for _ in 0..crowd {
                        scope.spawn(|| {
                            start.wait();
                            tower.tick();
                        });
                    }
                });
            }
            assert_eq!(mails(&tower), expected, "{crowd} watchers, {backend:?}");
            assert_eq!(standing(&tower), standing(&alone), "{crowd} watchers, {backend:?}");
        }
    }
}
