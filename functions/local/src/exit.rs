//! Exit codes and error output of the command.

use std::io::Write as _;
use std::process::ExitCode;

use serde_json::json;
use tidemark_flow::{DefinitionErrors, Error, ErrorKind, ErrorRecord};

use crate::print;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    Done = 0,
    /// A step failed.
    Failed = 1,
    /// Wrong usage or definition.
    Usage = 2,
    /// Data broke its contract.
    Data = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

impl From<ErrorKind> for Exit {
    fn from(kind: ErrorKind) -> Exit {
        match kind {
            ErrorKind::Definition => Exit::Usage,
            ErrorKind::Data => Exit::Data,
            ErrorKind::Retry | ErrorKind::Refused | ErrorKind::Bug => Exit::Failed,
        }
    }
}

impl Exit {
    /// Prints an error to stderr and, as `{"error": {"kind", "message", "hint"}}`, to stdout with `json`.
    pub fn report(error: &anyhow::Error, json: bool) -> Exit {
        // stderr may be closed
        let _ = writeln!(std::io::stderr(), "{}", describe(error));
        let record = match error.downcast_ref::<Error>() {
            Some(known) if mistakes(error).is_some() => ErrorRecord { message: describe(error), ..known.into() },
            Some(known) => ErrorRecord::from(known),
            None => {
                ErrorRecord { kind: ErrorKind::Refused, message: format!("{error:#}"), hint: None, over_budget: false }
            }
        };
        if json {
            let _ = print::json(&json!({"error": record}));
        }
        record.kind.into()
    }
}

/// The mistakes in pipeline files, if an error consists of them.
pub fn mistakes(error: &anyhow::Error) -> Option<&DefinitionErrors> {
    error.downcast_ref::<Error>()?.source.as_ref()?.downcast_ref()
}

/// An error as the terminal shows it.
fn describe(error: &anyhow::Error) -> String {
    match error.downcast_ref::<Error>() {
        _ if mistakes(error).is_some() => mistakes(error).map(DefinitionErrors::to_string).unwrap_or_default(),
        Some(known) => {
            let hint = known.hint.as_ref().map(|hint| format!("\n  → {hint}")).unwrap_or_default();
            format!("error: {}{hint}", known.full_message())
        }
        None => format!("error: {error:#}"),
    }
}
