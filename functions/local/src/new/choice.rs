//! Chooses the key, the column that orders versions of a row, and the partitions, by the clean rows of the sample.

use std::collections::{BTreeSet, HashSet};

use polars::prelude::{AnyValue, Column, DataFrame, DataType};
use tidemark_pipeline::Every;
use tidemark_pipeline::definition::Type;

use super::column::DraftColumn;
use super::names;
use crate::print;

/// A chosen column, and the evidence for it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chosen {
    pub column: String,
    pub seen: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Partition {
    pub column: String,
    /// Interval, and name of the partition column. None if the column is a date and is used itself.
    pub every: Option<(Every, String)>,
    pub seen: String,
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct Choices {
    pub key: Option<Chosen>,
    /// A possible key, if none is chosen.
    pub key_like: Option<Chosen>,
    pub latest_by: Option<Chosen>,
    pub partition: Option<Partition>,
}

/// Minimum number of rows for a unique column without a key-like name to be chosen as key.
const ENOUGH: usize = 20;
/// Maximum characters of a text in a key column.
const LONGEST_KEY: usize = 64;
/// If the rows span more days than this, partitions are months.
const DAYS: i32 = 90;

impl Choices {
    pub(super) fn from_rows(rows: &DataFrame, columns: &[DraftColumn]) -> Choices {
        let mut choices = Choices::default();
        let stats: Vec<(&DraftColumn, Stats)> = columns
            .iter()
            .filter_map(|draft| Some((draft, Stats::from_column(rows.column(draft.name.as_str()).ok()?))))
            .collect();
        let unique = stats.iter().filter(|(draft, stats)| may_be_key(draft.guess.ty, stats, rows.height()));
        let best = unique.min_by_key(|(draft, _)| rank_of_key(&draft.name));
        let seen = |stats: &Stats| {
            format!("{} of {} values unique", print::count(stats.distinct), print::count(rows.height() as u64))
        };
        match best {
            Some((draft, stats)) if rank_of_key(&draft.name) < NO_NAME || rows.height() >= ENOUGH => {
                choices.key = Some(Chosen { column: draft.name.clone(), seen: seen(stats) });
            }
            _ => {
                // a mostly unique column may be the key of rows that occur more than once
                let candidates = stats.iter().filter(|(draft, stats)| {
                    let is_mostly = stats.nulls == 0 && stats.distinct * 2 > rows.height() as u64;
                    is_mostly && rank_of_key(&draft.name) < NO_NAME
                });
                choices.key_like = candidates
                    .max_by_key(|(draft, stats)| (stats.distinct, std::cmp::Reverse(rank_of_key(&draft.name))))
                    .map(|(draft, stats)| Chosen { column: draft.name.clone(), seen: seen(stats) });
            }
        }
        if choices.key.is_some() {
            let latest =
                stats.iter().find(|(draft, stats)| is_version(&draft.name, draft.guess.ty) && stats.nulls == 0);
            choices.latest_by =
                latest.map(|(draft, _)| Chosen { column: draft.name.clone(), seen: "by its name".into() });
        }
        choices.partition = partition(&stats, rows.height());
        choices
    }
}

/// Statistics of one clean column.
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
                // the number of days of any i64 of microseconds fits into i32
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

/// The rank of a name that does not suggest a key.
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

/// Chooses the partition: the column that most likely is the event time.
fn partition(columns: &[(&DraftColumn, Stats)], rows: usize) -> Option<Partition> {
    let is_mostly_there = |stats: &Stats| stats.nulls * 20 <= rows;
    let times = columns.iter().filter(|(draft, stats)| {
        matches!(draft.guess.ty, Type::Date | Type::Datetime) && stats.days.is_some() && is_mostly_there(stats)
    });
    let (draft, stats) = times.min_by_key(|(draft, _)| rank_of_time(&draft.name))?;
    let (first, last) = stats.days?;
    let day = |days: i32| {
        jiff::civil::date(1970, 1, 1)
            .checked_add(jiff::Span::new().days(days))
            .map(|day| day.to_string())
            .unwrap_or_default()
    };
    let every = if last - first > DAYS { Every::Month } else { Every::Day };
    let seen = format!("{} to {}", day(first), day(last));
    if draft.guess.ty == Type::Date && every == Every::Day {
        return Some(Partition { column: draft.name.clone(), every: None, seen });
    }
    let mut taken: BTreeSet<String> = columns.iter().map(|(draft, _)| draft.name.clone()).collect();
    let stem = ["_at", "_on", "_date", "_time", "_day"].iter().find_map(|end| draft.name.strip_suffix(end));
    let stem = stem.unwrap_or(&draft.name);
    let name = match every {
        Every::Day => format!("{stem}_on"),
        Every::Month => format!("{stem}_month"),
    };
    Some(Partition { column: draft.name.clone(), every: Some((every, names::free(name, &mut taken))), seen })
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
