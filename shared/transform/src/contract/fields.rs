//! Limits on the number and names of the fields of records that no column reads, and the kinds of their values.

use std::borrow::Cow;

use polars::prelude::*;

/// Maximum number of distinct unknown fields. A source that uses ids as names has an unlimited number of them.
pub const MAX_FIELDS: usize = 1000;
/// Maximum characters of a name that are kept.
const MAX_NAME: usize = 200;

/// The kind of a field's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    Null,
    String,
    Number,
    Boolean,
    Object,
    Array,
}

impl FieldKind {
    /// The kind of a JSON value, from its first byte.
    #[inline]
    pub(super) fn from_byte(byte: u8) -> FieldKind {
        match byte {
            b'"' => FieldKind::String,
            b'{' => FieldKind::Object,
            b'[' => FieldKind::Array,
            b't' | b'f' => FieldKind::Boolean,
            b'n' => FieldKind::Null,
            _ => FieldKind::Number,
        }
    }

    pub(super) fn from_dtype(dtype: &DataType) -> FieldKind {
        match dtype {
            DataType::Null => FieldKind::Null,
            DataType::Boolean => FieldKind::Boolean,
            DataType::List(_) => FieldKind::Array,
            DataType::Struct(_) => FieldKind::Object,
            dtype if dtype.is_numeric() => FieldKind::Number,
            _ => FieldKind::String,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            FieldKind::Null => "null",
            FieldKind::String => "string",
            FieldKind::Number => "number",
            FieldKind::Boolean => "boolean",
            FieldKind::Object => "object",
            FieldKind::Array => "array",
        }
    }
}

/// Truncates a name to the characters that are kept.
pub(super) fn cut(name: &str) -> Cow<'_, str> {
    match name.char_indices().nth(MAX_NAME) {
        Some((end, _)) => Cow::Owned(format!("{}…", &name[..end])),
        None => Cow::Borrowed(name),
    }
}
