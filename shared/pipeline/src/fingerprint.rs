//! The settings of a definition that determine the rows of a dataset, as text to hash. A change rebuilds the dataset. So settings that
//! change no row (limits, schedules, line numbers) must be left out, and all others included.

use serde::Serialize;
use serde_json::{Error, Value};

use crate::definition::contract::{Contract, Unknown};
use crate::definition::explode::Children;
use crate::definition::model::{Incremental, Model, ModelKind, Periods};
use crate::definition::source::{Csv, Files, Format, Source};
use crate::http::Body;
use crate::name::{ColumnName, DatasetName};

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

/// The settings that determine the rows of a model.
///
/// # Errors
/// As [`canonical`].
pub fn model_fingerprint(model: &Model) -> Result<String, Error> {
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
    }
    // destructured, so that a new field does not compile until it is handled here
    let Model { name, kind: made, partition_by, periods, incremental, when: _, inputs } = model;
    let (sql, explode) = match made {
        ModelKind::Sql(sql) => (Some(sql.text.as_str()), None),
        ModelKind::Explode(children) => (None, Some(children)),
    };
    let periods = periods.as_ref();
    canonical(&Rows { name, sql, explode, partition_by, periods, incremental: *incremental, inputs })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::Pipeline;
    use crate::definition::budget::Budget;
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
        assert_ne!(model_fingerprint(&one.models[0]).unwrap(), model_fingerprint(&other.models[0]).unwrap());
        assert!(model_fingerprint(&one.models[0]).unwrap().starts_with(r#"{"explode":{"column":"list","columns":[{"#));
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
        assert_eq!(model_fingerprint(model).unwrap(), model_fingerprint(moved_model).unwrap());
        assert_eq!(
            model_fingerprint(model).unwrap(),
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
