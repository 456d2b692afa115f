//! Errors reported by the server, classified by SQLSTATE
//! (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).

use tokio_postgres::error::{DbError, SqlState};

use crate::advice::{Action, Advice};

/// The message of a server's error, without the values it may contain.
pub fn server_message(error: &DbError) -> String {
    let code = error.code();
    // the messages of these errors quote the value itself
    let quotes = [
        SqlState::INVALID_TEXT_REPRESENTATION,
        SqlState::INVALID_DATETIME_FORMAT,
        SqlState::DATETIME_FIELD_OVERFLOW,
        SqlState::INVALID_BINARY_REPRESENTATION,
    ];
    let column = || error.column().or_else(|| error.where_().and_then(column_of_copy));
    let mut text = match quotes.contains(code).then(column).flatten() {
        Some(column) => format!("a value of column {column:?} is not of its type"),
        None if quotes.contains(code) => "a value is not of its column's type".to_owned(),
        None if *code == SqlState::NUMERIC_VALUE_OUT_OF_RANGE
            && error.message().contains(|c: char| c.is_ascii_digit()) =>
        {
            "a number is out of range".to_owned()
        }
        None => error.message().chars().take(300).collect(),
    };
    text.push_str(&format!(" (SQLSTATE {})", code.code()));
    text
}

/// The column name in the context of a COPY error: `id` from `COPY orders, line 17, column id`, in any language of the server.
fn column_of_copy(place: &str) -> Option<&str> {
    let place = place.lines().find(|line| line.starts_with("COPY "))?;
    let columns = place.match_indices(", ").filter_map(|(at, comma)| {
        let (line, column) = place[at + comma.len()..].split_once(", ")?;
        let number = line.rsplit_once(' ')?.1;
        number.bytes().all(|byte| byte.is_ascii_digit()).then(|| column.split_once(' '))?.map(|(_, name)| name)
    });
    // the table's name may match this pattern too; the column comes last
    columns.last()
}

/// Whether the error is caused by a row: by its data, or by a constraint or trigger that rejects it.
pub fn is_row_error(error: &DbError) -> bool {
    let code = error.code().code();
    (code.starts_with("22") || code.starts_with("23") || code.starts_with("44") || code == "P0001")
        // another table references the row; no row of the load is invalid
        && *error.code() != SqlState::RESTRICT_VIOLATION
}

/// Whether the error is transient: the same statement may succeed shortly without intervention.
pub(crate) fn is_transient(code: &SqlState) -> bool {
    let again = [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        SqlState::TOO_MANY_CONNECTIONS,
    ];
    code.code().starts_with("08") || again.contains(code)
}

/// Advice on how to resolve an error of a server.
pub(crate) fn advice(error: &DbError) -> Advice {
    let code = error.code();
    let (action, hint) = match code.code() {
        _ if is_transient(code) => (Action::RunAgain, "run again"),
        "57014" => (
            Action::RunAgain,
            "the statement was cancelled, or took longer than the role's statement_timeout; increase that, or run again",
        ),
        "55P03" => (
            Action::RunAgain,
            "another session holds the table for longer than lock_timeout; run again when it is done",
        ),
        "53100" => (Action::FreeSpace, "the server's disk is full: free some space there and run again"),
        "53200" => (Action::RunAgain, "the server is short of memory; run again when it is less busy"),
        "25006" => (
            Action::Correct,
            "this server is read-only: use the primary, or both hosts with target_session_attrs=read-write",
        ),
        "42501" => (Action::Permit, "grant the role the missing privileges"),
        "28P01" => (Action::Permit, "check the user and the secret of its password"),
        "28000" => (Action::Permit, "check the user and the sslmode; the server may accept encrypted connections only"),
        "3D000" => (Action::Correct, "choose an existing database"),
        "3F000" => (Action::Correct, "set `schema`, or give the role a search_path with an existing schema"),
        // the hint depends on what the statement does with the row, which only the caller knows
        "23001" => return Advice { action: Action::CorrectRows, hint: None },
        _ if is_row_error(error) => return Advice { action: Action::CorrectRows, hint: None },
        _ => return Advice { action: Action::Correct, hint: error.hint().map(str::to_owned) },
    };
    Advice::new(action, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_column_is_parsed_from_errors_in_any_language() {
        assert_eq!(column_of_copy("COPY orders, line 17, column my id"), Some("my id"));
        assert_eq!(column_of_copy("COPY my, table 5, Zeile 1234, Spalte a, b"), Some("a, b"));
        assert_eq!(column_of_copy("COPY orders, line 17"), None);
        assert_eq!(column_of_copy("PL/pgSQL function x, line 1, column y"), None);
    }
}
