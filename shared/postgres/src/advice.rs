//! What can be done about a fault.

/// The action the user has to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It may go away by itself.
    RunAgain,
    /// Somebody has to be allowed something, or to give another password.
    Permit,
    /// Space has to be made.
    FreeSpace,
    /// The server, or how it is reached or asked, is set wrongly.
    Correct,
    /// Rows are at fault.
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
