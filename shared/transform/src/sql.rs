//! SQL over frames, by polars. Without ORDER BY the order of a result is undefined: a caller that writes
//! a result sorts it first (see [`crate::bag::sort`]).

mod tokens;

use polars::prelude::*;
use polars::sql::{SQLContext, sql_expr};
use tidemark_pipeline::name::DatasetName;

use self::tokens::{Token, tokens};
use crate::error::SqlError;

/// The lazy result of a query over datasets. The tables of the query are the names of datasets; `sales.quarantine` may be written with or
/// without quotes. Unsigned integers (from COUNT, ROW_NUMBER etc.) are cast to Int64, because Delta tables have no unsigned types.
///
/// # Errors
/// The text is not a single SELECT, does not parse, or names something unknown; with polars' message.
pub fn query(sql: &str, tables: Vec<(DatasetName, LazyFrame)>) -> Result<LazyFrame, SqlError> {
    only_reads_datasets(sql)?;
    let mut context = SQLContext::new();
    let mut names = Vec::new();
    for (name, frame) in tables {
        context.register(name.as_str(), frame);
        names.push(name);
    }
    let understood = date_literals(&quote_datasets(sql, &names));
    let mut result = context.execute(&understood).map_err(|error| explain(&error, &names))?;
    let schema = result.collect_schema().map_err(|error| explain(&error, &names))?;
    let unsigned = schema.iter().filter(|(_, dtype)| dtype.is_unsigned_integer());
    let signed: Vec<Expr> = unsigned.map(|(name, _)| col(name.clone()).cast(DataType::Int64)).collect();
    Ok(if signed.is_empty() { result } else { result.with_columns(signed) })
}

/// Runs a query on the streaming engine, which holds in memory only the state of groups and joins, and not the inputs.
///
/// # Errors
/// Errors of computing the query, and of reading its inputs.
pub fn stream(query: LazyFrame) -> PolarsResult<DataFrame> {
    // a plan gives several frames only if it has several sinks, and a query has none
    query.collect_with_engine(Engine::Streaming).map(|result| result.unwrap_single())
}

/// Replaces every `:day` that is not in a string, a quoted name or a comment by a literal such as `DATE '2011-12-08'`.
pub fn bind_day(sql: &str, day: jiff::civil::Date) -> String {
    let bind = |(token, text): (Token, &str)| match (token, text) {
        (Token::Placeholder, ":day") => format!("DATE '{day}'"),
        _ => text.to_owned(),
    };
    tokens(sql).map(bind).collect()
}

/// Parses an SQL expression over the columns of a row.
pub(crate) fn expression(sql: &str) -> PolarsResult<Expr> {
    sql_expr(date_literals(sql))
}

/// Refuses SQL that is not a query over datasets: polars' SQL can also drop tables and read files.
fn only_reads_datasets(sql: &str) -> Result<(), SqlError> {
    let refuse = |what: String| Err(SqlError::Invalid(what));
    let mut words = tokens(sql).filter(|(token, _)| *token == Token::Word).map(|(_, text)| text);
    match words.next() {
        Some(first) if ["select", "with"].iter().any(|verb| verb.eq_ignore_ascii_case(first)) => {}
        Some(first) => return refuse(format!("expected SELECT or WITH, found {first}")),
        None => return refuse("expected SELECT or WITH, found nothing".to_owned()),
    }
    match words.find(|word| FILE_READERS.iter().any(|reader| reader.eq_ignore_ascii_case(word))) {
        Some(reader) => refuse(format!("{reader} reads files; a query reads datasets only")),
        None => Ok(()),
    }
}

const FILE_READERS: [&str; 4] = ["read_csv", "read_ipc", "read_json", "read_parquet"];

/// Rewrites `sales.quarantine` to `"sales.quarantine"` if there is such a dataset, because polars takes the first part of an unquoted
/// name for the table's name.
fn quote_datasets(sql: &str, names: &[DatasetName]) -> String {
    rewrite(sql, |before, found| {
        let [(Token::Word, base), (Token::Other, "."), (Token::Word, part), ..] = found else { return None };
        if before == Some(".") {
            return None;
        }
        let name = format!("{base}.{part}").to_ascii_lowercase();
        names.iter().any(|known| known.as_str() == name).then(|| (3, format!("\"{name}\"")))
    })
}

/// Rewrites `DATE '2011-12-08'` to a cast of the number of days since 1970, which polars folds into a constant. Polars' own parsing of
/// such a literal is deprecated and prints a warning to stderr each time.
fn date_literals(sql: &str) -> String {
    rewrite(sql, |_, found| {
        let (length, text) = match found {
            [(Token::Word, date), (Token::Other, " "), (Token::Closed, text), ..] if is_date(date) => (3, text),
            [(Token::Word, date), (Token::Closed, text), ..] if is_date(date) => (2, text),
            _ => return None,
        };
        let day: jiff::civil::Date = text.strip_prefix('\'')?.strip_suffix('\'')?.parse().ok()?;
        let number = jiff::civil::date(1970, 1, 1).until(day).ok()?.get_days();
        Some((length, format!("CAST({number} AS DATE)")))
    })
}

fn is_date(word: &str) -> bool {
    word.eq_ignore_ascii_case("date")
}

/// Replaces sequences of tokens. `replace` is given the previous token and all tokens from the current one on. It returns how many of
/// them to replace, and the text to replace them by; None leaves the current token unchanged.
fn rewrite(sql: &str, replace: impl Fn(Option<&str>, &[(Token, &str)]) -> Option<(usize, String)>) -> String {
    let all: Vec<(Token, &str)> = tokens(sql).collect();
    let mut rewritten = String::with_capacity(sql.len() + 16);
    let mut before = None;
    let mut rest = all.as_slice();
    while let [(_, text), next @ ..] = rest {
        match replace(before, rest) {
            Some((length, text)) => {
                rewritten.push_str(&text);
                rest = &rest[length..];
                before = None;
            }
            None => {
                rewritten.push_str(text);
                rest = next;
                before = Some(*text);
            }
        }
    }
    rewritten
}

fn explain(error: &PolarsError, names: &[DatasetName]) -> SqlError {
    let message = match error {
        PolarsError::SQLInterface(message) | PolarsError::SQLSyntax(message) => message.to_string(),
        other => other.to_string(),
    };
    match message.strip_prefix("relation '").and_then(|rest| rest.split_once("' was not found")) {
        Some((name, _)) => {
            let known: Vec<&str> = names.iter().map(DatasetName::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            SqlError::NoDataset { name: name.to_owned(), known }
        }
        // The text after an empty line is polars' query plan.
        None => SqlError::Invalid(message.split("\n\n").next().unwrap_or_default().to_owned()),
    }
}

#[cfg(test)]
mod tests;
