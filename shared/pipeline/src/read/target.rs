//! `[[target]]`.

mod condition;
mod destination;
mod postgres;
mod sqlite;

use super::fields::Fields;
use super::mention::Mentions;
use super::names::is_new;
use super::report;
use crate::definition::contract::Contract;
use crate::definition::target::Target;
use crate::diagnostic::one_of;
use crate::name::PipelineName;
use crate::schedule::Schedule;
use condition::Condition;

const KINDS: [(&str, TargetKind); 3] =
    [("postgres", TargetKind::Postgres), ("sqlite", TargetKind::Sqlite), ("report", TargetKind::Report)];
#[derive(Clone, Copy)]
enum TargetKind {
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
    for field in sqlite::FIELDS.iter().chain(&postgres::FIELDS).chain(&report::FIELDS) {
        if !all.contains(field) {
            all.push(field);
        }
    }
    let items = top.items("target", |_| false, "an array of tables, each written under [[target]]").unwrap_or_default();
    for item in items {
        // read first, because the kind determines the known fields
        let named = item.get_ref().get("kind").and_then(|kind| kind.get_ref().as_str());
        let kind = KINDS.iter().find(|(name, _)| Some(*name) == named).map(|(_, kind)| *kind);
        let known = match kind {
            Some(TargetKind::Postgres) => postgres::FIELDS.as_slice(),
            Some(TargetKind::Sqlite) => sqlite::FIELDS.as_slice(),
            Some(TargetKind::Report) => report::FIELDS.as_slice(),
            None => all.as_slice(),
        };
        let known = [known, &condition::FIELDS].concat();
        let Some(fields) = top.reader.open(item, "[[target]]".to_owned(), &known) else {
            continue;
        };
        let condition = Condition::new(top, &fields);
        let error_count = top.reader.diagnostic_count();
        let target = match kind {
            Some(TargetKind::Postgres) => postgres::postgres(&fields, contract, mentions).map(Target::Postgres),
            Some(TargetKind::Sqlite) => sqlite::sqlite(&fields, contract, mentions).map(Target::Sqlite),
            Some(TargetKind::Report) => report::report(&fields, pipeline, schedule, mentions).map(Target::Report),
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
            top.reader.retract(error_count, &condition.missing_value_spans(item));
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
