//! This test program, to be started once more as a child process.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::postgres::Authority;

/// A command that starts the program this process runs. A build may have replaced the file meanwhile, so on Linux it is started from the
/// process itself.
pub fn own_program() -> Command {
    let running = Path::new("/proc/self/exe");
    if running.exists() { Command::new(running) } else { Command::new(std::env::current_exe().unwrap()) }
}

/// Prefix of the line with the result of such a process.
pub const RESULT_PREFIX: &str = "result: ";

/// Runs a test in a process of its own, and returns the result that it prints. Trusted certificates are set by environment variables, so
/// they need a process of their own.
pub fn run_test_in_process(test: &str, environment: &[(&str, &str)], trusted: Option<&Authority>) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let authorities = folder.path().join("authorities.pem");
    let mut command = own_program();
    command.args(["--exact", test, "--nocapture"]).envs(environment.iter().copied());
    if let Some(authority) = trusted {
        std::fs::write(&authorities, authority.pem()).unwrap();
        command.env("SSL_CERT_FILE", &authorities).env_remove("SSL_CERT_DIR");
    }
    let out = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let result = out.lines().find_map(|line| line.split_once(RESULT_PREFIX)).unwrap_or_else(|| panic!("{out}"));
    serde_json::from_str(result.1).unwrap()
}
