//! The frame of rows that broke the contract: their texts, their origin and the rule they broke.

use std::borrow::Cow;

use polars::prelude::*;
use tidemark_pipeline::raw::{OBJECT, PAGE, ROW};

use super::cast::Field as Member;
use super::fault::{Broken, Faults};
use super::source::{Raw, is_field};
use super::{Cleaner, Explode, Plan, RawLayout};
use crate::error::ContractError;

impl Cleaner {
    /// The schema of [`super::Cleaned::quarantined`]. `_page` is NULL where the source has no pages; `healed_by` is for callers that keep
    /// healed records: it is NULL for a broken record.
    pub fn quarantine_schema() -> Schema {
        let text = ["column", "rule", "value", "text", "contract"].map(|name| (name, DataType::String));
        let origin = [(OBJECT, DataType::String), (ROW, DataType::Int64)];
        let later = [("day", DataType::Date), (PAGE, DataType::Int64), ("healed_by", DataType::String)];
        let all = origin.into_iter().chain(text).chain(later);
        all.map(|(name, dtype)| Field::new(name.into(), dtype)).collect()
    }

    pub(super) fn quarantine(
        &self,
        source: &Raw,
        typed: &DataFrame,
        layout: RawLayout,
        days: Option<&Series>,
        faults: &Faults,
    ) -> Result<DataFrame, ContractError> {
        let (rows, broken): (Vec<IdxSize>, Vec<Broken>) =
            faults.iter(self.width()).map(|(row, broken)| (row as IdxSize, broken)).unzip();
        if rows.is_empty() {
            return Ok(DataFrame::empty_with_schema(&Self::quarantine_schema()));
        }
        // Only these rows are processed from here on.
        let rows = IdxCa::from_vec("row".into(), rows);
        let bad = source.frame.take(&rows)?;
        let elements = self.elements(typed, &rows, &broken)?;
        let day = match days {
            Some(days) => days.take(&rows)?,
            None => Series::full_null("day".into(), bad.height(), &DataType::Date),
        };
        let bad = Raw::new(&bad)?;
        let (values, texts) = match layout {
            RawLayout::Columns => self.fields(&bad, &broken)?,
            RawLayout::Json => (self.members(&bad, &broken), bad.text.clone()),
        };
        let values = values.into_iter().zip(elements).map(|(value, element)| element.or(value));
        let names = broken.iter().map(|broken| match broken {
            Broken::Column { column, .. } => Some(self.name_of(*column)),
            Broken::Format | Broken::Check(_) => None,
        });
        let rules = broken.iter().map(|broken| match broken {
            Broken::Format => "format",
            Broken::Column { rule, .. } => rule,
            Broken::Check(check) => self.checks[*check].name.as_str(),
        });
        let frame = DataFrame::new(
            bad.frame.height(),
            vec![
                bad.frame.column(OBJECT)?.clone(),
                bad.frame.column(ROW)?.clone(),
                names.collect::<StringChunked>().with_name("column".into()).into_column(),
                StringChunked::from_iter_values("rule".into(), rules).into_column(),
                StringChunked::from_iter_options("value".into(), values).into_column(),
                texts.with_name("text".into()).into_column(),
                StringChunked::full("contract".into(), &self.fingerprint, bad.frame.height()).into_column(),
                day.with_name("day".into()).into_column(),
                match bad.page {
                    Some(page) => page.clone(),
                    None => Column::full_null(PAGE.into(), bad.frame.height(), &DataType::Int64),
                },
                Column::full_null("healed_by".into(), bad.frame.height(), &DataType::String),
            ],
        )?;
        Ok(frame)
    }

    /// For records in columns: the offending values as text, and each record as a JSON object of its fields' texts.
    fn fields(&self, bad: &Raw, broken: &[Broken]) -> PolarsResult<(Vec<Option<String>>, StringChunked)> {
        let mut fields = Vec::new();
        for column in bad.frame.columns().iter().filter(|column| is_field(column.name())) {
            fields.push((column.name().clone(), texts_of(column.as_materialized_series())?));
        }
        let text = |column: &str, row: usize| {
            let field = fields.iter().find(|(name, _)| name == column);
            field.and_then(|(_, texts)| texts.get(row)).map(str::to_owned)
        };
        let mut values = Vec::with_capacity(broken.len());
        let mut texts = StringChunkedBuilder::new("text".into(), broken.len());
        for (row, broken) in broken.iter().enumerate() {
            values.push(match broken {
                Broken::Format => bad.fault.get(row).map(str::to_owned),
                Broken::Check(_) => None,
                Broken::Column { column, rule } => {
                    let column = self.columns.get(*column);
                    column.and_then(|column| value_or_reason(column, rule, text(&column.from, row)))
                }
            });
            match bad.text.get(row) {
                Some(original) => texts.append_value(original),
                None => texts.append_value(object(fields.iter().map(|(name, texts)| (name.as_str(), texts.get(row))))),
            }
        }
        Ok((values, texts.finish()))
    }

    /// For JSON records: the offending members, found by reading these few records once more.
    fn members(&self, bad: &Raw, broken: &[Broken]) -> Vec<Option<String>> {
        let mut scanner = self.layout.scanner();
        let mut value = |row: usize, broken: &Broken| {
            if let Some(fault) = bad.fault.get(row) {
                return Some(fault.to_owned());
            }
            let mut slots = vec![Member::Null; self.layout.slots()];
            if let Err(fault) = scanner.record(bad.text.get(row)?, &mut slots) {
                return Some(fault.to_string());
            }
            let Broken::Column { column, rule } = broken else { return None };
            let plan = self.columns.get(*column)?;
            let mut unescaped = String::new();
            let text = slots[self.layout.slot(*column)].text(&mut unescaped).map(str::to_owned);
            value_or_reason(plan, rule, text)
        };
        broken.iter().enumerate().map(|(row, broken)| value(row, broken)).collect()
    }

    /// For each broken row whose broken rule is that of an array element: the offending value of that element.
    fn elements(&self, typed: &DataFrame, rows: &IdxCa, broken: &[Broken]) -> PolarsResult<Vec<Option<String>>> {
        let mut found = Vec::with_capacity(broken.len());
        for (row, broken) in rows.iter().zip(broken) {
            let (Some(row), Broken::Column { column, rule }) = (row, broken) else {
                found.push(None);
                continue;
            };
            let Some((explode, nth)) = self.element(*column) else {
                found.push(None);
                continue;
            };
            let texts = typed.column(&explode.elements.column)?.str()?;
            let text = texts.get(row as usize).and_then(|text| explode.elements.violating_value(text, nth, rule));
            found.push(value_or_reason(&explode.elements.columns[nth], rule, text));
        }
        Ok(found)
    }

    /// For the index of a column of array elements: the array, and the index of the column among those of its elements.
    fn element(&self, column: usize) -> Option<(&Explode, usize)> {
        let explode = self.explodes.iter().rev().find(|explode| explode.first <= column)?;
        Some((explode, column - explode.first))
    }

    /// The name of a column: `quantity`, or `order_items/quantity` for a column of array elements.
    fn name_of(&self, column: usize) -> Cow<'_, str> {
        match self.element(column) {
            Some((explode, nth)) => format!("{}/{}", explode.name, explode.elements.columns[nth].name).into(),
            None => self.columns[column].name.as_str().into(),
        }
    }
}

/// The text, with a reason added if the text looks valid but is not.
fn value_or_reason(column: &Plan, rule: &str, text: Option<String>) -> Option<String> {
    let text = text?;
    let reason = (rule == "type").then(|| column.cast.explain(&text)).flatten();
    Some(reason.unwrap_or(text))
}

/// The values of a source column as texts. A value without a text form (a list, bytes that are not UTF-8) is shown as polars prints it.
fn texts_of(series: &Series) -> PolarsResult<StringChunked> {
    if let Ok(texts) = series.cast(&DataType::String)
        && texts.null_count() == series.null_count()
    {
        return Ok(texts.str()?.clone());
    }
    Ok(series.iter().map(|value| (!value.is_null()).then(|| value.to_string())).collect())
}

fn object<'f>(fields: impl Iterator<Item = (&'f str, Option<&'f str>)>) -> String {
    // A text is always valid JSON once quoted.
    let quote = |text: &str| sonic_rs::to_string(text).unwrap_or_default();
    let members: Vec<String> = fields
        .map(|(name, text)| format!("{}:{}", quote(name), text.map_or_else(|| "null".to_owned(), quote)))
        .collect();
    format!("{{{}}}", members.join(","))
}
