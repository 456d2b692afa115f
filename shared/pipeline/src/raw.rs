//! The columns that ingest adds to those of the source, in raw datasets and quarantines. Text is UTF-8; numbers are `int64`.

/// Text, partition column: the name of the record's object, relative to the source's path. For an API, the name of the window, followed by
/// the first page of the commit unless that is page 1.
pub const OBJECT: &str = "_object";
/// Text, partition column: the version of the object, which is its ETag or another version identifier of its store. Always `1` for an API.
pub const VERSION: &str = "_version";
/// Number, partition column: the Delta version of the commit that added the object. Greater is newer.
pub const ARRIVED_IN: &str = "_arrived_in";
/// Number, APIs only: the page of the window, from 1.
pub const PAGE: &str = "_page";
/// Number: the first line of the record (CSV, NDJSON), its row number (Parquet), or its position in the page (API); from 1.
pub const ROW: &str = "_row";
/// Text: why the record could not be decoded; NULL if it could.
pub const FAULT: &str = "_fault";
/// Text: the record as received. Set for every JSON record, and for undecodable records of CSV and Parquet; otherwise NULL.
pub const TEXT: &str = "_text";

/// All added columns. No source may have a column with one of these names.
pub const ADDED: [&str; 7] = [TEXT, FAULT, OBJECT, PAGE, ROW, VERSION, ARRIVED_IN];

/// The added columns of every raw dataset, in order. The columns of the source follow.
pub const ALWAYS: [&str; 6] = [TEXT, FAULT, OBJECT, ROW, VERSION, ARRIVED_IN];

/// The added columns that a decoder returns with every row, in order, after those of the source.
pub const ORIGIN: [&str; 4] = [TEXT, FAULT, OBJECT, ROW];

/// The partition columns of a raw dataset, in order. Each version of an object is a partition, so a changed object is a replaced partition,
/// and the table's file list contains the objects that have been read.
pub const PARTITION_BY: [&str; 3] = [OBJECT, VERSION, ARRIVED_IN];

/// Prefix of the names that are reserved for Tidemark.
const RESERVED: char = '_';

/// Whether a column is one of [`ADDED`].
pub fn is_added(column: &str) -> bool {
    ADDED.contains(&column)
}

/// Whether a name is reserved for Tidemark. Definitions must not use it.
pub fn is_reserved(column: &str) -> bool {
    column.starts_with(RESERVED)
}

/// Whether a raw dataset with these columns holds JSON: it has no columns of the source, and each record is in [`TEXT`].
pub fn holds_json<'c>(mut columns: impl Iterator<Item = &'c str>) -> bool {
    columns.all(is_reserved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dataset_without_fields_of_a_source_holds_json() {
        assert!(ADDED.into_iter().all(|column| is_added(column) && is_reserved(column)));
        assert!(holds_json(ADDED.into_iter()));
        assert!(holds_json(ALWAYS.into_iter()));
        assert!(!holds_json(ALWAYS.into_iter().chain(["amount"])));
        assert!(!is_added("_other") && !is_added("row"));
    }
}
