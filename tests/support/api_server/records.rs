//! Records of an API: text with an id and a time.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::Value;

/// Where id and time are in a record (JSON pointers). A time is RFC 3339, epoch seconds, or, above 10^11, epoch milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Fields {
    pub id: &'static str,
    pub time: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Id {
    Number(i64),
    Text(String),
}

#[derive(Debug, Clone)]
pub struct Record {
    pub text: String,
    pub id: Id,
    pub time: Timestamp,
}

impl Record {
    pub fn new(text: &str, fields: Fields) -> Record {
        let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let id = &value.pointer(fields.id).unwrap_or_else(|| panic!("no {}: {text}", fields.id));
        let id = id.as_i64().map_or_else(|| Id::Text(id.as_str().unwrap().to_owned()), Id::Number);
        let time = &value.pointer(fields.time).unwrap_or_else(|| panic!("no {}: {text}", fields.time));
        let time = match time.as_i64() {
            Some(number) if number > 100_000_000_000 => Timestamp::from_millisecond(number).unwrap(),
            Some(number) => Timestamp::from_second(number).unwrap(),
            None => time.as_str().unwrap().parse().unwrap(),
        };
        Record { text: text.to_owned(), id, time }
    }
}

/// Format of a time parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Time {
    Rfc3339,
    EpochS,
    EpochMs,
    Date,
}

/// Whether a record at exactly the given time (with `Date`: on that day) is included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    Inclusive,
    Exclusive,
}

/// Format and bounds of the parameters `since` and `until`.
#[derive(Debug, Clone, Copy)]
pub struct Filter {
    pub time: Time,
    pub since: Bound,
    pub until: Bound,
}

impl Filter {
    /// Whether the record is between the bounds; an error names an invalid parameter.
    pub fn has(&self, record: &Record, since: Option<&str>, until: Option<&str>) -> Result<bool, String> {
        let compare = |text: &str| self.compare(record.time, text).ok_or_else(|| format!("{text} is no time"));
        let after = match since.map(compare).transpose()? {
            Some(order) => order.is_gt() || (self.since == Bound::Inclusive && order.is_eq()),
            None => true,
        };
        let before = match until.map(compare).transpose()? {
            Some(order) => order.is_lt() || (self.until == Bound::Inclusive && order.is_eq()),
            None => true,
        };
        Ok(after && before)
    }

    fn compare(&self, time: Timestamp, text: &str) -> Option<std::cmp::Ordering> {
        let bound = match self.time {
            Time::Rfc3339 => text.parse().ok()?,
            Time::EpochS => Timestamp::from_second(text.parse().ok()?).ok()?,
            Time::EpochMs => Timestamp::from_millisecond(text.parse().ok()?).ok()?,
            Time::Date => {
                let day: Date = text.parse().ok()?;
                return Some(time.to_zoned(TimeZone::UTC).date().cmp(&day));
            }
        };
        Some(time.cmp(&bound))
    }
}
