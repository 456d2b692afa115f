//! Test helpers: objects made of bytes, and rows that are easy to compare.

mod compression;
mod corpora;
mod csv;
mod csv_quotes;
mod ndjson;
mod parquet;
mod positions;

use std::convert::Infallible;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use polars::prelude::*;
use tidemark_pipeline::raw::{self, FAULT, ORIGIN, ROW, TEXT};
use tidemark_pipeline::{Csv, Encoding, Format, Header};

use super::decode::read_with;
use super::limits::Limits;
use super::{FileFault, Input, ReadError, ReadStats};

/// All rows of an object: column names without the origin columns, and per row its number and either its fields, or its fault and text.
#[derive(Debug, PartialEq)]
struct Rows {
    columns: Vec<String>,
    rows: Vec<(i64, Row)>,
    stats: ReadStats,
    frames: Vec<usize>,
}

#[derive(Debug, PartialEq, Clone)]
enum Row {
    Good(Vec<String>),
    Broken { fault: String, text: String },
}

impl Rows {
    fn good(&self) -> Vec<Vec<String>> {
        let good = |row: &(i64, Row)| match &row.1 {
            Row::Good(fields) => Some(fields.clone()),
            Row::Broken { .. } => None,
        };
        self.rows.iter().filter_map(good).collect()
    }

    fn broken(&self) -> Vec<(i64, String, String)> {
        let broken = |row: &(i64, Row)| match &row.1 {
            Row::Good(_) => None,
            Row::Broken { fault, text } => Some((row.0, fault.clone(), text.clone())),
        };
        self.rows.iter().filter_map(broken).collect()
    }
}

fn cell(column: &Column, at: usize) -> Option<String> {
    match column.get(at).unwrap() {
        AnyValue::Null => None,
        AnyValue::String(text) => Some(text.to_owned()),
        AnyValue::StringOwned(text) => Some(text.to_string()),
        other => Some(other.to_string()),
    }
}

fn frames(limits: &Limits, input: Input, format: Format, csv: &Csv) -> Result<(Vec<DataFrame>, ReadStats), FileFault> {
    let mut frames = Vec::new();
    let read = read_with::<Infallible>(limits, input, "folder/object", format, csv, None, &mut |batch| {
        frames.push(batch.rows);
        Ok(())
    });
    match read {
        Ok(stats) => Ok((frames, stats)),
        Err(ReadError::File(fault)) => Err(fault),
        Err(error) => panic!("{error:?}"),
    }
}

fn rows_of(frames: &[DataFrame], stats: ReadStats) -> Rows {
    let mut columns = Vec::new();
    let mut rows = Vec::new();
    for (number, frame) in frames.iter().enumerate() {
        let names: Vec<String> = frame.get_column_names().iter().map(|name| name.to_string()).collect();
        let (own, origin) = names.split_at(names.len() - ORIGIN.len());
        assert_eq!(origin, ORIGIN);
        assert!(number == 0 || columns == own, "frames differ in their columns");
        columns = own.to_vec();
        let numbers = frame.column(ROW).unwrap().i64().unwrap().clone();
        for at in 0..frame.height() {
            assert_eq!(cell(frame.column("_object").unwrap(), at).unwrap(), "folder/object");
            let text = cell(frame.column(TEXT).unwrap(), at);
            let mut fields = own.iter().map(|name| cell(frame.column(name).unwrap(), at));
            let row = match cell(frame.column(FAULT).unwrap(), at) {
                Some(fault) => {
                    assert!(fields.all(|field| field.is_none()));
                    Row::Broken { fault, text: text.unwrap() }
                }
                None if own.is_empty() => Row::Good(vec![text.unwrap()]),
                None => {
                    assert_eq!(text, None);
                    Row::Good(fields.map(|field| field.unwrap_or_else(|| "∅".to_owned())).collect())
                }
            };
            rows.push((numbers.get(at).unwrap(), row));
        }
    }
    assert_eq!(stats.rows, rows.len() as u64);
    assert_eq!(stats.broken, rows.iter().filter(|(_, row)| matches!(row, Row::Broken { .. })).count() as u64);
    Rows { columns, rows, stats, frames: frames.iter().map(DataFrame::height).collect() }
}

fn stream(bytes: &[u8]) -> Input {
    Input::Stream(Box::new(Cursor::new(bytes.to_vec())))
}

fn read_bytes(limits: &Limits, bytes: &[u8], format: Format, csv: &Csv) -> Result<Rows, FileFault> {
    frames(limits, stream(bytes), format, csv).map(|(frames, stats)| rows_of(&frames, stats))
}

fn read_csv(text: &[u8]) -> Rows {
    read_bytes(&Limits::default(), text, Format::Csv, &Csv::default()).unwrap()
}

fn strings(fields: &[&str]) -> Vec<String> {
    fields.iter().map(|field| (*field).to_owned()).collect()
}

/// A generator of test data (xorshift): the same on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// The folder of the test data.
fn data_root() -> PathBuf {
    match std::env::var_os("TIDEMARK_DATA") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
    }
}

/// The unpacked archive `name` of the test data, in a temporary folder; `None`, with a message, if it is absent.
fn corpus(name: &str) -> Option<Folder> {
    let archive = data_root().join(name);
    if !archive.exists() {
        eprintln!("skipped: {} is absent; set TIDEMARK_DATA to the folder of the test data", archive.display());
        return None;
    }
    let folder = Folder::new(name);
    let unpacked = Command::new("tar").arg("xf").arg(&archive).arg("-C").arg(&folder.0).status().unwrap();
    assert!(unpacked.success());
    Some(folder)
}

/// A temporary folder that is deleted on drop.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        static FOLDERS: AtomicUsize = AtomicUsize::new(0);
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let unique = format!("tidemark-files-{}-{number}-{}", std::process::id(), name.replace('/', "-"));
        let path = std::env::temp_dir().join(unique);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// All files below the folder, sorted by name.
    fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.0.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { files.push(path) }
            }
        }
        files.sort();
        files
    }

    fn name_of(&self, file: &Path) -> String {
        file.strip_prefix(&self.0).unwrap().to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_format_is_taken_from_the_name() {
    use super::format_of;
    for name in ["a.csv", "x/y/a.b.CSV", "a.csv.gz", "a.csv.zst", "a.tsv"] {
        assert_eq!(format_of(name), Some(Format::Csv), "{name}");
    }
    for name in ["a.ndjson", "a.jsonl.gz", "a.json.zst"] {
        assert_eq!(format_of(name), Some(Format::Ndjson), "{name}");
    }
    assert_eq!(format_of("part-0.snappy.parquet"), Some(Format::Parquet));
    for name in ["", "csv", ".csv", "a.csv/", "a.txt", "a.gz", "a.csv.xz", "a.csv.gz.gz", "folder.csv/a"] {
        assert_eq!(format_of(name), None, "{name}");
    }
}

#[test]
fn an_input_error_is_not_a_fault_of_the_file() {
    struct Fails(usize);
    impl Read for Fails {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            if self.0 == 0 {
                return Err(std::io::Error::new(std::io::ErrorKind::ConnectionReset, "gone"));
            }
            self.0 -= 1;
            out[0] = b'a';
            Ok(1)
        }
    }
    let packed = compression::gzip(b"a,b\n1,2\n");
    let broken_gzip = Cursor::new(packed[..12].to_vec()).chain(Fails(0));
    let inputs: [Box<dyn Read + Send>; 3] = [Box::new(Fails(0)), Box::new(Fails(3)), Box::new(broken_gzip)];
    for input in inputs {
        let input = Input::Stream(input);
        let read = super::read::<Infallible>(input, "o", Format::Csv, &Csv::default(), None, &mut |_| Ok(()));
        match read {
            Err(ReadError::Input { source, .. }) => {
                assert_eq!(source.kind(), std::io::ErrorKind::ConnectionReset);
                assert_eq!(source.to_string(), "gone");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_error_of_the_consumer_stops_the_read() {
    let read = super::read(stream(b"a\n1\n"), "o", Format::Csv, &Csv::default(), None, &mut |_| Err(std::fmt::Error));
    assert!(matches!(read, Err(ReadError::Emit(std::fmt::Error))));
}

fn dialect(delimiter: u8, quote: Option<u8>) -> Csv {
    Csv { delimiter, quote, header: Header::First, encoding: Encoding::Utf8 }
}
