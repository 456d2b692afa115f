use std::net::TcpStream;
use std::path::Path;

use crate::support::postgres::release::Home;
use crate::support::postgres::{Server, ask, database, releases};
use crate::support::wait::until;

use super::value;

fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

fn names(folder: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    std::fs::read_dir(folder).unwrap().map(name).collect()
}

#[test]
fn each_release_keeps_committed_rows_when_it_is_stopped() {
    for release in releases() {
        let server = Server::for_release(release, &[("application_name", "it's one"), ("synchronous_commit", "off")]);
        assert_eq!(value(&server.query("SHOW server_version")).split(' ').next(), Some(release.version.as_str()));
        assert_eq!(value(&server.query("SHOW application_name")), "it's one");
        let encoded =
            "SELECT pg_encoding_to_char(encoding) || ' ' || datcollate FROM pg_database WHERE datname = 'template1'";
        assert_eq!(value(&server.query(encoded)), "UTF8 C.UTF-8");
        // An open session with uncommitted rows when the server stops.
        server.query("CREATE TABLE kept (n int); SET synchronous_commit = on; INSERT INTO kept VALUES (1)");
        let url = server.url("postgres");
        let open = std::thread::spawn(move || ask(&url, "BEGIN; INSERT INTO kept VALUES (2); SELECT pg_sleep(3600)"));
        until("a session asleep", || {
            value(&server.query("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")) == "1"
        });
        server.stop_immediate();
        assert!(open.join().unwrap().is_err());
        assert!(!listens(server.port()));
        server.start_again();
        assert_eq!(value(&server.query("SELECT string_agg(n::text, ',') FROM kept")), "1");
        assert!(server.log().contains("database system was not properly shut down"), "{}", server.log());
        let before = server.log().len();
        server.restart();
        assert_eq!(value(&server.query("SELECT count(*) FROM kept")), "1");
        assert!(server.log()[before..].contains("database system is shut down"), "{}", server.log());
    }
}

#[test]
fn default_settings_can_be_overridden() {
    let Some(server) = Server::start(&[("fsync", "on"), ("timezone", "Asia/Kolkata")]) else { return };
    assert_eq!(
        value(&server.query("SELECT current_setting('fsync') || ' ' || current_setting('timezone')")),
        "on Asia/Kolkata"
    );
}

#[test]
fn a_server_is_removed_when_its_test_fails() {
    let Some(release) = releases().first() else { return };
    let home = Home::new();
    let (first, second) = (Server::within(&home.folder, release, &[]), Server::within(&home.folder, release, &[]));
    let ports = [first.port(), second.port()];
    assert!(ports.iter().all(|port| listens(*port)) && ports[0] != ports[1]);
    assert_eq!(names(&home.folder).len(), 2);
    drop(first);
    let failed = std::thread::spawn(move || {
        let _second = second;
        panic!("as a test does")
    });
    assert!(failed.join().is_err());
    assert!(!ports.iter().any(|port| listens(*port)));
    assert!(names(&home.folder).is_empty());
}

/// The keeper ends when its input is closed, which also happens when this process ends; here the input is closed explicitly.
#[test]
fn servers_are_removed_when_the_process_ends() {
    let Some(release) = releases().first() else { return };
    let home = Home::new();
    let folder = home.folder.clone();
    let server = Server::within(&folder, release, &[]);
    drop(home);
    until("the folder gone", || !folder.exists());
    assert!(!listens(server.port()));
    // Its folder is removed already.
    std::mem::forget(server);
}

#[test]
fn each_test_has_a_database_of_its_own() {
    let (Some(one), Some(other)) = (database(), database()) else { return };
    one.query("CREATE TABLE here (n int)");
    assert!(ask(&other.url(), "SELECT * FROM here").is_err());
    let url = one.url();
    drop(one);
    assert_eq!(ask(&url, "SELECT 1").unwrap_err().code().unwrap().code(), "3D000");
    assert_eq!(value(&other.query("SELECT 1")), "1");
}

#[test]
fn members_of_by_password_need_a_password() {
    let Some(server) = Server::start(&[]) else { return };
    server
        .query("CREATE ROLE plain LOGIN; CREATE ROLE careful LOGIN PASSWORD 'two words'; GRANT by_password TO careful");
    let of = |user: &str| format!("postgres://{user}@127.0.0.1:{}/postgres", server.port());
    assert_eq!(value(&ask(&of("plain"), "SELECT current_user").unwrap()), "plain");
    assert_eq!(value(&ask(&of("careful:two%20words"), "SELECT current_user").unwrap()), "careful");
    assert_eq!(ask(&of("careful:three"), "SELECT 1").unwrap_err().code().unwrap().code(), "28P01");
}
