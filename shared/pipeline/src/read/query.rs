//! SQL in pipeline files and SQL files: queries, the datasets they read, and the places of errors.

use super::fields::{Fields, Reader, TextValue};
use super::mention::Mentions;
use crate::definition::sql::Sql;
use crate::diagnostic::{Place, quoted};
use crate::name::DatasetName;
use crate::sql::{self, SqlFault, SqlPlace};

/// A query, and the datasets that it reads in order of first use.
pub(super) struct Query {
    pub sql: Sql,
    pub inputs: Vec<DatasetName>,
}

/// Parses `sql` or `sql_file` of a table. `with_day`: whether the placeholder `:day` is allowed.
pub(super) fn query(fields: &Fields<'_, '_>, with_day: bool, mentions: &mut Mentions) -> Option<Query> {
    let source = match (fields.value("sql"), fields.value("sql_file")) {
        (Some(_), None) => Source::inline(fields)?,
        (None, Some(_)) => Source::file(fields)?,
        (Some(_), Some(_)) => {
            fields.refuse("sql_file", "either `sql` or `sql_file`");
            return None;
        }
        (None, None) => {
            fields.missing("sql", "`sql = \"SELECT …\"` or `sql_file = \"….sql\"`");
            return None;
        }
    };
    let tables = match sql::query(&source.sql.text, with_day) {
        Ok(tables) => tables,
        Err(faults) => {
            for fault in faults {
                source.note(fields.reader, fault);
            }
            return None;
        }
    };
    let mut inputs = Vec::new();
    for table in tables {
        match table.name.parse::<DatasetName>() {
            Ok(name) => {
                mentions.add_input(&name, source.place(fields.reader, table.at));
                inputs.push(name);
            }
            Err(error) => {
                let found = format!("table {} in the SQL", quoted(&table.name));
                let expected = format!("a dataset: {}", error.rule());
                source.note(fields.reader, SqlFault { at: table.at, found, expected, hint: None });
            }
        }
    }
    Some(Query { sql: source.sql, inputs })
}

/// SQL, and the positions of its lines in the file.
struct Source {
    sql: Sql,
    /// Byte offset of the value in the pipeline file.
    at: usize,
    lines: Lines,
}

enum Lines {
    /// The text is as in the file, and starts at this column of line `sql.line`.
    Column(usize),
    /// The text contains escapes or parameters, so all errors are at the start of the value.
    Whole,
}

impl Source {
    fn inline(fields: &Fields<'_, '_>) -> Option<Source> {
        let text = fields.needed("sql", "`SELECT …`")?;
        Some(Source::from_text(fields.reader, text))
    }

    fn from_text(reader: &Reader<'_>, text: TextValue) -> Source {
        let (line, column) = reader.file.line_and_column(text.offset(0));
        let lines = text.verbatim.map_or(Lines::Whole, |_| Lines::Column(column));
        let sql = Sql { text: text.text, file: reader.file.path().to_owned(), line };
        Source { sql, at: text.at, lines }
    }

    fn file(fields: &Fields<'_, '_>) -> Option<Source> {
        let path = fields.needed("sql_file", "a file in the pipeline's folder")?;
        let inside =
            path.text.split(['/', '\\']).all(|part| !matches!(part, "" | "." | "..")) && !path.text.contains(':');
        if !inside {
            let found = format!("{} for `sql_file` in {}", quoted(&path.text), fields.label);
            fields.reader.report(path.at, found, "a path below the pipeline file's folder");
            return None;
        }
        match (fields.reader.sql_file)(&path.text) {
            Ok(text) => {
                let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
                let sql = Sql { text, file: fields.reader.file.sibling(&path.text), line: 1 };
                Some(Source { sql, at: path.at, lines: Lines::Column(1) })
            }
            Err(why) => {
                let found = format!("SQL file {} cannot be read: {why}", quoted(&path.text));
                fields.reader.report(path.at, found, format!("a file {}", fields.reader.file.sibling(&path.text)));
                None
            }
        }
    }

    fn place(&self, reader: &Reader<'_>, at: SqlPlace) -> Place {
        let Lines::Column(first) = self.lines else {
            return reader.file.place(self.at);
        };
        // the parser gives no place for an error at the end
        let at = if at.line == 0 { end_of(&self.sql.text) } else { at };
        let column = if at.line == 1 { first + at.column.saturating_sub(1) } else { at.column };
        Place { file: self.sql.file.clone(), line: self.sql.line + at.line - 1, column }
    }

    fn note(&self, reader: &Reader<'_>, fault: SqlFault) {
        reader.note(self.place(reader, fault.at).diagnostic(fault.found, fault.expected, fault.hint));
    }
}

fn end_of(text: &str) -> SqlPlace {
    let text = text.trim_end();
    let last = text.rsplit('\n').next().unwrap_or(text);
    SqlPlace { line: text.matches('\n').count() + 1, column: last.chars().count() + 1 }
}

/// Reports errors in an SQL expression of the pipeline file.
pub(super) fn note_sql_faults(reader: &Reader<'_>, text: &TextValue, faults: Vec<SqlFault>) {
    let source = Source::from_text(reader, text.clone());
    for fault in faults {
        source.note(reader, fault);
    }
}
