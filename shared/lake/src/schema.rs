//! Conversion of schemas between polars and Delta, and encoding of source column names for a table.

use delta_kernel::schema::{DataType as Delta, DecimalType, PrimitiveType, StructField, StructType};
use polars::prelude::{DataType, Field, Schema, SchemaExt as _, TimeUnit, TimeZone};
use tidemark_pipeline::DatasetName;

use crate::error::LakeError;

/// Bytes that a Delta table without column mapping cannot have in a column's name, and `%`, the escape character.
const ENCODED: &[char] = &[' ', ',', ';', '{', '}', '(', ')', '\n', '\t', '=', '%'];

/// `Unit Price` → `Unit%20Price`: reversible, so that a raw dataset keeps the names of its source.
pub fn encode_column(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for c in name.chars() {
        if ENCODED.contains(&c) {
            encoded.push_str(&format!("%{:02X}", u32::from(c)));
        } else {
            encoded.push(c);
        }
    }
    encoded
}

/// The inverse of [`encode_column`].
pub fn decode_column(name: &str) -> String {
    let mut decoded = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find('%') {
        decoded.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(code) if ENCODED.contains(&char::from(code)) => {
                decoded.push(char::from(code));
                rest = &rest[at + 3..];
            }
            _ => {
                decoded.push('%');
                rest = &rest[at + 1..];
            }
        }
    }
    decoded.push_str(rest);
    decoded
}

/// The schema with encoded column names.
pub(crate) fn encoded(schema: &Schema) -> Schema {
    schema.iter_fields().map(|field| Field::new(encode_column(field.name()).into(), field.dtype().clone())).collect()
}

/// The Delta schema of a frame. Every column is nullable: required columns are enforced by the contract.
pub(crate) fn to_delta(dataset: &DatasetName, schema: &Schema) -> Result<StructType, LakeError> {
    let fields: Result<Vec<_>, _> = schema
        .iter_fields()
        .map(|field| {
            let ty = delta_type(field.dtype()).ok_or_else(|| LakeError::Type {
                dataset: dataset.clone(),
                column: field.name().to_string(),
                found: format!("{:?}", field.dtype()),
            })?;
            Ok(StructField::nullable(encode_column(field.name()), ty))
        })
        .collect();
    StructType::try_new(fields?)
        .map_err(|source| LakeError::Refused { dataset: dataset.clone(), what: source.to_string() })
}

fn delta_type(ty: &DataType) -> Option<Delta> {
    Some(match ty {
        DataType::String => Delta::STRING,
        DataType::Boolean => Delta::BOOLEAN,
        DataType::Int8 => Delta::BYTE,
        DataType::Int16 => Delta::SHORT,
        DataType::Int32 => Delta::INTEGER,
        DataType::Int64 => Delta::LONG,
        DataType::Float32 => Delta::FLOAT,
        DataType::Float64 => Delta::DOUBLE,
        DataType::Binary => Delta::BINARY,
        DataType::Date => Delta::DATE,
        DataType::Datetime(TimeUnit::Microseconds, Some(_)) => Delta::TIMESTAMP,
        DataType::Decimal(precision, scale) => {
            let (precision, scale) = (u8::try_from(*precision).ok()?, u8::try_from(*scale).ok()?);
            Delta::Primitive(PrimitiveType::Decimal(DecimalType::try_new(precision, scale).ok()?))
        }
        _ => return None,
    })
}

/// The polars schema of a Delta schema: all columns, partition columns included.
pub(crate) fn from_delta(dataset: &DatasetName, schema: &StructType) -> Result<Schema, LakeError> {
    schema
        .fields()
        .map(|field| {
            let name = decode_column(field.name());
            let ty = polars_type(field.data_type()).ok_or_else(|| LakeError::Type {
                dataset: dataset.clone(),
                column: name.clone(),
                found: field.data_type().to_string(),
            })?;
            Ok(Field::new(name.into(), ty))
        })
        .collect()
}

fn polars_type(ty: &Delta) -> Option<DataType> {
    let Delta::Primitive(ty) = ty else { return None };
    Some(match ty {
        PrimitiveType::String => DataType::String,
        PrimitiveType::Boolean => DataType::Boolean,
        PrimitiveType::Byte => DataType::Int8,
        PrimitiveType::Short => DataType::Int16,
        PrimitiveType::Integer => DataType::Int32,
        PrimitiveType::Long => DataType::Int64,
        PrimitiveType::Float => DataType::Float32,
        PrimitiveType::Double => DataType::Float64,
        PrimitiveType::Binary => DataType::Binary,
        PrimitiveType::Date => DataType::Date,
        PrimitiveType::Timestamp => DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC)),
        PrimitiveType::Decimal(d) => DataType::Decimal(usize::from(d.precision()), usize::from(d.scale())),
        _ => return None,
    })
}

/// Serializes a schema in the format of Delta logs.
///
/// # Errors
/// [`LakeError::Type`]
pub fn schema_to_json(dataset: &DatasetName, schema: &Schema) -> Result<String, LakeError> {
    serde_json::to_string(&to_delta(dataset, schema)?)
        .map_err(|source| LakeError::Bug { what: "a schema cannot be written".into(), source: Box::new(source) })
}

/// The inverse of [`schema_to_json`]. Returns None if the text is not such a schema.
pub fn schema_from_json(dataset: &DatasetName, text: &str) -> Option<Schema> {
    from_delta(dataset, &serde_json::from_str(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_column_names_survive_encoding() {
        for name in ["Unit Price", "a,b;c", "{x}", "100%", "%20", "a=b", "plain", "50%25", "é è", "tab\there", "%2"] {
            assert_eq!(decode_column(&encode_column(name)), name);
            assert!(!encode_column(name).contains([' ', ',', ';', '{', '}', '(', ')', '\n', '\t', '=']));
        }
        assert_eq!(encode_column("Unit Price"), "Unit%20Price");
    }

    #[test]
    fn a_schema_survives_serialization() {
        let types = [
            DataType::String,
            DataType::Boolean,
            DataType::Int8,
            DataType::Int16,
            DataType::Int32,
            DataType::Int64,
            DataType::Float32,
            DataType::Float64,
            DataType::Binary,
            DataType::Date,
            DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC)),
            DataType::Decimal(20, 0),
        ];
        let fields = types.into_iter().enumerate().map(|(at, ty)| Field::new(format!("Column, {at} %20").into(), ty));
        let schema: Schema = fields.collect();
        let dataset: DatasetName = "sales".parse().unwrap();
        let text = schema_to_json(&dataset, &schema).unwrap();
        assert_eq!(schema_from_json(&dataset, &text), Some(schema));
        assert_eq!(schema_from_json(&dataset, "{"), None);
    }
}
