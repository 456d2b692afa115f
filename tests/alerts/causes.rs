//! Each thing that can be wrong: opened once, not repeated while it lasts, resolved by what mends it, and what is said of it.

mod behind;
mod blind;
mod failed;
mod given_up;
mod never_ended;
mod not_started;
mod quarantine;

use super::said::Said;
use super::tower::Tower;

/// The only message there is.
#[track_caller]
fn one(tower: &Tower) -> Said {
    let messages = tower.messages();
    assert_eq!(messages.len(), 1, "{messages:#?}");
    messages.into_iter().next().unwrap()
}

/// Nothing more is told of it, and nothing opens or resolves, for so long as it lasts.
#[track_caller]
fn lasts(tower: &Tower) {
    for ticked in tower.ticks(20, 5) {
        assert_eq!(
            (ticked.opened.len(), ticked.resolved.len(), ticked.sent, ticked.unsent),
            (0, 0, 0, 0),
            "{ticked:#?}"
        );
    }
    assert_eq!(tower.messages(), []);
}
