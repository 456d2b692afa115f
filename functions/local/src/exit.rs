//! How the command ends.

use std::io::Write as _;
use std::process::ExitCode;

use serde_json::json;
use tidemark_flow::{ErrorRecord, Failure, Kind, Mistakes};

use crate::print;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
            Some(failure) if mistakes(error).is_some() => ErrorRecord { message: describe(error), ..failure.into() },
            Some(failure) => ErrorRecord::from(failure),
            None => ErrorRecord { kind: Kind::Refused, message: format!("{error:#}"), hint: None, over_budget: false },
        };
        if json {
            let _ = print::json(&json!({"error": record}));
        }
        record.kind.into()
    }
}

/// The mistakes in pipeline files, if that is what an error is about.
pub fn mistakes(error: &anyhow::Error) -> Option<&Mistakes> {
    error.downcast_ref::<Failure>()?.source.as_ref()?.downcast_ref()
}

/// An error as the terminal shows it.
fn describe(error: &anyhow::Error) -> String {
    match error.downcast_ref::<Failure>() {
        _ if mistakes(error).is_some() => mistakes(error).map(Mistakes::to_string).unwrap_or_default(),
        Some(failure) => {
            let hint = failure.hint.as_ref().map(|hint| format!("\n  → {hint}")).unwrap_or_default();
            format!("error: {}{hint}", failure.chain())
        }
        None => format!("error: {error:#}"),
    }
}
