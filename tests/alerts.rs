//! Tests of the watcher and its channels. The receivers are a webhook that behaves like Slack's, a real mail server, and an SNS topic.

mod causes;
mod channels;
mod crash;
mod function;
mod harness;
mod mail;
mod notify;
mod received;
mod record;
mod recorders;
mod slack;
mod smtp;
mod sns;
mod topic;

pub use received::SlackMessage;
pub use recorders::{Mailbox, RecordingBus};
use serde_json::Value;
pub use slack::{Sink, Trouble};
pub use smtp::{Smtp, Way};

use crate::postgres::Authority;
use crate::support::own_program::own_program;

/// Prefix of the line in which such a process prints its result.
const RESULT_PREFIX: &str = "result: ";

/// Runs one test in a separate process and returns the result that it prints. Trusted certificates are set by environment variables, which
/// are per process.
fn run_test_in_process(test: &str, environment: &[(&str, &str)], trusted: Option<&Authority>) -> Value {
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
