//! The settings of a definition that determine the rows of a dataset, as text to hash. A change rebuilds the dataset. So settings that
//! change no row (limits, schedules, line numbers) must be left out, and all others included.

use serde::Serialize;
use serde_json::{Error, Value};

use crate::definition::contract::{Contract, Unknown};
use crate::definition::explode::Children;
use crate::definition::model::{Incremental, Model, ModelKind, Periods, When};
use crate::definition::source::{Csv, Files, Format, Source};
use crate::http::Body;
use crate::name::{ColumnName, DatasetName};
use crate::partitioning::Partitioning;

/// JSON with sorted keys and no white space: independent of the order of fields in the code.
///
/// # Errors
/// The value has no JSON form. This does not happen with the types of this crate.
pub fn canonical(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(&sorted(serde_json::to_value(value)?))
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<(String, Value)> =
                fields.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            fields.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// The settings that determine raw rows: how the source is decoded, not its location.
///
/// # Errors
/// As [`canonical`].
pub fn source_fingerprint(source: &Source) -> Result<String, Error> {
    #[derive(Serialize)]
    struct Rows<'a> {
        format: Option<Format>,
        csv: &'a Csv,
    }
    // the other settings of an API select records, and do not change them
    #[derive(Serialize)]
    struct Records<'a> {
        body: Body,
        records: &'a str,
        start: Option<jiff::Timestamp>,
    }
    match source {
        Source::Files(Files { path: _, format, csv }) => canonical(&Rows { format: *format, csv }),
        Source::Http(http) => {
            let start = http.incremental.as_ref().and_then(|since| since.start);
            canonical(&Records { body: http.format, records: &http.records, start })
        }
    }
}

/// The settings that determine clean and quarantined rows: the contract without `max_quarantined` and `unknown`.
///
/// # Errors
/// As [`canonical`].
pub fn contract_fingerprint(contract: &Contract) -> Result<String, Error> {
    canonical(&Contract { max_quarantined: None, unknown: Unknown::Keep, ..contract.clone() })
}

/// The settings that determine the rows of a model. `of`: the partitioning of a dataset.
///
/// # Errors
/// As [`canonical`].
pub fn model_fingerprint<'g>(
    model: &Model,
    of: impl Fn(&DatasetName) -> Option<&'g Partitioning>,
) -> Result<String, Error> {
    /// Determines which partitions are complete.
    #[derive(Serialize)]
    struct Complete<'a> {
        own: Option<&'a Partitioning>,
        /// In the order of the model's inputs.
        inputs: Vec<Option<&'a Partitioning>>,
    }
    #[derive(Serialize)]
    struct Rows<'a> {
        name: &'a DatasetName,
        #[serde(skip_serializing_if = "Option::is_none")]
        sql: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        explode: Option<&'a Children>,
        partition_by: &'a Option<ColumnName>,
        #[serde(skip_serializing_if = "Option::is_none")]
        periods: Option<&'a Periods>,
        incremental: Option<Incremental>,
        inputs: &'a [DatasetName],
        /// Only of a model with `when = "complete"`.
        #[serde(skip_serializing_if = "Option::is_none")]
        complete: Option<Complete<'a>>,
    }
    // destructured, so that a new field does not compile until it is handled here
    let Model { name, kind: made, partition_by, periods, incremental, when, inputs } = model;
    let (sql, explode) = match made {
        ModelKind::Sql(sql) => (Some(sql.text.as_str()), None),
        ModelKind::Explode(children) => (None, Some(children)),
    };
    let periods = periods.as_ref();
    let complete = match when {
        When::Changed => None,
        When::Complete => Some(Complete { own: of(name), inputs: inputs.iter().map(of).collect() }),
    };
    canonical(&Rows { name, sql, explode, partition_by, periods, incremental: *incremental, inputs, complete })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::Pipeline;
    use crate::definition::budget::Budget;
    use crate::partitioning::Granularity;
    use crate::{SourceFile, read};

    fn pipeline(text: &str) -> Pipeline {
        let file = SourceFile::new("p.toml", text.as_bytes()).unwrap();
        read(&file, &|_| None, &|_| Err("no file".to_owned())).unwrap().pipeline
    }

    const TEXT: &str = "
        [source]
        kind = 'files'
        path = 'in'
        [contract]
        columns = { id = 'int64', day = 'date' }
        [[model]]
        name = 'm'
        sql = 'SELECT * FROM p'
    ";

    #[test]
    fn keys_are_sorted() {
        let value = serde_json::json!({"b": [{"z": 1, "a": null}], "a": "ü"});
        assert_eq!(canonical(&value).unwrap(), r#"{"a":"ü","b":[{"a":null,"z":1}]}"#);
    }

    #[test]
    fn what_is_exploded_and_how_counts() {
        let text = TEXT.replace(
            "[contract]",
            "[contract]\nkey = 'id'\nexplode.parts = { column = 'list', columns = { sku = 'string' } }",
        );
        let text = text.replace("day = 'date'", "list = 'string'");
        let one = pipeline(&text);
        let other = pipeline(&text.replace("sku = 'string'", "sku = 'int64'"));
        let plain = pipeline(&text.replace("explode.parts", "#"));
        let contract = |pipeline: &Pipeline| contract_fingerprint(pipeline.contract.as_ref().unwrap()).unwrap();
        assert_ne!(contract(&one), contract(&other));
        assert_ne!(contract(&one), contract(&plain));
        let model = |pipeline: &Pipeline| model_fingerprint(&pipeline.models[0], |_| None).unwrap();
        assert_ne!(model(&one), model(&other));
        assert!(model(&one).starts_with(r#"{"explode":{"column":"list","columns":[{"#));
    }

    #[test]
    fn what_decides_when_a_partition_is_complete_counts() {
        let waits = pipeline(&format!("{TEXT}\npartition_by = 'day'\nwhen = 'complete'"));
        let never_waits = pipeline(&format!("{TEXT}\npartition_by = 'day'"));
        let fingerprint = |pipeline: &Pipeline, own: Option<&Partitioning>, input: Option<&Partitioning>| {
            let of = |dataset: &DatasetName| if dataset.as_str() == "m" { own } else { input };
            model_fingerprint(&pipeline.models[0], of).unwrap()
        };
        let by = |granularity: Granularity, timezone: &str| {
            let timezone = jiff::tz::TimeZone::get(timezone).unwrap();
            Partitioning { column: "day".parse().unwrap(), granularity, timezone }
        };
        let (day, month) = (by(Granularity::Day, "UTC"), by(Granularity::Month, "UTC"));
        let in_berlin = by(Granularity::Day, "Europe/Berlin");
        let all: std::collections::BTreeSet<String> = [
            fingerprint(&never_waits, Some(&day), Some(&day)),
            fingerprint(&waits, Some(&day), Some(&day)),
            fingerprint(&waits, Some(&day), Some(&month)),
            fingerprint(&waits, Some(&day), Some(&in_berlin)),
            fingerprint(&waits, Some(&day), None),
            fingerprint(&waits, Some(&month), Some(&day)),
            fingerprint(&waits, Some(&in_berlin), Some(&day)),
        ]
        .into();
        assert_eq!(all.len(), 7, "{all:#?}");
        let text = fingerprint(&waits, Some(&in_berlin), None);
        let complete =
            r#"{"complete":{"inputs":[null],"own":{"column":"day","granularity":"day","timezone":"Europe/Berlin"}},"#;
        assert!(text.starts_with(complete), "{text}");
        // older lakes are not rebuilt
        let text = fingerprint(&never_waits, Some(&in_berlin), Some(&day));
        assert_eq!(text, fingerprint(&never_waits, None, None));
        assert!(!text.contains("complete"), "{text}");
    }

    #[test]
    fn only_what_changes_rows_counts() {
        let one = pipeline(TEXT);
        let moved = pipeline(&format!("\n\n# moved\n{TEXT}\nwhen = 'changed'"));
        let (model, moved_model) = (&one.models[0], &moved.models[0]);
        let line = |model: &Model| match &model.kind {
            ModelKind::Sql(sql) => sql.line,
            ModelKind::Explode(_) => 0,
        };
        assert_ne!(line(model), line(moved_model));
        assert_eq!(model_fingerprint(model, |_| None).unwrap(), model_fingerprint(moved_model, |_| None).unwrap());
        assert_eq!(
            model_fingerprint(model, |_| None).unwrap(),
            r#"{"incremental":null,"inputs":["p"],"name":"m","partition_by":null,"sql":"SELECT * FROM p"}"#
        );
        let contract = one.contract.unwrap();
        let text = contract_fingerprint(&contract).unwrap();
        let budget = Contract { max_quarantined: Some(Budget::Count(5)), ..contract.clone() };
        assert_eq!(text, contract_fingerprint(&budget).unwrap());
        assert_eq!(text, contract_fingerprint(&Contract { unknown: Unknown::Fail, ..contract.clone() }).unwrap());
        assert!(!text.contains("unknown") && !text.contains("explode"), "older lakes are not rebuilt: {text}");
        let mut stricter = contract.clone();
        stricter.columns[0].required = true;
        assert_ne!(text, contract_fingerprint(&stricter).unwrap());
        let mut turned = contract;
        turned.columns.reverse();
        assert_ne!(text, contract_fingerprint(&turned).unwrap());
        assert_eq!(
            source_fingerprint(&one.source.unwrap()).unwrap(),
            r#"{"csv":{"delimiter":44,"encoding":"utf-8","header":"first","quote":34},"format":null}"#
        );
    }
}
