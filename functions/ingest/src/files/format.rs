//! The format of an object, inferred from its name.

use tidemark_pipeline::Format;

/// The format by the extension: `.csv`, `.tsv` (the delimiter is still the one in the definition), `.ndjson`, `.jsonl`, `.json`
/// (newline-delimited), `.parquet`, each also followed by `.gz` or `.zst`, in upper or lower case.
pub fn format_of(object: &str) -> Option<Format> {
    let name = object.rsplit(['/', '\\']).next()?.to_ascii_lowercase();
    let plain = [".gz", ".zst"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
    let (stem, extension) = plain.rsplit_once('.')?;
    match extension {
        _ if stem.is_empty() => None,
        "csv" | "tsv" => Some(Format::Csv),
        "ndjson" | "jsonl" | "json" => Some(Format::Ndjson),
        "parquet" => Some(Format::Parquet),
        _ => None,
    }
}
