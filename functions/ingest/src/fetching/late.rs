//! Records that came behind what had been seen already: how many, how late, and what lookback they need. Nothing is kept for it: only if
//! what lies before the bookmark is not what it was, the rows of the last runs are read.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use tidemark_flow::{Failure, Ports};
use tidemark_lake::{DataFile, Table};
use tidemark_pipeline::Http;

use super::bookmark::{Bookmark, Tail};
use super::gather::{Gathered, hash_of};
use crate::listing::ARRIVED_IN;
use crate::source::files::TEXT;

/// How much is read at most to find out what is late.
const FILES: usize = 32;
const BYTES: u64 = 64 << 20;

/// Says in `notes` what came late.
pub(crate) fn note(
    ports: &Ports<'_>,
    base: Option<&Table>,
    live: &[DataFile],
    bookmark: &Bookmark,
    http: &Http,
    gathered: &Gathered<'_>,
    notes: &mut Vec<String>,
) -> Result<(), Failure> {
    let (Some(since), Some(table), Some(reached), Some(tail)) =
        (&http.incremental, base, bookmark.reached, bookmark.tail)
    else {
        return Ok(());
    };
    let mut behind = Tail::default();
    let mut candidates: HashMap<u128, (Timestamp, u64)> = HashMap::new();
    for (time, hash) in gathered.up_to(reached) {
        behind.add(hash);
        candidates.entry(hash).or_insert((time, 0)).1 += 1;
    }
    if behind == tail || candidates.is_empty() {
        return Ok(());
    }
    let came = |file: &DataFile| file.partition.get(ARRIVED_IN).and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
    let mut files: Vec<&DataFile> = live.iter().collect();
    files.sort_by_key(|file| std::cmp::Reverse(came(file)));
    let (mut bytes, mut missing) = (0, tail.records);
    for file in files.into_iter().take(FILES) {
        bytes += file.bytes;
        if missing == 0 || candidates.is_empty() || bytes > BYTES {
            break;
        }
        for rows in table.batches(ports.lake, file)? {
            let rows = rows?;
            let Ok(texts) = rows.column(TEXT).and_then(|texts| texts.str()) else { continue };
            for text in texts.iter().flatten() {
                if candidates.remove(&hash_of(text)).is_some() {
                    missing = missing.saturating_sub(1);
                }
            }
        }
    }
    let Some(oldest) = candidates.values().map(|(time, _)| *time).min() else { return Ok(()) };
    let late = reached.duration_since(oldest);
    let records: u64 = candidates.values().map(|(_, records)| records).sum();
    let wanted = suggested(late);
    let lookback = i64::try_from(since.lookback_s).unwrap_or(i64::MAX);
    let advice = match SignedDuration::from_secs(lookback) >= late * 2 {
        true => format!("lookback = \"{}\" has room for that", short(SignedDuration::from_secs(lookback))),
        false => {
            format!("lookback = \"{wanted}\" would be safer than \"{}\"", short(SignedDuration::from_secs(lookback)))
        }
    };
    let who = if records == 1 { "1 record came" } else { &format!("{records} records came") };
    notes.push(format!("{who} up to {} late; {advice}", short(late)));
    Ok(())
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
