//! Source fields that no column of the contract reads, as a run reports them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A source field that no column reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// A JSON pointer, or the name of a column of the source.
    pub field: String,
    /// How many records of this run have it.
    pub records: u64,
    /// Position of the first such record, as `<object>:<row>`.
    pub first: String,
    /// JSON type: `string`, `number`, `boolean`, `object` or `array`; `null` if it had no other value.
    pub kind: String,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // the name comes from the source and is printed to a terminal
        let field: String = self.field.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect();
        let records = if self.records == 1 { "record" } else { "records" };
        let count = thousands(self.records);
        write!(f, "{field} ({}) in {count} {records}, first at {}", self.kind, self.first)
    }
}

/// Formats a number with commas between groups of three digits: `541,909`.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_display() {
        let drift = |field: &str, records| Drift {
            field: field.to_owned(),
            records,
            first: "a.ndjson:3".to_owned(),
            kind: "number".to_owned(),
        };
        assert_eq!(drift("/discount", 1200).to_string(), "/discount (number) in 1,200 records, first at a.ndjson:3");
        assert_eq!(drift("/a\u{1b}[2J", 1).to_string(), "/a\u{FFFD}[2J (number) in 1 record, first at a.ndjson:3");
        assert_eq!([0, 999, 1000, 541_909].map(thousands), ["0", "999", "1,000", "541,909"]);
    }
}
