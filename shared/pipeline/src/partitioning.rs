//! The partitioning of a dataset: partition column, length of a partition, and time zone of its days. It is a property of the dataset, not
//! of the pipeline that reads it; see [`crate::Graph::partitioning`]. Time is passed in; nothing here reads a clock.
//!
//! Partitions of different datasets are matched by calendar day, as in an SQL join. The time zone determines only when a day ends.

use std::fmt;

use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

use crate::definition::column::Type;
use crate::definition::contract::{Contract, Every};
use crate::definition::model::{Model, ModelKind};
use crate::name::{ColumnName, DatasetName};
use crate::raw;

/// How a dataset is partitioned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Partitioning {
    /// The partition column.
    pub column: ColumnName,
    pub granularity: Granularity,
    /// Time zone of the partitions' days.
    #[serde(serialize_with = "jiff::fmt::serde::tz::required::serialize")]
    pub timezone: TimeZone,
}

/// Length of a partition, in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Granularity {
    /// One partition per day. The value is the date.
    Day,
    /// One partition per value of the column. A value with the form of a date is that day, because text columns and models may contain
    /// dates.
    Value,
    /// One partition per month. The value is its first day.
    Month,
}

impl From<Every> for Granularity {
    fn from(every: Every) -> Granularity {
        match every {
            Every::Day => Granularity::Day,
            Every::Month => Granularity::Month,
        }
    }
}

/// The days that a partition covers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionPeriod {
    /// Partition of rows whose partition column is NULL. It is never complete.
    Undated,
    /// First and last day, both included.
    Days { first: Date, last: Date },
    /// Partition of a value that is not a date. It is never complete.
    Value(String),
}

impl PartitionPeriod {
    pub fn first_day(&self) -> Option<Date> {
        match self {
            PartitionPeriod::Days { first, .. } => Some(*first),
            PartitionPeriod::Undated | PartitionPeriod::Value(_) => None,
        }
    }
}

/// The first day, or the value.
impl fmt::Display for PartitionPeriod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PartitionPeriod::Undated => f.write_str("without a date"),
            PartitionPeriod::Days { first, .. } => first.fmt(f),
            PartitionPeriod::Value(value) => f.write_str(value),
        }
    }
}

impl Partitioning {
    /// Partitioning of a raw dataset or a quarantine: by object.
    pub fn for_objects() -> Partitioning {
        Partitioning {
            column: ColumnName::for_added(raw::OBJECT),
            granularity: Granularity::Value,
            timezone: TimeZone::UTC,
        }
    }

    /// Partitioning of a clean dataset; `None` if it is not partitioned.
    pub fn for_contract(contract: &Contract) -> Option<Partitioning> {
        let by = contract.partition_by.as_ref()?;
        let ty = contract.columns.iter().find(|column| column.name == by.column).map(|column| column.ty);
        let granularity = match by.every {
            Some(every) => every.into(),
            None if ty == Some(Type::Date) => Granularity::Day,
            None => Granularity::Value,
        };
        let timezone = by.timezone.as_deref().and_then(zone_of);
        Some(Partitioning { column: by.name.clone(), granularity, timezone: timezone.unwrap_or(TimeZone::UTC) })
    }

    /// Partitioning of a model, derived from those of its inputs; `None` if it is not partitioned.
    ///
    /// - `every` and `timezone` of its definition take precedence. Without `timezone` the time zone is that of the inputs.
    /// - Exploded arrays have the partitioning of their parent.
    /// - Otherwise it is copied from an input that is partitioned by a column of the same name; if there is none and the model is
    ///   incremental, from an input partitioned by days or months. Of several inputs, the first with the shortest partitions is used,
    ///   because each of these lies within one of the longer partitions.
    /// - Otherwise there is one partition per value, in the time zone of the inputs; in UTC if these differ.
    pub fn for_model<'g>(model: &Model, of: impl Fn(&DatasetName) -> Option<&'g Partitioning>) -> Option<Partitioning> {
        let column = model.partition_by.as_ref()?;
        let inputs: Vec<&Partitioning> = model.inputs.iter().filter_map(of).collect();
        let same = match (&model.periods, &model.kind) {
            (Some(_), _) => None,
            (None, ModelKind::Explode(_)) => inputs.first(),
            (None, ModelKind::Sql(_)) => {
                let shortest = |is_one: &dyn Fn(&Partitioning) -> bool| {
                    inputs.iter().filter(|input| is_one(input)).min_by_key(|input| input.granularity)
                };
                let named = shortest(&|input| input.column == *column);
                named.or_else(|| shortest(&|input| model.incremental.is_some() && input.has_days()))
            }
        };
        if let Some(same) = same {
            return Some(Partitioning { column: column.clone(), ..(*same).clone() });
        }
        let mut zones = inputs.iter().filter(|input| input.has_days()).map(|input| &input.timezone);
        let zone = zones.next().filter(|first| zones.all(|other| other == *first));
        let declared = model.periods.as_ref().and_then(|periods| zone_of(periods.timezone.as_deref()?));
        let timezone = declared.or(zone.cloned()).unwrap_or(TimeZone::UTC);
        let granularity = model.periods.as_ref().map_or(Granularity::Value, |periods| periods.every.into());
        Some(Partitioning { column: column.clone(), granularity, timezone })
    }

    /// Whether the partitions are known to be days or months. False for objects, and for a contract's column without `every`.
    fn has_days(&self) -> bool {
        self.granularity != Granularity::Value || self.timezone != TimeZone::UTC
    }

    /// The period of the partition with this value; `None` if the value should be a date and is not.
    pub fn period(&self, value: Option<&str>) -> Option<PartitionPeriod> {
        let Some(value) = value else { return Some(PartitionPeriod::Undated) };
        match (value.parse(), self.granularity) {
            (Ok(day), _) if !raw::is_reserved(self.column.as_str()) => Some(self.period_containing(day)),
            (_, Granularity::Value) => Some(PartitionPeriod::Value(value.to_owned())),
            (_, Granularity::Day | Granularity::Month) => None,
        }
    }

    /// The period that contains a day.
    fn period_containing(&self, day: Date) -> PartitionPeriod {
        match self.granularity {
            Granularity::Day | Granularity::Value => PartitionPeriod::Days { first: day, last: day },
            Granularity::Month => PartitionPeriod::Days { first: day.first_of_month(), last: day.last_of_month() },
        }
    }

    /// The instant at which the period's last day ends in the dataset's time zone; `None` if the period has no days.
    pub fn end(&self, period: &PartitionPeriod) -> Option<Timestamp> {
        let PartitionPeriod::Days { last, .. } = period else { return None };
        let midnight = last.tomorrow().ok()?.to_datetime(jiff::civil::Time::midnight());
        let ambiguous = self.timezone.to_ambiguous_timestamp(midnight);
        match ambiguous.offset() {
            // midnight lies in a gap: the day ends where the gap starts
            AmbiguousOffset::Gap { .. } => {
                let before = ambiguous.earlier().ok()?;
                self.timezone.following(before).next().map(|transition| transition.timestamp())
            }
            AmbiguousOffset::Fold { .. } | AmbiguousOffset::Unambiguous { .. } => ambiguous.later().ok(),
        }
    }

    /// Whether the watermark has reached the end of the period.
    pub fn is_complete(&self, period: &PartitionPeriod, watermark: Option<Timestamp>) -> bool {
        self.end(period).zip(watermark).is_some_and(|(end, mark)| end <= mark)
    }

    /// The periods of this dataset that a period of a model reads: those that contain one of its days, or one of the `lookback_days` before
    /// it. A period without days reads the same period.
    pub fn read_by(&self, of_model: &PartitionPeriod, lookback_days: u32) -> Vec<PartitionPeriod> {
        match of_model {
            PartitionPeriod::Days { first, last } => {
                let from = first.checked_sub(Span::new().days(lookback_days)).unwrap_or(Date::MIN);
                self.between(from, *last)
            }
            alone => vec![alone.clone()],
        }
    }

    /// The periods of this model that read a period of an input; the inverse of [`Partitioning::read_by`].
    pub fn reading(&self, of_input: &PartitionPeriod, lookback_days: u32) -> Vec<PartitionPeriod> {
        match of_input {
            PartitionPeriod::Days { first, last } => {
                let until = last.checked_add(Span::new().days(lookback_days)).unwrap_or(Date::MAX);
                self.between(*first, until)
            }
            alone => vec![alone.clone()],
        }
    }

    /// The periods that contain a day from `from` to `until`, in order.
    fn between(&self, from: Date, until: Date) -> Vec<PartitionPeriod> {
        let mut periods = Vec::new();
        let mut next = Some(from);
        while let Some(day) = next.filter(|day| *day <= until) {
            let period = self.period_containing(day);
            next = match &period {
                PartitionPeriod::Days { last, .. } => last.tomorrow().ok(),
                PartitionPeriod::Undated | PartitionPeriod::Value(_) => None,
            };
            periods.push(period);
        }
        periods
    }

    /// Whether a period of this model is complete: each input's watermark has reached its end, and the end of each period that it reads
    /// from this input. `inputs` are the partitioning and watermark of each input. False without inputs.
    pub fn is_model_complete<'p>(
        &self,
        period: &PartitionPeriod,
        inputs: impl IntoIterator<Item = (Option<&'p Partitioning>, Option<Timestamp>)>,
    ) -> bool {
        let mut inputs = inputs.into_iter().peekable();
        inputs.peek().is_some()
            && inputs.all(|(input, mark)| {
                let read = input.filter(|input| input.has_days());
                // the lookback adds earlier periods only
                let last = read.and_then(|input| Some((input, input.read_by(period, 0).pop()?)));
                self.is_complete(period, mark) && last.is_none_or(|(input, last)| input.is_complete(&last, mark))
            })
    }
}

/// The time zone with this name; names were checked when the definition was read.
fn zone_of(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

#[cfg(test)]
mod tests;
