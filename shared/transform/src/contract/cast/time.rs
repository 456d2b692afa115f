//! Dates, times of day and datetimes from text: ISO 8601 as RFC 3339 profiles it, or strptime formats tried in turn.

pub(crate) const DAY_US: i64 = 86_400_000_000;

/// The parts of a moment found in a text. Which parts are required depends on the type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Days since 1970-01-01.
    pub(crate) day: Option<i32>,
    /// Microseconds since midnight.
    pub(crate) time: Option<i64>,
    /// Seconds east of UTC.
    pub(crate) offset: Option<i32>,
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar. None if the date does not exist or is not in the years 1 to 9999.
/// Howard Hinnant, "chrono-compatible low-level date algorithms", `days_from_civil`.
pub(crate) fn days(year: i32, month: i32, day: i32) -> Option<i32> {
    const LENGTHS: [i32; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = LENGTHS.get(usize::try_from(month - 1).ok()?)? + i32::from(leap && month == 2);
    if !(1..=9999).contains(&year) || !(1..=length).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year / 400;
    let of_era = year - era * 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// Whether an instant (microseconds since 1970) is in the years 1 to 9999 in UTC, the range that every reader of Delta tables supports.
pub(crate) fn in_range(instant: i64) -> bool {
    (-719_162 * DAY_US..2_932_897 * DAY_US).contains(&instant)
}

/// Microseconds since midnight. 24:00 and leap seconds are refused.
pub(crate) fn time_of_day(hour: i64, minute: i64, second: i64, micros: i64) -> Option<i64> {
    let valid = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..60).contains(&second);
    valid.then(|| ((hour * 60 + minute) * 60 + second) * 1_000_000 + micros)
}

/// `2024-01-31`.
pub(crate) fn iso_date(text: &[u8]) -> Option<Moment> {
    if text.len() != 10 {
        return None;
    }
    Some(Moment { day: Some(date_part(text)?), ..Moment::default() })
}

/// `03:04`, `03:04:05`, `03:04:05.678`; digits beyond microseconds are dropped.
pub(crate) fn iso_time(text: &[u8]) -> Option<Moment> {
    let (time, rest) = time_part(text)?;
    rest.is_empty().then_some(Moment { time: Some(time), ..Moment::default() })
}

/// A date and a time separated by `T` or a space, optionally with `Z` or an offset such as `+01:00`. A date alone is not a datetime.
pub(crate) fn iso_datetime(text: &[u8]) -> Option<Moment> {
    let day = date_part(text)?;
    if !matches!(text.get(10)?, b'T' | b't' | b' ') {
        return None;
    }
    let (time, rest) = time_part(text.get(11..)?)?;
    let offset = match rest {
        [] => None,
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), digits @ ..] => {
            let (hours, minutes) = match digits {
                [a, b] => (two(*a, *b)?, 0),
                [a, b, c, d] | [a, b, b':', c, d] => (two(*a, *b)?, two(*c, *d)?),
                _ => return None,
            };
            if hours > 23 || minutes > 59 {
                return None;
            }
            let seconds = (hours * 60 + minutes) * 60;
            Some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => return None,
    };
    Some(Moment { day: Some(day), time: Some(time), offset })
}

fn date_part(text: &[u8]) -> Option<i32> {
    let [a, b, c, d, b'-', e, f, b'-', g, h, ..] = *text else { return None };
    days(two(a, b)? * 100 + two(c, d)?, two(e, f)?, two(g, h)?)
}

fn time_part(text: &[u8]) -> Option<(i64, &[u8])> {
    let [a, b, b':', c, d, rest @ ..] = text else { return None };
    let (second, rest) = match rest {
        [b':', e, f, rest @ ..] => (two(*e, *f)?, rest),
        _ => return Some((time_of_day(two(*a, *b)?.into(), two(*c, *d)?.into(), 0, 0)?, rest)),
    };
    let (micros, rest) = match rest {
        [b'.' | b',', rest @ ..] => fraction(rest)?,
        _ => (0, rest),
    };
    Some((time_of_day(two(*a, *b)?.into(), two(*c, *d)?.into(), second.into(), micros)?, rest))
}

/// Reads one or more fractional digits of a second. Returns them in microseconds, and the rest of the text.
pub(crate) fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let micros = (0..6).fold(0i64, |value, at| value * 10 + digits.get(at).map_or(0, |digit| i64::from(digit - b'0')));
    (end > 0).then_some((micros, rest))
}

#[inline]
pub(crate) fn two(tens: u8, ones: u8) -> Option<i32> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then_some(i32::from(tens) * 10 + i32::from(ones))
}

/// A time of day in the format of clean rows: `HH:MM:SS`, with six fractional digits unless they are all zero.
pub(crate) struct Clock {
    text: [u8; 15],
    length: usize,
}

impl Clock {
    pub(crate) fn new(micros: i64) -> Clock {
        let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
        let mut text = *b"00:00:00.000000";
        let mut put = |at: usize, width: usize, mut value: i64| {
            for digit in text[at..at + width].iter_mut().rev() {
                // A digit is below ten.
                *digit = b'0' + (value % 10) as u8;
                value /= 10;
            }
        };
        put(0, 2, seconds / 3600);
        put(3, 2, seconds / 60 % 60);
        put(6, 2, seconds % 60);
        put(9, 6, micros);
        Clock { text, length: if micros == 0 { 8 } else { 15 } }
    }
}

impl AsRef<str> for Clock {
    fn as_ref(&self) -> &str {
        std::str::from_utf8(&self.text[..self.length]).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> Option<(i64, Option<i32>)> {
        let moment = iso_datetime(text.as_bytes())?;
        Some((i64::from(moment.day?) * DAY_US + moment.time?, moment.offset))
    }

    #[test]
    fn day_numbers_are_consecutive() {
        let mut expected = -719_162;
        for year in 1..=9999 {
            for month in 1..=12 {
                for day in 1..=31 {
                    if let Some(days) = days(year, month, day) {
                        assert_eq!(days, expected, "{year}-{month}-{day}");
                        expected += 1;
                    }
                }
            }
        }
        assert_eq!(expected, 2_932_897);
        assert_eq!(days(1970, 1, 1), Some(0));
        for (year, month, day) in
            [(2023, 2, 29), (1900, 2, 29), (2024, 4, 31), (2024, 0, 1), (2024, 13, 1), (0, 1, 1), (2024, 1, 0)]
        {
            assert_eq!(days(year, month, day), None);
        }
    }

    #[test]
    fn only_iso_8601_is_parsed() {
        assert_eq!(micros("1970-01-01T00:00:00Z"), Some((0, Some(0))));
        assert_eq!(micros("1970-01-02 00:00"), Some((DAY_US, None)));
        assert_eq!(micros("1970-01-01t00:00:00.5+01:00"), Some((500_000, Some(3600))));
        assert_eq!(micros("1970-01-01T00:00:00.123456789-0530"), Some((123_456, Some(-19_800))));
        assert_eq!(micros("1970-01-01T00:00:00,25+02"), Some((250_000, Some(7200))));
        for text in [
            "1970-01-01",
            "1970-01-01T",
            "1970-01-01T24:00:00",
            "1970-01-01T23:59:60Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00 Z",
            "1970-01-01T00:00:00+24:00",
            "1970-01-01T0:00:00",
            "1970-1-01T00:00:00",
            "1970-01-01T00:00:00Zx",
            "",
        ] {
            assert_eq!(micros(text), None, "{text}");
        }
        assert_eq!(iso_date(b"2024-02-29").and_then(|moment| moment.day), Some(19_782));
        assert_eq!(iso_date(b"2024-02-29T00:00:00"), None);
        assert_eq!(iso_time(b"23:59:59.999999").and_then(|moment| moment.time), Some(DAY_US - 1));
    }

    #[test]
    fn times_are_formatted() {
        assert_eq!(Clock::new(0).as_ref(), "00:00:00");
        assert_eq!(Clock::new(DAY_US - 1).as_ref(), "23:59:59.999999");
        assert_eq!(Clock::new(3_661_000_500).as_ref(), "01:01:01.000500");
    }
}
