//! A time of day as text.

/// `HH:MM:SS`, with six or nine fractional digits unless the fraction is zero.
pub(super) fn time_of_day(nanoseconds: i64) -> String {
    let (seconds, nanoseconds) = (nanoseconds.div_euclid(1_000_000_000), nanoseconds.rem_euclid(1_000_000_000));
    let whole = format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match (nanoseconds, nanoseconds % 1_000) {
        (0, _) => whole,
        (_, 0) => format!("{whole}.{:06}", nanoseconds / 1_000),
        _ => format!("{whole}.{nanoseconds:09}"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_of_day_are_formatted() {
        assert_eq!(super::time_of_day(0), "00:00:00");
        assert_eq!(super::time_of_day(86_399_000_001_000), "23:59:59.000001");
        assert_eq!(super::time_of_day(3_600_000_000_001), "01:00:00.000000001");
    }
}
