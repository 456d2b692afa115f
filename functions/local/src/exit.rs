//! How the command ends.

use std::io::Write as _;
use std::process::ExitCode;

use serde_json::json;
use tidemark_flow::{ErrorRecord, Failure, Kind};
use tidemark_pipeline::Diagnostic;

use crate::print;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    /// A step failed.
    Failed = 1,
    /// Wrong usage or definition.
    Wrong = 2,
    /// Data broke its contract.
    Data = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

impl From<Kind> for Exit {
    fn from(kind: Kind) -> Exit {
        match kind {
            Kind::Definition => Exit::Wrong,
            Kind::Data => Exit::Data,
            Kind::Retry | Kind::Refused | Kind::Bug => Exit::Failed,
        }
    }
}

impl Exit {
    /// Tells an error to the terminal and, as `{"error": {"kind", "message", "hint"}}`, to a program that reads JSON.
    pub fn report(error: &anyhow::Error, json: bool) -> Exit {
        // who closed stderr wants to hear nothing
        let _ = writeln!(std::io::stderr(), "{}", describe(error));
        let record = match error.downcast_ref::<Failure>() {
            Some(failure) => ErrorRecord::from(failure),
            None => {
                let kind = if error.is::<Mistakes>() { Kind::Definition } else { Kind::Refused };
                ErrorRecord { kind, message: format!("{error:#}"), hint: None }
            }
        };
        if json {
            let _ = print::json(&json!({"error": record}));
        }
        record.kind.into()
    }
}

/// Mistakes in pipeline files.
#[derive(Debug)]
pub struct Mistakes(pub Vec<Diagnostic>);

impl std::fmt::Display for Mistakes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, mistake) in self.0.iter().enumerate() {
            let newline = if i > 0 { "\n" } else { "" };
            write!(f, "{newline}{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// An error as the terminal shows it.
fn describe(error: &anyhow::Error) -> String {
    match error.downcast_ref::<Failure>() {
        Some(failure) => {
            let hint = failure.hint.as_ref().map(|hint| format!("\n  → {hint}")).unwrap_or_default();
            format!("error: {}{hint}", failure.chain())
        }
        None if error.is::<Mistakes>() => error.to_string(),
        None => format!("error: {error:#}"),
    }
}
