//! Static checks of SQL: syntax, the datasets that a query reads, the columns in a rule. Parser, dialect and options are those of polars,
//! so SQL that passes here parses there.

use std::collections::HashSet;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, FunctionArguments, Ident, ObjectName, Query, Select, SetExpr, Spanned, Statement, TableFactor, Value,
    ValueWithSpan, Visit, Visitor,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::{Parser, ParserError, ParserOptions};
use sqlparser::tokenizer::{Location, Span, Token, Tokenizer};

use crate::diagnostic::{did_you_mean, quoted};
use crate::name::ColumnName;

/// Maximum length. A syntax tree may be as deep as its longest chain of operators, and needs stack in proportion.
const MAX_SQL_BYTES: usize = 64 << 10;
/// Maximum number of operators, which bounds the depth of a tree without parentheses.
const MAX_OPERATORS: usize = 1_000;
/// Placeholder in a report's SQL for the day of the report.
const DAY: &str = ":day";
/// Functions over many rows, which are not allowed in a rule.
const AGGREGATES: [&str; 10] = ["avg", "count", "first", "last", "max", "median", "min", "stddev", "sum", "variance"];

/// An error in SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SqlFault {
    pub at: SqlPlace,
    pub found: String,
    pub expected: String,
    pub hint: Option<String>,
}

/// Line and column (in characters) in SQL text, from 1; 0 if the parser gives no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SqlPlace {
    pub line: usize,
    pub column: usize,
}

impl From<Location> for SqlPlace {
    fn from(location: Location) -> Self {
        let number = |n: u64| usize::try_from(n).unwrap_or(0);
        SqlPlace { line: number(location.line), column: number(location.column) }
    }
}

/// A table in a query: `sales`, `sales.quarantine`. `at` is its first use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    pub name: String,
    pub at: SqlPlace,
}

/// The tables that a query reads, in order of first use, without those of its `WITH`.
///
/// `with_day`: whether the placeholder `:day` is allowed.
pub(crate) fn query(sql: &str, with_day: bool) -> Result<Vec<Table>, Vec<SqlFault>> {
    let mut parser = parser(sql)?;
    while parser.consume_token(&Token::SemiColon) {}
    let start = parser.peek_token().span;
    let first = parser.parse_statement().map_err(|error| vec![syntax(&error)])?;
    while parser.consume_token(&Token::SemiColon) {}
    let rest = parser.peek_token();
    let Statement::Query(query) = first else {
        return Err(vec![fault(start, "a statement that is not a query".to_owned(), "one `SELECT …` or `WITH …`")]);
    };
    if rest.token != Token::EOF {
        return Err(vec![fault(rest.span, format!("{} after the query", quoted(&rest.token.to_string())), "its end")]);
    }
    let mut reader =
        Tables { with_day, scopes: Vec::new(), seen: HashSet::new(), tables: Vec::new(), faults: Vec::new() };
    let _: ControlFlow<()> = query.visit(&mut reader);
    if reader.faults.is_empty() { Ok(reader.tables) } else { Err(reader.faults) }
}

/// Checks an expression over one row.
pub(crate) fn expression(sql: &str, columns: &[ColumnName]) -> Result<(), Vec<SqlFault>> {
    let mut parser = parser(sql)?;
    let expression = parser.parse_expr().map_err(|error| vec![syntax(&error)])?;
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        let found = format!("{} after the expression", quoted(&rest.token.to_string()));
        return Err(vec![fault(rest.span, found, "one SQL expression, as after WHERE")]);
    }
    let mut reader = RowExpression { columns, faults: Vec::new() };
    let _: ControlFlow<()> = expression.visit(&mut reader);
    if reader.faults.is_empty() { Ok(()) } else { Err(reader.faults) }
}

fn parser(sql: &str) -> Result<Parser<'static>, Vec<SqlFault>> {
    let too_much = |found: String, expected: String| {
        vec![SqlFault { at: SqlPlace { line: 1, column: 1 }, found, expected, hint: None }]
    };
    if sql.len() > MAX_SQL_BYTES {
        let found = format!("SQL of {} bytes", sql.len());
        return Err(too_much(found, format!("at most {MAX_SQL_BYTES} bytes")));
    }
    let tokens = Tokenizer::new(&GenericDialect, sql).tokenize_with_location().map_err(|error| {
        let found = format!("the SQL does not parse: {}", lower_first(&error.message));
        let expected = "valid SQL in the dialect of polars".to_owned();
        vec![SqlFault { at: error.location.into(), found, expected, hint: None }]
    })?;
    let operators = tokens.iter().filter(|token| deepens(&token.token)).count();
    if operators > MAX_OPERATORS {
        return Err(too_much(format!("SQL with {operators} operators"), format!("at most {MAX_OPERATORS}")));
    }
    let options = ParserOptions { trailing_commas: true, ..ParserOptions::default() };
    Ok(Parser::new(&GenericDialect).with_options(options).with_tokens_with_locations(tokens))
}

/// Whether a token can make the tree deeper. Brackets do too, but the parser limits those itself.
fn deepens(token: &Token) -> bool {
    const CHAINED: [&str; 12] =
        ["AND", "OR", "NOT", "IS", "IN", "LIKE", "BETWEEN", "UNION", "EXCEPT", "INTERSECT", "COLLATE", "AT"];
    match token {
        Token::Word(word) => CHAINED.iter().any(|chained| word.value.eq_ignore_ascii_case(chained)),
        Token::Comma | Token::SemiColon | Token::Period | Token::LParen | Token::RParen | Token::Whitespace(_) => false,
        Token::Number(..) | Token::SingleQuotedString(_) | Token::Placeholder(_) | Token::Colon => false,
        _ => true,
    }
}

fn fault(span: Span, found: String, expected: impl Into<String>) -> SqlFault {
    SqlFault { at: span.start.into(), found, expected: expected.into(), hint: None }
}

/// Parses the message of sqlparser: `Expected: an expression, found: FROM at Line: 1, Column: 8`.
fn syntax(error: &ParserError) -> SqlFault {
    let (ParserError::TokenizerError(message) | ParserError::ParserError(message)) = error else {
        let found = "SQL that is nested too deeply".to_owned();
        return SqlFault {
            at: SqlPlace { line: 1, column: 1 },
            found,
            expected: "fewer levels".to_owned(),
            hint: None,
        };
    };
    let located = message.rsplit_once(" at Line: ").and_then(|(text, place)| {
        let (line, column) = place.split_once(", Column: ")?;
        Some((text, SqlPlace { line: line.parse().ok()?, column: column.parse().ok()? }))
    });
    let (text, at) = located.unwrap_or((message, SqlPlace { line: 0, column: 0 }));
    let text = text.strip_prefix("sql parser error: ").unwrap_or(text);
    let parts = text.strip_prefix("Expected: ").and_then(|text| text.split_once(", found: "));
    let (found, expected) = match parts {
        Some((expected, "EOF")) => ("the SQL ends too early".to_owned(), expected.to_owned()),
        Some((expected, found)) => (format!("the SQL does not parse at {}", quoted(found)), expected.to_owned()),
        None => {
            (format!("the SQL does not parse: {}", lower_first(text)), "valid SQL in the dialect of polars".to_owned())
        }
    };
    SqlFault { at, found, expected, hint: None }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// Collects tables. A stack of scopes holds the names that `WITH` has defined at each point. Such a name is visible in the queries after it
/// and in the body, not in its own query.
struct Tables {
    with_day: bool,
    scopes: Vec<Scope>,
    seen: HashSet<String>,
    tables: Vec<Table>,
    faults: Vec<SqlFault>,
}

struct Scope {
    /// `WITH` queries not visited yet, last first, identified by their address in the tree.
    pending: Vec<(*const Query, String)>,
    known: Vec<String>,
}

impl Visitor for Tables {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let ctes = query.with.iter().flat_map(|with| with.cte_tables.iter().rev());
        let pending = ctes.map(|cte| (std::ptr::from_ref(&*cte.query), cte.alias.name.value.clone())).collect();
        self.scopes.push(Scope { pending, known: Vec::new() });
        if let Some(what) = not_a_select(&query.body) {
            self.faults.push(fault(query.span(), format!("{what} in a query"), "SELECT"));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.scopes.pop();
        if let Some(outer) = self.scopes.last_mut()
            && outer.pending.last().is_some_and(|(address, _)| std::ptr::eq(*address, query))
            && let Some((_, name)) = outer.pending.pop()
        {
            outer.known.push(name);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        if let Some(into) = &select.into {
            self.faults.push(fault(into.name.span(), "SELECT INTO".to_owned(), "a query that only reads"));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        let parts = relation.0.iter().map(|part| part.as_ident().map(|ident| ident.value.as_str()));
        let Some(name) = parts.collect::<Option<Vec<_>>>().map(|parts| parts.join(".")) else {
            return ControlFlow::Continue(());
        };
        let is_cte = self.scopes.iter().any(|scope| scope.known.contains(&name));
        if !is_cte && self.seen.insert(name.clone()) {
            self.tables.push(Table { name, at: relation.span().start.into() });
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        let call = match factor {
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => {
                Some(name.to_string())
            }
            TableFactor::TableFunction { expr, .. } => Some(expr.to_string()),
            _ => None,
        };
        if let Some(call) = call {
            let found = format!("the table function {}", quoted(&call));
            self.faults.push(fault(factor.span(), found, "the name of a dataset"));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_value(&mut self, value: &ValueWithSpan) -> ControlFlow<()> {
        if let Value::Placeholder(name) = &value.value
            && !(self.with_day && name == DAY)
        {
            let expected = if self.with_day { "`:day`, the only placeholder" } else { "SQL without placeholders" };
            let mut fault = fault(value.span, format!("the placeholder {}", quoted(name)), expected);
            fault.hint = (name == DAY).then(|| "`:day` is only available in the sheets of a report".to_owned());
            self.faults.push(fault);
        }
        ControlFlow::Continue(())
    }
}

fn not_a_select(body: &SetExpr) -> Option<&'static str> {
    match body {
        SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => None,
        SetExpr::SetOperation { left, right, .. } => not_a_select(left).or_else(|| not_a_select(right)),
        SetExpr::Insert(_) => Some("INSERT"),
        SetExpr::Update(_) => Some("UPDATE"),
        SetExpr::Delete(_) => Some("DELETE"),
        SetExpr::Merge(_) => Some("MERGE"),
        SetExpr::Table(_) => Some("TABLE"),
    }
}

/// Checks that an expression refers to one row, and to columns of the contract.
struct RowExpression<'c> {
    columns: &'c [ColumnName],
    faults: Vec<SqlFault>,
}

impl RowExpression<'_> {
    fn column(&mut self, ident: &Ident) {
        let names = || self.columns.iter().map(ColumnName::as_str);
        if names().any(|name| name == ident.value) {
            return;
        }
        let mut fault =
            fault(ident.span, format!("unknown column {}", quoted(&ident.value)), "a column of the contract");
        fault.hint = did_you_mean(&ident.value, names())
            .or_else(|| (ident.quote_style == Some('"')).then(|| format!("text is written '{}'", ident.value)));
        self.faults.push(fault);
    }
}

impl Visitor for RowExpression<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.faults.push(fault(query.span(), "a query in an expression".to_owned(), "an expression over one row"));
        ControlFlow::Break(())
    }

    fn pre_visit_value(&mut self, value: &ValueWithSpan) -> ControlFlow<()> {
        if let Value::Placeholder(name) = &value.value {
            let found = format!("the placeholder {}", quoted(name));
            self.faults.push(fault(value.span, found, "an expression without placeholders"));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(ident) => self.column(ident),
            Expr::CompoundIdentifier(parts) => {
                if let Some(first) = parts.first() {
                    self.column(first);
                }
            }
            Expr::Function(function) => {
                let name = function.name.to_string();
                let aggregate = AGGREGATES.iter().any(|aggregate| name.eq_ignore_ascii_case(aggregate));
                if aggregate || function.over.is_some() || matches!(function.args, FunctionArguments::Subquery(_)) {
                    let found = format!("{} depends on several rows", quoted(&format!("{name}(…)")));
                    self.faults.push(fault(function.name.span(), found, "an expression over one row"));
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests;
