//! Faults of the channel: at each message of the morning, each way in which one can fail to arrive.

use std::time::Duration;

use super::super::Trouble;
use super::super::said::Said;
use super::super::tower::{ALL, SLACK, Tower};
use super::{ROUNDS, files, of};
use crate::crash::house::Backend;

/// What a webhook does with one request.
fn troubles() -> [(&'static str, Trouble); 5] {
    [
        ("refused", Trouble::Says(503, "service_unavailable")),
        ("limited", Trouble::Limited(60)),
        ("cut before it is taken", Trouble::CutBefore),
        ("cut when it has been taken", Trouble::CutAfter),
        ("slow", Trouble::Slow(Duration::from_millis(40))),
    ]
}

/// The messages of the morning, of which one request meets a trouble.
fn morning(trouble: Option<(usize, Trouble)>) -> (Tower, Vec<Said>) {
    let files = files(&format!("{ALL}\nmax_quarantined = 10"));
    let tower = Tower::new(Backend::Memory, &of(&files));
    if let Some((nth, trouble)) = trouble {
        let calm = std::iter::repeat_n(Trouble::Slow(Duration::ZERO), nth);
        tower.sink(SLACK).trouble(calm.chain([trouble]));
    }
    for (time, act) in ROUNDS {
        act(tower.at(time));
        tower.tick();
    }
    tower.after(5).tick();
    let messages = tower.messages();
    (tower, messages)
}

/// What tells one from another: the incident and what became of it.
fn names(messages: &[Said]) -> Vec<String> {
    let mut names: Vec<_> = messages.iter().map(|said| format!("{} {}", said.incident(), said.is_over())).collect();
    names.sort();
    names
}

#[test]
fn at_each_message_the_channel_fails_in_each_way() {
    let (clean, messages) = morning(None);
    let (incidents, clean) = (clean.incidents(), names(&messages));
    assert_eq!(clean.len(), 10);
    let mut repeats = 0;
    for nth in 0..clean.len() {
        for (name, trouble) in troubles() {
            let (tower, messages) = morning(Some((nth, trouble)));
            let mut found = names(&messages);
            if matches!(trouble, Trouble::CutAfter) {
                // it was taken and comes again, since nobody knows that it was
                assert_eq!(found.len(), clean.len() + 1, "{name} at {nth}: {found:#?}");
                found.dedup();
                repeats += 1;
            }
            assert_eq!(found, clean, "{name} at {nth}");
            assert_eq!(tower.incidents(), incidents, "{name} at {nth}");
        }
    }
    println!("{} requests failed in {} ways; {repeats} led to a repeated message", clean.len(), troubles().len());
}
