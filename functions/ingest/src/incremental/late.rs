//! The note on records that came late.

use jiff::{SignedDuration, Timestamp};

/// Records whose time is before the latest time already read: how many, and the oldest.
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

    /// `3 records came up to 47m late; lookback = "2h" is enough for that`
    pub(crate) fn note(&self, reached: Timestamp, lookback: SignedDuration) -> Option<String> {
        let late = reached.duration_since(self.oldest?);
        let advice = match lookback >= late * 2 {
            true => format!("lookback = \"{}\" is enough for that", short(lookback)),
            false => format!("lookback = \"{}\" would be safer than \"{}\"", suggested(late), short(lookback)),
        };
        let who = if self.records == 1 { "1 record came" } else { &format!("{} records came", self.records) };
        Some(format!("{who} up to {} late; {advice}", short(late)))
    }
}

/// Twice the delay, rounded up to a usual duration.
fn suggested(late: SignedDuration) -> String {
    let wanted = late.as_secs().saturating_mul(2).max(60);
    let steps = [60, 300, 900, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200, 86_400];
    let seconds = steps.into_iter().find(|step| *step >= wanted).unwrap_or((wanted + 86_399) / 86_400 * 86_400);
    short(SignedDuration::from_secs(seconds))
}

/// `90s`, `15m`, `2h`, `1d`: the largest unit without much loss of precision.
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
    fn durations_are_written_as_in_a_definition() {
        let of = |seconds| (short(SignedDuration::from_secs(seconds)), suggested(SignedDuration::from_secs(seconds)));
        assert_eq!(of(30), ("30s".into(), "60s".into()));
        assert_eq!(of(2_820), ("47m".into(), "2h".into()));
        assert_eq!(of(7_200), ("2h".into(), "4h".into()));
        assert_eq!(of(86_400), ("1d".into(), "2d".into()));
        assert_eq!(of(200_000), ("2d".into(), "5d".into()));
    }
}
