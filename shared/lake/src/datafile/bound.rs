//! The least or greatest value of a column: how it is compared, kept between invocations, and told to the log.

use std::sync::Arc;

use delta_kernel::arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array,
    StringArray, TimestampMicrosecondArray,
};
use polars::prelude::{AnyValue, DataType};
use serde::{Deserialize, Serialize};

/// Characters of a text kept as its least value, which may be a prefix; a greatest value may not, and is left out.
const PREFIX: usize = 32;

#[derive(Debug, Clone, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    Int8(i8),
    Int16(i16),
    Int32(i32),
    Int64(i64),
    Float32(#[serde(with = "bits32")] f32),
    Float64(#[serde(with = "bits64")] f64),
    /// Days since 1970.
    Date(i32),
    /// Microseconds since 1970, UTC.
    Datetime(i64),
    /// Unscaled value, precision, scale.
    Decimal(i128, u8, i8),
    Text(String),
}

impl Bound {
    /// `None` for NULL and for types that have no bounds.
    pub(crate) fn of(value: &AnyValue<'_>, ty: &DataType) -> Option<Bound> {
        Some(match (value, ty) {
            (AnyValue::Int8(v), _) => Bound::Int8(*v),
            (AnyValue::Int16(v), _) => Bound::Int16(*v),
            (AnyValue::Int32(v), _) => Bound::Int32(*v),
            (AnyValue::Int64(v), _) => Bound::Int64(*v),
            (AnyValue::Float32(v), _) => Bound::Float32(*v),
            (AnyValue::Float64(v), _) => Bound::Float64(*v),
            (AnyValue::Date(v), _) => Bound::Date(*v),
            (AnyValue::Datetime(v, ..) | AnyValue::DatetimeOwned(v, ..), _) => Bound::Datetime(*v),
            (AnyValue::Decimal(v, ..), DataType::Decimal(precision, scale)) => {
                Bound::Decimal(*v, u8::try_from(*precision).ok()?, i8::try_from(*scale).ok()?)
            }
            (AnyValue::String(_) | AnyValue::StringOwned(_), _) => Bound::Text(value.get_str()?.to_owned()),
            _ => return None,
        })
    }

    /// As an array of one: nothing is less; `None` where it cannot serve as a bound.
    pub(crate) fn least(&self) -> Option<ArrayRef> {
        match self {
            Bound::Text(text) => {
                let end = text.char_indices().nth(PREFIX).map_or(text.len(), |(end, _)| end);
                Some(Arc::new(StringArray::from(vec![&text[..end]])))
            }
            bound => bound.exact(),
        }
    }

    /// As an array of one: nothing is greater; `None` where it cannot serve as a bound.
    pub(crate) fn greatest(&self) -> Option<ArrayRef> {
        match self {
            Bound::Text(text) if text.char_indices().nth(PREFIX).is_some() => None,
            bound => bound.exact(),
        }
    }

    fn exact(&self) -> Option<ArrayRef> {
        Some(match self {
            Bound::Int8(v) => Arc::new(Int8Array::from(vec![*v])),
            Bound::Int16(v) => Arc::new(Int16Array::from(vec![*v])),
            Bound::Int32(v) => Arc::new(Int32Array::from(vec![*v])),
            Bound::Int64(v) => Arc::new(Int64Array::from(vec![*v])),
            Bound::Float32(v) if v.is_finite() => Arc::new(Float32Array::from(vec![*v])),
            Bound::Float64(v) if v.is_finite() => Arc::new(Float64Array::from(vec![*v])),
            Bound::Float32(_) | Bound::Float64(_) => return None,
            Bound::Date(v) => Arc::new(Date32Array::from(vec![*v])),
            Bound::Datetime(v) => Arc::new(TimestampMicrosecondArray::from(vec![*v]).with_timezone("UTC")),
            Bound::Decimal(v, precision, scale) => {
                Arc::new(Decimal128Array::from(vec![*v]).with_precision_and_scale(*precision, *scale).ok()?)
            }
            Bound::Text(text) => Arc::new(StringArray::from(vec![text.as_str()])),
        })
    }
}

/// JSON has no infinity, and a decimal text is not read back to the bit.
mod bits32 {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &f32, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u32(value.to_bits())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f32, D::Error> {
        u32::deserialize(from).map(f32::from_bits)
    }
}

mod bits64 {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(value.to_bits())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        u64::deserialize(from).map(f64::from_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_comes_back_to_the_bit() {
        let bounds = [
            Bound::Int8(-1),
            Bound::Int64(i64::MIN),
            Bound::Float32(0.1),
            Bound::Float64(-0.0),
            Bound::Float64(f64::INFINITY),
            Bound::Float64(0.1 + 0.2),
            Bound::Datetime(1_322_000_000_000_001),
            Bound::Decimal(-170_141_183_460_469_231_731_687_303_715_884_105_728, 38, 3),
            Bound::Text("\u{0}\"ä".into()),
        ];
        let json = serde_json::to_string(&bounds).unwrap();
        let back: [Bound; 9] = serde_json::from_str(&json).unwrap();
        assert_eq!(back, bounds, "{json}");
        assert!(matches!(back[3], Bound::Float64(zero) if zero.is_sign_negative()));
    }
}
