//! What tests install: whole in the user's cache, or not there. Each thing has a folder that is named by its content and made once, by
//! whichever test of whichever process comes first; one that is killed meanwhile leaves nothing that others could take for it.

mod processes;

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// The file that says of its folder that it is whole: it is written last, and is on the disk before the folder gets its name.
const MARKER: &str = ".whole";

/// A folder with what is installed.
pub struct Cache {
    folder: PathBuf,
}

/// The right to make one thing. The system takes it back when this is dropped and every program started by [`Lock::run`] has ended,
/// however they and the process of the tests end.
pub struct Lock(File);

/// A fresh folder in which a thing is made, beside where it is going to be.
pub struct Staging<'a> {
    folder: TempDir,
    lock: &'a Lock,
}

/// The points at which the making of a thing may be cut off, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    Locked,
    Staged,
    Installed,
    Marked,
    Renamed,
}

impl Cache {
    /// That of the user who runs the tests.
    pub fn of_user() -> Cache {
        let base = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
        Cache { folder: base.unwrap_or_else(|| std::env::home_dir().unwrap().join(".cache")).join("tidemark") }
    }

    /// The folder in which `install` has put what it is to put into its staging folder; `content` is all that this depends on.
    pub fn provide(&self, kind: &str, content: &str, install: impl FnOnce(&Staging)) -> PathBuf {
        self.provide_observed(kind, content, install, |_| {})
    }

    fn provide_observed(
        &self,
        kind: &str,
        content: &str,
        install: impl FnOnce(&Staging),
        reached: impl Fn(Point),
    ) -> PathBuf {
        let name = format!("{kind}-{}", tidemark_lake::fingerprint(content));
        let folder = self.folder.join(&name);
        if is_whole(&folder) {
            return folder;
        }
        let lock = self.lock(&name);
        reached(Point::Locked);
        // somebody else may have made it while this waited
        if is_whole(&folder) {
            return folder;
        }
        self.sweep(&name);
        let staged = tempfile::Builder::new().prefix(&staging_prefix(&name)).tempdir_in(&self.folder).unwrap();
        let staging = Staging { folder: staged, lock: &lock };
        reached(Point::Staged);
        install(&staging);
        reached(Point::Installed);
        mark(staging.path());
        reached(Point::Marked);
        std::fs::rename(staging.folder.keep(), &folder).unwrap();
        File::open(&self.folder).unwrap().sync_all().unwrap();
        reached(Point::Renamed);
        folder
    }

    /// Waits until nobody else on this machine has the lock of this name.
    pub fn lock(&self, name: &str) -> Lock {
        let lock = self.lock_file(name);
        lock.lock().unwrap();
        Lock(lock)
    }

    fn lock_file(&self, name: &str) -> File {
        std::fs::create_dir_all(&self.folder).unwrap();
        let path = self.folder.join(format!("{name}.lock"));
        OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path).unwrap()
    }

    /// Removes what those who were cut off have left of this thing. Whoever calls this has its lock, so nobody is at work on it.
    fn sweep(&self, name: &str) {
        let stale = self.folder.join(name);
        if stale.exists() {
            std::fs::remove_dir_all(stale).unwrap();
        }
        for entry in std::fs::read_dir(&self.folder).unwrap().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&staging_prefix(name)) {
                std::fs::remove_dir_all(entry.path()).unwrap();
            }
        }
    }
}

impl Lock {
    /// Runs a program to its end. It inherits the lock as its standard input, so that nobody else begins while it still writes, even if the
    /// process of the tests is gone.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn run(&self, command: &mut Command) -> std::io::Result<Output> {
        command.stdin(self.0.try_clone()?).output()
    }
}

impl Staging<'_> {
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a program that writes here.
    pub fn run(&self, command: &mut Command) -> Output {
        self.lock.run(command).unwrap()
    }
}

fn staging_prefix(name: &str) -> String {
    format!("{name}.staging-")
}

fn is_whole(folder: &Path) -> bool {
    folder.join(MARKER).is_file()
}

/// Writes the marker once everything else is on the disk.
#[expect(unsafe_code, reason = "the standard library synchronizes one file at a time")]
fn mark(folder: &Path) {
    let opened = File::open(folder).unwrap();
    // SAFETY: takes a descriptor that is open for the time of the call
    assert_eq!(unsafe { libc::syncfs(opened.as_raw_fd()) }, 0, "{}", std::io::Error::last_os_error());
    File::create_new(folder.join(MARKER)).unwrap().sync_all().unwrap();
    opened.sync_all().unwrap();
}
