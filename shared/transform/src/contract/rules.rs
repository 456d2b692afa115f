//! The rules of one typed column: required, min, max, one_of, pattern. Bounds are values of the column's type, read once.

use polars::prelude::*;
use tidemark_pipeline::definition;

use super::cast::Cast;
use super::fault::{Faults, MAX, MIN, ONE_OF, PATTERN, Place, REQUIRED};
use crate::error::ContractError;

#[derive(Debug)]
pub(super) struct Rules {
    required: bool,
    limits: Limits,
    pattern: Option<String>,
}

/// Bounds by physical type.
#[derive(Debug)]
enum Limits {
    None,
    Text(Bounds<String>),
    Bool(Bounds<bool>),
    Int32(Bounds<i32>),
    Int64(Bounds<i64>),
    Float64(Bounds<f64>),
    Int128(Bounds<i128>),
}

/// Inclusive bounds; an empty set means anything.
#[derive(Debug)]
struct Bounds<V> {
    min: Option<V>,
    max: Option<V>,
    one_of: Vec<V>,
}

impl Rules {
    pub(super) fn new(column: &definition::Column, cast: &Cast) -> Result<Rules, ContractError> {
        let wrong = |rule, problem: String, value: &str| ContractError::Rule {
            column: column.name.to_string(),
            rule,
            problem,
            value: value.to_owned(),
        };
        let value = |rule, text: &str| {
            let value = cast.one(column.name.as_str(), text);
            if value.null_count() > 0 { Err(wrong(rule, format!("is no {}", cast.dtype()), text)) } else { Ok(value) }
        };
        let min = column.min.as_deref().map(|text| value("min", text)).transpose()?;
        let max = column.max.as_deref().map(|text| value("max", text)).transpose()?;
        let one_of = column.one_of.iter().map(|text| value("one_of", text)).collect::<Result<Vec<_>, _>>()?;
        if let Some(pattern) = &column.pattern {
            if cast.dtype() != DataType::String {
                return Err(wrong("pattern", format!("is for strings, not for {}", cast.dtype()), pattern));
            }
            // Polars compiles (and caches) it only with rows to try it on.
            StringChunked::from_slice("".into(), &[""])
                .contains(pattern, true)
                .map_err(|error| wrong("pattern", format!("is not a regular expression ({error})"), pattern))?;
        }
        let limits = Limits::new(min, max, one_of)?;
        Ok(Rules { required: column.required, limits, pattern: column.pattern.clone() })
    }

    /// Marks the rows of a typed column that break a rule.
    pub(super) fn check(&self, series: &Series, column: usize, faults: &mut Faults) -> PolarsResult<()> {
        if self.required && series.null_count() > 0 {
            mark(&series.is_null(), Place::for_rule(column, REQUIRED), faults);
        }
        let physical = series.to_physical_repr();
        match &self.limits {
            Limits::None => {}
            Limits::Text(bounds) => {
                bounds.by(String::as_str).check(series.str()?.iter(), column, faults);
            }
            Limits::Bool(bounds) => bounds.check(series.bool()?.iter(), column, faults),
            Limits::Int32(bounds) => bounds.check(physical.i32()?.iter(), column, faults),
            Limits::Int64(bounds) => bounds.check(physical.i64()?.iter(), column, faults),
            Limits::Float64(bounds) => bounds.check(physical.f64()?.iter(), column, faults),
            Limits::Int128(bounds) => bounds.check(physical.i128()?.iter(), column, faults),
        }
        if let Some(pattern) = &self.pattern {
            mark(&!&series.str()?.contains(pattern, true)?, Place::for_rule(column, PATTERN), faults);
        }
        Ok(())
    }
}

/// Marks the rows for which the mask is true.
pub(super) fn mark(mask: &BooleanChunked, place: Place, faults: &mut Faults) {
    for (row, broken) in mask.iter().enumerate() {
        if broken == Some(true) {
            faults.mark(row, place);
        }
    }
}

impl Limits {
    fn new(min: Option<Series>, max: Option<Series>, one_of: Vec<Series>) -> PolarsResult<Limits> {
        let Some(first) = min.as_ref().or(max.as_ref()).or(one_of.first()) else { return Ok(Limits::None) };
        macro_rules! bounds {
            ($limits:ident, $values:ident $(, $own:ident)?) => {{
                let value = |series: &Series| -> PolarsResult<_> {
                    Ok(series.to_physical_repr().$values()?.get(0)$(.map(str::$own))?)
                };
                let mut set = Vec::new();
                for series in &one_of {
                    set.extend(value(series)?);
                }
                set.sort_unstable_by(|left, right| {
                    left.partial_cmp(right).unwrap_or(std::cmp::Ordering::Equal)
                });
                Ok(Limits::$limits(Bounds {
                    min: min.as_ref().map(value).transpose()?.flatten(),
                    max: max.as_ref().map(value).transpose()?.flatten(),
                    one_of: set,
                }))
            }};
        }
        match first.to_physical_repr().dtype() {
            DataType::String => bounds!(Text, str, to_owned),
            DataType::Boolean => bounds!(Bool, bool),
            DataType::Int32 => bounds!(Int32, i32),
            DataType::Int64 => bounds!(Int64, i64),
            DataType::Float64 => bounds!(Float64, f64),
            _ => bounds!(Int128, i128),
        }
    }
}

impl<V> Bounds<V> {
    fn by<'v, W>(&'v self, view: impl Fn(&'v V) -> W) -> Bounds<W> {
        Bounds {
            min: self.min.as_ref().map(&view),
            max: self.max.as_ref().map(&view),
            one_of: self.one_of.iter().map(view).collect(),
        }
    }
}

impl<V: PartialOrd> Bounds<V> {
    fn check(&self, values: impl Iterator<Item = Option<V>>, column: usize, faults: &mut Faults) {
        for (row, value) in values.enumerate() {
            let Some(value) = value else { continue };
            let rule = if self.min.as_ref().is_some_and(|min| value < *min) {
                MIN
            } else if self.max.as_ref().is_some_and(|max| value > *max) {
                MAX
            } else if !self.one_of.is_empty() && !self.allows(&value) {
                ONE_OF
            } else {
                continue;
            };
            faults.mark(row, Place::for_rule(column, rule));
        }
    }

    fn allows(&self, value: &V) -> bool {
        let at = self.one_of.partition_point(|allowed| allowed < value);
        self.one_of.get(at) == Some(value)
    }
}
