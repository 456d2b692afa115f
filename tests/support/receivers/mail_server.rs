//! A real mail server in a process of its own (`smtp.py`, aiosmtpd), with STARTTLS, TLS from the first byte, logins, and refusals.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::postgres::Authority;
use crate::support::python;

/// The security of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Plain,
    /// STARTTLS is required.
    StartTls,
    Tls,
}

/// A server on its own port, until it is dropped.
pub struct Smtp {
    process: Child,
    port: u16,
    way: Way,
    host: &'static str,
    user: Option<String>,
    pipes: Mutex<Pipes>,
    /// The folder of its certificate.
    _folder: TempDir,
}

struct Pipes {
    stdin: ChildStdin,
    lines: Receiver<Value>,
    taken: Vec<Value>,
}

impl Smtp {
    /// Starts a server without TLS and logins. Prints a note and returns `None` if there is no Python 3.
    pub fn start() -> Option<Smtp> {
        Smtp::with(Way::Plain, None, None)
    }

    /// Starts a server that requires this login, with a certificate of this authority.
    pub fn with(way: Way, login: Option<(&str, &str)>, authority: Option<&Authority>) -> Option<Smtp> {
        // an address of this machine that is not a loopback address
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
        let settings = json!({
            "way": way_name,
            "login": login.map(|(user, password)| [user, password]),
            "certificate": authority.map(|_| &certificate),
            "key": key,
        });
        let mut command = python::smtp()?;
        command
            .arg(crate::support::project::root().join("tests/support/receivers/mail_server.py"))
            .arg(settings.to_string());
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (stdin, stdout) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        // read continuously, since a process blocks if its output pipe is full
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

    /// The URL for `TIDEMARK_SMTP`.
    pub fn url(&self) -> String {
        let scheme = if self.way == Way::Tls { "smtps" } else { "smtp" };
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        format!("{scheme}://{user}{}:{}", self.host, self.port)
    }

    /// All accepted mails, in order.
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

    /// Sets the behaviour from now on. `{"rcpt": "550 no such user"}` sets a response; `mail` and `data` work alike. `{"silent": true}`
    /// sends no response. `{"cut_after": true}` accepts a mail and then breaks the connection. `{}` is normal.
    pub fn answer(&self, answers: Value) {
        writeln!(self.pipes.lock().unwrap().stdin, "{answers}").unwrap();
        // the response shows that the setting is in effect
        self.taken();
    }

    /// Stops the server.
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
