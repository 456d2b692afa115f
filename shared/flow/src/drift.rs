//! Fields of a source that no column of the contract reads, as a run tells of them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A field that no column reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// A JSON pointer, or the name of a column of the source.
    pub field: String,
    /// Records of this run that have it.
    pub records: u64,
    /// `<object>:<row>` of the first of them.
    pub first: String,
    /// `string`, `number`, `boolean`, `object`, `array`; `null` where it never was anything else.
    pub kind: String,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // a name of somebody else's, on our terminal
        let field: String = self.field.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect();
        let records = if self.records == 1 { "record" } else { "records" };
        let count = thousands(self.records);
        write!(f, "{field} ({}) in {count} {records}, first at {}", self.kind, self.first)
    }
}

/// `541,909`
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
    fn a_drift_reads_well() {
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
