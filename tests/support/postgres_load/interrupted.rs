//! A load with its initial state and its expected result, and the same load with a fault.

use tidemark_flow::{RunRecord, Status};

use super::orders::{DatabaseState, Loader, Mode, Objects, check_records, lake_at};
use crate::support::postgres::{Database, Direction, Proxy};

/// A load without a fault, recorded for comparison.
pub struct Bench {
    pub name: &'static str,
    pub mode: Mode,
    pub rest: &'static str,
    objects: Objects,
    /// The state before the load.
    before: Database,
    /// The state after a load without a fault.
    pub clean: DatabaseState,
    pub messages: Vec<(Direction, u8)>,
}

/// Result of a load with a fault, followed by one without.
pub struct Ended {
    pub first: RunRecord,
    /// Whether the fault occurred.
    pub occurred: bool,
}

impl Bench {
    /// Records a load of `version` into a database that `prepare` has changed.
    pub fn new(
        name: &'static str,
        (mode, rest): (Mode, &'static str),
        version: usize,
        before: Database,
        prepare: impl Fn(&Database),
    ) -> Bench {
        let objects = lake_at(version);
        prepare(&before);
        // No session may be connected when the database is copied.
        let _ = DatabaseState::from_database(&before);
        let after = before.fork();
        let proxy = Proxy::before(after.port());
        let record = Loader::new(&proxy.url(after.name()), mode, rest).load(&objects);
        assert_eq!(record.status, Status::Done, "{name}: {:?}", record.error);
        proxy.wait_closed();
        let clean = DatabaseState::from_database(&after);
        check_records(&[record], &clean).unwrap();
        Bench { name, mode, rest, objects, before, clean, messages: proxy.messages() }
    }

    /// Numbers of the most important messages: COMMIT, and the two that answer it.
    pub fn commit(&self) -> std::ops::RangeInclusive<usize> {
        let commit = commit_of(&self.messages);
        commit..=commit + 2
    }

    /// Runs the load with `trouble` and `rest` appended to its target, then without; an error describes how the result differs from that
    /// without a fault.
    pub fn run_with_fault(&self, rest: &str, trouble: impl FnOnce(&Proxy)) -> Result<Ended, String> {
        let database = self.before.fork();
        let proxy = Proxy::before(database.port());
        let rest = format!("{rest}\n{}", self.rest);
        trouble(&proxy);
        let first = Loader::new(&proxy.url(database.name()), self.mode, &rest).load(&self.objects);
        let occurred = !proxy.is_armed();
        proxy.leave();
        let again = Loader::new(&database.url(), self.mode, self.rest).load(&self.objects);
        let state = DatabaseState::from_database(&database);
        state.equals(&self.clean)?;
        match (first.status, again.status) {
            (Status::Done, Status::NothingToDo) | (Status::Failed, Status::Done) => {}
            (Status::Failed, Status::NothingToDo) => {
                return Err(format!("it does not know of its commit: {:?}", first.error));
            }
            other => return Err(format!("the runs were {other:?}")),
        }
        check_records(&[first.clone(), again], &state)?;
        Ok(Ended { first, occurred })
    }
}

/// Number of the last query, which is COMMIT. The message that ends an earlier session may be missing, so the number can vary by one.
pub fn commit_of(messages: &[(Direction, u8)]) -> usize {
    messages.iter().rposition(|message| *message == (Direction::ToServer, b'Q')).unwrap()
}
