//! Many threads of many processes that want the same things at once, some of which are killed in the middle.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{Cache, MARKER, Point, Staging, is_whole, staging_prefix};
use crate::support::own_program::own_program;
use crate::support::project::walk;
use crate::support::wait::until;

const POINTS: [Point; 5] = [Point::Locked, Point::Staged, Point::Installed, Point::Marked, Point::Renamed];
const THREADS: usize = 8;
const PROCESSES: usize = 4;
/// Files of a thing, each with lines that say whose they are.
const FILES: usize = 40;
const LINES: usize = 200;

/// What a process of its own is told: where, which things, and at which point of the first one it stops until it is killed.
const FOLDER: &str = "PROVISION_FOLDER";
const THINGS: &str = "PROVISION_THINGS";
const STOPS_AT: &str = "PROVISION_STOPS_AT";
/// What another is told: where it runs a program.
const WAITS_IN: &str = "PROVISION_WAITS_IN";

/// A cache, and beside it a folder for notes.
struct Place(PathBuf);

impl Place {
    fn new(folder: &Path) -> Place {
        std::fs::create_dir_all(folder.join("notes")).unwrap();
        Place(folder.to_owned())
    }

    fn cache(&self) -> Cache {
        Cache { folder: self.0.join("cache") }
    }

    /// Adds to the note of this name.
    fn note(&self, name: &str) {
        let note = OpenOptions::new().create(true).append(true).open(self.0.join("notes").join(name));
        note.unwrap().write_all(b"+").unwrap();
    }

    /// How often this was noted.
    fn noted(&self, name: &str) -> usize {
        std::fs::read(self.0.join("notes").join(name)).unwrap_or_default().len()
    }

    /// Many threads of this process provide the things, each in an order of its own.
    fn provide_all(&self, things: &[String]) {
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                scope.spawn(move || {
                    self.note("here");
                    (0..things.len()).for_each(|at| self.provide(&things[(at + thread) % things.len()]));
                });
            }
        });
    }

    fn provide(&self, thing: &str) {
        self.provide_observed(thing, |_| {});
    }

    /// Provides one thing, which then is whole.
    fn provide_observed(&self, thing: &str, reached: impl Fn(Point)) {
        let folder = self.cache().provide_observed("thing", thing, |staging| self.install(thing, staging), reached);
        let mut names = BTreeSet::new();
        for path in walk(&folder) {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if name != MARKER {
                let text = std::fs::read_to_string(&path).unwrap();
                assert_eq!(text, line(thing, name.parse().unwrap()).repeat(LINES), "{}", path.display());
            }
            names.insert(name);
        }
        assert_eq!(names.len(), FILES + 1, "{names:?}");
    }

    /// Writes the files, and notes half-way that it was here.
    fn install(&self, thing: &str, staging: &Staging) {
        for file in 0..FILES {
            if file == FILES / 2 {
                self.note(thing);
            }
            let path = staging.path().join(format!("{}/{file}", file % 3));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let mut opened = std::fs::File::create_new(path).unwrap();
            (0..LINES).for_each(|_| opened.write_all(line(thing, file).as_bytes()).unwrap());
        }
    }

    /// Another process that provides these things in many threads, or the first of them up to a point.
    fn process(&self, things: &[String], stops_at: Option<Point>) -> Child {
        let mut command = own_program();
        command.args(["--exact", "support::provision::processes::provides_as_it_is_told", "--nocapture"]);
        command.env(FOLDER, &self.0).env(THINGS, things.join(" "));
        if let Some(point) = stops_at {
            command.env(STOPS_AT, format!("{point:?}"));
        }
        command.stdout(Stdio::null()).spawn().unwrap()
    }

    fn entries(&self) -> BTreeSet<String> {
        let entries = std::fs::read_dir(self.cache().folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn has_staging(&self, thing: &str) -> bool {
        self.entries().iter().any(|name| name.starts_with(&staging_prefix(&name_of(thing))))
    }
}

fn line(thing: &str, file: usize) -> String {
    format!("{thing} {file}\n")
}

fn name_of(thing: &str) -> String {
    format!("thing-{}", tidemark_lake::fingerprint(thing))
}

/// All that a cache has in it once it has these things.
fn expected(things: &[String]) -> BTreeSet<String> {
    things.iter().map(|thing| name_of(thing)).flat_map(|name| [format!("{name}.lock"), name]).collect()
}

/// What a process of its own does; nothing, where nothing is told.
#[test]
fn provides_as_it_is_told() {
    let (Some(folder), Ok(things)) = (std::env::var_os(FOLDER), std::env::var(THINGS)) else { return };
    let (place, things) = (Place::new(Path::new(&folder)), things.split(' ').map(str::to_owned).collect::<Vec<_>>());
    let Ok(stops_at) = std::env::var(STOPS_AT) else { return place.provide_all(&things) };
    place.provide_observed(&things[0], |point| {
        if format!("{point:?}") == stops_at {
            place.note(&stops_at);
            // at the latest until the test that waits for it is gone
            while place.0.exists() {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    });
}

#[test]
fn whoever_is_killed_the_others_end_with_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(folder.path());
    // one thing for each point at which somebody is killed, and some which nobody disturbs
    let of_point = |point: &Point| format!("cut-off-{point:?}");
    let things: Vec<String> = POINTS.iter().map(of_point).chain((0..3).map(|nth| format!("in-peace-{nth}"))).collect();
    let killed: Vec<Child> = POINTS.iter().map(|point| place.process(&[of_point(point)], Some(*point))).collect();
    for point in POINTS {
        until(&format!("a process stops at {point:?}"), || place.noted(&format!("{point:?}")) == 1);
        let (name, is_staged) = (of_point(&point), [Point::Staged, Point::Installed, Point::Marked].contains(&point));
        assert_eq!(place.has_staging(&name), is_staged, "{point:?}");
        assert_eq!(is_whole(&place.cache().folder.join(name_of(&name))), point == Point::Renamed, "{point:?}");
    }
    let crowd: Vec<Child> = (0..PROCESSES).map(|_| place.process(&things, None)).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| place.provide_all(&things));
        until("everybody is here", || place.noted("here") == (PROCESSES + 1) * THREADS);
        for mut process in killed {
            process.kill().unwrap();
            assert_eq!(process.wait().unwrap().signal(), Some(libc::SIGKILL));
        }
    });
    for mut process in crowd {
        assert!(process.wait().unwrap().success());
    }
    assert_eq!(place.entries(), expected(&things));
    for thing in &things {
        // once more, where one who had come half-way or further has not left the whole
        let is_again = ["Installed", "Marked"].iter().any(|point| thing.ends_with(point));
        assert_eq!(place.noted(thing), if is_again { 2 } else { 1 }, "{thing}");
    }
}

/// What is left of a thing goes when the thing is made; what is of another, or of nobody here, stays.
#[test]
fn the_remains_of_a_thing_are_swept_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(folder.path());
    let things = ["one", "other"].map(str::to_owned);
    let lies = |name: &str| {
        let path = place.cache().folder.join(name).join("0");
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("0"), "half").unwrap();
    };
    for thing in &things {
        lies(&format!("{}abc", staging_prefix(&name_of(thing))));
        lies(&format!("{}def", staging_prefix(&name_of(thing))));
    }
    // under its name, and not whole
    lies(&name_of("one"));
    lies("python-0123");
    place.provide("one");
    assert!(!place.has_staging("one") && place.has_staging("other"), "{:?}", place.entries());
    place.provide("other");
    let mut expected = expected(&things);
    expected.insert("python-0123".to_owned());
    assert_eq!(place.entries(), expected);
    assert_eq!((place.noted("one"), place.noted("other")), (1, 1));
}

#[test]
fn an_install_that_fails_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(folder.path());
    let fail = |staging: &Staging| {
        std::fs::write(staging.path().join("half"), "half").unwrap();
        let output = staging.run(Command::new("sh").args(["-c", "exit 7"]));
        assert_eq!(output.status.code(), Some(7));
        panic!("it cannot be installed");
    };
    let failed = catch_unwind(AssertUnwindSafe(|| place.cache().provide("thing", "one", fail)));
    assert!(failed.is_err());
    assert_eq!(place.entries(), [format!("{}.lock", name_of("one"))].into());
    place.provide("one");
}

/// A program that a killed process has started may go on writing, so nobody else begins before it has ended.
#[test]
fn a_program_that_outlives_its_process_keeps_the_lock() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(folder.path());
    let mut process = own_program();
    process.args(["--exact", "support::provision::processes::runs_a_program_that_waits", "--nocapture"]);
    let mut process = process.env(WAITS_IN, folder.path()).stdout(Stdio::null()).spawn().unwrap();
    until("the program runs", || place.noted("runs") > 0);
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(place.cache().lock_file(&name_of("one")).try_lock().is_err(), "the lock is free");
    assert!(place.has_staging("one"));
    place.note("ends");
    place.provide("one");
    assert_eq!(place.entries(), expected(&["one".to_owned()]));
}

/// What a process of its own does; nothing, where nothing is told. The program ends when it is told to, or its folder is gone.
#[test]
fn runs_a_program_that_waits() {
    let Some(folder) = std::env::var_os(WAITS_IN) else { return };
    let script = "echo > \"$0/runs\"; until [ -e \"$0/ends\" ] || [ ! -e \"$0\" ]; do sleep 0.05; done";
    let place = Place::new(Path::new(&folder));
    place.cache().provide("thing", "one", |staging| {
        drop(staging.run(Command::new("sh").args(["-c", script]).arg(place.0.join("notes"))));
    });
}
