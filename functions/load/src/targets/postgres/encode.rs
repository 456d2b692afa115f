//! Encodes single values in PostgreSQL's binary format, and finds those it cannot represent.

use bytes::{BufMut as _, BytesMut};
use jiff::SignedDuration;

use crate::targets::cell::EPOCH;

/// Days and microseconds from 1970 to 2000, the epoch of PostgreSQL.
const DAYS: i64 = 10_957;
const MICROSECONDS: i64 = DAYS * 86_400_000_000;
/// Ranges since 2000: dates from 4714-11-24 BC to 5874897-12-31, timestamps to 294276-12-31T23:59:59.999999.
const DATES: std::ops::RangeInclusive<i64> = -2_451_545..=2_145_031_948;
const TIMESTAMPS: std::ops::Range<i64> = -211_813_488_000_000_000..9_223_371_331_200_000_000;

/// Why PostgreSQL cannot represent a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unrepresentable {
    #[error("a NUL character, which PostgreSQL does not allow in text")]
    Nul,
    #[error("a number that is too large, or too small, for its type")]
    Range,
    #[error("a text that is longer than its type")]
    Length,
    #[error("a text that is not JSON")]
    Json,
    #[error("a text that is not a UUID")]
    Uuid,
    #[error("a day before 4714-11-24 BC or after 5874897-12-31")]
    Date,
    #[error("a time before 4714-11-24 BC or after 294276-12-31")]
    Timestamp,
    #[error("a time with nanoseconds, but PostgreSQL stores only microseconds")]
    Nanoseconds,
    #[error("no value in a key column")]
    NullKey,
}

/// Writes a value of fixed size with its length in front; returns `false` if there is no value.
pub(super) fn fixed<T>(value: Option<T>, out: &mut BytesMut, put: impl FnOnce(T, &mut BytesMut)) -> bool {
    let Some(value) = value else { return false };
    out.put_i32(size_of::<T>() as i32);
    put(value, out);
    true
}

/// Writes a value of variable size, then its length in front of it; returns `false` if there is no value.
pub(super) fn sized<T>(
    value: Option<T>,
    out: &mut BytesMut,
    put: impl FnOnce(T, &mut BytesMut) -> Result<(), Unrepresentable>,
) -> Result<bool, Unrepresentable> {
    let Some(value) = value else { return Ok(false) };
    let start = out.len();
    out.put_i32(0);
    put(value, out)?;
    let size = (out.len() - start - 4) as i32;
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
    Ok(true)
}

/// Converts days since 1970 to days since 2000.
pub(super) fn date(days: i32) -> Result<i32, Unrepresentable> {
    let days = i64::from(days) - DAYS;
    if DATES.contains(&days) { Ok(days as i32) } else { Err(Unrepresentable::Date) }
}

/// Converts microseconds since 1970 to microseconds since 2000.
pub(super) fn timestamp(microseconds: i64) -> Result<i64, Unrepresentable> {
    microseconds.checked_sub(MICROSECONDS).filter(|at| TIMESTAMPS.contains(at)).ok_or(Unrepresentable::Timestamp)
}

/// Writes a `numeric` in the binary format: the number of digits to base 10,000, the weight of the first, the sign, the number of decimal
/// digits after the point, the digits (`numeric_send` in the server's `numeric.c`).
pub(super) fn numeric(unscaled: i128, scale: usize, out: &mut BytesMut) {
    let start = out.len();
    out.put_slice(&[0; 8]);
    let magnitude = unscaled.unsigned_abs();
    let (whole, fraction) = match u32::try_from(scale).ok().and_then(|scale| 10_u128.checked_pow(scale)) {
        Some(unit) => (magnitude / unit, magnitude % unit),
        None => (0, magnitude),
    };
    let mut weight = -1_i16;
    if whole > 0 {
        let mut digits = [0_u16; 10];
        let (mut rest, mut first) = (whole, digits.len());
        while rest > 0 {
            first -= 1;
            digits[first] = (rest % 10_000) as u16;
            rest /= 10_000;
        }
        weight = (digits.len() - first) as i16 - 1;
        digits[first..].iter().for_each(|digit| out.put_u16(*digit));
    }
    let (mut rest, mut left) = (fraction, scale as u32);
    while rest > 0 {
        let digit = match left.checked_sub(4) {
            Some(after) => {
                let unit = 10_u128.pow(after);
                left = after;
                let digit = rest / unit;
                rest %= unit;
                digit
            }
            None => std::mem::take(&mut rest) * 10_u128.pow(4 - left),
        };
        if digit == 0 && out.len() == start + 8 {
            weight -= 1;
        } else {
            out.put_u16(digit as u16);
        }
    }
    let mut digits = (out.len() - start - 8) / 2;
    while digits > 0 && out[out.len() - 2..] == [0, 0] {
        out.truncate(out.len() - 2);
        digits -= 1;
    }
    let sign: u16 = if unscaled < 0 { 0x4000 } else { 0 };
    let weight = if digits == 0 { 0 } else { weight };
    for (at, field) in [digits as u16, weight as u16, sign, scale as u16].into_iter().enumerate() {
        out[start + 2 * at..start + 2 * at + 2].copy_from_slice(&field.to_be_bytes());
    }
}

/// A date as text, from days since 2000.
pub(super) fn date_text(days: i32) -> Option<String> {
    let day = EPOCH.checked_add(SignedDuration::from_hours(24 * (i64::from(days) + DAYS))).ok()?;
    Some(day.to_string())
}

/// Checks that `jsonb` can hold every escaped character of a JSON text: it stores the characters, not the escapes.
pub(super) fn escapes(json: &str) -> Result<(), Unrepresentable> {
    let unit = |text: &str| u16::from_str_radix(text.strip_prefix('u')?.get(..4)?, 16).ok();
    let mut rest = json;
    while let Some((_, escape)) = rest.split_once('\\') {
        rest = escape.get(1..).unwrap_or_default();
        match unit(escape) {
            Some(0) => return Err(Unrepresentable::Nul),
            Some(0xd800..0xdc00) => {
                let second = escape.get(5..).and_then(|behind| unit(behind.strip_prefix('\\')?));
                second.filter(|second| (0xdc00..0xe000).contains(second)).ok_or(Unrepresentable::Json)?;
                rest = escape.get(11..).unwrap_or_default();
            }
            Some(0xdc00..0xe000) => return Err(Unrepresentable::Json),
            _ => {}
        }
    }
    Ok(())
}

/// Parses a UUID as the server does: 32 hexadecimal digits, with or without dashes and braces.
pub(super) fn uuid(text: &str) -> Option<[u8; 16]> {
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
    let mut digits = inner.bytes().filter(|byte| *byte != b'-').map(|byte| char::from(byte).to_digit(16));
    let mut bytes = [0; 16];
    for byte in &mut bytes {
        let (high, low) = (digits.next()??, digits.next()??);
        *byte = (high << 4 | low) as u8;
    }
    digits.next().is_none().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_json_escapes_are_found() {
        let (nul, none) = (Err(Unrepresentable::Nul), Err(Unrepresentable::Json));
        for (json, found) in [
            (r#""\\u0000 \n \" \/ \u00e9 \uD83D\uDED2""#, Ok(())),
            (r#"{"\u0000": 1}"#, nul),
            (r#""\\\u0000""#, nul),
            (r#""\ud83d""#, none),
            (r#""\ud83d ""#, none),
            (r#""\ud83d\n""#, none),
            (r#""\ud83d\u0041""#, none),
            (r#""\ud83d\ud83d\uded2""#, none),
            (r#""\uded2\ud83d""#, none),
            ("\"🛒\"", Ok(())),
        ] {
            assert_eq!(escapes(json), found, "{json}");
        }
    }
}
