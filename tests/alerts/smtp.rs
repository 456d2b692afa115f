//! A real mail server in a process of its own (`smtp.py`, aiosmtpd): STARTTLS, TLS from the first byte, logins, and refusals.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::postgres::Authority;
use crate::python;

/// How a client may talk to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Plain,
    /// Nothing is taken before it.
    StartTls,
    Tls,
}

/// On its own port, for as long as it is kept.
pub struct Smtp {
    process: Child,
    port: u16,
    way: Way,
    host: &'static str,
    user: Option<String>,
    pipes: Mutex<Pipes>,
    /// Of its certificate.
    _folder: TempDir,
}

struct Pipes {
    stdin: ChildStdin,
    lines: Receiver<Value>,
    taken: Vec<Value>,
}

impl Smtp {
    /// Without TLS and logins; `None`, with a word, where there is no Python 3.
    pub fn start() -> Option<Smtp> {
        Smtp::with(Way::Plain, None, None)
    }

    /// With a user and a password that it wants to hear, and an authority that says who it is.
    pub fn with(way: Way, login: Option<(&str, &str)>, authority: Option<&Authority>) -> Option<Smtp> {
        // an address of this machine which is no loopback address
        let host = if way == Way::StartTls { "0.0.0.0" } else { "127.0.0.1" };
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
        if let Some(authority) = authority {
            let (signed, secret) = authority.signed(host);
            std::fs::write(&certificate, signed).unwrap();
            std::fs::write(&key, secret).unwrap();
        }
        let way_name = match way {
            Way::Plain => "plain",
            Way::StartTls => "starttls",
            Way::Tls => "tls",
        };
        let told = json!({
            "way": way_name,
            "login": login.map(|(user, password)| [user, password]),
            "certificate": authority.map(|_| &certificate),
            "key": key,
        });
        let mut command = python::smtp()?;
        command.arg(crate::site::root().join("tests/alerts/smtp.py")).arg(told.to_string());
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (stdin, stdout) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        // read at once: who writes into a pipe that is full waits
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str::<Value>(&line).unwrap());
            }
        });
        let first = lines.recv().unwrap();
        Some(Smtp {
            process,
            port: u16::try_from(first["port"].as_u64().unwrap()).unwrap(),
            way,
            host,
            user: login.map(|(user, _)| user.to_owned()),
            pipes: Mutex::new(Pipes { stdin, lines, taken: Vec::new() }),
            _folder: folder,
        })
    }

    /// As `TIDEMARK_SMTP` has it.
    pub fn url(&self) -> String {
        let scheme = if self.way == Way::Tls { "smtps" } else { "smtp" };
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        format!("{scheme}://{user}{}:{}", self.host, self.port)
    }

    /// Every mail that was taken, in order.
    pub fn taken(&self) -> Vec<Value> {
        let mut pipes = self.pipes.lock().unwrap();
        let Pipes { stdin, lines, taken } = &mut *pipes;
        writeln!(stdin, "{}", json!({"sync": true})).unwrap();
        loop {
            let line = lines.recv().unwrap();
            match line.get("sync") {
                Some(_) => return taken.clone(),
                None => taken.push(line),
            }
        }
    }

    /// What is answered from now on: `{"rcpt": "550 no such user"}`, also to `mail` and `data`; `{"silent": true}`, nothing;
    /// `{"cut_after": true}`, mail is taken and the connection breaks; `{}`, as usual.
    pub fn answer(&self, answers: Value) {
        writeln!(self.pipes.lock().unwrap().stdin, "{answers}").unwrap();
        // it has heard it once it answers
        self.taken();
    }

    /// Nobody listens any more.
    pub fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Smtp {
    fn drop(&mut self) {
        self.stop();
    }
}
