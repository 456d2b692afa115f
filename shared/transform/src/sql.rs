//! SQL over frames, by polars. The order of a result is what its ORDER BY says and otherwise nobody's: a caller that writes
//! a result sorts it first (see [`crate::bag::sort`]).

mod tokens;

use std::fmt::Write;

use polars::prelude::*;
use polars::sql::SQLContext;
use tidemark_pipeline::name::DatasetName;

use self::tokens::{Token, tokens};
use crate::error::SqlError;

/// The result of a query over datasets, lazily. Each goes by its name; `sales.quarantine` may be written with or without
/// quotes.
///
/// # Errors
/// SQL that does not parse, or names what is not there; with polars' message.
pub fn query(sql: &str, tables: Vec<(DatasetName, LazyFrame)>) -> Result<LazyFrame, SqlError> {
    let mut context = SQLContext::new();
    let mut names = Vec::new();
    for (name, frame) in tables {
        context.register(name.as_str(), frame);
        names.push(name);
    }
    context.execute(&quote_datasets(sql, &names)).map_err(|error| explain(error, &names))
}

/// Writes `DATE '2011-12-08'` for every `:day` that is not in a string, a quoted name or a comment.
pub fn bind_day(sql: &str, day: jiff::civil::Date) -> String {
    let mut bound = String::with_capacity(sql.len() + 16);
    for (token, text) in tokens(sql) {
        match (token, text) {
            (Token::Placeholder, ":day") => {
                // Writing to a String cannot fail.
                let _ = write!(bound, "DATE '{day}'");
            }
            _ => bound.push_str(text),
        }
    }
    bound
}

/// `sales.quarantine` → `"sales.quarantine"` where such a dataset is known: polars takes the first part of a table's name for
/// the whole of it.
fn quote_datasets(sql: &str, names: &[DatasetName]) -> String {
    let found: Vec<(Token, &str)> = tokens(sql).collect();
    let mut quoted = String::with_capacity(sql.len() + 16);
    let mut at = 0;
    while let Some(&(_, text)) = found.get(at) {
        let dataset = match found.get(at..at + 3) {
            Some([(Token::Word, base), (Token::Other, "."), (Token::Word, part)]) if !follows_dot(&found, at) => {
                let name = format!("{base}.{part}");
                names.iter().find(|known| known.as_str().eq_ignore_ascii_case(&name))
            }
            _ => None,
        };
        match dataset {
            Some(name) => {
                quoted.push('"');
                quoted.push_str(name.as_str());
                quoted.push('"');
                at += 3;
            }
            None => {
                quoted.push_str(text);
                at += 1;
            }
        }
    }
    quoted
}

fn follows_dot(found: &[(Token, &str)], at: usize) -> bool {
    at.checked_sub(1).and_then(|before| found.get(before)).is_some_and(|(_, text)| *text == ".")
}

fn explain(error: PolarsError, names: &[DatasetName]) -> SqlError {
    let message = match &error {
        PolarsError::SQLInterface(message) | PolarsError::SQLSyntax(message) => message.to_string(),
        other => other.to_string(),
    };
    match message.strip_prefix("relation '").and_then(|rest| rest.split_once("' was not found")) {
        Some((name, _)) => {
            let known: Vec<&str> = names.iter().map(DatasetName::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            SqlError::NoDataset { name: name.to_owned(), known }
        }
        None => SqlError::Invalid(message),
    }
}

#[cfg(test)]
mod tests;
