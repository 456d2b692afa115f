//! The columns that ingest puts beside the source's own. Their names are defined only here; code that reads or writes a raw dataset, or a
//! quarantine, uses these constants. Their types are those of the table: text is UTF-8, a number is an `int64`.

/// Text, a partition: the name of the object that the record comes from, relative to the source's path. Of an API, the name of the window,
/// with the page that the commit begins at, if that is not the first.
pub const OBJECT: &str = "_object";
/// Text, a partition: the version of the object, which is its ETag or another version identifier of its store. For an API always `1`.
pub const VERSION: &str = "_version";
/// A number, a partition: the Delta version of the raw dataset whose commit brought the object. The greater is the newer.
pub const ARRIVED_IN: &str = "_arrived_in";
/// A number, of an API only: the page of its window that the record stands in, from 1.
pub const PAGE: &str = "_page";
/// A number: the line at which the record begins (CSV, NDJSON), the number of the row (Parquet) or of the record in its page (API), from 1.
pub const ROW: &str = "_row";
/// Text: why the record could not be decoded; NULL if it could.
pub const FAULT: &str = "_fault";
/// Text: the record as received. Set for every JSON record, and for broken records of CSV and Parquet; otherwise NULL.
pub const TEXT: &str = "_text";

/// All added columns. No source may have a column with one of these names.
pub const ADDED: [&str; 7] = [TEXT, FAULT, OBJECT, PAGE, ROW, VERSION, ARRIVED_IN];

/// The added columns of every raw dataset, in order; the source's own columns follow, if it has any.
pub const ALWAYS: [&str; 6] = [TEXT, FAULT, OBJECT, ROW, VERSION, ARRIVED_IN];

/// The added columns that a decoder returns with every row, in order, after the source's own.
pub const ORIGIN: [&str; 4] = [TEXT, FAULT, OBJECT, ROW];

/// The partition columns of a raw dataset, in their order. One version of one object is one partition, so that a changed object is swapped,
/// and the table's list of files says what has been read.
pub const PARTITION_BY: [&str; 3] = [OBJECT, VERSION, ARRIVED_IN];

/// Prefix of the names that are reserved for Tidemark.
const RESERVED: char = '_';

/// Whether a column is one of [`ADDED`], rather than one of the source's.
pub fn is_added(column: &str) -> bool {
    ADDED.contains(&column)
}

/// Whether a name is reserved for Tidemark, so that no definition may give it to a column.
pub fn is_reserved(column: &str) -> bool {
    column.starts_with(RESERVED)
}

/// Whether a raw dataset with these columns holds JSON: it has no columns of the source's own, and each record is in [`TEXT`].
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
