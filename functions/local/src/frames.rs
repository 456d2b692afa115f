//! Rows of a frame as text and as JSON.

use polars::prelude::{AnyValue, DataFrame, DataType, TimeUnit};
use serde_json::{Value, json};

use crate::print;

/// `{"columns": [{"name", "type"}…], "rows": [[…]…]}`
pub(crate) fn to_json(frame: &DataFrame) -> Value {
    let columns: Vec<_> = frame
        .columns()
        .iter()
        .map(|column| json!({"name": column.name().as_str(), "type": type_name(column.dtype())}))
        .collect();
    let rows: Vec<Vec<Value>> = (0..frame.height())
        .map(|row| {
            frame
                .columns()
                .iter()
                .map(|column| column.get(row).map_or(Value::Null, |value| value_json(&value)))
                .collect()
        })
        .collect();
    json!({"columns": columns, "rows": rows})
}

/// The type names of the pipeline files.
pub(crate) fn type_name(ty: &DataType) -> String {
    match ty {
        DataType::String => "string".into(),
        DataType::Boolean => "bool".into(),
        DataType::Int8 | DataType::Int16 | DataType::Int32 => "int32".into(),
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => "int64".into(),
        DataType::Float32 | DataType::Float64 => "float64".into(),
        DataType::Decimal(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Date => "date".into(),
        DataType::Time => "time".into(),
        DataType::Datetime(..) => "datetime".into(),
        other => other.to_string(),
    }
}

fn value_json(value: &AnyValue<'_>) -> Value {
    match value {
        AnyValue::Null => Value::Null,
        AnyValue::Boolean(v) => json!(v),
        AnyValue::Int8(v) => json!(v),
        AnyValue::Int16(v) => json!(v),
        AnyValue::Int32(v) => json!(v),
        AnyValue::Int64(v) => json!(v),
        AnyValue::UInt8(v) => json!(v),
        AnyValue::UInt16(v) => json!(v),
        AnyValue::UInt32(v) => json!(v),
        AnyValue::UInt64(v) => json!(v),
        AnyValue::Float32(v) => json!(v),
        AnyValue::Float64(v) => json!(v),
        // a JSON number if it is exact, otherwise text
        AnyValue::Decimal(digits, ..) => {
            let text = value_text(value);
            if digits.unsigned_abs() < 1 << 53 {
                text.parse::<f64>().map_or(Value::Null, |v| json!(v))
            } else {
                json!(text)
            }
        }
        other => json!(value_text(other)),
    }
}

/// A value as text.
fn value_text(value: &AnyValue<'_>) -> String {
    match value {
        AnyValue::Null => String::new(),
        AnyValue::String(text) => (*text).to_owned(),
        AnyValue::StringOwned(text) => text.to_string(),
        AnyValue::Datetime(v, unit, _) => datetime(*v, *unit),
        AnyValue::DatetimeOwned(v, unit, _) => datetime(*v, *unit),
        other => other.to_string(),
    }
}

fn datetime(value: i64, unit: TimeUnit) -> String {
    let instant = match unit {
        TimeUnit::Nanoseconds => jiff::Timestamp::from_nanosecond(i128::from(value)),
        TimeUnit::Microseconds => jiff::Timestamp::from_microsecond(value),
        TimeUnit::Milliseconds => jiff::Timestamp::from_millisecond(value),
    };
    instant.map_or_else(|_| value.to_string(), |instant| instant.to_string())
}

/// Prints a table to the terminal. Long texts are truncated.
pub(crate) fn print(frame: &DataFrame) {
    let header: Vec<&str> = frame.columns().iter().map(|column| column.name().as_str()).collect();
    let right: Vec<usize> = frame
        .columns()
        .iter()
        .enumerate()
        .filter(|(_, column)| column.dtype().is_numeric())
        .map(|(at, _)| at)
        .collect();
    let rows = (0..frame.height())
        .map(|row| {
            frame
                .columns()
                .iter()
                .map(|column| column.get(row).map_or(String::new(), |value| cut(value_text(&value))))
                .collect()
        })
        .collect();
    print::table(&header, &right, rows);
}

/// Maximum characters of a value in a table.
const WIDTH: usize = 60;

fn cut(text: String) -> String {
    let text = text.replace(['\n', '\r', '\t'], " ");
    match text.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
