//! Exact numbers from text: digits are never rounded, wrapped or taken through a float.

/// The powers of ten from 10^0 to 10^38.
const POWERS: [u128; 39] = {
    let mut powers = [1u128; 39];
    let mut n = 1;
    while n < 39 {
        powers[n] = powers[n - 1] * 10;
        n += 1;
    }
    powers
};

/// Parses an optional sign, digits, and optionally a fraction of zeros (`17850.0`, as spreadsheets write integers).
pub(crate) fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = sign(text.as_bytes());
    if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
        return scaled(text, 0, false).and_then(|value| i64::try_from(value).ok());
    }
    let value = digits.iter().fold(0i64, |value, digit| value * 10 + i64::from(digit - b'0'));
    Some(if negative { -value } else { value })
}

/// The integer that a JSON number is equal to: `1e3` is an integer, `1.5` is not.
pub(crate) fn json_integer(text: &str) -> Option<i64> {
    integer(text).or_else(|| scaled(text, 0, true).and_then(|value| i64::try_from(value).ok()))
}

/// Returns `value × 10^scale` if the text is a decimal number that fits in `precision` digits, `scale` of them fractional.
/// Further fractional digits must be zeros. `exponent`: whether an exponent (`1.5e-3`) is allowed.
pub(crate) fn decimal(text: &str, precision: u8, scale: u8, exponent: bool) -> Option<i128> {
    let limit = *POWERS.get(usize::from(precision))?;
    scaled(text, usize::from(scale), exponent).filter(|value| value.unsigned_abs() < limit)
}

/// A finite number as Rust and C write it. `inf` and `nan` are refused: any sum with them is not finite, and NaN is not equal
/// to itself. If they mean NULL in a source, the contract lists them in `nulls`. A text beyond the range of a float is refused as well.
pub(crate) fn float(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().and_then(finite)
}

/// Adding zero turns −0 into 0, so that equal numbers have equal bits.
pub(crate) fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value + 0.0)
}

fn sign(bytes: &[u8]) -> (bool, &[u8]) {
    match bytes {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, bytes),
    }
}

fn scaled(text: &str, scale: usize, exponent: bool) -> Option<i128> {
    let (negative, digits) = sign(text.as_bytes());
    let value = match plain(digits, scale) {
        Some(value) => value,
        None if exponent => scientific(digits, scale)?,
        None => return None,
    };
    let value = i128::try_from(value).ok()?;
    Some(if negative { -value } else { value })
}

/// Parses digits, optionally with a fraction. `.5` is valid, `5.` is not.
fn plain(digits: &[u8], scale: usize) -> Option<u128> {
    // A u64 holds any 19 digits; almost all numbers are this short.
    if digits.len() + scale <= 19 {
        let mut value = 0u64;
        let mut fraction: Option<usize> = None;
        for &byte in digits {
            match (byte, fraction) {
                (b'0'..=b'9', None) => value = value * 10 + u64::from(byte - b'0'),
                (b'0'..=b'9', Some(seen)) if seen < scale => {
                    value = value * 10 + u64::from(byte - b'0');
                    fraction = Some(seen + 1);
                }
                (b'0', Some(seen)) => fraction = Some(seen + 1),
                (b'.', None) => fraction = Some(0),
                _ => return None,
            }
        }
        if digits.is_empty() || fraction == Some(0) {
            return None;
        }
        let missing = scale.saturating_sub(fraction.unwrap_or(0));
        return Some(u128::from(value) * POWERS[missing]);
    }
    let (whole, fraction) = split(digits)?;
    let (kept, rest) = fraction.split_at(fraction.len().min(scale));
    if rest.iter().any(|&digit| digit != b'0') {
        return None;
    }
    append(append(0, whole)?, kept)?.checked_mul(POWERS[scale - kept.len()])
}

/// Parses digits with an exponent, exactly: at scale 0, `1.50e1` is 15, and `1e-1` is refused because it is not an integer.
fn scientific(digits: &[u8], scale: usize) -> Option<u128> {
    let at = digits.iter().position(|byte| matches!(byte, b'e' | b'E'))?;
    let (negative, exponent) = sign(&digits[at + 1..]);
    let exponent = std::str::from_utf8(exponent).ok()?.parse::<u16>().ok()?;
    let (whole, mut fraction) = split(&digits[..at])?;
    while let [rest @ .., b'0'] = fraction {
        fraction = rest;
    }
    let mantissa = append(append(0, whole)?, fraction)?;
    if mantissa == 0 {
        return Some(0);
    }
    let exponent = if negative { -i64::from(exponent) } else { i64::from(exponent) };
    let shift = exponent - i64::try_from(fraction.len()).ok()? + i64::try_from(scale).ok()?;
    let power = *POWERS.get(usize::try_from(shift.unsigned_abs()).ok()?)?;
    if shift >= 0 { mantissa.checked_mul(power) } else { (mantissa % power == 0).then(|| mantissa / power) }
}

/// The digits before and after the point. If there is a point, digits must follow it; without one there must be at least one digit.
fn split(digits: &[u8]) -> Option<(&[u8], &[u8])> {
    let (whole, fraction) = match digits.iter().position(|&byte| byte == b'.') {
        None => (digits, &[][..]),
        Some(at) if at + 1 < digits.len() => (&digits[..at], &digits[at + 1..]),
        Some(_) => return None,
    };
    let valid = !digits.is_empty() && whole.iter().chain(fraction).all(u8::is_ascii_digit);
    valid.then_some((whole, fraction))
}

fn append(value: u128, digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(value, |value, digit| value.checked_mul(10)?.checked_add(u128::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_exact_or_refused() {
        for (text, value) in [
            ("0", 0),
            ("-0", 0),
            ("+5", 5),
            ("17850.0", 17850),
            ("17850.000", 17850),
            ("007", 7),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
            ("-9223372036854775808.0", i64::MIN),
            ("000000000000000000000000000000000000000000000000012", 12),
        ] {
            assert_eq!(integer(text), Some(value), "{text}");
        }
        for text in [
            "",
            "-",
            "+",
            "1e3",
            "1.5",
            "1.",
            ".",
            "1 2",
            "9223372036854775808",
            "-9223372036854775809",
            "0x1",
            "١",
            "--1",
            "1,000",
        ] {
            assert_eq!(integer(text), None, "{text}");
        }
        assert_eq!(json_integer("1e3"), Some(1000));
        assert_eq!(json_integer("1.50E1"), Some(15));
        assert_eq!(json_integer("1200e-2"), Some(12));
        assert_eq!(json_integer("1e-1"), None);
        assert_eq!(json_integer("1e19"), None);
        assert_eq!(json_integer("0e999"), Some(0));
    }

    #[test]
    fn decimals_keep_their_digits() {
        for (text, precision, scale, value) in [
            ("12.34", 12, 2, 1234),
            ("-12.3", 12, 2, -1230),
            (".5", 3, 2, 50),
            ("12", 12, 2, 1200),
            ("12.340000", 4, 2, 1234),
            ("0.1", 38, 38, 10i128.pow(37)),
            ("99999999999999999999999999999999999999", 38, 0, 10i128.pow(38) - 1),
            ("-9999999999999999999999999999.9999999999", 38, 10, -(10i128.pow(38) - 1)),
        ] {
            assert_eq!(decimal(text, precision, scale, false), Some(value), "{text}");
        }
        for (text, precision, scale) in [
            ("12.345", 12, 2),
            ("100", 4, 2),
            ("100000000000000000000000000000000000000", 38, 0),
            ("340282366920938463463374607431768211456", 38, 0),
            ("1.", 5, 2),
            (".", 5, 2),
            ("", 5, 2),
            ("1e2", 5, 2),
            ("1.2.3", 5, 2),
            ("0.000000000000000000000000000000000000001", 38, 38),
        ] {
            assert_eq!(decimal(text, precision, scale, false), None, "{text}");
        }
        assert_eq!(decimal("1e-05", 10, 5, true), Some(1));
        assert_eq!(decimal("1.5e3", 10, 2, true), Some(150_000));
        assert_eq!(decimal("1e40", 38, 0, true), None);
    }

    #[test]
    fn short_and_long_decimals_agree() {
        let mut state = 7u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let value = i64::from((state >> 32) as i32);
            let text = format!("{}{}.{:03}", if value < 0 { "-" } else { "" }, value.abs() / 1000, value.abs() % 1000);
            assert_eq!(decimal(&text, 18, 3, false), Some(i128::from(value)));
            assert_eq!(decimal(&text, 38, 20, false), Some(i128::from(value) * 10i128.pow(17)));
        }
    }

    #[test]
    fn floats_are_finite() {
        assert_eq!(float("1e3"), Some(1000.0));
        assert_eq!(float("-0").map(f64::to_bits), Some(0));
        for text in ["inf", "-Infinity", "NaN", "nan", "1e999", "", "1_0", "0x1"] {
            assert_eq!(float(text), None, "{text}");
        }
    }
}
