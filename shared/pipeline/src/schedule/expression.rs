//! Converts schedules to EventBridge expressions. Rules:
//! <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html>

use jiff::tz::TimeZone;

use super::rate::Rate;
use super::{Fires, Schedule};

/// A schedule as an EventBridge expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    /// `cron(0 8 * * ? *)` or `rate(90 minutes)`.
    pub text: String,
    /// IANA time zone of a cron; `None` for UTC, the only time zone that EventBridge rules support.
    pub timezone: Option<String>,
    /// Whether the expression is a `rate(…)`. EventBridge counts those from their deployment, so its times differ from ours by less than
    /// the period.
    pub is_adrift: bool,
}

impl Schedule {
    pub fn expression(&self) -> Expression {
        let (text, timezone) = match &self.fires {
            // EventBridge requires month and day names in upper case
            Fires::Cron(cron) => (format!("cron({})", cron.to_string().to_ascii_uppercase()), self.zone()),
            Fires::Rate(rate) => (rate_expression(*rate), None),
        };
        Expression { is_adrift: text.starts_with("rate("), text, timezone }
    }

    /// The time zone as spelled in the time zone database; `None` for UTC.
    fn zone(&self) -> Option<String> {
        let is_utc = |name: &str| name.eq_ignore_ascii_case("UTC") || name.eq_ignore_ascii_case("Etc/UTC");
        let spelled = || TimeZone::get(&self.timezone).ok()?.iana_name().map(str::to_owned);
        (!is_utc(&self.timezone)).then(|| spelled().unwrap_or_else(|| self.timezone.clone()))
    }
}

/// The cron that fires at the same times as a rate, or a `rate(…)` if there is none. 1970-01-01 was a Thursday.
fn rate_expression(rate: Rate) -> String {
    const HOUR: i64 = 60;
    const DAY: i64 = 24 * HOUR;
    let minutes = rate.period_s() / 60;
    match minutes {
        _ if minutes == DAY => "cron(0 0 * * ? *)".to_owned(),
        _ if minutes == 7 * DAY => "cron(0 0 ? * THU *)".to_owned(),
        _ if minutes < HOUR && HOUR % minutes == 0 => format!("cron(0/{minutes} * * * ? *)"),
        _ if minutes % HOUR == 0 && DAY % minutes == 0 => format!("cron(0 0/{} * * ? *)", minutes / HOUR),
        _ => format!("rate({rate})"),
    }
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::*;
    use crate::schedule::{CatchUp, Cron};

    fn cron(text: &str, timezone: &str) -> Schedule {
        let fires = Fires::Cron(text.parse().unwrap());
        Schedule { fires, timezone: timezone.to_owned(), catch_up: CatchUp::Last }
    }

    fn rate(text: &str) -> Schedule {
        Schedule { fires: Fires::Rate(text.parse().unwrap()), timezone: "UTC".to_owned(), catch_up: CatchUp::Last }
    }

    #[test]
    fn a_cron_keeps_its_fields_and_time_zone() {
        let converted = |text: &str, zone: &str| {
            let Expression { text, timezone, is_adrift } = cron(text, zone).expression();
            assert!(!is_adrift);
            (text, timezone)
        };
        let daily = "cron(0 8 * * ? *)".to_owned();
        for utc in ["UTC", "Etc/UTC", "utc"] {
            assert_eq!(converted("0 8 * * ? *", utc), (daily.clone(), None), "{utc}");
        }
        assert_eq!(converted(" 0  8 * * ? *", "Europe/London"), (daily.clone(), Some("Europe/London".into())));
        assert_eq!(converted("0 8 * * ? *", "europe/london"), (daily, Some("Europe/London".into())));
        assert_eq!(converted("0 8 ? jan mon#1 *", "UTC").0, "cron(0 8 ? JAN MON#1 *)");
    }

    /// Rates that are converted to a cron fire at the same times as the cron, over 30 days.
    #[test]
    fn the_times_of_a_rate_are_those_of_its_cron() {
        let mut expressions = Vec::new();
        let minutes = (1..=1_440).map(|n| (n, "minute"));
        let rates = minutes.chain((1..=200).map(|n| (n, "hour"))).chain((1..=60).map(|n| (n, "day")));
        for (n, unit) in rates {
            let text = format!("{n} {unit}{}", if n == 1 { "" } else { "s" });
            let schedule = rate(&text);
            let Expression { text: expression, timezone: None, is_adrift } = schedule.expression() else {
                panic!("{text} has a time zone");
            };
            let Some(fields) = expression.strip_prefix("cron(").and_then(|rest| rest.strip_suffix(')')) else {
                assert_eq!((expression, is_adrift), (format!("rate({text})"), true));
                continue;
            };
            assert!(!is_adrift && fields.parse::<Cron>().is_ok());
            let same = cron(fields, "UTC");
            let mut time: Timestamp = "2026-02-27T23:59:59Z".parse().unwrap();
            let end = time + SignedDuration::from_hours(24 * 30);
            let mut count = 0;
            while time < end && count < 3_000 {
                let next = schedule.next(time);
                assert_eq!(same.next(time), next, "{text} after {time}");
                assert_eq!(same.previous(time), schedule.previous(time), "{text} until {time}");
                (time, count) = (next.unwrap(), count + 1);
            }
            expressions.push(expression);
        }
        expressions.sort();
        expressions.dedup();
        // 11 divisors of an hour, 7 of a day in hours, a day, a week
        assert_eq!(expressions.len(), 20, "{expressions:?}");
        for (text, expression) in [
            ("15 minutes", "cron(0/15 * * * ? *)"),
            ("60 minutes", "cron(0 0/1 * * ? *)"),
            ("4 hours", "cron(0 0/4 * * ? *)"),
            ("24 hours", "cron(0 0 * * ? *)"),
            ("7 days", "cron(0 0 ? * THU *)"),
            ("90 minutes", "rate(90 minutes)"),
            ("2 days", "rate(2 days)"),
        ] {
            assert_eq!(rate(text).expression().text, expression);
        }
    }

    /// EventBridge may fire some seconds late; the scheduled time is the same.
    #[test]
    fn some_seconds_later_the_same_time_is_meant() {
        let daily = cron("0 8 * * ? *", "Europe/London");
        let times = ["2026-03-29T07:00:00Z", "2026-03-29T07:00:06Z", "2026-03-29T07:00:59.9Z"];
        for time in times {
            assert_eq!(daily.previous(time.parse().unwrap()).unwrap().to_string(), times[0]);
        }
    }
}
