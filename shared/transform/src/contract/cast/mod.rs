//! Converts fields to typed columns, strictly and exactly. A field that is not a value of its type becomes NULL and a fault.

mod format;
pub(super) mod native;
mod number;
mod time;
mod zone;

use polars::prelude::*;
use tidemark_pipeline::definition::{self, Type};

use self::format::{Format, Formats};
use self::time::{Clock, DAY_US, Moment, iso_date, iso_datetime, iso_time};
use self::zone::{Skipped, Zone};
use super::fault::{Faults, Place};
use crate::error::ContractError;

pub(super) use self::zone::Zone as Calendar;

/// One field of a raw record, borrowed from its text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Field<'a> {
    /// Absent, or JSON null.
    Null,
    Text(&'a str),
    /// A JSON string that has escapes, with its quotes; its syntax is checked.
    Escaped(&'a str),
    /// A JSON number, as written.
    Number(&'a str),
    Bool(bool),
    /// A JSON object or array, as written.
    Nested(&'a str),
}

impl<'a> Field<'a> {
    /// The field's text, before trimming.
    pub(super) fn text(self, unescaped: &'a mut String) -> Option<&'a str> {
        match self {
            Field::Null => None,
            Field::Text(text) | Field::Number(text) | Field::Nested(text) => Some(text),
            Field::Bool(value) => Some(if value { "true" } else { "false" }),
            Field::Escaped(quoted) => {
                // The scanner has checked the syntax; if sonic should be stricter, use the text as written.
                *unescaped = sonic_rs::from_str(quoted).unwrap_or_else(|_| quoted.to_owned());
                Some(unescaped)
            }
        }
    }
}

/// How the fields of one column are read.
#[derive(Debug, Clone)]
pub(super) struct Cast {
    pub(super) ty: Type,
    formats: Formats,
    zone: Zone,
    zone_name: String,
    trim: bool,
    nulls: Vec<String>,
}

impl Cast {
    pub(super) fn new(column: &definition::Column) -> Result<Cast, ContractError> {
        let wrong = |rule, problem: String, value: &str| ContractError::Rule {
            column: column.name.to_string(),
            rule,
            problem,
            value: value.to_owned(),
        };
        let mut formats = Vec::new();
        for text in &column.formats {
            let format = Format::new(text)
                .map_err(|error| wrong("format", format!("is not a strptime format ({error})"), text))?;
            let says = format.sample();
            let enough = match column.ty {
                Type::Date => says.day.is_some(),
                Type::Time => says.time.is_some(),
                Type::Datetime => says.day.is_some() && says.time.is_some(),
                _ => return Err(wrong("format", "is for dates and times".to_owned(), text)),
            };
            if !enough {
                return Err(wrong("format", "does not describe a whole date or time".to_owned(), text));
            }
            formats.push(format);
        }
        let zone = Zone::new(column.timezone.as_deref()).map_err(|error| {
            wrong("timezone", format!("is not known ({error})"), column.timezone.as_deref().unwrap_or_default())
        })?;
        Ok(Cast {
            ty: column.ty,
            formats: Formats(formats),
            zone,
            zone_name: column.timezone.clone().unwrap_or_else(|| "UTC".to_owned()),
            trim: column.trim,
            nulls: column.nulls.clone(),
        })
    }

    pub(super) fn dtype(&self) -> DataType {
        match self.ty {
            Type::String | Type::Time => DataType::String,
            Type::Bool => DataType::Boolean,
            Type::Int32 => DataType::Int32,
            Type::Int64 => DataType::Int64,
            Type::Float64 => DataType::Float64,
            Type::Decimal { precision, scale } => DataType::Decimal(precision.into(), scale.into()),
            Type::Date => DataType::Date,
            Type::Datetime => DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC)),
        }
    }

    /// The trimmed text. Returns None if it means NULL.
    fn tidy<'a>(&self, text: &'a str) -> Option<&'a str> {
        let text = if self.trim { trim(text) } else { text };
        (!self.nulls.iter().any(|null| null == text)).then_some(text)
    }

    /// Casts one text, for example a bound, to a column of one value; NULL if the text is not a value.
    pub(super) fn one(&self, name: &str, text: &str) -> Series {
        let bare = Cast { trim: false, nulls: Vec::new(), ..self.clone() };
        let mut builder = Builder::new(&bare, name, 1);
        builder.extend([Field::Text(text)], 0, &mut Faults::new(1), 0);
        builder.finish()
    }

    /// Why a well-formed local time is not an instant (gap or fold of the time zone).
    pub(super) fn explain(&self, text: &str) -> Option<String> {
        if self.ty != Type::Datetime {
            return None;
        }
        let local = self.formats.read(self.tidy(text)?, iso_datetime, local)?;
        match self.zone.clone().instant(local) {
            Err(Skipped::Gap) => Some(format!("{text} (does not exist in {})", self.zone_name)),
            Err(Skipped::Fold) => Some(format!("{text} (happens twice in {})", self.zone_name)),
            Ok(_) => None,
        }
    }
}

fn trim(text: &str) -> &str {
    match text.as_bytes() {
        [] => text,
        // Neither end can be white space, which in ASCII is below `!`.
        [b'!'..=b'~'] | [b'!'..=b'~', .., b'!'..=b'~'] => text,
        _ => text.trim(),
    }
}

/// Microseconds since 1970 of a local date and time without offset.
fn local(moment: Moment) -> Option<i64> {
    match moment {
        Moment { day: Some(day), time: Some(time), offset: None } => Some(i64::from(day) * DAY_US + time),
        _ => None,
    }
}

fn boolean(text: &str) -> Option<bool> {
    let is = |words: [&str; 4]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    if is(["true", "t", "yes", "y"]) || text == "1" {
        Some(true)
    } else if is(["false", "f", "no", "n"]) || text == "0" {
        Some(false)
    } else {
        None
    }
}

/// A typed column while it is filled.
pub(super) struct Builder<'c> {
    cast: &'c Cast,
    zone: Zone,
    unescaped: String,
    values: Values,
}

enum Values {
    Text(StringChunkedBuilder),
    Bool(BooleanChunkedBuilder),
    Int32(PrimitiveChunkedBuilder<Int32Type>),
    Int64(PrimitiveChunkedBuilder<Int64Type>),
    Float64(PrimitiveChunkedBuilder<Float64Type>),
    Int128(PrimitiveChunkedBuilder<Int128Type>),
}

impl<'c> Builder<'c> {
    pub(super) fn new(cast: &'c Cast, name: &str, capacity: usize) -> Self {
        let name = PlSmallStr::from_str(name);
        let values = match cast.ty {
            Type::String | Type::Time => Values::Text(StringChunkedBuilder::new(name, capacity)),
            Type::Bool => Values::Bool(BooleanChunkedBuilder::new(name, capacity)),
            Type::Int32 | Type::Date => Values::Int32(PrimitiveChunkedBuilder::new(name, capacity)),
            Type::Int64 | Type::Datetime => Values::Int64(PrimitiveChunkedBuilder::new(name, capacity)),
            Type::Float64 => Values::Float64(PrimitiveChunkedBuilder::new(name, capacity)),
            Type::Decimal { .. } => Values::Int128(PrimitiveChunkedBuilder::new(name, capacity)),
        };
        Builder { cast, zone: cast.zone.clone(), unescaped: String::new(), values }
    }

    /// Appends fields, the first of which belongs to row `row`. Those that are not values become faults of `column`.
    pub(super) fn extend<'a>(
        &mut self,
        fields: impl IntoIterator<Item = Field<'a>>,
        row: usize,
        faults: &mut Faults,
        column: usize,
    ) {
        let cast = self.cast;
        let formats = &cast.formats;
        let zone = &mut self.zone;
        let mut pass = FieldPass { cast, unescaped: &mut self.unescaped, row, faults, column };
        match (&mut self.values, cast.ty) {
            (Values::Text(values), Type::Time) => pass.fill(
                fields,
                |field| match field {
                    Field::Text(text) => formats.read(text, iso_time, |moment| moment.time).map(Clock::new),
                    _ => None,
                },
                |value| values.append_option(value),
            ),
            (Values::Text(values), _) => pass.strings(fields, values),
            (Values::Bool(values), _) => pass.fill(
                fields,
                |field| match field {
                    Field::Bool(value) => Some(value),
                    Field::Text(text) | Field::Number(text) => boolean(text),
                    _ => None,
                },
                |value| values.append_option(value),
            ),
            (Values::Int32(values), Type::Date) => pass.fill(
                fields,
                |field| match field {
                    Field::Text(text) => formats.read(text, iso_date, |moment| moment.day),
                    _ => None,
                },
                |value| values.append_option(value),
            ),
            (Values::Int32(values), _) => pass.fill(
                fields,
                |field| integer(field).and_then(|value| i32::try_from(value).ok()),
                |value| values.append_option(value),
            ),
            (Values::Int64(values), Type::Datetime) => pass.fill(
                fields,
                |field| match field {
                    Field::Text(text) => instant(formats, zone, text),
                    _ => None,
                },
                |value| values.append_option(value),
            ),
            (Values::Int64(values), _) => pass.fill(fields, integer, |value| values.append_option(value)),
            (Values::Float64(values), _) => pass.fill(
                fields,
                |field| match field {
                    Field::Text(text) | Field::Number(text) => number::float(text),
                    _ => None,
                },
                |value| values.append_option(value),
            ),
            (Values::Int128(values), ty) => {
                let (precision, scale) = match ty {
                    Type::Decimal { precision, scale } => (precision, scale),
                    _ => (38, 0),
                };
                pass.fill(
                    fields,
                    |field| match field {
                        Field::Text(text) => number::decimal(text, precision, scale, false),
                        Field::Number(text) => number::decimal(text, precision, scale, true),
                        _ => None,
                    },
                    |value| values.append_option(value),
                );
            }
        }
    }

    pub(super) fn finish(self) -> Series {
        match (self.values, self.cast.ty) {
            (Values::Text(values), _) => values.finish().into_series(),
            (Values::Bool(values), _) => values.finish().into_series(),
            (Values::Int32(values), Type::Date) => values.finish().into_date().into_series(),
            (Values::Int32(values), _) => values.finish().into_series(),
            (Values::Int64(values), Type::Datetime) => {
                values.finish().into_datetime(TimeUnit::Microseconds, Some(TimeZone::UTC)).into_series()
            }
            (Values::Int64(values), _) => values.finish().into_series(),
            (Values::Float64(values), _) => values.finish().into_series(),
            (Values::Int128(values), Type::Decimal { precision, scale }) => {
                values.finish().into_decimal_unchecked(precision.into(), scale.into()).into_series()
            }
            (Values::Int128(values), _) => values.finish().into_series(),
        }
    }
}

fn integer(field: Field) -> Option<i64> {
    match field {
        Field::Text(text) => number::integer(text),
        Field::Number(text) => number::json_integer(text),
        _ => None,
    }
}

fn instant(formats: &Formats, zone: &mut Zone, text: &str) -> Option<i64> {
    let (local, offset) = formats
        .read(text, iso_datetime, |moment| Some((i64::from(moment.day?) * DAY_US + moment.time?, moment.offset)))?;
    let instant = match offset {
        Some(seconds) => local - i64::from(seconds) * 1_000_000,
        None => zone.instant(local).ok()?,
    };
    time::in_range(instant).then_some(instant)
}

/// One pass over fields: trims them, distinguishes NULL from faults, and counts rows.
struct FieldPass<'w> {
    cast: &'w Cast,
    unescaped: &'w mut String,
    row: usize,
    faults: &'w mut Faults,
    column: usize,
}

impl FieldPass<'_> {
    fn fill<'a, V>(
        &mut self,
        fields: impl IntoIterator<Item = Field<'a>>,
        mut read: impl FnMut(Field) -> Option<V>,
        mut push: impl FnMut(Option<V>),
    ) {
        for field in fields {
            let (null, value) = match field {
                Field::Null => (true, None),
                Field::Text(text) => match self.cast.tidy(text) {
                    None => (true, None),
                    Some(text) => (false, read(Field::Text(text))),
                },
                Field::Number(text) => match self.cast.tidy(text) {
                    None => (true, None),
                    Some(text) => (false, read(Field::Number(text))),
                },
                Field::Escaped(_) => match field.text(self.unescaped).and_then(|text| self.cast.tidy(text)) {
                    None => (true, None),
                    Some(text) => (false, read(Field::Text(text))),
                },
                Field::Bool(_) | Field::Nested(_) => (false, read(field)),
            };
            if value.is_none() && !null {
                self.faults.mark(self.row, Place::for_rule(self.column, super::fault::TYPE));
            }
            push(value);
            self.row += 1;
        }
    }

    /// Every field has a text, so a string column has no faults.
    fn strings<'a>(&mut self, fields: impl IntoIterator<Item = Field<'a>>, values: &mut StringChunkedBuilder) {
        for field in fields {
            let text = match field {
                Field::Text(text) => Some(text),
                _ => field.text(self.unescaped),
            };
            values.append_option(text.and_then(|text| self.cast.tidy(text)));
            self.row += 1;
        }
    }
}
