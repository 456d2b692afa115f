//! `incremental = { … }`.

use jiff::Timestamp;

use super::super::fields::{Fields, TextValue};
use super::super::values::duration;
use super::parameter::parameter;
use crate::diagnostic::quoted;
use crate::http::{Method, Missing, Parameter, Since, TimeFormat};
use crate::name::ColumnName;

pub(super) const FIELDS: [&str; 10] =
    ["column", "parameter", "until", "in", "format", "start", "lookback", "bounds", "every", "missing"];

pub(super) fn since(fields: &Fields<'_, '_>, method: Method) -> Option<Since> {
    let column = fields.needed("column", "the column of the contract with the time of a record's last change");
    let column = column.and_then(|text| fields.reader.name::<ColumnName>(&text));
    let from = parameter(fields, "parameter", None, method);
    let until: Option<Parameter> =
        if fields.value("until").is_some() { parameter(fields, "until", None, method) } else { None };
    let format = fields.text("format").map_or(Some(TimeFormat::Rfc3339), |text| format(fields, &text));
    let start = fields.text("start").and_then(|text| start(fields, &text));
    let lookback_s = duration(fields, "lookback");
    let every_s = duration(fields, "every");
    if fields.value("every").is_some() {
        for (key, expected) in [
            ("until", "`until = \"…\"`, the parameter for the end of a window, because there is `every`"),
            ("start", "`start = \"2024-01-01T00:00:00Z\"`, the start of the first window, because there is `every`"),
        ] {
            if fields.value(key).is_none() {
                fields.missing(key, expected);
            }
        }
    }
    let is_open = fields.choice("bounds", &[("closed", false), ("open", true)]).unwrap_or(false);
    let missing = fields.choice("missing", &[("keep", Missing::Keep), ("fail", Missing::Fail)]);
    Some(Since {
        column: column?,
        parameter: from?,
        until,
        format: format?,
        start,
        lookback_s: lookback_s.unwrap_or(0),
        is_open,
        every_s,
        missing: missing.unwrap_or_default(),
    })
}

fn start(fields: &Fields<'_, '_>, text: &TextValue) -> Option<Timestamp> {
    let day = || text.text.parse::<jiff::civil::Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
    let found = text.text.parse::<Timestamp>().ok().or_else(|| Some(day()?.timestamp()));
    if found.is_none() && !text.text.contains("${") {
        let expected = "a time with offset, as in `2024-12-31T23:59:59Z`, or a day";
        fields.reader.report(text.at, format!("{} for `start` in {}", quoted(&text.text), fields.label), expected);
    }
    found
}

fn format(fields: &Fields<'_, '_>, text: &TextValue) -> Option<TimeFormat> {
    if let Some(format) = plain(&text.text) {
        return Some(format);
    }
    let braces = text.text.split_once('{').and_then(|(before, rest)| {
        let (time, after) = rest.split_once('}')?;
        Some(TimeFormat::Template { before: before.into(), time: Box::new(plain(time)?), after: after.into() })
    });
    if braces.is_none() {
        let expected = "`rfc3339`, `date`, `epoch_s`, `epoch_ms`, a format such as `%Y-%m-%d %H:%M:%S`, or a text with one of them in braces";
        fields.reader.report(text.at, format!("{} for `format` in {}", quoted(&text.text), fields.label), expected);
    }
    braces
}

fn plain(text: &str) -> Option<TimeFormat> {
    match text {
        "rfc3339" => Some(TimeFormat::Rfc3339),
        "date" => Some(TimeFormat::Date),
        "epoch_s" => Some(TimeFormat::EpochS),
        "epoch_ms" => Some(TimeFormat::EpochMs),
        text if text.contains('%') && !text.contains('{') => {
            let broken =
                jiff::fmt::strtime::BrokenDownTime::from(&Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC));
            broken.to_string(text).is_ok().then(|| TimeFormat::Strftime(text.to_owned()))
        }
        _ => None,
    }
}
