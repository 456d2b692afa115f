//! The AWS emulator and AWS's tools, pinned with all their dependencies, for versions of Python that all of them support.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::provision::Cache;
use crate::support::python::installed;

const EMULATOR: &str = include_str!("emulator.txt");
const SAM: &str = include_str!("sam.txt");
const CHECKOV: &str = include_str!("checkov.txt");

/// Packages without wheels.
const SOURCES: &str = "--no-binary=airspeed_ext,crontab,jsonpath-rw";

/// A Python interpreter, and a folder with packages.
pub struct Tools {
    interpreter: PathBuf,
    pub folder: PathBuf,
}

impl Tools {
    /// `python -m <module>`
    pub fn module(&self, module: &str) -> Command {
        let mut command = self.python();
        command.args(["-m", module]);
        command
    }

    /// `python <file>`
    pub fn program(&self, file: &Path) -> Command {
        let mut command = self.python();
        command.arg(file);
        command
    }

    fn python(&self) -> Command {
        let mut command = Command::new(&self.interpreter);
        command.env("PYTHONPATH", &self.folder).env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }
}

/// LocalStack and the AWS command line; `None`, with a message, without a suitable Python.
pub fn emulator() -> Option<&'static Tools> {
    static TOOLS: OnceLock<Option<Tools>> = OnceLock::new();
    TOOLS.get_or_init(|| provide(&["--no-deps", SOURCES], EMULATOR)).as_ref()
}

/// SAM, its translator, cfn-lint and cargo-lambda; `None`, with a message, without a suitable Python.
pub fn sam() -> Option<&'static Tools> {
    static TOOLS: OnceLock<Option<Tools>> = OnceLock::new();
    TOOLS.get_or_init(|| provide(&["--no-deps"], SAM)).as_ref()
}

/// checkov; `None`, with a message, without a suitable Python.
pub fn checkov() -> Option<&'static Tools> {
    static TOOLS: OnceLock<Option<Tools>> = OnceLock::new();
    TOOLS.get_or_init(|| provide(&["--no-deps"], CHECKOV)).as_ref()
}

/// Sets invalid credentials and an unreachable endpoint.
pub fn offline(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        if ["AWS_", "SAM_"].iter().any(|start| name.to_string_lossy().starts_with(start)) {
            command.env_remove(&name);
        }
    }
    command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:9").env("AWS_DEFAULT_REGION", "eu-west-1");
    command.env("AWS_ACCESS_KEY_ID", "none").env("AWS_SECRET_ACCESS_KEY", "none");
    command.env("AWS_EC2_METADATA_DISABLED", "true").env("SAM_CLI_TELEMETRY", "0")
}

fn provide(options: &[&str], requirements: &str) -> Option<Tools> {
    let Some(interpreter) = interpreter() else {
        eprintln!("skipped: no Python 3.12 or newer on this machine, which the AWS emulator needs");
        return None;
    };
    let folder = installed(interpreter, options, requirements)?;
    Some(Tools { interpreter: interpreter.clone(), folder })
}

/// Python 3.12 to 3.14; preferably the version that the packages were pinned with.
fn interpreter() -> Option<&'static PathBuf> {
    static INTERPRETER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let on_path = ["python3.13", "python3.12", "python3.14", "python3"].map(PathBuf::from);
        on_path.into_iter().chain(of_pyenv()).find_map(suitable)
    };
    INTERPRETER.get_or_init(find).as_ref()
}

/// Interpreters installed by pyenv. Its shims on the path only run selected versions.
fn of_pyenv() -> Vec<PathBuf> {
    let root = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let root = root.or_else(|| std::env::home_dir().map(|home| home.join(".pyenv"))).unwrap_or_default();
    let entries = std::fs::read_dir(root.join("versions")).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path().join("bin/python3")).collect();
    found.sort();
    found.reverse();
    found
}

/// The real path of an interpreter, if it runs and has a suitable version.
fn suitable(interpreter: PathBuf) -> Option<PathBuf> {
    const ASK: &str =
        "import sys; print(sys.executable) if (3, 12) <= sys.version_info[:2] <= (3, 14) else sys.exit(1)";
    let output = Command::new(interpreter).args(["-c", ASK]).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(path.trim()))
}

/// Whether this machine has what `sam build` needs: `make`, and for arm64 the Rust target, which is installed if there is rustup. Prints
/// what is missing.
pub fn can_build(for_arm64: bool) -> bool {
    let runs = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    let has_rust = !for_arm64 || builds_for_arm64() || adds_arm64();
    let missing = match (runs(Command::new("make").arg("--version")), has_rust) {
        (false, _) => "make",
        (true, false) => "Rust for aarch64-unknown-linux-gnu, nor rustup to get it",
        (true, true) => return true,
    };
    eprintln!("skipped: no {missing} on this machine, which sam build needs");
    false
}

const ARM64: &str = "aarch64-unknown-linux-gnu";

fn builds_for_arm64() -> bool {
    let libraries = Command::new("rustc").args(["--print", "target-libdir", "--target", ARM64]).output();
    libraries.is_ok_and(|output| {
        output.status.success() && Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
    })
}

/// Installs the target for all, so only one test at a time does it.
fn adds_arm64() -> bool {
    let lock = Cache::of_user().lock("rust-target");
    let mut rustup = Command::new("rustup");
    builds_for_arm64() || lock.run(rustup.args(["target", "add", ARM64])).is_ok_and(|output| output.status.success())
}
