//! Trouble that a server has with others, and with itself.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tidemark_flow::{ErrorKind, ErrorRecord, RunRecord, Status};

use crate::support::postgres::frame::UNTYPED;
use crate::support::postgres::release::private;
use crate::support::postgres::{Database, Direction, Proxy, Server, Session, database};
use crate::support::postgres_load::interrupted::commit_of;
use crate::support::postgres_load::orders::{
    DatabaseState, Loader, Mode, Objects, commit, lake_at, many, open, orders, texts,
};
use crate::support::wait::until;

/// With version 0 in its table.
fn loaded() -> Option<Database> {
    let database = database()?;
    let record = Loader::new(&database.url(), Mode::Upsert, "").load(&lake_at(0));
    assert_eq!(record.status, Status::Done, "{:?}", record.error);
    Some(database)
}

fn load(database: &Database, version: usize) -> RunRecord {
    Loader::new(&database.url(), Mode::Upsert, "").load(&lake_at(version))
}

impl Database {
    /// A setting of all who connect from now on.
    fn set(&self, setting: &str, value: &str) {
        self.query(&format!("ALTER DATABASE {} SET {setting} = '{value}'", self.name()));
    }

    /// As before.
    fn reset(&self, setting: &str) {
        self.query(&format!("ALTER DATABASE {} RESET {setting}", self.name()));
    }
}

#[track_caller]
fn done(record: &RunRecord) {
    assert_eq!(record.status, Status::Done, "{:?}", record.error);
}

/// That it failed, that it may be run again, and what the hint is about.
#[track_caller]
fn failed(record: RunRecord, kind: ErrorKind, word: &str) {
    let ErrorRecord { kind: found, message, hint, .. } = record.error.unwrap_or_else(|| panic!("{:?}", record.status));
    assert_eq!(found, kind, "{message}");
    assert!(hint.as_ref().is_some_and(|hint| hint.contains(word)), "no {word:?} in: {message} → {hint:?}");
}

/// In the first attempt, who has row 100 goes on to row 101 once somebody waits for row 100.
const WAITS_FOR_THE_OTHER: &str = "CREATE SEQUENCE attempts; CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     IF OLD.id = 100 AND nextval('attempts') = 1 THEN LOOP \
         PERFORM pg_stat_clear_snapshot(); \
         EXIT WHEN EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'); \
         PERFORM pg_sleep(0.01); \
     END LOOP; END IF; RETURN coalesce(NEW, OLD); END $$; \
     CREATE TRIGGER wait BEFORE UPDATE OR DELETE ON orders FOR EACH ROW EXECUTE FUNCTION wait()";

#[test]
fn a_load_that_is_the_victim_of_a_deadlock_tries_again() {
    let Some(database) = loaded() else { return };
    database.query(WAITS_FOR_THE_OTHER);
    database.set("deadlock_timeout", "1s");
    let other = Session::open(&database.url());
    // whoever waits last finds the deadlock, which is the load
    other.run("SET deadlock_timeout = '1h'; BEGIN; SELECT FROM orders WHERE id = 101 FOR UPDATE");
    let record = std::thread::scope(|scope| {
        let load = scope.spawn(|| load(&database, 1));
        until("a load that has row 100", || !database.query("SELECT FROM attempts WHERE is_called").is_empty());
        other.run("SELECT FROM orders WHERE id = 100 FOR UPDATE; COMMIT");
        load.join().unwrap()
    });
    done(&record);
    drop(other);
    assert_eq!(DatabaseState::from_database(&database).rows, texts(&orders(1)));
    let deadlocks = "SELECT FROM pg_stat_database WHERE datname = current_database() AND deadlocks = 1";
    until("a deadlock", || !database.query(deadlocks).is_empty());
}

/// A trigger of the user's that has it so, twice.
#[test]
fn what_the_server_says_may_pass_is_tried_again() {
    for code in ["40001", "40P01"] {
        for mode in Mode::ALL {
            let Some(database) = database() else { return };
            done(&Loader::new(&database.url(), mode, "").load(&lake_at(0)));
            let clean = database.fork();
            done(&Loader::new(&clean.url(), mode, "").load(&lake_at(1)));
            database.query(&format!(
                "CREATE SEQUENCE tries; CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                 IF nextval('tries') <= 2 THEN RAISE EXCEPTION 'not now' USING ERRCODE = '{code}'; END IF; RETURN NULL; END $$; \
                 CREATE TRIGGER fail BEFORE INSERT ON orders FOR EACH STATEMENT EXECUTE FUNCTION fail()"
            ));
            done(&Loader::new(&database.url(), mode, "").load(&lake_at(1)));
            let (state, clean) = (DatabaseState::from_database(&database), DatabaseState::from_database(&clean));
            assert_eq!((state.rows, state.loads), (clean.rows, clean.loads), "{code}, {mode:?}");
        }
    }
}

/// Whatever isolation the role has, a load sees what the one before has left.
#[test]
fn isolation_of_the_role_is_no_matter() {
    let Some(database) = loaded() else { return };
    database.set("default_transaction_isolation", "serializable");
    done(&load(&database, 1));
    assert_eq!(DatabaseState::from_database(&database).rows, texts(&orders(1)));
}

#[test]
fn a_load_that_waits_too_long_says_for_what() {
    let lock = "BEGIN; LOCK TABLE orders IN";
    let cases = [
        ("lock_timeout", format!("{lock} SHARE ROW EXCLUSIVE MODE")),
        ("lock_timeout", format!("{lock} ACCESS EXCLUSIVE MODE")),
        ("lock_timeout", "SELECT pg_advisory_lock(hashtextextended('tidemark: \"public\".\"orders\"', 0))".to_owned()),
        ("statement_timeout", format!("{lock} SHARE ROW EXCLUSIVE MODE")),
    ];
    for (setting, held) in cases {
        let Some(database) = loaded() else { return };
        let before = DatabaseState::from_database(&database);
        let other = Session::open(&database.url());
        other.run(&held);
        database.set(setting, "300ms");
        failed(load(&database, 1), ErrorKind::Retry, setting);
        database.reset(setting);
        drop(other);
        DatabaseState::from_database(&database).equals(&before).unwrap();
        done(&load(&database, 1));
        assert_eq!(DatabaseState::from_database(&database).rows, texts(&orders(1)), "{held}");
    }
}

/// The target's own, where the role has none.
#[test]
fn a_load_that_waits_longer_than_its_timeout_lets_go_of_everything() {
    let Some(database) = loaded() else { return };
    let before = DatabaseState::from_database(&database);
    let other = Session::open(&database.url());
    other.run("BEGIN; LOCK TABLE orders IN SHARE ROW EXCLUSIVE MODE");
    let record = Loader::new(&database.url(), Mode::Upsert, "timeout = \"1s\"").load(&lake_at(1));
    failed(record, ErrorKind::Retry, "timeout");
    let advisory = "SELECT FROM pg_locks WHERE locktype = 'advisory'";
    until("no lock of the load", || database.query(advisory).is_empty());
    drop(other);
    DatabaseState::from_database(&database).equals(&before).unwrap();
    done(&load(&database, 1));
    assert_eq!(DatabaseState::from_database(&database).rows, texts(&orders(1)));
}

/// Rows that take their time to be read are no reason to throw a load out.
#[test]
fn a_load_may_be_idle_for_longer_than_the_role() {
    let Some(database) = loaded() else { return };
    let counted = database.fork();
    let proxy = Proxy::before(counted.port());
    done(&Loader::new(&proxy.url(counted.name()), Mode::Upsert, "").load(&lake_at(1)));
    proxy.wait_closed();
    let messages = proxy.messages();
    let commit = commit_of(&messages);
    database.set("idle_in_transaction_session_timeout", "100ms");
    let proxy = Proxy::before(database.port());
    for number in [commit / 2, commit * 3 / 4, commit] {
        proxy.on_message(number, || std::thread::sleep(Duration::from_millis(400)));
    }
    done(&Loader::new(&proxy.url(database.name()), Mode::Upsert, "").load(&lake_at(1)));
    proxy.wait_closed();
    // nothing was tried again
    let sessions = |messages: Vec<(Direction, u8)>| messages.iter().filter(|message| message.1 == UNTYPED).count();
    assert_eq!(sessions(proxy.messages()), sessions(messages));
}

/// A disk of half a megabyte, gone with the test.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None`, with a word, where nobody may make one.
    fn new() -> Option<SmallDisk> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=512k,mode=777", "tmpfs"]).arg(folder.path());
        match mount.output() {
            Ok(output) if output.status.success() => Some(SmallDisk(folder)),
            output => {
                eprintln!("skipped: no small disk can be made here: {output:?}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let gone = Command::new("umount").arg("--lazy").arg(self.path()).status();
        assert!(gone.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

#[test]
fn a_disk_that_is_full_is_told_and_nothing_has_changed() {
    let Some(disk) = SmallDisk::new() else { return };
    // its own, so that nobody else has anything there
    let Some(server) = Server::start(&[]) else { return };
    let space = disk.path().join("space");
    private(&space);
    server.query(&format!("CREATE TABLESPACE small LOCATION '{}'", space.display()));
    // the table itself, which is new; then what is beside it
    for (setting, is_new) in [("default_tablespace", true), ("temp_tablespaces", false)] {
        server.query(&format!("CREATE DATABASE with_{setting}"));
        let url = server.url(&format!("with_{setting}"));
        let ask = |sql: &str| crate::support::postgres::ask(&url, sql).unwrap();
        let small = Loader::new(&url, Mode::Upsert, "");
        if !is_new {
            done(&small.load(&lake_at(0)));
        }
        let all = "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1";
        let before = ask(all);
        ask(&format!("ALTER DATABASE with_{setting} SET {setting} = 'small'"));
        let objects = Objects::default();
        let lake = open(&objects);
        commit(&lake, &orders(0));
        commit(&lake, &many(1, 40));
        failed(small.load(&objects), ErrorKind::Refused, "disk is full");
        assert_eq!(ask(all), before);
        ask(&format!("ALTER DATABASE with_{setting} RESET {setting}"));
        done(&small.load(&objects));
        let rows = ask("SELECT count(*) FROM orders");
        assert_eq!(rows[0][0].as_deref(), Some(many(1, 40).len().to_string().as_str()));
    }
}
