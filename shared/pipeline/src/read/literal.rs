//! Types of columns, and values of `min`, `max` and `one_of` in normal form.

use std::cmp::Ordering;

use jiff::civil;
use toml::de::DeValue;

use crate::definition::column::Type;

/// Parses a type: `decimal(12,2)`, `int64`, …
pub(super) fn parse_type(text: &str) -> Option<Type> {
    let plain = match text {
        "string" => Type::String,
        "bool" => Type::Bool,
        "int32" => Type::Int32,
        "int64" => Type::Int64,
        "float64" => Type::Float64,
        "date" => Type::Date,
        "time" => Type::Time,
        "datetime" => Type::Datetime,
        _ => return parse_decimal_type(text),
    };
    Some(plain)
}

fn parse_decimal_type(text: &str) -> Option<Type> {
    let (precision, scale) = text.strip_prefix("decimal(")?.strip_suffix(')')?.split_once(',')?;
    let number = |text: &str| {
        let text = text.trim();
        text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u8>().ok()).flatten()
    };
    let (precision, scale) = (number(precision)?, number(scale)?);
    ((1..=38).contains(&precision) && scale <= precision).then_some(Type::Decimal { precision, scale })
}

pub(super) const TYPES: [&str; 9] =
    ["string", "bool", "int32", "int64", "float64", "decimal(12,2)", "date", "time", "datetime"];

/// The form of a value of a type, for messages: "a number of at most 12 digits, 2 of them after the point".
pub(super) fn describe_type(ty: Type) -> String {
    match ty {
        Type::String => "a string".to_owned(),
        Type::Bool => "`true` or `false`".to_owned(),
        Type::Int32 => "a whole number of 32 bits".to_owned(),
        Type::Int64 => "a whole number of 64 bits".to_owned(),
        Type::Float64 => "a number".to_owned(),
        Type::Decimal { precision, scale } => {
            format!("a number of at most {precision} digits, {scale} of them after the point")
        }
        Type::Date => "a date, as in `2024-12-31`".to_owned(),
        Type::Time => "a time, as in `23:59:59`".to_owned(),
        Type::Datetime => {
            "a time with offset, as in `2024-12-31T23:59:59Z`, or without offset, in the time zone of `timezone`"
                .to_owned()
        }
    }
}

/// A scalar as text; `None` for arrays and tables.
pub(super) fn raw(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok().map(|n| n.to_string()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(flag) => Some(flag.to_string()),
        DeValue::Datetime(time) => Some(time.to_string()),
        DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

/// A value in normal form: a datetime in UTC, a time as `HH:MM:SS[.ffffff]`. `None` if the type does not allow it.
pub(super) fn normal(ty: Type, text: &str, timezone: Option<&str>) -> Option<String> {
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    match ty {
        Type::String => Some(text.to_owned()),
        Type::Bool => matches!(text, "true" | "false").then(|| text.to_owned()),
        Type::Int32 => unsigned.parse::<i32>().ok().map(|number| number.to_string()),
        Type::Int64 => unsigned.parse::<i64>().ok().map(|number| number.to_string()),
        Type::Float64 => text.parse::<f64>().ok().filter(|number| number.is_finite()).map(|_| unsigned.to_owned()),
        Type::Decimal { precision, scale } => decimal(unsigned, precision, scale).map(|_| unsigned.to_owned()),
        Type::Date => (text.len() == 10).then(|| text.parse::<civil::Date>().ok()).flatten().map(|day| day.to_string()),
        Type::Time => text.parse::<civil::Time>().ok().map(|time| time.to_string()),
        Type::Datetime => datetime(text, timezone).map(|time| time.to_string()),
    }
}

fn datetime(text: &str, timezone: Option<&str>) -> Option<jiff::Timestamp> {
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    let zone = jiff::tz::TimeZone::get(timezone.unwrap_or("UTC")).ok()?;
    zone.to_timestamp(text.parse::<civil::DateTime>().ok()?).ok()
}

/// The unscaled number: `1.5` with scale 2 is 150. `None` if it does not fit.
fn decimal(text: &str, precision: u8, scale: u8) -> Option<i128> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) || fraction.len() > usize::from(scale) {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    if whole.len() + usize::from(scale) > usize::from(precision) {
        return None;
    }
    let padded = format!("{whole}{fraction:0<width$}", width = usize::from(scale));
    let number: i128 = if padded.is_empty() { 0 } else { padded.parse().ok()? };
    Some(if negative { -number } else { number })
}

/// Compares two values in normal form.
pub(super) fn compare(ty: Type, a: &str, b: &str) -> Option<Ordering> {
    match ty {
        Type::String | Type::Bool => a.partial_cmp(b),
        Type::Int32 | Type::Int64 => a.parse::<i64>().ok()?.partial_cmp(&b.parse().ok()?),
        Type::Float64 => a.parse::<f64>().ok()?.partial_cmp(&b.parse().ok()?),
        Type::Decimal { precision, scale } => decimal(a, precision, scale)?.partial_cmp(&decimal(b, precision, scale)?),
        Type::Date => a.parse::<civil::Date>().ok()?.partial_cmp(&b.parse().ok()?),
        Type::Time => a.parse::<civil::Time>().ok()?.partial_cmp(&b.parse().ok()?),
        Type::Datetime => a.parse::<jiff::Timestamp>().ok()?.partial_cmp(&b.parse().ok()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types() {
        let decimal = |precision, scale| Some(Type::Decimal { precision, scale });
        assert_eq!(parse_type("decimal(12,2)"), decimal(12, 2));
        assert_eq!(parse_type("decimal(38, 38)"), decimal(38, 38));
        for wrong in
            ["decimal", "decimal(12)", "decimal(39,2)", "decimal(0,0)", "decimal(3,4)", "decimal(+3,1)", "Int64", ""]
        {
            assert_eq!(parse_type(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn decimals_fit_their_digits() {
        assert_eq!(decimal("1.5", 4, 2), Some(150));
        assert_eq!(decimal("-0.05", 4, 2), Some(-5));
        assert_eq!(decimal("0", 2, 2), Some(0));
        assert_eq!(decimal("00012", 4, 2), Some(1200));
        for wrong in ["123", "1.234", "1e5", "", "-", ".5", "1.2.3", "inf", "١"] {
            assert_eq!(decimal(wrong, 4, 2), None, "{wrong}");
        }
        assert_eq!(decimal(&"9".repeat(38), 38, 0), Some(10_i128.pow(38) - 1));
    }

    #[test]
    fn one_form_of_each_value() {
        assert_eq!(normal(Type::Int32, "+7", None).as_deref(), Some("7"));
        assert_eq!(normal(Type::Int32, "3000000000", None), None);
        assert_eq!(normal(Type::Float64, "nan", None), None);
        assert_eq!(normal(Type::Date, "2024-02-30", None), None);
        assert_eq!(normal(Type::Date, "2024-02-29T10:00", None), None);
        assert_eq!(normal(Type::Time, "09:30", None).as_deref(), Some("09:30:00"));
        let london = Some("Europe/London");
        assert_eq!(normal(Type::Datetime, "2024-07-01T12:00:00", london).as_deref(), Some("2024-07-01T11:00:00Z"));
        assert_eq!(
            normal(Type::Datetime, "2024-07-01T12:00:00+05:00", london).as_deref(),
            Some("2024-07-01T07:00:00Z")
        );
        assert_eq!(normal(Type::Datetime, "2024-07-01", None).as_deref(), Some("2024-07-01T00:00:00Z"));
    }
}
