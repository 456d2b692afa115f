//! A load, what it finds and what it leaves; and the same load when something breaks.

use tidemark_flow::{RunRecord, Status};

use super::orders::{DatabaseState, Loader, Mode, Objects, check_records, lake_at};
use crate::support::postgres::{Database, Direction, Proxy};

/// A load to be broken.
pub struct Bench {
    pub name: &'static str,
    pub mode: Mode,
    pub rest: &'static str,
    objects: Objects,
    /// As it stands before.
    before: Database,
    /// As it stands after a load without fault.
    pub clean: DatabaseState,
    pub messages: Vec<(Direction, u8)>,
}

/// Two loads, of which the first had trouble.
pub struct Ended {
    pub first: RunRecord,
    /// Whether it came to that.
    pub occurred: bool,
}

impl Bench {
    /// Loads the dataset's version into a database that `prepare` makes what it is.
    pub fn new(
        name: &'static str,
        (mode, rest): (Mode, &'static str),
        version: usize,
        before: Database,
        prepare: impl Fn(&Database),
    ) -> Bench {
        let objects = lake_at(version);
        prepare(&before);
        // whoever was connected is gone before it is copied
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

    /// The messages that matter most: COMMIT, and the two in answer to it.
    pub fn commit(&self) -> std::ops::RangeInclusive<usize> {
        let commit = commit_of(&self.messages);
        commit..=commit + 2
    }

    /// The load with `trouble`, in which `rest` is more of its target, then without; an error says how the end differs from a clean one.
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

/// The number of the last query, which is COMMIT. (Whether a session says that it ends is a matter of luck, so one more or less is before
/// it the next time.)
pub fn commit_of(messages: &[(Direction, u8)]) -> usize {
    messages.iter().rposition(|message| *message == (Direction::ToServer, b'Q')).unwrap()
}
