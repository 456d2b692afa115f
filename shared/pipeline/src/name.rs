//! Validated names. They are safe in keys of the lake, in SQL and in file names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An invalid name, with the allowed form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {rule}: {found:?}")]
pub struct NameError {
    what: &'static str,
    rule: &'static str,
    found: String,
}

impl NameError {
    /// "a dataset's name"
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// The allowed form: "1 to 100 bytes of a-z, …".
    pub fn rule(&self) -> &'static str {
        self.rule
    }
}

const MAX_BYTES: usize = 100;
const RULE_DATASET: &str = "1 to 100 bytes of a-z, 0-9 and _, starting with a letter";
const RULE_PIPELINE: &str = "1 to 100 bytes of a-z, 0-9 and -, starting with a letter";
const RULE_COLUMN: &str = "1 to 255 bytes without control characters";
const RULE_SECRET: &str = "1 to 100 bytes of a-z, 0-9 and -, starting with a letter";

fn is_plain(text: &str, joiner: u8) -> bool {
    text.len() <= MAX_BYTES
        && text.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == joiner)
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:expr, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(NameError { what: $what, rule: $rule, found: text.chars().take(120).collect() })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// The name of a pipeline: the stem of its file, `daily-sales` for `daily-sales.toml`.
    PipelineName, "a pipeline's name", RULE_PIPELINE, |text| is_plain(text, b'-')
);

name!(
    /// The name of a dataset: `sales`. Its raw rows are in `sales.raw`, its invalid records in `sales.quarantine`.
    DatasetName, "a dataset's name", RULE_DATASET, |text| {
        let base = text.strip_suffix(RAW).or_else(|| text.strip_suffix(QUARANTINE)).unwrap_or(text);
        is_plain(base, b'_')
    }
);

name!(
    /// The name of a column in a dataset.
    ColumnName, "a column's name", RULE_COLUMN, |text| {
        !text.is_empty() && text.len() <= 255 && !text.chars().any(char::is_control)
    }
);

name!(
    /// The name of a secret: `orders-api-token`. The value is in no definition, log, error, run record or dataset.
    SecretName, "a secret's name", RULE_SECRET, |text| is_plain(text, b'-')
);

const RAW: &str = ".raw";
const QUARANTINE: &str = ".quarantine";

impl ColumnName {
    /// One of [`crate::raw::ADDED`].
    pub(crate) fn for_added(column: &'static str) -> ColumnName {
        ColumnName(column.to_owned())
    }
}

impl DatasetName {
    /// The raw dataset of this dataset: the records as received.
    pub fn raw(&self) -> DatasetName {
        DatasetName(format!("{}{RAW}", self.base()))
    }

    /// The quarantine of this dataset: the records that violate the contract.
    pub fn quarantine(&self) -> DatasetName {
        DatasetName(format!("{}{QUARANTINE}", self.base()))
    }

    /// The name without `.raw` or `.quarantine`.
    pub fn base(&self) -> &str {
        self.0.strip_suffix(RAW).or_else(|| self.0.strip_suffix(QUARANTINE)).unwrap_or(&self.0)
    }

    pub fn is_raw(&self) -> bool {
        self.0.ends_with(RAW)
    }

    pub fn is_quarantine(&self) -> bool {
        self.0.ends_with(QUARANTINE)
    }
}
