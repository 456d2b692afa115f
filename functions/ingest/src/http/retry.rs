//! Whether an answer may be retried, and how long to wait before. Pure: time and randomness are arguments.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// Maximum pause before the second attempt. It doubles before each further attempt, up to `LONGEST_PAUSE`.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Maximum wait, whatever the API asks for.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(3_600);

/// Whether the same request may well succeed later.
pub(crate) fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..=599)
}

/// Exponential backoff with full jitter ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015): between zero
/// and the maximum pause of the attempt, which is counted from 1. `chance` is in [0, 1).
pub(crate) fn pause(attempt: u32, chance: f64) -> Duration {
    let max = FIRST_PAUSE.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(LONGEST_PAUSE);
    max.mul_f64(chance.clamp(0.0, 1.0))
}

/// A number in [0, 1) that differs from attempt to attempt of one run, and from run to run.
pub(crate) fn chance(run_id: &str, sent: u64) -> f64 {
    // FNV-1a, then mixed as in splitmix64: good enough for jitter
    let text = run_id.bytes().chain(sent.to_le_bytes());
    let hash = text.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((mixed ^ (mixed >> 27)) >> 11) as f64 / (1u64 << 53) as f64
}

/// How long the API asks to wait: `Retry-After` in seconds or as a date (RFC 9110), else the reset of its rate limit
/// (`RateLimit-Reset` in seconds; `X-RateLimit-Reset` in seconds, or the time in seconds or milliseconds since 1970).
pub(crate) fn asked(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(after) = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::trim) {
        return seconds(after).or_else(|| until(http_date(after)?, now));
    }
    reset(text, now)
}

/// How long to wait if this answer says that the rate limit is used up.
pub(crate) fn used_up(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let left = text("ratelimit-remaining")
        .or_else(|| text("x-ratelimit-remaining"))
        .or_else(|| text("x-rate-limit-remaining"))?;
    if left.parse::<u64>() == Ok(0) { reset(text, now) } else { None }
}

fn reset<'h>(text: impl Fn(&str) -> Option<&'h str>, now: Timestamp) -> Option<Duration> {
    if let Some(after) = text("ratelimit-reset") {
        return seconds(after);
    }
    let reset = text("x-ratelimit-reset").or_else(|| text("x-rate-limit-reset"))?;
    match reset.parse::<f64>().ok()? {
        milliseconds if milliseconds > 1e11 => until(Timestamp::from_millisecond(milliseconds as i64).ok()?, now),
        time if time > 1e8 => until(Timestamp::from_second(time.ceil() as i64).ok()?, now),
        _ => seconds(reset),
    }
}

fn seconds(text: &str) -> Option<Duration> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.0..1e9).contains(seconds))?;
    Some(Duration::from_secs_f64(seconds))
}

fn until(then: Timestamp, now: Timestamp) -> Option<Duration> {
    Some(Duration::try_from(then.duration_since(now)).unwrap_or(Duration::ZERO))
}

/// `Wed, 21 Oct 2015 07:28:00 GMT`
fn http_date(text: &str) -> Option<Timestamp> {
    let time = jiff::fmt::strtime::parse("%a, %d %b %Y %H:%M:%S GMT", text).ok()?.to_datetime().ok()?;
    time.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|time| time.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_wait_is_read_from_headers() {
        let now = at("2026-03-01T08:00:00Z");
        let of = |name, value| asked(&headers(&[(name, value)]), now).map(|wait| wait.as_secs_f64());
        assert_eq!(of("Retry-After", "3"), Some(3.0));
        assert_eq!(of("Retry-After", "Sun, 01 Mar 2026 08:00:30 GMT"), Some(30.0));
        assert_eq!(of("Retry-After", "Sun, 01 Mar 2026 07:00:00 GMT"), Some(0.0));
        assert_eq!(of("Retry-After", "soon"), None);
        assert_eq!(of("RateLimit-Reset", "12"), Some(12.0));
        assert_eq!(of("X-RateLimit-Reset", "7"), Some(7.0));
        assert_eq!(of("X-RateLimit-Reset", "1772352010"), Some(10.0));
        assert_eq!(of("X-RateLimit-Reset", "1772352010500"), Some(10.5));
        assert_eq!(asked(&headers(&[]), now), None);
    }

    #[test]
    fn only_an_exhausted_rate_limit_is_waited_for() {
        let now = at("2026-03-01T08:00:00Z");
        let of = |left| used_up(&headers(&[("X-RateLimit-Remaining", left), ("X-RateLimit-Reset", "5")]), now);
        assert_eq!((of("0"), of("1")), (Some(Duration::from_secs(5)), None));
    }

    #[test]
    fn pauses_grow_and_are_random() {
        assert_eq!(pause(1, 0.5), Duration::from_millis(250));
        assert_eq!(pause(4, 0.5), Duration::from_secs(2));
        assert_eq!(pause(90, 0.999_999), LONGEST_PAUSE.mul_f64(0.999_999));
        let chances: Vec<f64> = (0..1000).map(|sent| chance("20260301T080000123-1f2e3d4c", sent)).collect();
        let mean = chances.iter().sum::<f64>() / 1000.0;
        assert!(chances.iter().all(|chance| (0.0..1.0).contains(chance)) && (0.45..0.55).contains(&mean), "{mean}");
        assert_ne!(chance("a", 1), chance("b", 1));
    }
}
