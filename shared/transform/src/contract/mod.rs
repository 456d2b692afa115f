//! Applies a contract to raw rows. Every raw row becomes a clean row or a quarantined row, or is dropped by a filter and counted.
//!
//! A row that breaks the contract is quarantined; it is never an error and never dropped. A [`ContractError`] means that the contract
//! itself is invalid or cannot be applied to these rows.

mod cast;
mod drift;
mod explode;
mod fault;
mod fields;
mod json;
mod partition;
mod plan;
mod quarantine;
mod rules;
mod source;
mod times;

use polars::prelude::*;

use tidemark_pipeline::definition::{self, Contract, Rule};

use self::cast::native::from_native;
pub use self::drift::{Drift, Unknown};
use self::explode::Elementwise;
pub use self::explode::Exploder;
use self::fault::{Faults, Place};
pub use self::fields::{FieldKind, MAX_FIELDS};
use self::json::Layout;
use self::partition::Partition;
use self::plan::Plan;
use self::source::Raw;
use crate::error::ContractError;
use crate::sql::expression;

pub use self::times::Times;

/// The columns of raw rows besides `_text`, `_fault`, `_object` and `_row`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawLayout {
    /// One column per field, as text (CSV) or typed (Parquet).
    Columns,
    /// No other columns: the record is JSON in `_text`.
    Json,
}

/// A contract, compiled once and applied to any number of raw frames.
#[derive(Debug)]
pub struct Cleaner {
    columns: Vec<Plan>,
    layout: Layout,
    explodes: Vec<Explode>,
    partition: Option<Partition>,
    checks: Vec<Condition>,
    filters: Vec<Condition>,
    schema: Schema,
    fingerprint: String,
}

/// A column of arrays whose elements are checked against rules too.
#[derive(Debug)]
struct Explode {
    name: String,
    /// Index of the column that holds the arrays.
    at: usize,
    /// Index of the first column of the elements. The contract's own columns are numbered first.
    first: usize,
    elements: Elementwise,
}

/// Number of rows dropped by each filter.
pub type Dropped = Vec<(String, u64)>;

/// A named SQL expression that is true, false or NULL for every row.
#[derive(Debug)]
struct Condition {
    name: String,
    expr: Expr,
}

/// The result of applying a contract to raw rows, in the order of the raw rows:
/// `raw.height() == rows.height() + quarantined.height() + Σ filtered`.
#[derive(Debug)]
pub struct Cleaned {
    /// Clean rows with the columns of [`Cleaner::schema`].
    pub rows: DataFrame,
    /// One row per record: `_object`, `_row` (Int64), `column`, `rule`, `value`, `text`, `contract`, `day` (Date), `_page`
    /// (Int64), `healed_by`; the others are String. `rule` is `format` for a record that is not valid (`value` is then the reason), the
    /// rule that the first offending column breaks, or the name of a check.
    pub quarantined: DataFrame,
    /// Rows dropped, by filter, in the contract's order; a row is counted for the first filter that is not true.
    pub filtered: Dropped,
    /// Fields of the raw rows that are not in the contract, and fields of the contract that no raw row has.
    pub drift: Drift,
}

impl Cleaner {
    /// Compiles a contract. `fingerprint` is written to every quarantined row, as `contract`.
    ///
    /// # Errors
    /// A bound, format, pattern, time zone or SQL expression that cannot be used. The error names the column and the rule.
    pub fn new(contract: &Contract, fingerprint: &str) -> Result<Cleaner, ContractError> {
        let mut columns = Vec::new();
        let mut schema = Schema::default();
        for column in &contract.columns {
            let column = Plan::new(column)?;
            schema.insert(column.name.as_str().into(), column.cast.dtype());
            columns.push(column);
        }
        let layout = Layout::new(columns.iter().map(|column| column.from.as_str()));
        let explodes = explodes(contract, &columns)?;
        let conditions = |kind, rules: &[Rule]| -> Result<Vec<_>, _> {
            rules.iter().map(|rule| Condition::new(kind, rule, &schema)).collect()
        };
        let checks = conditions("check", &contract.checks)?;
        let filters = conditions("filter", &contract.filters)?;
        let partition = contract.partition_by.as_ref().map(|by| Partition::new(by, &schema)).transpose()?;
        if let Some(name) = partition.as_ref().and_then(Partition::own_column) {
            schema.insert(name.into(), DataType::Date);
        }
        Ok(Cleaner {
            columns,
            layout,
            explodes,
            partition,
            checks,
            filters,
            schema,
            fingerprint: fingerprint.to_owned(),
        })
    }

    /// The clean columns in the contract's order, followed by the partition column if it is not one of them.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Applies the contract to raw rows. An absent JSON member is read as NULL. A raw column must exist, even if it holds only NULLs.
    ///
    /// # Errors
    /// A column that the raw rows lack or have in a type that cannot be cast to the contract's; a check that cannot be computed.
    pub fn clean(&self, raw: &DataFrame, layout: RawLayout) -> Result<Cleaned, ContractError> {
        let source = Raw::new(raw)?;
        let mut faults = Faults::new(raw.height());
        source.mark_faults(&mut faults);
        let (series, drift) = match layout {
            RawLayout::Columns => (self.clean_columns(raw, &mut faults)?, Drift::from_columns(&source, &self.columns)),
            RawLayout::Json => {
                let casts: Vec<_> = self.columns.iter().map(|column| (column.name.as_str(), &column.cast)).collect();
                let (series, tallied) = self.layout.columns(&casts, source.text, &mut faults);
                (series, Drift::from_json(&source, tallied, self.layout.pointers()))
            }
        };
        for (at, (column, series)) in self.columns.iter().zip(&series).enumerate() {
            column.rules.check(series, at, &mut faults)?;
        }
        let mut typed = DataFrame::new(raw.height(), series.into_iter().map(Column::from).collect())?;
        for Explode { at, first, elements, .. } in &self.explodes {
            elements.check(typed.column(&elements.column)?.str()?, *at, *first, &mut faults)?;
        }
        self.check(&typed, &mut faults)?;
        let (keep, filtered) = self.filter(&typed, &faults)?;
        let days = match &self.partition {
            Some(partition) => partition.days(&typed)?,
            None => None,
        };
        if let (Some(partition), Some(days)) = (&self.partition, &days)
            && let Some(name) = partition.own_column()
        {
            typed.with_column(partition.for_days(days)?.with_name(name.into()).into())?;
        }
        let quarantined = self.quarantine(&source, &typed, layout, days.as_ref(), &faults)?;
        let rows = match keep {
            Some(keep) => typed.filter(&keep)?,
            None => typed,
        };
        Ok(Cleaned { rows, quarantined, filtered, drift })
    }

    fn clean_columns(&self, raw: &DataFrame, faults: &mut Faults) -> Result<Vec<Series>, ContractError> {
        let mut series = Vec::with_capacity(self.columns.len());
        for (at, column) in self.columns.iter().enumerate() {
            let Ok(field) = raw.column(&column.from) else { return Err(source::missing(column, raw)) };
            series.push(from_native(&column.cast, &column.name, at, field.as_materialized_series(), faults)?);
        }
        Ok(series)
    }

    fn check(&self, typed: &DataFrame, faults: &mut Faults) -> PolarsResult<()> {
        for (at, holds) in evaluate(typed, &self.checks)?.iter().enumerate() {
            rules::mark(&!holds, Place::check(at, self.width()), faults);
        }
        Ok(())
    }

    /// Number of columns that have rules, including columns of array elements.
    fn width(&self) -> usize {
        self.explodes.last().map_or(self.columns.len(), |explode| explode.first + explode.elements.columns.len())
    }

    /// The mask of rows to keep (None means all), and how many rows each filter dropped.
    fn filter(&self, typed: &DataFrame, faults: &Faults) -> PolarsResult<(Option<BooleanChunked>, Dropped)> {
        let conditions = evaluate(typed, &self.filters)?;
        let mut filtered: Vec<_> = self.filters.iter().map(|filter| (filter.name.clone(), 0)).collect();
        if conditions.is_empty() && !faults.any() {
            return Ok((None, filtered));
        }
        let mut keep: Vec<bool> = (0..typed.height()).map(|row| faults.is_good(row)).collect();
        for (condition, (_, dropped)) in conditions.iter().zip(&mut filtered) {
            for (keep, holds) in keep.iter_mut().zip(condition.iter()) {
                if *keep && holds != Some(true) {
                    *keep = false;
                    *dropped += 1;
                }
            }
        }
        Ok((Some(BooleanChunked::from_slice("keep".into(), &keep)), filtered))
    }
}

fn explodes(contract: &Contract, columns: &[Plan]) -> Result<Vec<Explode>, ContractError> {
    let mut first = columns.len();
    let mut all = Vec::new();
    for definition::Explode { name, column, columns: own } in &contract.explodes {
        let unknown = || ContractError::Elements { column: column.to_string() };
        let at = columns.iter().position(|known| known.name == column.as_str()).ok_or_else(unknown)?;
        let elements = Elementwise::new(column.as_str(), own).map_err(|error| error.within(name.as_str()))?;
        let next = first + elements.columns.len();
        all.push(Explode { name: name.to_string(), at, first, elements });
        first = next;
    }
    Ok(all)
}

impl Condition {
    fn new(kind: &'static str, rule: &Rule, schema: &Schema) -> Result<Condition, ContractError> {
        let invalid = |source| ContractError::Sql { kind, name: rule.name.clone(), source };
        let expr = expression(&rule.sql).map_err(invalid)?;
        let empty = DataFrame::empty_with_schema(schema).lazy();
        let found = empty.select([expr.clone().alias("")]).collect().map_err(invalid)?;
        match found.columns().first().map(Column::dtype) {
            Some(DataType::Boolean) => Ok(Condition { name: rule.name.clone(), expr }),
            other => Err(ContractError::NoCondition {
                kind,
                name: rule.name.clone(),
                found: other.map_or_else(|| "nothing".to_owned(), ToString::to_string),
            }),
        }
    }
}

/// The values of each condition, one per row.
fn evaluate(typed: &DataFrame, conditions: &[Condition]) -> PolarsResult<Vec<BooleanChunked>> {
    if conditions.is_empty() || typed.height() == 0 {
        return Ok(Vec::new());
    }
    let named = conditions.iter().enumerate().map(|(at, condition)| condition.expr.clone().alias(format!("_{at}")));
    let values = typed.clone().lazy().select(named.collect::<Vec<_>>()).collect()?;
    // A condition that only involves constants gives a single value, which holds for all rows.
    let whole = |values: &BooleanChunked| match (values.len(), values.get(0)) {
        (length, _) if length == typed.height() => values.clone(),
        (_, Some(value)) => BooleanChunked::full(values.name().clone(), value, typed.height()),
        (_, None) => BooleanChunked::full_null(values.name().clone(), typed.height()),
    };
    values.columns().iter().map(|column| column.bool().map(whole)).collect()
}

#[cfg(test)]
mod tests;
