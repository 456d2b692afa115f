//! What makes rows out of records: the key, which version of it is the newest, and the partitions. Chosen by the clean rows of the sample.

use std::collections::{BTreeSet, HashSet};

use polars::prelude::{AnyValue, Column, DataFrame, DataType};
use tidemark_pipeline::Every;
use tidemark_pipeline::definition::Type;

use super::column::Drawn;
use super::names;
use crate::print;

/// A column, and what was seen of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chosen {
    pub column: String,
    pub seen: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Partition {
    pub column: String,
    /// `None`: a date is its own partition.
    pub every: Option<(Every, String)>,
    pub seen: String,
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct Choices {
    pub key: Option<Chosen>,
    /// What a key could be, where none is chosen.
    pub key_like: Option<Chosen>,
    pub latest_by: Option<Chosen>,
    pub partition: Option<Partition>,
}

/// Rows below which a column without a telling name is no key, however unique.
const ENOUGH: usize = 20;
/// Characters of a text over which it is no key but something to read.
const LONGEST_KEY: usize = 64;
/// Days over which a partition is a month.
const DAYS: i32 = 90;

impl Choices {
    pub(super) fn from_rows(rows: &DataFrame, columns: &[Drawn]) -> Choices {
        let mut choices = Choices::default();
        let stats: Vec<(&Drawn, Stats)> = columns
            .iter()
            .filter_map(|drawn| Some((drawn, Stats::from_column(rows.column(drawn.name.as_str()).ok()?))))
            .collect();
        let unique = stats.iter().filter(|(drawn, stats)| may_be_key(drawn.guess.ty, stats, rows.height()));
        let best = unique.min_by_key(|(drawn, _)| rank_of_key(&drawn.name));
        let seen = |stats: &Stats| {
            format!("{} of {} values unique", print::count(stats.distinct), print::count(rows.height() as u64))
        };
        match best {
            Some((drawn, stats)) if rank_of_key(&drawn.name) < NO_NAME || rows.height() >= ENOUGH => {
                choices.key = Some(Chosen { column: drawn.name.clone(), seen: seen(stats) });
            }
            _ => {
                // one that is mostly unique may be a key of rows that come more than once
                let most = stats.iter().filter(|(drawn, stats)| {
                    let is_mostly = stats.nulls == 0 && stats.distinct * 2 > rows.height() as u64;
                    is_mostly && rank_of_key(&drawn.name) < NO_NAME
                });
                choices.key_like = most
                    .max_by_key(|(drawn, stats)| (stats.distinct, std::cmp::Reverse(rank_of_key(&drawn.name))))
                    .map(|(drawn, stats)| Chosen { column: drawn.name.clone(), seen: seen(stats) });
            }
        }
        if choices.key.is_some() {
            let latest =
                stats.iter().find(|(drawn, stats)| is_version(&drawn.name, drawn.guess.ty) && stats.nulls == 0);
            choices.latest_by =
                latest.map(|(drawn, _)| Chosen { column: drawn.name.clone(), seen: "by its name".into() });
        }
        choices.partition = partition(&stats, rows.height());
        choices
    }
}

/// Of one clean column.
struct Stats {
    nulls: usize,
    distinct: u64,
    longest: usize,
    /// First and last day, since 1970.
    days: Option<(i32, i32)>,
}

impl Stats {
    fn from_column(column: &Column) -> Stats {
        let mut stats = Stats { nulls: column.null_count(), distinct: 0, longest: 0, days: None };
        let is_text = *column.dtype() == DataType::String;
        let mut seen: HashSet<String> = HashSet::new();
        for at in 0..column.len() {
            let Ok(value) = column.get(at) else { continue };
            let day = match &value {
                AnyValue::Null => continue,
                AnyValue::Date(days) => Some(*days),
                // a day has microseconds enough that this is no more than days
                AnyValue::Datetime(micros, ..) => i32::try_from(micros.div_euclid(86_400_000_000)).ok(),
                _ => None,
            };
            if let Some(day) = day {
                let (first, last) = stats.days.unwrap_or((day, day));
                stats.days = Some((first.min(day), last.max(day)));
            }
            let text = value.get_str().map_or_else(|| value.to_string(), str::to_owned);
            if is_text {
                stats.longest = stats.longest.max(text.chars().count());
            }
            seen.insert(text);
        }
        stats.distinct = seen.len() as u64;
        stats
    }
}

fn may_be_key(ty: Type, stats: &Stats, rows: usize) -> bool {
    let is_kind = matches!(ty, Type::String | Type::Int64 | Type::Date);
    is_kind && rows > 1 && stats.nulls == 0 && stats.distinct == rows as u64 && stats.longest <= LONGEST_KEY
}

/// The rank of a name that tells nothing.
const NO_NAME: usize = 3;

fn rank_of_key(name: &str) -> usize {
    let ends = |words: &[&str]| words.iter().any(|word| name == *word || name.ends_with(&format!("_{word}")));
    match name {
        "id" | "uuid" | "guid" => 0,
        _ if ends(&["id", "uuid", "guid"]) => 1,
        _ if ends(&["key_", "key", "no", "nr", "number", "code", "ref", "reference"]) => 2,
        _ => NO_NAME,
    }
}

fn is_version(name: &str, ty: Type) -> bool {
    let words = ["updated", "modified", "changed", "last_update", "revision", "version"];
    matches!(ty, Type::Datetime | Type::Date | Type::Int64) && words.iter().any(|word| name.contains(word))
}

/// The time at which things happened, most likely.
fn partition(columns: &[(&Drawn, Stats)], rows: usize) -> Option<Partition> {
    let is_mostly_there = |stats: &Stats| stats.nulls * 20 <= rows;
    let times = columns.iter().filter(|(drawn, stats)| {
        matches!(drawn.guess.ty, Type::Date | Type::Datetime) && stats.days.is_some() && is_mostly_there(stats)
    });
    let (drawn, stats) = times.min_by_key(|(drawn, _)| rank_of_time(&drawn.name))?;
    let (first, last) = stats.days?;
    let day = |days: i32| {
        jiff::civil::date(1970, 1, 1)
            .checked_add(jiff::Span::new().days(days))
            .map(|day| day.to_string())
            .unwrap_or_default()
    };
    let every = if last - first > DAYS { Every::Month } else { Every::Day };
    let seen = format!("{} to {}", day(first), day(last));
    if drawn.guess.ty == Type::Date && every == Every::Day {
        return Some(Partition { column: drawn.name.clone(), every: None, seen });
    }
    let mut taken: BTreeSet<String> = columns.iter().map(|(drawn, _)| drawn.name.clone()).collect();
    let stem = ["_at", "_on", "_date", "_time", "_day"].iter().find_map(|end| drawn.name.strip_suffix(end));
    let stem = stem.unwrap_or(&drawn.name);
    let name = match every {
        Every::Day => format!("{stem}_on"),
        Every::Month => format!("{stem}_month"),
    };
    Some(Partition { column: drawn.name.clone(), every: Some((every, names::free(name, &mut taken))), seen })
}

fn rank_of_time(name: &str) -> usize {
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    match name {
        _ if has(&["updated", "modified", "changed", "received", "loaded", "birth", "expire", "end"]) => 9,
        "timestamp" | "time" | "date" | "day" => 0,
        _ if has(&["event", "created", "occurred", "sold", "ordered", "order", "invoice", "placed", "sent"]) => 1,
        _ if has(&["time", "date", "day", "_at", "_on"]) => 2,
        _ => 3,
    }
}
