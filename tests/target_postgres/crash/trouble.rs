//! Deadlocks, timeouts and other errors of the server.

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

/// A database with version 0 loaded.
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
    /// Sets a default for new sessions.
    fn set(&self, setting: &str, value: &str) {
        self.query(&format!("ALTER DATABASE {} SET {setting} = '{value}'", self.name()));
    }

    /// Restores the default.
    fn reset(&self, setting: &str) {
        self.query(&format!("ALTER DATABASE {} RESET {setting}", self.name()));
    }
}

#[track_caller]
fn done(record: &RunRecord) {
    assert_eq!(record.status, Status::Done, "{:?}", record.error);
}

/// Checks the kind of the error, and that its hint contains `word`.
#[track_caller]
fn failed(record: RunRecord, kind: ErrorKind, word: &str) {
    let ErrorRecord { kind: found, message, hint, .. } = record.error.unwrap_or_else(|| panic!("{:?}", record.status));
    assert_eq!(found, kind, "{message}");
    assert!(hint.as_ref().is_some_and(|hint| hint.contains(word)), "no {word:?} in: {message} → {hint:?}");
}

/// In the first attempt the session with row 100 waits until another session waits for that row, and only then goes on to row 101.
const WAITS_FOR_THE_OTHER: &str = "CREATE SEQUENCE attempts; CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     IF OLD.id = 100 AND nextval('attempts') = 1 THEN LOOP \
         PERFORM pg_stat_clear_snapshot(); \
         EXIT WHEN EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'); \
         PERFORM pg_sleep(0.01); \
     END LOOP; END IF; RETURN coalesce(NEW, OLD); END $$; \
     CREATE TRIGGER wait BEFORE UPDATE OR DELETE ON orders FOR EACH ROW EXECUTE FUNCTION wait()";

#[test]
fn a_load_aborted_by_a_deadlock_is_repeated() {
    let Some(database) = loaded() else { return };
    database.query(WAITS_FOR_THE_OTHER);
    database.set("deadlock_timeout", "1s");
    let other = Session::open(&database.url());
    // The session that waits last detects the deadlock, which is the load.
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

/// A trigger that raises this error twice.
#[test]
fn transient_errors_of_the_server_are_retried() {
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

/// With any isolation level of the role, a load sees the result of the previous one.
#[test]
fn the_isolation_level_of_the_role_does_not_matter() {
    let Some(database) = loaded() else { return };
    database.set("default_transaction_isolation", "serializable");
    done(&load(&database, 1));
    assert_eq!(DatabaseState::from_database(&database).rows, texts(&orders(1)));
}

#[test]
fn a_timeout_of_the_role_is_named_in_the_hint() {
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

/// The timeout of the target applies if the role has none.
#[test]
fn after_its_timeout_a_load_releases_all_locks() {
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

/// A timeout of the role for idle transactions does not apply, since reading rows may take time.
#[test]
fn a_load_may_be_idle_longer_than_the_timeout_of_the_role() {
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
    // There was no second attempt.
    let sessions = |messages: Vec<(Direction, u8)>| messages.iter().filter(|message| message.1 == UNTYPED).count();
    assert_eq!(sessions(proxy.messages()), sessions(messages));
}

/// A file system of half a megabyte; unmounted with the value.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None`, with a message, if mounting is not allowed.
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
fn a_full_disk_is_reported_and_changes_nothing() {
    let Some(disk) = SmallDisk::new() else { return };
    // A server of its own, so that no other test uses the tablespace.
    let Some(server) = Server::start(&[]) else { return };
    let space = disk.path().join("space");
    private(&space);
    server.query(&format!("CREATE TABLESPACE small LOCATION '{}'", space.display()));
    // The new table itself; then temporary tables.
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
