//! Errors between a load and its server: each has a hint, and none shows a password.

use std::time::{Duration, Instant};

use tidemark_flow::{ErrorKind, ErrorRecord, Status};

use crate::support::port::ClosedPort;
use crate::support::postgres::{Authority, Front, Server, Session, ask};
use crate::support::postgres_load::{LoadHarness, UPSERT, counts, failed, numbered};
use crate::support::wait::until;

const PASSWORD: &str = "hunter2-and-more";

/// A dataset of three rows, not loaded yet.
fn lab() -> Option<LoadHarness> {
    let lab = LoadHarness::new()?;
    lab.commit("d", &numbered(0..3, |id| format!("content {id}")));
    Some(lab)
}

/// The URL of this database with another user, and `rest` appended.
fn url(lab: &LoadHarness, user: &str, rest: &str) -> String {
    format!("{}{rest}", lab.url.replace("//postgres@", &format!("//{user}@")))
}

/// The error of a load, without passwords or values.
#[track_caller]
fn fails(lab: &LoadHarness, url: &str, target: &str) -> ErrorRecord {
    let error = failed(lab.run_at(url, target, false));
    let all = format!("{error:?}");
    assert!(!all.contains("hunter2") && !all.contains("content "), "{all}");
    assert!(error.hint.is_some(), "{all}");
    error
}

#[track_caller]
fn assert_error(error: &ErrorRecord, kind: ErrorKind, message: &str, hint: &str) {
    assert_eq!(error.kind, kind, "{error:?}");
    assert!(error.message.contains(message), "{error:?}");
    assert!(error.hint.as_ref().is_some_and(|found| found.contains(hint)), "{error:?}");
}

/// A role that needs a password; dropped with the value.
struct Role<'a>(&'a LoadHarness, String);

impl<'a> Role<'a> {
    fn new(lab: &'a LoadHarness, name: &str) -> Role<'a> {
        lab.query(&format!(
            "CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}' IN ROLE by_password; GRANT USAGE, CREATE ON SCHEMA public TO {name}"
        ));
        Role(lab, name.to_owned())
    }
}

impl Drop for Role<'_> {
    fn drop(&mut self) {
        let dropped = ask(&self.0.url, &format!("DROP OWNED BY {0}; DROP ROLE {0}", self.1));
        assert!(dropped.is_ok() || std::thread::panicking(), "{dropped:?}");
    }
}

#[test]
fn passwords_are_used_and_never_shown() {
    let Some(lab) = lab() else { return };
    let database = lab.one("SELECT current_database()");
    let whole = lab.url.replace("//postgres@", &format!("//a_loader:{PASSWORD}@"));
    let lab = lab
        .with_secret("right", PASSWORD)
        .with_secret("wrong", "hunter2-not")
        .with_secret("place", &whole)
        .with_secret("nowhere", "postgres://a_loader:hunter2@/x")
        .with_secret("other", "mysql://hunter2@h/x");
    let _role = Role::new(&lab, "a_loader");
    let plain = url(&lab, "a_loader", "");

    let error = fails(&lab, &plain, UPSERT);
    assert_error(
        &error,
        ErrorKind::Definition,
        "the server requires a password, but none is configured",
        "password = { secret",
    );
    assert!(error.message.contains("target here at 127.0.0.1:") && error.message.contains(&database), "{error:?}");
    let error = fails(&lab, &plain, &format!("{UPSERT}password = {{ secret = 'wrong' }}"));
    assert_error(
        &error,
        ErrorKind::Refused,
        "password authentication failed for user \"a_loader\"",
        "check the user and the secret",
    );
    let error = fails(&lab, &plain, &format!("{UPSERT}password = {{ secret = 'none' }}"));
    assert_error(&error, ErrorKind::Definition, "secret none has no value", "store a value for the secret");
    assert!(error.message.contains("TIDEMARK_SECRET_NONE"), "{error:?}");
    for (secret, word) in [("nowhere", "a host's name"), ("other", "postgres://user@host")] {
        let error = fails(&lab, &format!("{{ secret = '{secret}' }}"), UPSERT);
        assert_error(&error, ErrorKind::Definition, "target here: the url in its secret is invalid", word);
    }
    assert_eq!(lab.one("SELECT to_regclass('tidemark_loads')"), "-");

    let record = lab.run_at(&plain, &format!("{UPSERT}password = {{ secret = 'right' }}"), false);
    assert_eq!(counts(&record), [3, 0, 0, 0, 0], "{record:?}");
    lab.commit("d", &numbered(0..4, |id| format!("content {id}")));
    let record = lab.run_at("{ secret = 'place' }", UPSERT, false);
    assert_eq!(counts(&record), [1, 0, 3, 0, 0], "{record:?}");
    assert!(!format!("{record:?}").contains("hunter2"), "{record:?}");
    assert_eq!(lab.one("SELECT tableowner FROM pg_tables WHERE tablename = 't'"), "a_loader");
}

#[test]
fn missing_databases_roles_and_columns_are_reported() {
    let Some(lab) = lab() else { return };
    let error = fails(&lab, &lab.url.replace("/database_", "/not_here_"), UPSERT);
    assert_error(&error, ErrorKind::Definition, "does not exist (SQLSTATE 3D000)", "choose an existing database");
    let error = fails(&lab, &url(&lab, "nobody_at_all", ""), UPSERT);
    assert_error(&error, ErrorKind::Refused, "role \"nobody_at_all\" does not exist", "check the user");
    let error = fails(&lab, &lab.url, &UPSERT.replace("'id'", "'nothing'"));
    assert_error(
        &error,
        ErrorKind::Definition,
        "the dataset has no column \"nothing\"",
        "choose columns that the dataset has",
    );
    let error = fails(&lab, &lab.url, &format!("{UPSERT}types = {{ nothing = 'uuid' }}"));
    assert_error(&error, ErrorKind::Definition, "`types` names column \"nothing\"", "remove it");
    let error = fails(&lab, &lab.url, &format!("{UPSERT}types = {{ id = 'uuid' }}"));
    assert_error(
        &error,
        ErrorKind::Definition,
        "column \"id\" of table t has type uuid, which cannot hold the dataset's bigint",
        "change one of the types",
    );
}

#[test]
fn an_unreachable_host_is_retried_then_reported() {
    let Some(lab) = lab() else { return };
    let closed = ClosedPort::new();
    let began = Instant::now();
    std::thread::scope(|scope| {
        let unknown = scope.spawn(|| {
            let Some(lab) = self::lab() else { return };
            let error = fails(&lab, "postgres://loader@nowhere.invalid/shop", UPSERT);
            assert_error(
                &error,
                ErrorKind::Retry,
                "target here at nowhere.invalid/shop: the database cannot be reached",
                "check host and port",
            );
        });
        let error = fails(&lab, &format!("postgres://loader@{closed}/shop"), UPSERT);
        let message = format!("target here at {closed}/shop: the database cannot be reached");
        assert_error(&error, ErrorKind::Retry, &message, "check host and port");
        assert!(error.message.contains("refused"), "{error:?}");
        unknown.join().unwrap();
    });
    assert!(began.elapsed() > Duration::from_secs(10));
}

#[test]
fn missing_permissions_are_reported() {
    let Some(lab) = lab() else { return };
    let lab = lab.with_secret("right", PASSWORD);
    let _role = Role::new(&lab, "b_loader");
    lab.query(
        "REVOKE CREATE ON SCHEMA public FROM b_loader; REVOKE CREATE ON SCHEMA public FROM PUBLIC; CREATE SCHEMA closed; \
         CREATE TABLE others (id bigint PRIMARY KEY, note text); GRANT SELECT, INSERT ON others TO b_loader; \
         CREATE TABLE columns (id bigint PRIMARY KEY, note text); GRANT SELECT, INSERT, DELETE ON columns TO b_loader; \
         GRANT UPDATE (id) ON columns TO b_loader",
    );
    let url = url(&lab, "b_loader", "");
    let target =
        |rest: &str| format!("{}password = {{ secret = 'right' }}\n{rest}", UPSERT.replace("table = 't'\n", ""));
    for (rest, message) in [
        ("table = 't'", "permission denied for schema public (SQLSTATE 42501)"),
        ("schema = 'closed'\ntable = 't'", "permission denied for schema closed"),
        ("schema = 'new'\ntable = 't'", "permission denied for database"),
        ("table = 'others'", "permission denied"),
        ("table = 'columns'", "permission denied"),
    ] {
        let error = fails(&lab, &url, &target(rest));
        assert_error(&error, ErrorKind::Refused, message, "grant the role the missing privileges");
    }
    lab.query("GRANT CREATE ON SCHEMA public TO b_loader");
    // Loading an empty table only needs INSERT; the next load also needs UPDATE.
    assert_eq!(counts(&lab.run_at(&url, &target("table = 'columns'"), false)), [3, 0, 0, 0, 0]);
    lab.commit("d", &numbered(0..3, |id| format!("content {}", id + 1)));
    let error = fails(&lab, &url, &target("table = 'columns'"));
    assert_error(
        &error,
        ErrorKind::Refused,
        "permission denied for table columns",
        "grant the role the missing privileges",
    );
    assert_eq!(lab.one("SELECT note FROM columns WHERE id = 0"), "content 0");
}

#[test]
fn read_only_servers_and_timeouts_are_reported() {
    let Some(lab) = lab() else { return };
    let database = lab.one("SELECT current_database()");
    lab.query(&format!("ALTER DATABASE {database} SET default_transaction_read_only = on"));
    let error = fails(&lab, &lab.url, UPSERT);
    assert_error(
        &error,
        ErrorKind::Definition,
        "in a read-only transaction (SQLSTATE 25006)",
        "this server is read-only: use the primary",
    );
    ask(&lab.url, &format!("BEGIN READ WRITE; ALTER DATABASE {database} RESET ALL; COMMIT")).unwrap();

    lab.query(
        "CREATE TABLE t (id bigint PRIMARY KEY, note text); CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM pg_sleep(3600); RETURN NEW; END $$; CREATE TRIGGER slow BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION slow()",
    );
    lab.query(&format!("ALTER DATABASE {database} SET statement_timeout = '400ms'"));
    let error = fails(&lab, &lab.url, UPSERT);
    assert_error(&error, ErrorKind::Retry, "statement timeout (SQLSTATE 57014)", "the role's statement_timeout");
    lab.query(&format!("ALTER DATABASE {database} RESET ALL"));
    let error = fails(&lab, &lab.url, &format!("{UPSERT}timeout = '1s'"));
    assert_error(&error, ErrorKind::Retry, "the server did not respond for 1 s", "increase the timeout");
    // The statement is cancelled.
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid()";
    until("the statement ends", || lab.one(others) == "0");
    assert_eq!(lab.one("SELECT count(*) FROM t"), "0");
    lab.query("DROP TRIGGER slow ON t");
    assert_eq!(counts(&lab.load(UPSERT)), [3, 0, 0, 0, 0]);
}

#[test]
fn a_lock_timeout_is_reported() {
    let Some(lab) = lab() else { return };
    lab.query("CREATE TABLE t (id bigint PRIMARY KEY, note text)");
    let database = lab.one("SELECT current_database()");
    lab.query(&format!("ALTER DATABASE {database} SET lock_timeout = '200ms'"));
    let holder = Session::open(&lab.url);
    holder.run("BEGIN; LOCK t IN SHARE MODE");
    let error = fails(&lab, &lab.url, UPSERT);
    assert_error(&error, ErrorKind::Retry, "lock timeout (SQLSTATE 55P03)", "another session holds the table");
    drop(holder);
    lab.query(&format!("ALTER DATABASE {database} RESET ALL"));
    assert_eq!(counts(&lab.load(UPSERT)), [3, 0, 0, 0, 0]);
}

#[test]
fn sslmode_works_as_in_libpq() {
    let Some(server) = Server::start(&[]) else { return };
    let lab = LoadHarness::at(server.url("postgres"), ());
    lab.commit("d", &numbered(0..3, |id| format!("content {id}")));
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (right, wrong) = (file("ours.pem", ours.pem()), file("theirs.pem", theirs.pem()));
    let (garbage, missing) =
        (file("garbage.pem", "no certificate".to_owned()), folder.path().join("none.pem").display().to_string());
    let both = file("both.pem", theirs.pem() + &ours.pem());
    let named = Front::before(server.port(), &ours, "127.0.0.1");
    let stranger = Front::before(server.port(), &ours, "db.example.com");
    let at = |port: u16, query: &str| format!("postgres://postgres@127.0.0.1:{port}/postgres?{query}");

    let good = [
        at(named.port(), &format!("sslmode=verify-full&sslrootcert={right}")),
        at(named.port(), &format!("sslmode=verify-full&sslrootcert={both}")),
        at(named.port(), &format!("sslrootcert={right}")),
        at(named.port(), &format!("sslmode=verify-ca&sslrootcert={right}")),
        at(named.port(), "sslmode=require"),
        at(named.port(), "sslmode=prefer"),
        at(named.port(), ""),
        at(stranger.port(), &format!("sslmode=verify-ca&sslrootcert={right}")),
        at(stranger.port(), &format!("sslmode=require&sslrootcert={right}")),
        at(stranger.port(), "sslmode=require"),
        at(server.port(), "sslmode=disable"),
        at(server.port(), "sslmode=prefer"),
        at(server.port(), ""),
    ];
    for (nth, url) in good.iter().enumerate() {
        let target = UPSERT.replace("'t'", &format!("'t{nth}'"));
        let record = lab.run_at(url, &target, false);
        assert_eq!(record.status, Status::Done, "{url}: {record:?}");
    }
    let tls = "no encrypted connection to the server can be established";
    for (url, kind, message, hint) in [
        (
            at(named.port(), &format!("sslmode=verify-full&sslrootcert={wrong}")),
            ErrorKind::Definition,
            tls,
            "sslrootcert",
        ),
        (
            at(named.port(), &format!("sslmode=verify-ca&sslrootcert={wrong}")),
            ErrorKind::Definition,
            tls,
            "sslrootcert",
        ),
        (at(named.port(), &format!("sslmode=require&sslrootcert={wrong}")), ErrorKind::Definition, tls, "sslrootcert"),
        (at(named.port(), "sslmode=verify-full"), ErrorKind::Definition, tls, "sslrootcert"),
        (
            at(stranger.port(), &format!("sslmode=verify-full&sslrootcert={right}")),
            ErrorKind::Definition,
            "not valid for name",
            "the host name of the certificate",
        ),
        (
            at(named.port(), &format!("sslmode=verify-full&sslrootcert={garbage}")),
            ErrorKind::Definition,
            "garbage.pem cannot be read: it has no certificate",
            "PEM",
        ),
        (
            at(named.port(), &format!("sslmode=verify-full&sslrootcert={missing}")),
            ErrorKind::Definition,
            "none.pem cannot be read",
            "PEM",
        ),
        (at(named.port(), "sslmode=disable"), ErrorKind::Refused, "no encryption", "sslmode"),
        (at(server.port(), "sslmode=require"), ErrorKind::Definition, "server does not support TLS", "another sslmode"),
        (
            at(server.port(), &format!("sslmode=verify-full&sslrootcert={right}")),
            ErrorKind::Definition,
            "server does not support TLS",
            "another sslmode",
        ),
    ] {
        let error = fails(&lab, &url, UPSERT);
        assert_error(&error, kind, message, hint);
    }
    assert_eq!(lab.one("SELECT to_regclass('t')"), "-");
}
