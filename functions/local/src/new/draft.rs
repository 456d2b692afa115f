//! Generates a pipeline from a sample: its contract, tested on the sample, and the text of its file.

use std::fmt::Write as _;

use tidemark_flow::{Error, ErrorKind};
use tidemark_pipeline::definition::Type;
use tidemark_pipeline::{Every, PipelineName};
use tidemark_transform::Cleaner;

use super::choice::{Choices, Chosen, Partition};
use super::column::{DraftColumn, Guess, column_of, contract_of};
use super::guess::guess;
use super::names;
use super::sample::Sample;
use crate::print;

pub(super) struct Draft {
    pub columns: Vec<DraftColumn>,
    pub choices: Choices,
    pub text: String,
    /// Broken records of the sample, which no contract accepts.
    pub broken: u64,
}

impl Draft {
    pub(super) fn from_sample(name: &PipelineName, sample: &Sample) -> Result<Draft, Error> {
        let names = names::column_names(sample.fields.iter().map(|field| field.words.as_str()));
        let mut columns = Vec::new();
        for (field, name) in sample.fields.iter().zip(names) {
            columns.push(DraftColumn { name, from: field.from.clone(), guess: guess(field)? });
        }
        let header_at = apply_header(sample, &mut columns);
        let (choices, broken) = fit_contract(sample, &mut columns)?;
        let text = Text { name, sample, columns: &columns, choices: &choices, header_at }.render();
        Ok(Draft { columns, choices, text, broken })
    }
}

/// If the header is read as a record: makes its cells NULL in columns that are not text, and returns a text column by which a filter can
/// recognise the header line.
fn apply_header(sample: &Sample, columns: &mut [DraftColumn]) -> Option<usize> {
    let header = sample.header.as_ref()?;
    if !columns.iter().any(|draft| draft.guess.ty == Type::String)
        && let Some(first) = columns.first_mut()
    {
        first.guess = Guess::new(Type::String);
    }
    for (draft, cell) in columns.iter_mut().zip(header) {
        if draft.guess.ty != Type::String && !cell.is_empty() {
            draft.guess.nulls.push(cell.clone());
        }
    }
    let is_text = |(draft, cell): &(&DraftColumn, &String)| draft.guess.ty == Type::String && !cell.is_empty();
    columns.iter().zip(header).position(|pair| is_text(&pair))
}

/// Cleans the sample, and changes columns that quarantine a record to text, until none does.
fn fit_contract(sample: &Sample, columns: &mut [DraftColumn]) -> Result<(Choices, u64), Error> {
    let failed =
        |error: &dyn std::fmt::Display| Error::new(ErrorKind::Bug, format!("the sample cannot be cleaned: {error}"));
    loop {
        let mut all = Vec::new();
        for DraftColumn { name, from, guess } in &*columns {
            let name = name.parse().map_err(|error| failed(&error))?;
            let formats = guess.format.iter().cloned().collect();
            all.push(column_of(name, guess.ty, Some(from.clone()), formats, guess.nulls.clone()));
        }
        let contract = contract_of(all)?;
        let cleaner = Cleaner::new(&contract, "").map_err(|error| failed(&error))?;
        let cleaned = cleaner.clean(&sample.raw, sample.layout).map_err(|error| failed(&error))?;
        let broke = cleaned.quarantined.column("column").and_then(|column| column.str().cloned());
        let broke = broke.map_err(|error| failed(&error))?;
        let is_broken = |draft: &&mut DraftColumn| broke.iter().any(|name| name == Some(draft.name.as_str()));
        let mut is_whole = true;
        for draft in columns.iter_mut().filter(is_broken) {
            draft.guess = Guess::new(Type::String).with_note("no other type fits all values");
            is_whole = false;
        }
        if is_whole {
            let header = usize::from(sample.header.is_some());
            let rows = cleaned.rows.slice(header as i64, cleaned.rows.height());
            return Ok((Choices::from_rows(&rows, columns), cleaned.quarantined.height() as u64));
        }
    }
}

/// Renders the pipeline file.
struct Text<'a> {
    name: &'a PipelineName,
    sample: &'a Sample,
    columns: &'a [DraftColumn],
    choices: &'a Choices,
    /// The column by which the header line is recognised.
    header_at: Option<usize>,
}

impl Text<'_> {
    fn render(&self) -> String {
        let Text { sample, .. } = self;
        let rows = print::count(sample.raw.height() as u64);
        let which = if sample.is_whole { format!("all {rows}") } else { format!("the first {rows}") };
        let mut text = format!(
            "# Generated from {which} records of {}. Guesses have a comment; correct those that are wrong.\n\
             description = {}\n# schedule = {{ cron = \"0 8 * * ? *\", timezone = \"UTC\" }}   # for `tidemark dev` and functions; `tidemark run` runs at once\n\n",
            one_line(&sample.title),
            quote(&format!("{} from {}", self.name, one_line(&sample.title))),
        );
        text.push_str("[source]\n");
        sample.source.iter().for_each(|line| text.push_str(&format!("{line}\n")));
        self.contract(&mut text);
        self.examples(&mut text);
        text
    }

    fn dataset(&self) -> String {
        self.name.as_str().replace('-', "_")
    }

    fn contract(&self, text: &mut String) {
        let Choices { key, key_like, latest_by, partition } = self.choices;
        let mut lines: Vec<(String, String)> = vec![(format!("dataset = {}", quote(&self.dataset())), String::new())];
        let one = |key: &str, Chosen { column, seen }: &Chosen| (format!("{key} = {}", quote(column)), seen.clone());
        match (key, key_like) {
            (Some(chosen), _) => lines.push((
                format!("key = [{}]", quote(&chosen.column)),
                format!("{}; rows with the same key are versions of one row", chosen.seen),
            )),
            (None, Some(Chosen { column, seen })) => lines.push((
                format!("# key = [{}]", quote(column)),
                format!("no key: {seen}; with a key, the last of its rows is kept"),
            )),
            (None, None) => {
                lines.push(("# key = [\"…\"]".into(), "no key: no column is unique; every row is kept".into()))
            }
        }
        if self.sample.is_api && key.is_none() {
            lines.push((
                "deletes = \"absent\"".into(),
                "without a key, each run replaces the rows of the previous one".into(),
            ));
        }
        lines.extend(latest_by.as_ref().map(|chosen| one("latest_by", chosen)));
        lines.extend(partition.as_ref().map(|Partition { column, every, seen }| match every {
            None => (format!("partition_by = {}", quote(column)), seen.clone()),
            Some((every, name)) => {
                let word = if *every == Every::Day { "day" } else { "month" };
                let line = format!(
                    "partition_by = {{ column = {}, every = \"{word}\", as = {} }}",
                    quote(column),
                    quote(name)
                );
                (line, seen.clone())
            }
        }));
        lines.push(("# max_quarantined = \"5%\"".into(), "if exceeded, nothing is published".into()));
        text.push_str("\n[contract]\n");
        aligned(text, &lines);
        text.push_str("\n[contract.columns]\n");
        let width = self.columns.iter().map(|draft| bare(&draft.name).chars().count()).max().unwrap_or_default();
        let lines = self.columns.iter().map(|draft| {
            let name = bare(&draft.name);
            (format!("{name:<width$} = {}", self.column(draft)), draft.guess.notes.join("; "))
        });
        aligned(text, &lines.collect::<Vec<_>>());
        if let (Some(at), Some(header)) = (self.header_at, &self.sample.header) {
            let (column, cell) = (&self.columns[at].name, &header[at]);
            let sql = format!("COALESCE(\"{column}\", '') <> '{}'", cell.replace('\'', "''"));
            text.push_str(&format!(
                "\n[contract.filter]\nheader_line = {}   # its names are not unique, or reserved\n",
                quote(&sql)
            ));
        }
    }

    fn column(&self, draft: &DraftColumn) -> String {
        let DraftColumn { name, from, guess } = draft;
        let is_key = self.choices.key.as_ref().is_some_and(|key| key.column == *name);
        let mut fields = Vec::new();
        if *from != *name && *from != format!("/{name}") {
            fields.push(format!("from = {}", quote(from)));
        }
        // the header record has no value for it
        if is_key && self.sample.header.is_none() {
            fields.push("required = true".into());
        }
        fields.extend(guess.format.iter().map(|format| format!("format = {}", quote(format))));
        if !guess.nulls.is_empty() {
            let nulls: Vec<String> =
                std::iter::once(quote("")).chain(guess.nulls.iter().map(|text| quote(text))).collect();
            fields.push(format!("nulls = [{}]", nulls.join(", ")));
        }
        let ty = quote(&type_name(guess.ty));
        if fields.is_empty() { ty } else { format!("{{ type = {ty}, {} }}", fields.join(", ")) }
    }

    /// Adds a model and a target as comments, to be uncommented.
    fn examples(&self, text: &mut String) {
        let dataset = self.dataset();
        let by = match &self.choices.partition {
            Some(Partition { every: Some((_, name)), .. }) => Some(name.clone()),
            Some(Partition { column, .. }) => Some(column.clone()),
            None => None,
        };
        let (columns, group) = match &by {
            Some(by) => (format!("\\\"{by}\\\", COUNT(*) AS records"), format!(" GROUP BY \\\"{by}\\\"")),
            None => ("COUNT(*) AS records".into(), String::new()),
        };
        let _ = write!(
            text,
            "\n# A model is SQL over datasets; a target receives its rows. Remove `# ` to use them.\n\
             # [[model]]\n# name = \"{dataset}_counted\"\n# sql = \"SELECT {columns} FROM \\\"{dataset}\\\"{group}\"\n\
             #\n# [[target]]\n# kind = \"sqlite\"\n# dataset = \"{dataset}_counted\"\n# path = \"{}.db\"\n\
             # table = \"{dataset}_counted\"\n# mode = \"swap\"\n",
            self.name
        );
    }
}

/// The type names of the pipeline files.
pub(super) fn type_name(ty: Type) -> String {
    match ty {
        Type::String => "string".into(),
        Type::Bool => "bool".into(),
        Type::Int32 => "int32".into(),
        Type::Int64 => "int64".into(),
        Type::Float64 => "float64".into(),
        Type::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
        Type::Date => "date".into(),
        Type::Time => "time".into(),
        Type::Datetime => "datetime".into(),
    }
}

/// Writes lines with aligned comments, except for lines that are too long.
fn aligned(text: &mut String, lines: &[(String, String)]) {
    const FARTHEST: usize = 76;
    let width = lines.iter().map(|(line, _)| line.chars().count()).filter(|width| *width <= FARTHEST).max();
    let width = width.unwrap_or_default();
    for (line, comment) in lines {
        let comment = one_line(comment);
        let line = if comment.is_empty() { line.clone() } else { format!("{line:<width$}   # {comment}") };
        text.push_str(&line);
        text.push('\n');
    }
}

/// Replaces control characters, so that the text stays on one line of a comment.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// A TOML key, quoted if necessary.
fn bare(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.chars().all(is_bare) { name.to_owned() } else { quote(name) }
}

/// A quoted TOML string, with `${` escaped so that it is not read as a parameter.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.replace("${", "$${").chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            letter if letter.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(letter));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}
