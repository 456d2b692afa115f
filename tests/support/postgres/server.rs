//! A server: one port, one folder, some settings; stopped hard and started again as a test wants it.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use super::client::{Rows, ask};
use super::release::{Release, done, home, private, releases};
use crate::support::kill::send;
use crate::support::port::free_port;
use crate::support::wait::until;

/// Quick and small. A server that is killed keeps what it has written as long as the machine lives, so nothing waits for the disk.
const SETTINGS: [(&str, &str); 6] = [
    ("listen_addresses", "127.0.0.1"),
    ("unix_socket_directories", ""),
    ("fsync", "off"),
    ("shared_buffers", "32MB"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
];

/// A PostgreSQL of its own, for as long as it is kept.
pub struct Server {
    release: &'static Release,
    folder: PathBuf,
    port: u16,
    process: Mutex<Option<Child>>,
}

impl Server {
    /// The oldest release, with settings of `postgresql.conf`; `None`, with a word, where there is none.
    pub fn start(settings: &[(&str, &str)]) -> Option<Server> {
        Some(Server::for_release(releases().first()?, settings))
    }

    pub fn for_release(release: &'static Release, settings: &[(&str, &str)]) -> Server {
        Server::within(&home().folder, release, settings)
    }

    pub fn within(home: &Path, release: &'static Release, settings: &[(&str, &str)]) -> Server {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let folder = home.join(format!("server-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
        private(&folder);
        done(Command::new("cp").arg("-a").arg(release.template()).arg(folder.join("data")));
        let mut text = std::fs::read_to_string(folder.join("data/postgresql.conf")).unwrap();
        for (name, value) in SETTINGS.iter().chain(settings) {
            text += &format!("{name} = '{}'\n", value.replace('\'', "''"));
        }
        std::fs::write(folder.join("data/postgresql.conf"), text).unwrap();
        let mut server = Server { release, folder, port: 0, process: Mutex::new(None) };
        for _ in 0..20 {
            server.port = free_port();
            match server.launch() {
                Ok(child) => {
                    server.process = Mutex::new(Some(child));
                    return server;
                }
                // another process was quicker
                Err(log) if log.contains("could not bind") => {}
                Err(log) => panic!("PostgreSQL does not start:\n{log}"),
            }
        }
        panic!("no free port")
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Of the superuser, without a password; the name as it is to be in a URL.
    pub fn url(&self, database: &str) -> String {
        url(self.port, database)
    }

    /// The rows of one statement or more in the database `postgres`, as text.
    #[track_caller]
    pub fn query(&self, sql: &str) -> Rows {
        ask(&self.url("postgres"), sql).unwrap_or_else(|error| panic!("{error:?}: {sql}"))
    }

    /// Everything the server has said since it was made.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap()
    }

    /// Every session ends where it is, and the server with it: what was not committed is rolled back at the next start.
    pub fn stop_immediate(&self) {
        stop(&mut self.process(), libc::SIGQUIT);
    }

    /// On the same port, with the data there is.
    pub fn start_again(&self) {
        let mut process = self.process();
        assert!(process.is_none(), "the server is running");
        until("the server has its port again", || match self.launch() {
            Ok(child) => {
                *process = Some(child);
                true
            }
            Err(log) if log.contains("could not bind") => false,
            Err(log) => panic!("PostgreSQL does not start again:\n{log}"),
        });
    }

    /// Sessions are ended properly.
    pub fn restart(&self) {
        stop(&mut self.process(), libc::SIGINT);
        self.start_again();
    }

    /// Usable after a panic of the test: the server has to be stopped all the same.
    fn process(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    /// Until it takes connections; else what it said.
    fn launch(&self) -> Result<Child, String> {
        let log: File = OpenOptions::new().create(true).append(true).open(self.log_file()).unwrap();
        let said_before = log.metadata().unwrap().len();
        let data = self.folder.join("data");
        let mut command = self.release.program("postgres");
        command.arg("-D").arg(&data).arg("-p").arg(self.port.to_string());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let mut child = command.spawn().unwrap();
        let mut has_ended = false;
        until("PostgreSQL is ready", || {
            has_ended = child.try_wait().unwrap().is_some();
            has_ended || is_ready(&data, child.id())
        });
        match has_ended {
            true => Err(self.log().split_off(usize::try_from(said_before).unwrap())),
            false => Ok(child),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop_immediate();
        let removed = std::fs::remove_dir_all(&self.folder);
        assert!(removed.is_ok() || std::thread::panicking(), "{removed:?}");
    }
}

pub fn url(port: u16, database: &str) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/{database}")
}

/// The eighth line of its lock file says how far a server is (as `pg_ctl` reads it).
fn is_ready(data: &Path, pid: u32) -> bool {
    let text = std::fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let line = |number: usize| text.lines().nth(number).unwrap_or_default().trim();
    line(0) == pid.to_string() && matches!(line(7), "ready" | "standby")
}

fn stop(process: &mut Option<Child>, signal: i32) {
    let Some(mut child) = process.take() else { return };
    if child.try_wait().unwrap().is_none() {
        send(&child, signal);
        child.wait().unwrap();
    }
}
