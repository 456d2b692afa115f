//! A page as a reader follows it: its files are written, its commands are run, in order, in a folder of their own.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;

use super::markdown::{Block, Page};
use super::same::{difference, normal_line};
use crate::support::kill::send;
use crate::support::postgres::{Database, database};
use crate::support::project::{Answer, Site, root, tidemark, walk};
use crate::support::receivers::Smtp;
use crate::support::wait::HANG;

/// The server as the pages call it.
const URL: &str = "postgres://loader@db.example.com/shop";
const SERVER: &str = "db.example.com/shop";

pub struct Session {
    site: Site,
    database: Option<Database>,
    mail: Option<Smtp>,
}

impl Session {
    /// Holds every block of the page to what it shows.
    pub fn hold(page: &Page) {
        let blocks = page.blocks();
        let needs = |what: &str| blocks.iter().flat_map(|block| &block.notes).any(|note| note == what);
        let mut session = Session { site: Site::new(), database: None, mail: None };
        if needs("needs: postgres") {
            let Some(database) = database() else { return };
            session.database = Some(database);
        }
        if needs("needs: mail") {
            let Some(mail) = Smtp::start() else { return };
            session.mail = Some(mail);
        }
        session.start();
        for block in &blocks {
            if let Err(why) = session.follow(block) {
                panic!("{}:{}: {why}", page.name, block.line);
            }
        }
    }

    /// The pipelines of the repository, and the command by both of its names.
    fn start(&self) {
        let from = root().join("infra/pipelines");
        for file in walk(&from) {
            let name = file.strip_prefix(&from).unwrap().to_string_lossy().into_owned();
            self.site.write(&format!("infra/pipelines/{name}"), std::fs::read(&file).unwrap());
        }
        let program = tidemark();
        let scripts = [
            ("bin/tidemark", format!("#!/bin/sh\nexec '{}' \"$@\"\n", program.display())),
            ("bin/cargo", "#!/bin/sh\n[ \"$1 $2\" = 'run --' ] || exit 70\nshift 2\nexec tidemark \"$@\"\n".to_owned()),
        ];
        for (name, text) in scripts {
            self.site.write(name, text);
            std::fs::set_permissions(self.site.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    fn follow(&mut self, block: &Block) -> Result<(), String> {
        for note in &block.notes {
            match note.split_once(": ").unwrap_or((note, "")) {
                ("needs", _) => {}
                ("file", name) => self.site.write(name, &block.text),
                ("from", path) => is_part(&block.text, path)?,
                ("before", command) => {
                    self.shell(command).expect(0);
                }
                ("database", sql) => {
                    self.database.as_ref().ok_or("no database")?.query(sql);
                }
                ("mail", _) => {
                    let taken = self.mail.as_ref().ok_or("no mail server")?.taken();
                    let last = taken.last().ok_or("no mail came")?["text"].as_str().unwrap().to_owned();
                    difference(&block.text, &last).map_or(Ok(()), Err)?;
                }
                // a remark for those who edit the page
                _ => return Err(format!("what is meant by `{note}`?")),
            }
        }
        if block.language == "console" { self.is_printed(&block.text) } else { Ok(()) }
    }

    /// Runs each command behind a `$`, and compares what it prints with the lines below it.
    fn is_printed(&self, text: &str) -> Result<(), String> {
        for part in format!("\n{text}").split("\n$ ").skip(1) {
            let part = format!("{part}\n");
            // a command may go on in the next line
            let (command, rest) = part.split_once('\n').unwrap_or_default();
            let (command, mut shown) = match (command.strip_suffix('\\'), rest.split_once('\n')) {
                (Some(start), Some((next, rest))) => (format!("{start}{}", next.trim_start()), rest),
                _ => (command.to_owned(), rest),
            };
            let command = command.as_str();
            let printed = match shown.split_once("^C\n") {
                Some((before, after)) => {
                    shown = before;
                    self.until_interrupted(command, before, after)?
                }
                None => {
                    let answer = self.shell(command);
                    if answer.code < 0 || answer.out.contains("panicked") {
                        return Err(format!("{command}: {answer:?}"));
                    }
                    self.named(&answer.out)
                }
            };
            if let Some(difference) = difference(shown, &printed) {
                return Err(format!("{command}: {difference}\n\nall of it:\n{printed}"));
            }
        }
        Ok(())
    }

    fn command(&self) -> Command {
        let mut command = self.site.command("sh");
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", self.site.path("bin").display())).env_remove("COLUMNS");
        if let Some(mail) = &self.mail {
            command.env("TIDEMARK_SMTP", mail.url()).env("TIDEMARK_MAIL_FROM", "tidemark@example.com");
        }
        command
    }

    /// With all it prints in `out`.
    fn shell(&self, line: &str) -> Answer {
        let url = self.database.as_ref().map(Database::url);
        let line = url.map_or_else(|| line.to_owned(), |url| line.replace(URL, &url));
        Answer::from_command(self.command().arg("-c").arg(format!("exec 2>&1; {line}")))
    }

    /// A server goes by the name that the page gives it.
    fn named(&self, printed: &str) -> String {
        match &self.database {
            Some(database) => printed.replace(&format!("127.0.0.1:{}/{}", database.port(), database.name()), SERVER),
            None => printed.to_owned(),
        }
    }

    /// Sends the signal of Ctrl-C once the last line before it is there, and holds what comes after to what is shown.
    fn until_interrupted(&self, line: &str, before: &str, after: &str) -> Result<String, String> {
        let mut process = self.command().arg("-c").arg(format!("exec {line}")).stdout(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let out = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let last = normal_line(before.lines().last().unwrap_or_default());
        let mut printed = String::new();
        while let Ok(line) = lines.recv_timeout(HANG) {
            printed += &format!("{line}\n");
            if normal_line(&line) == last {
                break;
            }
        }
        send(&process, libc::SIGINT);
        let rest: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let ended = process.wait().unwrap();
        match difference(after, &rest) {
            _ if !ended.success() => Err(format!("{line} ended with {ended}: {printed}{rest}")),
            Some(difference) => Err(format!("{line}, after Ctrl-C: {difference}")),
            None => Ok(printed),
        }
    }
}

/// Whether the lines are lines of the file, in its order; `…` stands for those that are left out.
fn is_part(text: &str, path: &str) -> Result<(), String> {
    let file = std::fs::read_to_string(root().join(path)).map_err(|error| format!("{path}: {error}"))?;
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut lines = file.lines().map(words);
    for line in text.lines().map(words).filter(|line| !line.is_empty() && line != "…") {
        if !lines.any(|other| other == line) {
            return Err(format!("{path} has no line `{line}` there"));
        }
    }
    Ok(())
}
