//! A load of a version is held while the next version is loaded.

use std::sync::Arc;
use std::sync::mpsc::channel;

use tidemark_flow::Status;

use crate::support::postgres::{Database, Direction, Proxy, database};
use crate::support::postgres_load::interrupted::commit_of;
use crate::support::postgres_load::orders::{
    DatabaseState, Loader, Mode, Objects, commit, counts, is_waiting, lake_at, open, orders,
};
use crate::support::sample::is_whole;
use crate::support::wait::until;

/// If not all messages are tested: one in this many of the first ones, in which the load plans and takes its lock, and COMMIT.
const SAMPLED: usize = 5;
const FIRST: usize = 45;

/// The allowed results: version 2 loaded over version 0, or after version 1.
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
fn a_delayed_load_never_restores_an_older_version() {
    std::thread::scope(|scope| Mode::ALL.map(|mode| drop(scope.spawn(move || check_mode(mode)))));
}

fn check_mode(mode: Mode) {
    let is_all = is_whole();
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
        // The last message of a session is not always sent.
        let Some(state) = overtake(&before, mode, number, &mut overtaken) else { continue };
        assert!(ends.contains(&state), "{mode:?}, held at {number}: {:?} and not {ends:#?}", state.loads);
    }
    println!("{mode:?}: {} messages, {overtaken} times overtaken", messages.len());
    assert!(overtaken >= 3, "{overtaken}");
}

/// Holds a load of version 1 at a message until version 2 is loaded or waits for it; `None` if there was no such message.
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
    // The load found nothing left to do.
    *overtaken += usize::from(counts(&late) == "0 0 0 0 0");
    proxy.wait_closed();
    let state = DatabaseState::from_database(&database);
    let again = Loader::new(&database.url(), mode, "").load(&objects);
    assert_eq!(again.status, Status::NothingToDo, "{mode:?}, held at {number}");
    Some(state)
}
