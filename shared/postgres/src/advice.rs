//! Advice on how to resolve a fault.

/// The action the user has to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Run again: the problem may resolve itself.
    RunAgain,
    /// Grant a permission, or give another password.
    Permit,
    /// Free some disk space.
    FreeSpace,
    /// Correct the configuration of the server, of the connection to it or of the statement.
    Correct,
    /// Correct the rows.
    CorrectRows,
}

/// An action, and how to take it, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    pub action: Action,
    pub hint: Option<String>,
}

impl Advice {
    pub(crate) fn new(action: Action, hint: &str) -> Advice {
        Advice { action, hint: Some(hint.to_owned()) }
    }
}
