//! The value of a partition, as the Delta log writes it.

use polars::prelude::AnyValue;

/// A value as text. Returns None for NULL and for the empty text, which the log cannot distinguish.
pub(crate) fn text(value: &AnyValue<'_>) -> Option<String> {
    match value {
        AnyValue::Null => None,
        AnyValue::Date(days) => {
            let day = jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(i64::from(*days)));
            day.ok().map(|day| day.to_string())
        }
        value => match value.get_str() {
            Some(text) => Some(text.to_owned()).filter(|text| !text.is_empty()),
            None => Some(value.to_string()),
        },
    }
}
