//! `[[model]]`.

use super::fields::Fields;
use super::mention::Mentions;
use super::names::{base_name, is_new};
use super::query::query;
use super::values::EVERY;
use crate::definition::model::{Incremental, Model, ModelKind, Periods, When};
use crate::diagnostic::quoted;
use crate::name::ColumnName;

const FIELDS: [&str; 6] = ["name", "sql", "sql_file", "partition_by", "incremental", "when"];

pub(super) fn models(top: &Fields<'_, '_>, mentions: &mut Mentions) -> Vec<Model> {
    let mut models: Vec<Model> = Vec::new();
    for fields in top.open_each("model", "[[model]]", &FIELDS) {
        if let Some(model) = model(&fields, mentions)
            && is_new(&fields, fields.at("name"), "model", model.name.as_str(), models.iter().map(|m| m.name.as_str()))
        {
            mentions.add_output(&model.name, fields.reader.file.place(fields.at("name")));
            models.push(model);
        }
    }
    models
}

fn model(fields: &Fields<'_, '_>, mentions: &mut Mentions) -> Option<Model> {
    let name = fields.needed("name", "the name of the model's dataset").and_then(|text| base_name(fields, &text));
    let query = query(fields, false, mentions);
    let (partition_by, periods) = partition_by(fields).unzip();
    let when = fields.choice("when", &[("changed", When::Changed), ("complete", When::Complete)]);
    let incremental = incremental(fields);
    if fields.value("partition_by").is_none() {
        fields.refuse("incremental", "`partition_by = \"…\"` as well");
        if when == Some(When::Complete) {
            fields.refuse(
                "when",
                "`partition_by = \"…\"` as well, because `\"complete\"` waits for the end of each partition",
            );
        }
    }
    let query = query?;
    Some(Model {
        name: name?,
        kind: ModelKind::Sql(query.sql),
        partition_by,
        periods: periods.flatten(),
        incremental,
        when: when.unwrap_or_default(),
        inputs: query.inputs,
    })
}

/// The partition column, and the declared length of the partitions.
fn partition_by(fields: &Fields<'_, '_>) -> Option<(ColumnName, Option<Periods>)> {
    let column = |text| fields.reader.column_name(&text);
    if !fields.value("partition_by")?.get_ref().is_table() {
        return Some((column(fields.text("partition_by")?)?, None));
    }
    let fields = fields.open("partition_by", "[model.partition_by]", &["column", "every", "timezone"])?;
    let name = fields.needed("column", "a column of the result").and_then(column);
    if fields.value("every").is_none() {
        fields.missing("every", "`\"day\"` or `\"month\"`; without it write `partition_by = \"…\"`");
    }
    let every = fields.choice("every", &EVERY);
    let timezone = fields.text("timezone").and_then(|text| fields.reader.timezone(text));
    Some((name?, Some(Periods { every: every?, timezone })))
}

fn incremental(fields: &Fields<'_, '_>) -> Option<Incremental> {
    let fields = fields.open("incremental", "[model.incremental]", &["lookback"])?;
    let expected = "whole days, as in `\"7d\"`";
    let text = fields.needed("lookback", expected)?;
    let days = text.text.strip_suffix('d').filter(|days| days.bytes().all(|b| b.is_ascii_digit()));
    match days.and_then(|days| days.parse().ok()).filter(|days| *days <= 36_600) {
        Some(lookback_days) => Some(Incremental { lookback_days }),
        None => {
            fields.reader.report(text.at, format!("{} for `lookback`", quoted(&text.text)), expected);
            None
        }
    }
}
