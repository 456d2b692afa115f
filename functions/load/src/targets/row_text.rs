//! Rows as text: keys for messages, whole rows as JSON.

use polars::prelude::{DataFrame, PolarsError};
use serde_json::{Map, Value};

use crate::targets::cell::Cell;

/// The key of a row for messages, `order_id 700017, position 2`; `None` if `key` has no columns.
pub(crate) fn named_key(frame: &DataFrame, row: usize, key: &[String]) -> Result<Option<String>, PolarsError> {
    let part = |name: &String| -> Result<String, PolarsError> {
        let text = match json_value(frame, name, row)? {
            Value::String(text) => shown(&text),
            value => value.to_string(),
        };
        Ok(format!("{name} {text}"))
    };
    let parts = key.iter().map(part).collect::<Result<Vec<_>, _>>()?;
    Ok((!parts.is_empty()).then(|| parts.join(", ")))
}

/// A text of a key, escaped and cut to 40 characters for messages.
pub(crate) fn shown(text: &str) -> String {
    text.escape_debug().take(40).collect()
}

/// A row as a JSON object.
pub(crate) fn json_row(frame: &DataFrame, row: usize) -> Result<Map<String, Value>, PolarsError> {
    let value = |name: &str| Ok((name.to_owned(), json_value(frame, name, row)?));
    frame.get_column_names().into_iter().map(|name| value(name)).collect()
}

/// A cell as JSON: decimals, which JSON readers would round, as text; times in RFC 3339.
pub(crate) fn json_value(frame: &DataFrame, name: &str, row: usize) -> Result<Value, PolarsError> {
    Ok(match Cell::from_value(frame.column(name)?.get(row)?) {
        None => Value::String("a date that has no year of four digits".to_owned()),
        Some(Cell::Null) => Value::Null,
        Some(Cell::Bool(value)) => Value::Bool(value),
        Some(Cell::Integer(value)) => value.into(),
        Some(Cell::Float(value)) => {
            serde_json::Number::from_f64(value).map_or_else(|| value.to_string().into(), Value::Number)
        }
        Some(Cell::Decimal(value)) => value.to_string().into(),
        Some(Cell::Text(value)) => value.into(),
        Some(Cell::Date(value)) => value.to_string().into(),
        Some(Cell::Time(value)) => value.to_string().into(),
        Some(Cell::Datetime(value)) => value.fixed().into(),
    })
}
