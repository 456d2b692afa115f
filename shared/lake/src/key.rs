//! All object keys of the lake. Every key is built here.

use std::fmt::Write as _;

use object_store::path::Path;
use tidemark_pipeline::{DatasetName, PipelineName};

use crate::partition::Partition;

/// The key of an object in the lake, relative to its root.
///
/// Names are parsed newtypes and everything else that reaches a key is encoded here, so no key can leave the lake: it has no
/// `..`, no empty, absolute or over-long part, and only the bytes `A-Z a-z 0-9 . _ = -`, which no store and no reader of Delta
/// tables encodes differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key<'a> {
    /// `tidemark.json`: marks the place as a lake and holds its format number.
    Marker,
    /// Written twice when a lake is created, to check that the store honours conditional writes ("only if absent").
    Probe,
    /// `datasets`, all of them.
    Datasets,
    /// `datasets/sales`: a Delta table.
    Table(&'a DatasetName),
    /// `datasets/sales/_delta_log`
    Log(&'a DatasetName),
    /// `datasets/sales/_delta_log/00000000000000000007.json`
    Commit(&'a DatasetName, i64),
    /// `datasets/sales/sold_on=2011-12-08/part-00000-<hash>.parquet`, as the Delta log names it under the table.
    Data(&'a DatasetName, &'a str),
    /// `datasets/sales/_work/<plan>`: the checkpoint of a plan that did not fit one invocation, with the receipt of each of its tasks,
    /// `<task>.json`. Delta ignores names that start with `_`.
    Checkpoint(&'a DatasetName, &'a str),
    /// `datasets/sales/_work/<plan>/rows-<hash>`: rows that a task spills for tasks of a later stage.
    Spill(&'a DatasetName, &'a str, &'a str),
    /// `landing/orders/20240131T080000Z-v00007/00001.json.zst`: a page of an API, as received.
    Page(&'a PipelineName, &'a str, u32),
    /// `landing/orders/20240131T080000Z-v00007/00001.refused.zst`: a response that was not a valid page, kept for inspection.
    Refused(&'a PipelineName, &'a str, u32),
    /// `landing/orders/20240131T080000Z-v00007/void`: marks the pages of this window as not to be resumed.
    Invalidated(&'a PipelineName, &'a str),
    /// `runs`, all of them.
    Runs,
    /// `runs/2011-12-09`
    RunDay(jiff::civil::Date),
    /// `runs/2011-12-09/<run_id>.json`
    Run(jiff::civil::Date, &'a str),
    /// `watch`: the watcher's objects.
    Watch,
    /// `watch/state.json`: how far the watcher has read, and the state derived from it. If it is missing, the watcher reads the last days
    /// again.
    Watcher,
    /// `watch/dev.lock`: lock held by the single `tidemark dev` that works on a lake in a folder.
    DevLock,
    /// `watch/incidents/orders.clean.failed.json`: one incident, by its key.
    Incident(&'a str),
    /// `watch/silences/orders.json`: silence: no notifications about this pipeline for some time.
    Silence(&'a PipelineName),
    /// `watch/running/<run_id>.json`: heartbeat of a long run in progress.
    Running(&'a str),
}

pub(crate) const MARKER: &str = "tidemark.json";

impl Key<'_> {
    /// The key as an object store path.
    pub fn path(&self) -> Path {
        match self {
            Key::Marker => Path::from(MARKER),
            Key::Probe => Path::from("tidemark.probe"),
            Key::Datasets => Path::from("datasets"),
            Key::Table(dataset) => Path::from(format!("datasets/{dataset}")),
            Key::Log(dataset) => Path::from(format!("datasets/{dataset}/_delta_log")),
            Key::Commit(dataset, version) => Key::Log(dataset).path().join(commit_name(*version)),
            Key::Data(dataset, file) => {
                let parts = file.split('/').filter(|part| !part.is_empty()).map(safe_part);
                Path::from_iter(["datasets".to_owned(), dataset.to_string()].into_iter().chain(parts))
            }
            Key::Checkpoint(dataset, plan) => Path::from(format!("datasets/{dataset}/_work/{}", safe_part(plan))),
            Key::Spill(dataset, plan, name) => Key::Checkpoint(dataset, plan).path().join(safe_part(name)),
            Key::Page(pipeline, window, page) => {
                Path::from(format!("landing/{pipeline}/{}/{page:05}.json.zst", safe_part(window)))
            }
            Key::Refused(pipeline, window, page) => {
                Path::from(format!("landing/{pipeline}/{}/{page:05}.refused.zst", safe_part(window)))
            }
            Key::Invalidated(pipeline, window) => Path::from(format!("landing/{pipeline}/{}/void", safe_part(window))),
            Key::Runs => Path::from("runs"),
            Key::RunDay(day) => Path::from(format!("runs/{day}")),
            Key::Run(day, run_id) => Path::from(format!("runs/{day}/{}.json", safe_part(run_id))),
            Key::Watch => Path::from("watch"),
            Key::Watcher => Path::from("watch/state.json"),
            Key::DevLock => Path::from("watch/dev.lock"),
            Key::Incident(name) => Path::from(format!("watch/incidents/{}.json", safe_part(name))),
            Key::Silence(pipeline) => Path::from(format!("watch/silences/{pipeline}.json")),
            Key::Running(run_id) => Path::from(format!("watch/running/{}.json", safe_part(run_id))),
        }
    }
}

/// Object name of an incident: its key if that has only safe characters, else the key's hash.
pub fn incident_name(key: &str) -> String {
    safe_part(key)
}

/// Longest part of a key in bytes; file systems end at 255.
const MAX_PART: usize = 120;

/// One part of a key: the text itself if it has only safe characters and is short enough, else its hash.
pub(crate) fn safe_part(text: &str) -> String {
    let harmless = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'=' | b'-');
    if !text.is_empty() && text.len() <= MAX_PART && !text.starts_with('.') && text.bytes().all(harmless) {
        text.to_owned()
    } else {
        format!("hash-{}", short_hash(text.as_bytes()))
    }
}

/// The path of a data file under its table: the `nth` file of its partition. Readers take the partition values from the log;
/// the folder name is only for people.
pub(crate) fn data_path(partition: &Partition, nth: usize, content: &[u8]) -> String {
    let mut path = String::new();
    let mut hash = blake3::Hasher::new();
    match partition.values() {
        [] => {}
        [(column, value)] => {
            let value = value.as_deref().unwrap_or("__HIVE_DEFAULT_PARTITION__");
            let _ = write!(path, "{}/", safe_part(&format!("{column}={value}")));
        }
        // only raw datasets have more than one partition column, and they do not need a folder for each object
        values => {
            for (column, value) in values {
                hash.update(column.as_bytes())
                    .update(b"=")
                    .update(value.as_deref().unwrap_or_default().as_bytes())
                    .update(b"\0");
            }
        }
    }
    hash.update(content);
    let _ = write!(path, "part-{nth:05}-{}.parquet", &hash.finalize().to_hex()[..HASH]);
    path
}

/// Whether a path of the log has the form that [`data_path`] generates.
pub(crate) fn is_ours(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.strip_prefix("part-")
        .and_then(|name| name.strip_suffix(".parquet"))
        .and_then(|name| name.split_once('-'))
        .is_some_and(|(nth, hash)| {
            nth.len() >= 5
                && nth.bytes().all(|b| b.is_ascii_digit())
                && hash.len() == HASH
                && hash.bytes().all(|b| b.is_ascii_hexdigit())
        })
}

/// File name of a commit in the log.
pub(crate) fn commit_name(version: i64) -> String {
    format!("{version:020}.json")
}

/// Object name of spilled rows in a checkpoint.
pub(crate) fn content_name(content: &[u8]) -> String {
    format!("rows-{}", short_hash(content))
}

/// Hexadecimal digits of a hash in a key: 128 bits of BLAKE3.
const HASH: usize = 32;

fn short_hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..HASH].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partition_values_cannot_escape_the_lake() {
        let long = "x".repeat(1025);
        for evil in ["..", ".", "", "/etc/passwd", "../../x", "%2e%2e", "a\0b", "a/b", "ä", "C:\\x", &long, " "] {
            let partition = Partition::new([("country", Some(evil))]);
            let path = data_path(&partition, 0, b"content");
            let key = Key::Data(&"sales".parse().unwrap(), &path).path();
            let parts: Vec<_> = key.parts().map(|p| p.as_ref().to_owned()).collect();
            assert_eq!(parts.len(), 4, "{evil:?} gives {key}");
            assert_eq!(parts[..2], ["datasets", "sales"], "{evil:?} gives {key}");
            assert!(parts.iter().all(|p| p.len() <= 255 && p != ".." && !p.contains('%')), "{evil:?} gives {key}");
        }
    }

    #[test]
    fn paths_of_a_log_cannot_escape_the_table() {
        let dataset: DatasetName = "sales".parse().unwrap();
        for evil in ["../other/part-1.parquet", "/part.parquet", "a/../../b", "..//..//c"] {
            let key = Key::Data(&dataset, evil).path().to_string();
            assert!(key.starts_with("datasets/sales/") && !key.contains(".."), "{evil} gives {key}");
        }
    }

    #[test]
    fn the_same_content_has_the_same_path() {
        let day = Partition::new([("sold_on", Some("2011-12-08"))]);
        assert_eq!(data_path(&day, 0, b"rows"), data_path(&day, 0, b"rows"));
        assert_ne!(data_path(&day, 0, b"rows"), data_path(&day, 0, b"other"));
        assert!(data_path(&day, 0, b"rows").starts_with("sold_on=2011-12-08/part-00000-"));
    }
}
