//! A nested value as JSON text. The recursion is as deep as the file's schema.

use jiff::{SignedDuration, Timestamp, civil};
use polars::prelude::*;

use super::super::frame::lossless;
use super::time::time_of_day;

/// Numbers become JSON numbers; values that JSON cannot express become strings (`"NaN"`, dates, bytes).
pub(super) fn text(value: &AnyValue) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &AnyValue, out: &mut String) {
    match value {
        AnyValue::Null => out.push_str("null"),
        AnyValue::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
        AnyValue::String(text) => string(text, out),
        AnyValue::StringOwned(text) => string(text, out),
        AnyValue::Binary(bytes) => string(&lossless(bytes), out),
        AnyValue::BinaryOwned(bytes) => string(&lossless(bytes), out),
        AnyValue::Float32(value) if value.is_finite() => out.push_str(&value.to_string()),
        AnyValue::Float64(value) if value.is_finite() => out.push_str(&value.to_string()),
        AnyValue::Date(days) => string(&date(*days), out),
        AnyValue::Datetime(count, unit, _) => string(&instant(*count, *unit), out),
        AnyValue::Time(nanoseconds) => string(&time_of_day(*nanoseconds), out),
        AnyValue::List(values) => list(values, out),
        AnyValue::Struct(_, _, fields) => {
            let names = fields.iter().map(|field| field.name().as_str());
            object(names.zip(value._iter_struct_av()), out);
        }
        AnyValue::StructOwned(inner) => {
            let names = inner.1.iter().map(|field| field.name().as_str());
            object(names.zip(inner.0.iter().cloned()), out);
        }
        number if number.is_primitive_numeric() && !number.is_float() => out.push_str(&number.to_string()),
        decimal @ AnyValue::Decimal(..) => out.push_str(&decimal.to_string()),
        other => string(&other.to_string(), out),
    }
}

fn list(values: &Series, out: &mut String) {
    out.push('[');
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write(&value, out);
    }
    out.push(']');
}

fn object<'a>(fields: impl Iterator<Item = (&'a str, AnyValue<'a>)>, out: &mut String) {
    out.push('{');
    for (at, (name, value)) in fields.enumerate() {
        if at > 0 {
            out.push(',');
        }
        string(name, out);
        out.push(':');
        write(&value, out);
    }
    out.push('}');
}

fn string(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

fn date(days: i32) -> String {
    let epoch = civil::date(1970, 1, 1);
    let since_epoch = SignedDuration::from_hours(24 * i64::from(days));
    epoch.checked_add(since_epoch).map_or_else(|_| format!("{days} days after 1970-01-01"), |date| date.to_string())
}

fn instant(count: i64, unit: TimeUnit) -> String {
    let since_epoch = match unit {
        TimeUnit::Nanoseconds => SignedDuration::from_nanos(count),
        TimeUnit::Microseconds => SignedDuration::from_micros(count),
        TimeUnit::Milliseconds => SignedDuration::from_millis(count),
    };
    Timestamp::from_duration(since_epoch)
        .map_or_else(|_| format!("{count} {unit} after 1970-01-01"), |instant| instant.to_string())
}
