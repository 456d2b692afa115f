//! The partition of a data file.

use serde::{Deserialize, Serialize};

/// The values of a table's partition columns, in the table's order; `None` is NULL. As the Delta log writes them: text as it is,
/// dates `2011-12-08`, integers in decimal.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Partition(Vec<(String, Option<String>)>);

impl Partition {
    /// Delta cannot distinguish an empty text from NULL, so an empty text becomes NULL here.
    pub fn new<'a>(values: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> Partition {
        let value = |value: Option<&str>| value.filter(|value| !value.is_empty()).map(str::to_owned);
        Partition(values.into_iter().map(|(column, text)| (column.to_owned(), value(text))).collect())
    }

    /// The values as they are in the log.
    pub(crate) fn from_log(values: impl IntoIterator<Item = (String, Option<String>)>) -> Partition {
        Partition(values.into_iter().collect())
    }

    pub fn values(&self) -> &[(String, Option<String>)] {
        &self.0
    }

    /// The value of one column. Returns None if it is NULL or not a partition column.
    pub fn get(&self, column: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == column).and_then(|(_, value)| value.as_deref())
    }
}

impl std::fmt::Display for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, (column, value)) in self.0.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            write!(f, "{comma}{column}={}", value.as_deref().unwrap_or("NULL"))?;
        }
        Ok(())
    }
}
