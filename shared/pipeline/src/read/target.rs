//! `[[target]]`: where datasets go.

mod condition;
mod postgres;

use super::contract::{keys, known};
use super::fields::{Fields, Text};
use super::{Mentions, is_new, report};
use crate::definition::contract::Contract;
use crate::definition::target::{Destination, Mode, Sqlite, Target};
use crate::diagnostic::{one_of, quoted};
use crate::name::{ColumnName, DatasetName, PipelineName};
use crate::params::is_name;
use crate::schedule::Schedule;
use condition::Condition;

const KINDS: [(&str, Kind); 3] = [("postgres", Kind::Postgres), ("sqlite", Kind::Sqlite), ("report", Kind::Report)];
const SQLITE_FIELDS: [&str; 7] = ["kind", "name", "dataset", "path", "table", "mode", "key"];

#[derive(Clone, Copy)]
enum Kind {
    Postgres,
    Sqlite,
    Report,
}

pub(super) fn targets(
    top: &Fields<'_, '_>,
    pipeline: Option<&PipelineName>,
    schedule: Option<&Schedule>,
    contract: Option<&Contract>,
    mentions: &mut Mentions,
) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    let mut names: Vec<(String, Condition)> = Vec::new();
    let mut all: Vec<&str> = Vec::new();
    for field in SQLITE_FIELDS.iter().chain(&postgres::FIELDS).chain(&report::FIELDS) {
        if !all.contains(field) {
            all.push(field);
        }
    }
    let items = top.items("target", |_| false, "an array of tables, each written under [[target]]").unwrap_or_default();
    for item in items {
        // which fields are known hangs on the kind, so look at that first
        let named = item.get_ref().get("kind").and_then(|kind| kind.get_ref().as_str());
        let kind = KINDS.iter().find(|(name, _)| Some(*name) == named).map(|(_, kind)| *kind);
        let known = match kind {
            Some(Kind::Postgres) => postgres::FIELDS.as_slice(),
            Some(Kind::Sqlite) => SQLITE_FIELDS.as_slice(),
            Some(Kind::Report) => report::FIELDS.as_slice(),
            None => all.as_slice(),
        };
        let known = [known, &condition::FIELDS].concat();
        let Some(fields) = top.reader.open(item, "[[target]]".to_owned(), &known) else {
            continue;
        };
        let condition = Condition::of(top, &fields);
        let noted = top.reader.noted();
        let target = match kind {
            Some(Kind::Postgres) => postgres::postgres(&fields, contract, mentions).map(Target::Postgres),
            Some(Kind::Sqlite) => sqlite(&fields, contract, mentions).map(Target::Sqlite),
            Some(Kind::Report) => report::report(&fields, pipeline, schedule, mentions).map(Target::Report),
            None => {
                if fields.value("kind").is_none() {
                    fields.missing("kind", &one_of(KINDS.map(|(name, _)| name)));
                }
                fields.choice("kind", &KINDS);
                None
            }
        };
        let is_there = condition.holds(top);
        if !is_there {
            top.reader.forgive(noted, &condition.wants(item));
        }
        let Some(target) = target else { continue };
        let before = names.iter().filter(|(_, other)| !condition.excludes(other)).map(|(name, _)| name.as_str());
        if is_new(&fields, fields.at("name"), "target", target.name(), before) {
            names.push((target.name().to_owned(), condition));
            if is_there {
                targets.push(target);
            }
        }
    }
    targets
}

/// A target's name, which goes into run records and file names.
pub(super) fn name(fields: &Fields<'_, '_>, default: impl FnOnce() -> String) -> Option<String> {
    let Some(text) = fields.text("name") else {
        return Some(default());
    };
    let good = text.text.len() <= 100
        && text.text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if !good {
        let expected = "1 to 100 letters, digits, `-` and `_`, starting with a letter";
        fields.reader.wrong(text.at, format!("{} for a target's name", quoted(&text.text)), expected);
    }
    good.then_some(text.text)
}

fn sqlite(fields: &Fields<'_, '_>, contract: Option<&Contract>, mentions: &mut Mentions) -> Option<Sqlite> {
    let path = fields.needed("path", "the database file");
    let to = destination(fields, contract, mentions, table)?;
    let name = name(fields, || format!("sqlite-{}", to.table))?;
    Some(Sqlite { name, path: path?.text, to })
}

/// What both databases have; `table` knows which names are good for a table.
fn destination(
    fields: &Fields<'_, '_>,
    contract: Option<&Contract>,
    mentions: &mut Mentions,
    table: fn(&Fields<'_, '_>, Text) -> Option<String>,
) -> Option<Destination> {
    let dataset_text = fields.needed("dataset", "the dataset to load");
    let dataset: Option<DatasetName> = dataset_text.as_ref().and_then(|text| fields.reader.name(text));
    if let (Some(text), Some(dataset)) = (&dataset_text, &dataset) {
        mentions.read(dataset, fields.reader.file.place(text.at));
    }
    let table = fields.needed("table", "a table's name").and_then(|text| table(fields, text));
    if fields.value("mode").is_none() {
        fields.missing("mode", "one of `upsert`, `swap`, `append`");
    }
    let mode = fields.choice("mode", &[("upsert", Mode::Upsert), ("swap", Mode::Swap), ("append", Mode::Append)]);
    let own = contract.zip(dataset.as_ref()).and_then(|(contract, dataset)| known(contract, dataset));
    let key = match mode? {
        // without a dataset nobody knows its key
        Mode::Upsert if dataset.is_none() && fields.value("key").is_none() => return None,
        Mode::Upsert => key(fields, own)?,
        Mode::Swap | Mode::Append => {
            fields.refuse("key", "it only with `mode = \"upsert\"`");
            Vec::new()
        }
    };
    Some(Destination { dataset: dataset?, table: table?, mode: mode?, key })
}

fn table(fields: &Fields<'_, '_>, text: Text) -> Option<String> {
    let lower = text.text.to_lowercase();
    let ours = lower.starts_with("sqlite_") || lower == "tidemark_loads";
    if !is_name(&text.text) || text.text.len() > 100 || ours {
        let expected = "letters, digits and `_`, no digit first, not `sqlite_…` or `tidemark_loads`";
        fields.reader.wrong(text.at, format!("{} for a table's name", quoted(&text.text)), expected);
        return None;
    }
    Some(text.text)
}

/// `own`: the columns and the key of a dataset that this pipeline's contract makes.
fn key(fields: &Fields<'_, '_>, own: Option<(Vec<ColumnName>, Vec<ColumnName>)>) -> Option<Vec<ColumnName>> {
    let (own, default) = own.unzip();
    let default = default.filter(|key| !key.is_empty());
    match (fields.one_or_more("key"), own) {
        (Some(texts), Some(known)) => Some(keys(fields, &texts, &known)),
        // the columns of a model show when it runs
        (Some(texts), None) => {
            let names: Vec<ColumnName> = texts.iter().filter_map(|text| fields.reader.column_name(text)).collect();
            Some(keys(fields, &texts, &names))
        }
        (None, _) if fields.value("key").is_some() => None,
        (None, _) => {
            if default.is_none() {
                fields.missing("key", "`key = [\"…\"]` to upsert by, since the dataset's contract gives none");
            }
            default
        }
    }
}
