//! `[contract]`.

mod column;
pub(super) mod explode;

use toml::de::DeValue;

use super::fields::{Fields, TextValue, described};
use super::mention::Mentions;
use super::names::{base_name, keys};
use super::query::note_sql_faults;
use super::values::{EVERY, budget};
use crate::definition::column::Type;
use crate::definition::contract::{Contract, Every, PartitionBy, Rule, Unknown};
use crate::definition::source::{Csv, Files, Header, Source};
use crate::diagnostic::{one_of, quoted};
use crate::http::{Http, TimeFormat};
use crate::name::{ColumnName, DatasetName, PipelineName};
use crate::params::is_name;
use crate::sql;
use column::{ColumnOwner, Columns};

const FIELDS: [&str; 11] = [
    "dataset",
    "key",
    "latest_by",
    "partition_by",
    "max_quarantined",
    "deletes",
    "unknown",
    "columns",
    "filter",
    "check",
    "explode",
];

pub(super) fn contract(
    top: &Fields<'_, '_>,
    pipeline: Option<&PipelineName>,
    source: Option<&Source>,
    mentions: &mut Mentions,
) -> Option<Contract> {
    let fields = top.open("contract", "[contract]", &FIELDS)?;
    let dataset = dataset(&fields, pipeline);
    if let Some(dataset) = &dataset {
        mentions.add_output(dataset, fields.reader.file.place(fields.at("dataset")));
    }
    let given = source.and_then(|source| match source {
        Source::Files(Files { csv: Csv { header: Header::Given(columns), .. }, .. }) => Some(columns.as_slice()),
        Source::Files(_) | Source::Http(_) => None,
    });
    let columns = column::columns(&fields, given.map_or(ColumnOwner::Record, ColumnOwner::These));
    let key = fields.one_or_more("key").map(|texts| keys(&fields, &texts, &columns.names)).unwrap_or_default();
    if fields.value("key").is_none() {
        fields.refuse("latest_by", "a `key` as well, because it chooses among rows with the same key");
    }
    let latest_by = fields.text("latest_by").and_then(|text| columns.named(&fields, &text));
    let deletes_absent = fields.choice("deletes", &[("absent", true)]).unwrap_or(false);
    match source {
        Some(Source::Http(http)) => check_api(&fields, http, &columns, deletes_absent),
        _ => fields.refuse(
            "deletes",
            "this field only with a source of kind `http`; when a file changes, its previous rows are removed anyway",
        ),
    }
    let partition_by = partition_by(&fields, &columns);
    Some(Contract {
        explodes: explode::explodes(&fields, &columns, &key, partition_by.as_ref(), mentions),
        key,
        latest_by,
        partition_by,
        filters: rules(&fields, "filter", &columns.names),
        checks: rules(&fields, "check", &columns.names),
        max_quarantined: budget(&fields, "max_quarantined"),
        deletes_absent,
        unknown: fields.choice("unknown", &UNKNOWN).unwrap_or_default(),
        columns: columns.columns,
        dataset: dataset?,
    })
}

/// Checks for an API: requests return overlapping records, so a key is needed to recognize those that are already there.
fn check_api(fields: &Fields<'_, '_>, http: &Http, columns: &Columns, deletes_absent: bool) {
    if fields.value("key").is_none() && !(deletes_absent && http.incremental.is_none()) {
        let expected = "`key = […]`, which identifies records that the API returns again";
        let hint = "without a key and `incremental`, `deletes = \"absent\"` replaces all rows each time";
        fields.reader.report_with_hint(
            fields.at,
            format!("{} has no `key`", fields.label),
            expected,
            Some(hint.to_owned()),
        );
    }
    let Some(since) = &http.incremental else { return };
    fields.refuse("deletes", "no `incremental` in [source], because new records do not show which others were deleted");
    let Some(ty) = columns.type_of(&since.column) else {
        let found = format!(
            "column {} of [source.incremental], which is not in [contract.columns]",
            quoted(since.column.as_str())
        );
        fields.reader.report(fields.at("columns"), found, one_of(columns.names.iter().map(ColumnName::as_str)));
        return;
    };
    let is_epoch = matches!(since.format, TimeFormat::EpochS | TimeFormat::EpochMs) && ty == Type::Int64;
    if !is_epoch && !matches!(ty, Type::Date | Type::Datetime) {
        let found =
            format!("column {} of [source.incremental], which is not a date or time", quoted(since.column.as_str()));
        let expected =
            "a column of type `date` or `datetime`, or `int64` with `format = \"epoch_s\"` or `\"epoch_ms\"`";
        fields.reader.report(fields.at("columns"), found, expected);
    }
}

/// The clean dataset's name; by default the pipeline's name with `_` for `-`.
fn dataset(fields: &Fields<'_, '_>, pipeline: Option<&PipelineName>) -> Option<DatasetName> {
    match fields.value("dataset") {
        Some(_) => base_name(fields, &fields.text("dataset")?),
        None => pipeline?.as_str().replace('-', "_").parse().ok(),
    }
}

const UNKNOWN: [(&str, Unknown); 3] = [("keep", Unknown::Keep), ("ignore", Unknown::Ignore), ("fail", Unknown::Fail)];

fn partition_by(fields: &Fields<'_, '_>, columns: &Columns) -> Option<PartitionBy> {
    let value = fields.value("partition_by")?;
    if value.get_ref().is_str() {
        let text = fields.text("partition_by")?;
        let column = columns.named(fields, &text)?;
        by_value(fields, &text, columns.type_of(&column));
        return Some(PartitionBy { name: column.clone(), column, every: None, timezone: None });
    }
    let label = "[contract.partition_by]";
    let fields = fields.open("partition_by", label, &["column", "every", "as", "timezone"])?;
    let text = fields.needed("column", "a column of the contract")?;
    let column = columns.named(&fields, &text);
    let every = fields.choice("every", &EVERY);
    let timezone = fields.text("timezone").and_then(|text| fields.reader.timezone(text));
    let column = column?;
    let ty = columns.type_of(&column);
    let Some(every) = every else {
        fields.refuse("as", "this field only with `every`; without `every` the column itself is the partition column");
        fields.refuse("timezone", "this field only with `every`");
        if fields.value("every").is_none() {
            by_value(&fields, &text, ty);
        }
        return Some(PartitionBy { name: column.clone(), column, every: None, timezone: None });
    };
    if ty.is_some_and(|ty| !matches!(ty, Type::Date | Type::Datetime)) {
        let found = format!("column {} in {label}, which is not a date or time", quoted(column.as_str()));
        fields.reader.report(text.at, found, "a column of type `date` or `datetime` for `every`");
    }
    if ty == Some(Type::Date) {
        fields.refuse("timezone", "this field only with a `datetime`; dates have no time zone");
    }
    let name = match fields.text("as") {
        Some(name) => fields.reader.column_name(&name)?,
        None => partition_name(&column, every)?,
    };
    if let Some(other) = columns.names.iter().find(|other| other.as_str().eq_ignore_ascii_case(name.as_str())) {
        let found = format!("partition column {}, which is already a column of the contract", quoted(other.as_str()));
        fields.reader.report(fields.at("as"), found, "another name: `as = \"…\"`");
    }
    Some(PartitionBy { column, every: Some(every), name, timezone })
}

fn by_value(fields: &Fields<'_, '_>, text: &TextValue, ty: Option<Type>) {
    let found = match ty {
        Some(Type::Datetime) => "a `datetime`, which would make a partition of each instant",
        Some(Type::Float64 | Type::Decimal { .. } | Type::Time) => "a column of a type that cannot be a partition",
        _ => return,
    };
    let hint = (ty == Some(Type::Datetime))
        .then(|| format!("write `partition_by = {{ column = \"{}\", every = \"day\" }}`", text.text));
    let expected = "a column of type string, bool, int32, int64 or date";
    fields.reader.report_with_hint(text.at, format!("partition by {}, {found}", quoted(&text.text)), expected, hint);
}

/// `sold_at` → `sold_on`, `sold_month`; `day` → `day_day`.
fn partition_name(column: &ColumnName, every: Every) -> Option<ColumnName> {
    let stem = column.as_str().strip_suffix("_at");
    let name = match (every, stem) {
        (Every::Day, Some(stem)) => format!("{stem}_on"),
        (Every::Day, None) => format!("{column}_day"),
        (Every::Month, stem) => format!("{}_month", stem.unwrap_or(column.as_str())),
    };
    name.parse().ok()
}

fn rules(fields: &Fields<'_, '_>, key: &str, columns: &[ColumnName]) -> Vec<Rule> {
    let label = format!("[contract.{key}]");
    let Some(value) = fields.value(key) else {
        return Vec::new();
    };
    let DeValue::Table(table) = value.get_ref() else {
        let found = format!("{} for {label}", described(value.get_ref()));
        fields.reader.report(value.span().start, found, "a table of `name = \"SQL expression\"`");
        return Vec::new();
    };
    let rule = |(name, value)| {
        let name: &toml::Spanned<toml::de::DeString<'_>> = name;
        let built_in = ["format", "type", "required", "min", "max", "one_of", "pattern"];
        if !is_name(name.get_ref()) || built_in.contains(&name.get_ref().as_ref()) {
            let expected = format!("letters, digits and `_`, other than {}", one_of(built_in));
            fields.reader.report(
                name.span().start,
                format!("{} for a name in {label}", quoted(name.get_ref())),
                expected,
            );
        }
        let text = fields.reader.text(value, &format!("`{}` in {label}", name.get_ref()))?;
        if let Err(faults) = sql::expression(&text.text, columns) {
            note_sql_faults(fields.reader, &text, faults);
        }
        Some(Rule { name: name.get_ref().to_string(), sql: text.text })
    };
    table.iter().filter_map(rule).collect()
}
