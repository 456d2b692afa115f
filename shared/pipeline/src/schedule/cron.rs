//! Cron expressions of AWS, with six fields: minute, hour, day of month, month, day of week, year.
//!
//! No cron crate is used, because those also accept nicknames, seconds and the weekday numbers of Unix, which EventBridge rejects. An
//! expression that `tidemark check` accepts must be deployable. Rules:
//! <https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html#cron-based>

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use jiff::civil::{Date, DateTime, Weekday};
use serde::{Serialize, Serializer};

/// A valid cron expression, created by parsing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    text: String,
    minutes: Numbers,
    hours: Numbers,
    days: Days,
    months: Numbers,
    years: Numbers,
}

/// A cron expression that EventBridge does not accept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found}; expected {expected}")]
pub struct CronError {
    /// Byte offset of the field in the expression.
    pub at: usize,
    pub found: String,
    pub expected: String,
}

/// The values of a field, sorted and unique.
type Numbers = Vec<i16>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Days {
    OfMonth(Numbers),
    LastOfMonth,
    /// `15W`: the weekday (Monday to Friday) nearest to the day, within its month.
    NearestWeekday(i8),
    /// 1 = Sunday.
    OfWeek(Numbers),
    /// `6L`: the last Friday.
    LastWeekday(i8),
    /// `3#2`: the second Tuesday.
    NthWeekday {
        weekday: i8,
        nth: i8,
    },
}

struct Field {
    name: &'static str,
    low: i16,
    high: i16,
    /// Names of the values `low`, `low + 1`, …
    names: &'static [&'static str],
    allowed: &'static str,
}

const MINUTE: Field = Field { name: "minute", low: 0, high: 59, names: &[], allowed: "0-59 with , - * /" };
const HOUR: Field = Field { name: "hour", low: 0, high: 23, names: &[], allowed: "0-23 with , - * /" };
const DAY_OF_MONTH: Field =
    Field { name: "day-of-month", low: 1, high: 31, names: &[], allowed: "1-31 with , - * / or one of ? L 15W" };
const MONTH: Field = Field {
    name: "month",
    low: 1,
    high: 12,
    names: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
    allowed: "1-12 or JAN-DEC with , - * /",
};
const DAY_OF_WEEK: Field = Field {
    name: "day-of-week",
    low: 1,
    high: 7,
    names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
    allowed: "1-7 (1 = SUN) or SUN-SAT with , - * or one of ? L 6L FRI#2",
};
const YEAR: Field = Field { name: "year", low: 1970, high: 2199, names: &[], allowed: "1970-2199 with , - * /" };
/// First day of the years allowed.
const FIRST_DAY: Date = Date::constant(1970, 1, 1);
const SIX_FIELDS: &str = "six fields: minute hour day-of-month month day-of-week year, as in `0 8 * * ? *`";

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        let fields: Vec<(usize, &str)> =
            text.split(' ').scan(0, |at, word| Some((std::mem::replace(at, *at + word.len() + 1), word))).collect();
        let fields: Vec<(usize, &str)> = fields.into_iter().filter(|(_, word)| !word.is_empty()).collect();
        if text.trim_start().starts_with("cron(") {
            let found = "`cron(…)` around the fields".to_owned();
            return Err(CronError { at: 0, found, expected: SIX_FIELDS.to_owned() });
        }
        let [minute, hour, day, month, weekday, year] = fields.as_slice() else {
            let found = if fields.len() == 1 { "1 field".to_owned() } else { format!("{} fields", fields.len()) };
            return Err(CronError { at: 0, found, expected: SIX_FIELDS.to_owned() });
        };
        let days = match (day.1, weekday.1) {
            ("?", "?") => return Err(both(day.0, "`?` for both day-of-month and day-of-week")),
            (_, "?") => days_of_month(*day)?,
            ("?", _) => days_of_week(*weekday)?,
            _ => return Err(both(day.0, "both day-of-month and day-of-week are given")),
        };
        let cron = Cron {
            text: fields.iter().map(|(_, word)| *word).collect::<Vec<_>>().join(" "),
            minutes: numbers(&MINUTE, *minute)?,
            hours: numbers(&HOUR, *hour)?,
            days,
            months: numbers(&MONTH, *month)?,
            years: numbers(&YEAR, *year)?,
        };
        if cron.days_from(FIRST_DAY).next().is_some() {
            return Ok(cron);
        }
        let found = "a day that no month of the schedule has".to_owned();
        Err(CronError { at: day.0, found, expected: "a date that exists".to_owned() })
    }
}

fn both(at: usize, found: &str) -> CronError {
    CronError { at, found: found.to_owned(), expected: "`?` for exactly one of the two".to_owned() }
}

fn days_of_month((at, word): (usize, &str)) -> Result<Days, CronError> {
    if word == "L" {
        return Ok(Days::LastOfMonth);
    }
    match word.strip_suffix('W') {
        Some(day) => one(&DAY_OF_MONTH, day).map(Days::NearestWeekday).ok_or_else(|| wrong(&DAY_OF_MONTH, at, word)),
        None => numbers(&DAY_OF_MONTH, (at, word)).map(Days::OfMonth),
    }
}

fn days_of_week((at, word): (usize, &str)) -> Result<Days, CronError> {
    let wrong = || wrong(&DAY_OF_WEEK, at, word);
    if word == "L" {
        // Saturday, the last day of the week
        return Ok(Days::OfWeek(vec![7]));
    }
    if let Some((day, nth)) = word.split_once('#') {
        let nth: i8 = nth.parse().ok().filter(|nth| (1..=5).contains(nth)).ok_or_else(wrong)?;
        return one(&DAY_OF_WEEK, day).map(|weekday| Days::NthWeekday { weekday, nth }).ok_or_else(wrong);
    }
    if let Some(day) = word.strip_suffix('L') {
        return one(&DAY_OF_WEEK, day).map(Days::LastWeekday).ok_or_else(wrong);
    }
    if word.contains('/') {
        return Err(wrong());
    }
    numbers(&DAY_OF_WEEK, (at, word)).map(Days::OfWeek)
}

fn one(field: &Field, word: &str) -> Option<i8> {
    number(field, word).and_then(|number| i8::try_from(number).ok())
}

fn number(field: &Field, word: &str) -> Option<i16> {
    let named = field.names.iter().zip(field.low..).find(|(name, _)| name.eq_ignore_ascii_case(word));
    let plain = || word.bytes().all(|b| b.is_ascii_digit()).then(|| word.parse().ok()).flatten();
    named.map(|(_, number)| number).or_else(plain).filter(|number| (field.low..=field.high).contains(number))
}

/// `*`, `5`, `1-5`, `*/2`, `1/10`, `10-30/5` and lists of them.
fn numbers(field: &Field, (at, word): (usize, &str)) -> Result<Numbers, CronError> {
    let mut all = Numbers::new();
    let mut at = at;
    for item in word.split(',') {
        let set = item_numbers(field, item).ok_or_else(|| wrong(field, at, item))?;
        all.extend(set);
        at += item.len() + 1;
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

fn item_numbers(field: &Field, item: &str) -> Option<Vec<i16>> {
    let (range, step) = match item.split_once('/') {
        Some((range, step)) if step.bytes().all(|b| b.is_ascii_digit()) => (range, step.parse::<u16>().ok()?),
        Some(_) => return None,
        None => (item, 1),
    };
    let (low, high) = match range.split_once('-') {
        _ if range == "*" => (field.low, field.high),
        Some((low, high)) => (number(field, low)?, number(field, high)?),
        // the range of `5/10` ends with the field's maximum
        None if item.contains('/') => (number(field, range)?, field.high),
        None => (number(field, range)?, number(field, range)?),
    };
    (step > 0 && low <= high).then(|| (low..=high).step_by(usize::from(step)).collect())
}

fn wrong(field: &Field, at: usize, found: &str) -> CronError {
    let found = match found {
        "" => format!("an empty {} field", field.name),
        _ => format!("{} in the {} field", crate::diagnostic::quoted(found), field.name),
    };
    CronError { at, found, expected: field.allowed.to_owned() }
}

impl Cron {
    /// The six fields, one space between them.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The local times at which it fires, after `local`. Years, months and hours that do not match are skipped as a whole, because the
    /// watcher calls this often, and a cron may match a single day of a distant year.
    pub(super) fn after(&self, local: DateTime) -> impl Iterator<Item = DateTime> {
        let (today, now) = (local.date(), (local.hour(), local.minute()));
        self.days_from(today).flat_map(move |day| {
            let hours = if day == today { now.0..=23 } else { 0..=23 };
            let times = self.times(hours).filter(move |time| day > today || *time > now);
            times.map(move |(hour, minute)| day.at(hour, minute, 0, 0))
        })
    }

    /// The local times at which it fires, backwards from `local`, including it.
    pub(super) fn until(&self, local: DateTime) -> impl Iterator<Item = DateTime> {
        let (today, now) = (local.date(), (local.hour(), local.minute()));
        self.days_until(today).flat_map(move |day| {
            let hours = if day == today { 0..=now.0 } else { 0..=23 };
            let times = self.times(hours).rev().filter(move |time| day < today || *time <= now);
            times.map(move |(hour, minute)| day.at(hour, minute, 0, 0))
        })
    }

    fn days_from(&self, first: Date) -> impl Iterator<Item = Date> {
        let from = (first.year(), first.month());
        let years = self.years.iter().skip(self.years.partition_point(|year| *year < from.0));
        let months = years.flat_map(|year| self.months_of(*year)).skip_while(move |month| *month < from);
        months.flat_map(move |month| self.days_of(month, if month == from { first.day()..=31 } else { 1..=31 }))
    }

    fn days_until(&self, last: Date) -> impl Iterator<Item = Date> {
        let until = (last.year(), last.month());
        let years = self.years.iter().take(self.years.partition_point(|year| *year <= until.0)).rev();
        let months = years.flat_map(|year| self.months_of(*year).rev()).skip_while(move |month| *month > until);
        months.flat_map(move |month| self.days_of(month, if month == until { 1..=last.day() } else { 1..=31 }).rev())
    }

    fn months_of(&self, year: i16) -> impl DoubleEndedIterator<Item = (i16, i8)> {
        self.months.iter().map(move |month| (year, small(*month)))
    }

    fn days_of(&self, (year, month): (i16, i8), days: RangeInclusive<i8>) -> impl DoubleEndedIterator<Item = Date> {
        days.filter_map(move |day| Date::new(year, month, day).ok()).filter(|day| self.has_day(*day))
    }

    /// Times of day at which it fires, within these hours, in order.
    fn times(&self, hours: RangeInclusive<i8>) -> impl DoubleEndedIterator<Item = (i8, i8)> {
        let hours = self.hours.iter().map(|hour| small(*hour)).filter(move |hour| hours.contains(hour));
        hours.flat_map(|hour| self.minutes.iter().map(move |minute| (hour, small(*minute))))
    }

    /// Whether it fires on this day of a matching month.
    fn has_day(&self, day: Date) -> bool {
        match &self.days {
            Days::OfMonth(days) => days.binary_search(&day.day().into()).is_ok(),
            Days::LastOfMonth => day.day() == day.days_in_month(),
            Days::NearestWeekday(wanted) => day.day() == nearest_weekday(day, *wanted),
            Days::OfWeek(days) => days.binary_search(&weekday(day).into()).is_ok(),
            Days::LastWeekday(wanted) => weekday(day) == *wanted && day.day() + 7 > day.days_in_month(),
            Days::NthWeekday { weekday: wanted, nth } => weekday(day) == *wanted && (day.day() - 1) / 7 + 1 == *nth,
        }
    }
}

/// Converts a value of a field other than the year; these are below 60.
fn small(number: i16) -> i8 {
    i8::try_from(number).unwrap_or_default()
}

/// Day of the week; 1 = Sunday.
fn weekday(day: Date) -> i8 {
    day.weekday().to_sunday_one_offset()
}

/// The day from Monday to Friday that is nearest to day `wanted` within the month of `month`; 0 if the month has no such day.
fn nearest_weekday(month: Date, wanted: i8) -> i8 {
    let last = month.days_in_month();
    let Ok(day) = Date::new(month.year(), month.month(), wanted) else {
        return 0;
    };
    match day.weekday() {
        Weekday::Saturday if wanted == 1 => 3,
        Weekday::Saturday => wanted - 1,
        Weekday::Sunday if wanted == last => wanted - 2,
        Weekday::Sunday => wanted + 1,
        _ => wanted,
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Cron {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
