//! A load that has planned a version, and then stands still while the next is loaded.

use std::sync::Arc;
use std::sync::mpsc::channel;

use tidemark_flow::Status;

use crate::support::postgres::{Database, Direction, Proxy, database};
use crate::support::postgres_load::interrupted::commit_of;
use crate::support::postgres_load::orders::{
    DatabaseState, Loader, Mode, Objects, commit, counts, is_waiting, lake_at, open, orders,
};
use crate::support::wait::until;

/// Where it is not held at each message, it is at each so many-th of the first, in which it plans and takes its lock, and at one behind.
const SAMPLED: usize = 5;
const FIRST: usize = 45;

/// What is loaded by whom is told by the order, and may not be: a load of version 2 from version 0, or first of version 1.
fn ends(before: &Database, mode: Mode) -> Vec<DatabaseState> {
    let orders: [&[usize]; 2] = [&[2], &[1, 2]];
    let end = |versions: &&[usize]| {
        let database = before.fork();
        for version in *versions {
            let record = Loader::new(&database.url(), mode, "").load(&lake_at(*version));
            assert_eq!(record.status, Status::Done, "{:?}", record.error);
        }
        DatabaseState::from_database(&database)
    };
    orders.iter().map(end).collect()
}

#[test]
fn a_load_that_is_late_sets_nothing_back() {
    std::thread::scope(|scope| Mode::ALL.map(|mode| drop(scope.spawn(move || is_never_set_back(mode)))));
}

fn is_never_set_back(mode: Mode) {
    let is_all = std::env::var("TIDEMARK_CRASH").is_ok_and(|wanted| wanted == "all");
    let Some(before) = database() else { return };
    Loader::new(&before.url(), mode, "").load(&lake_at(0));
    let _ = DatabaseState::from_database(&before);
    let ends = ends(&before, mode);
    let counted = before.fork();
    let proxy = Proxy::before(counted.port());
    Loader::new(&proxy.url(counted.name()), mode, "").load(&lake_at(1));
    proxy.wait_closed();
    let messages = proxy.messages();
    let to_server = (0..messages.len()).filter(|number| messages[*number].0 == Direction::ToServer);
    let held: Vec<usize> = match is_all {
        true => to_server.collect(),
        false => to_server.clone().take(FIRST).step_by(SAMPLED).chain([commit_of(&messages)]).collect(),
    };
    let mut overtaken = 0;
    for number in held {
        // that a session ends is not always said
        let Some(state) = overtake(&before, mode, number, &mut overtaken) else { continue };
        assert!(ends.contains(&state), "{mode:?}, held at {number}: {:?} and not {ends:#?}", state.loads);
    }
    println!("{mode:?}: {} messages, {overtaken} times overtaken", messages.len());
    assert!(overtaken >= 3, "{overtaken}");
}

/// Holds a load of version 1 at a message, until version 2 is loaded or waits for it; `None` where that message did not come.
fn overtake(before: &Database, mode: Mode, number: usize, overtaken: &mut usize) -> Option<DatabaseState> {
    let database = Arc::new(before.fork());
    let proxy = Proxy::before(database.port());
    let objects: Objects = lake_at(1);
    let (sender, receiver) = channel();
    proxy.on_message(number, {
        let (database, held, objects) = (database.clone(), database.clone(), objects.clone());
        move || {
            let other = std::thread::spawn(move || {
                commit(&open(&objects), &orders(2));
                let record = Loader::new(&database.url(), mode, "").load(&objects);
                sender.send(record).unwrap();
            });
            until("the other load is done, or waits for this one", || other.is_finished() || is_waiting(&held));
        }
    });
    let late = Loader::new(&proxy.url(database.name()), mode, "").load(&objects);
    if proxy.is_armed() {
        return None;
    }
    let other = receiver.recv().unwrap();
    for record in [&late, &other] {
        assert!(record.error.is_none(), "{mode:?}, held at {number}: {:?}", record.error);
    }
    // it found that there was nothing left to do
    *overtaken += usize::from(counts(&late) == "0 0 0 0 0");
    proxy.wait_closed();
    let state = DatabaseState::from_database(&database);
    let again = Loader::new(&database.url(), mode, "").load(&objects);
    assert_eq!(again.status, Status::NothingToDo, "{mode:?}, held at {number}");
    Some(state)
}
