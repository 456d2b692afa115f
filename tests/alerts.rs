//! Where alerts arrive: a webhook shaped like Slack's, a real mail server, a topic of SNS; and what the channels make of them.

mod causes;
mod channels;
mod crash;
mod function;
mod kept;
mod mail;
mod record;
mod said;
mod slack;
mod smtp;
mod sns;
mod telling;
mod topic;
mod tower;

use std::process::Command;

pub use kept::{Announced, Mailbox};
pub use said::Said;
use serde_json::Value;
pub use slack::{Sink, Trouble};
pub use smtp::{Smtp, Way};

use crate::postgres::Authority;

/// Before what a process that was started as below has to say.
const TOLD: &str = "as it was told: ";

/// What a test says that is run in a process of its own, since whom a process trusts is in its environment.
fn told_by_another(test: &str, environment: &[(&str, &str)], trusted: Option<&Authority>) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let authorities = folder.path().join("authorities.pem");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).envs(environment.iter().copied());
    if let Some(authority) = trusted {
        std::fs::write(&authorities, authority.pem()).unwrap();
        command.env("SSL_CERT_FILE", &authorities).env_remove("SSL_CERT_DIR");
    }
    let out = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let told = out.lines().find_map(|line| line.split_once(TOLD)).unwrap_or_else(|| panic!("{out}"));
    serde_json::from_str(told.1).unwrap()
}
