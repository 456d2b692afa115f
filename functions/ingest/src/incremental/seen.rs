//! What of an overlap is in the raw dataset already, to the letter: it need not come again. And what is not, though it is of a time that had
//! been read: that came late. Nothing is kept for it; only where something is new, the rows of the last runs are read.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use tidemark_flow::{Context, Failure};
use tidemark_lake::{DataFile, Table};
use tidemark_pipeline::raw::{ARRIVED_IN, TEXT};

use super::bookmark::{Bookmark, from};
use crate::http::gather::{Clocked, hash_of};

/// How much is read at most.
const FILES: usize = 32;
const BYTES: u64 = 64 << 20;

/// Where the overlap can be looked up.
pub(crate) struct Overlap<'a> {
    pub context: &'a Context<'a>,
    pub table: &'a Table,
    pub live: &'a [DataFile],
    /// Up to when records have been seen, and how many of them can come again.
    pub reached: Timestamp,
    records: u64,
    from: i64,
}

/// The records of the last runs that may come again.
#[derive(Default)]
pub(crate) struct Known {
    /// In which version each came last.
    records: HashMap<u128, i64>,
    /// And any other of its time.
    times: HashMap<i64, i64>,
    /// None of them is missing.
    is_whole: bool,
}

impl<'a> Overlap<'a> {
    /// `None` where there is none, or where everything is to be read anew.
    pub(crate) fn of(
        context: &'a Context<'a>,
        table: Option<&'a Table>,
        live: &'a [DataFile],
        bookmark: &Bookmark,
        clocked: Option<&Clocked<'_>>,
    ) -> Option<Overlap<'a>> {
        let (table, reached, tail) = (table?, bookmark.reached?, bookmark.tail?);
        let from = from(clocked?.since, Some(reached))?.as_microsecond();
        Some(Overlap { context, table, live, reached, records: tail.records, from })
    }

    /// Reads the newest rows until all of the overlap has been met.
    pub(crate) fn known(&self, clocked: &Clocked<'_>) -> Result<Known, Failure> {
        let came =
            |file: &DataFile| file.partition.get(ARRIVED_IN).and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
        let mut files: Vec<&DataFile> = self.live.iter().collect();
        files.sort_by_key(|file| std::cmp::Reverse(came(file)));
        let (mut known, mut bytes) = (Known::default(), 0);
        for file in files.into_iter().take(FILES) {
            bytes += file.bytes;
            if known.records.len() as u64 >= self.records || bytes > BYTES {
                break;
            }
            for rows in self.table.batches(self.context.lake, file)? {
                let rows = rows?;
                let Ok(texts) = rows.column(TEXT).and_then(|texts| texts.str()) else { continue };
                for (text, time) in texts.iter().zip(clocked.of(texts)?) {
                    if let (Some(text), Some(time)) = (text, time)
                        && time >= self.from
                    {
                        known.records.entry(hash_of(text)).or_insert_with(|| came(file));
                        known.times.entry(time).or_insert_with(|| came(file));
                    }
                }
            }
        }
        known.is_whole = known.records.len() as u64 >= self.records;
        Ok(known)
    }
}

impl Known {
    /// Whether a record is there as it is, and nothing of its time has come behind it that it might undo.
    pub(crate) fn has(&self, hash: u128, time: i64) -> bool {
        self.records.get(&hash).is_some_and(|came| self.times.get(&time) == Some(came))
    }

    /// Whether a record that is not there is certain not to have been there.
    pub(crate) fn is_whole(&self) -> bool {
        self.is_whole
    }
}

/// Records that came behind what had been seen: how many, and the oldest.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Late {
    pub records: u64,
    pub oldest: Option<Timestamp>,
}

impl Late {
    pub(crate) fn add(&mut self, time: i64) {
        let Ok(time) = Timestamp::from_microsecond(time) else { return };
        self.records += 1;
        self.oldest = Some(self.oldest.map_or(time, |oldest| oldest.min(time)));
    }

    /// `3 records came up to 47m late; lookback = "2h" has room for that`
    pub(crate) fn note(&self, reached: Timestamp, lookback_s: u64) -> Option<String> {
        let late = reached.duration_since(self.oldest?);
        let lookback = SignedDuration::from_secs(i64::try_from(lookback_s).unwrap_or(i64::MAX));
        let advice = match lookback >= late * 2 {
            true => format!("lookback = \"{}\" has room for that", short(lookback)),
            false => format!("lookback = \"{}\" would be safer than \"{}\"", suggested(late), short(lookback)),
        };
        let who = if self.records == 1 { "1 record came" } else { &format!("{} records came", self.records) };
        Some(format!("{who} up to {} late; {advice}", short(late)))
    }
}

/// Twice as long, rounded up to what one would write.
fn suggested(late: SignedDuration) -> String {
    let wanted = late.as_secs().saturating_mul(2).max(60);
    let steps = [60, 300, 900, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200, 86_400];
    let seconds = steps.into_iter().find(|step| *step >= wanted).unwrap_or((wanted + 86_399) / 86_400 * 86_400);
    short(SignedDuration::from_secs(seconds))
}

/// `90s`, `15m`, `2h`, `1d`: the largest unit that says it without much loss.
fn short(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7_199 if seconds % 3_600 != 0 => format!("{}m", seconds / 60),
        3_600..=172_799 if seconds % 86_400 != 0 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_one_writes_them() {
        let of = |seconds| (short(SignedDuration::from_secs(seconds)), suggested(SignedDuration::from_secs(seconds)));
        assert_eq!(of(30), ("30s".into(), "60s".into()));
        assert_eq!(of(2_820), ("47m".into(), "2h".into()));
        assert_eq!(of(7_200), ("2h".into(), "4h".into()));
        assert_eq!(of(86_400), ("1d".into(), "2d".into()));
        assert_eq!(of(200_000), ("2d".into(), "5d".into()));
    }
}
