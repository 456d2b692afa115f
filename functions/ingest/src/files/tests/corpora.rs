//! CSV and text files from public corpora.

use std::collections::BTreeMap;

use super::*;

fn csv(bytes: &[u8]) -> Result<Rows, FileFault> {
    read_bytes(&Limits::default(), bytes, Format::Csv, &Csv::default())
}

#[test]
fn the_csv_spectrum_suite() {
    let Some(suite) = corpus("E/csv-spectrum.tar.gz") else {
        return;
    };
    let mut seen = 0;
    for file in suite.files().iter().filter(|file| file.extension().is_some_and(|ending| ending == "csv")) {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let rows = csv(&std::fs::read(file).unwrap()).unwrap();
        seen += 1;
        if name == "location_coordinates" {
            // Its degree signs were lost upstream; the quotes in the middle of its fields are text.
            assert_eq!(rows.good()[0][1].chars().filter(|letter| *letter == '"').count(), 2);
            continue;
        }
        assert_eq!(rows.broken(), [], "{name}");
        let expected = suite.0.join(format!("csv-spectrum/json/{name}.json"));
        let expected: Vec<BTreeMap<String, String>> =
            serde_json::from_slice(&std::fs::read(expected).unwrap()).unwrap();
        let found: Vec<BTreeMap<String, String>> =
            rows.good().into_iter().map(|row| rows.columns.iter().cloned().zip(row).collect()).collect();
        assert_eq!(found, expected, "{name}");
    }
    assert_eq!(seen, 12);
}

#[test]
fn unusual_strings_are_read_unchanged() {
    let Some(suite) = corpus("E/big-list-of-naughty-strings.tar.gz") else {
        return;
    };
    let list = std::fs::read(suite.0.join("big-list-of-naughty-strings/blns.json")).unwrap();
    let list: Vec<String> = serde_json::from_slice(&list).unwrap();
    assert!(list.len() > 500);
    let mut text = "n,naughty\n".to_owned();
    for (number, naughty) in list.iter().enumerate() {
        text.push_str(&format!("{number},\"{}\"\r\n", naughty.replace('"', "\"\"")));
    }
    for chunk in [1, 31, 1 << 20] {
        let limits = Limits { chunk, ..Limits::default() };
        let rows = read_bytes(&limits, text.as_bytes(), Format::Csv, &Csv::default()).unwrap();
        assert_eq!(rows.broken(), []);
        assert!(rows.good().iter().map(|row| &row[1]).eq(&list));
    }
}

/// In every encoding, each line is emitted: as text, or as a broken row with its bytes.
#[test]
fn texts_of_many_encodings() {
    let Some(suite) = corpus("E/charset_samples.tar.gz") else {
        return;
    };
    let single_column = Csv { header: Header::Given(vec!["line".parse().unwrap()]), ..dialect(0x01, None) };
    let windows = Csv { encoding: Encoding::Windows1252, ..single_column.clone() };
    let mut seen = 0;
    for file in suite.files().iter().filter(|file| suite.name_of(file).contains("sample-")) {
        let bytes = std::fs::read(file).unwrap();
        let name = suite.name_of(file);
        let Ok(rows) = read_bytes(&Limits::default(), &bytes, Format::Csv, &single_column) else {
            assert!(bytes.starts_with(b"\xff\xfe"), "{name}");
            continue;
        };
        let utf8 = str::from_utf8(&bytes).is_ok();
        assert_eq!(rows.broken().is_empty(), utf8, "{name}");
        let as_windows = read_bytes(&Limits::default(), &bytes, Format::Csv, &windows).unwrap();
        assert_eq!(as_windows.rows.len(), rows.rows.len(), "{name}");
        assert_eq!(as_windows.broken(), [], "{name}");
        seen += 1;
    }
    assert!(seen >= 17, "{seen}");
}

/// Prints what Python's csv module reads of every file, as one JSON document.
const PYTHON: &str = r"
import csv, io, json, sys
csv.field_size_limit(1 << 30)
found = {}
for name in sys.argv[1:]:
    raw = open(name, 'rb').read()
    try:
        rows = [row for row in csv.reader(io.StringIO(raw.decode('utf-8-sig'), newline=''), strict=True) if row]
        found[name] = rows
    except (UnicodeDecodeError, csv.Error):
        found[name] = None
json.dump(found, sys.stdout)
";

/// Every CSV file of frictionless' own tests: no panic, and where Python's strict reader finds rows of one width, the same
/// rows.
#[test]
fn csv_files_reported_by_users() {
    let Some(suite) = corpus("E/frictionless_data.tar.xz") else {
        return;
    };
    let files: Vec<_> = suite.files().into_iter().filter(|file| suite.name_of(file).ends_with(".csv")).collect();
    let python = Command::new("python3").arg("-c").arg(PYTHON).args(&files).output().unwrap();
    assert!(python.status.success(), "{}", String::from_utf8_lossy(&python.stderr));
    let python: BTreeMap<String, Option<Vec<Vec<String>>>> = serde_json::from_slice(&python.stdout).unwrap();
    let (mut alike, mut refused) = (0, Vec::new());
    for file in &files {
        let name = suite.name_of(file);
        let rows = match csv(&std::fs::read(file).unwrap()) {
            Ok(rows) => rows,
            Err(fault) => {
                refused.push(format!("{name}: {}", fault.message));
                continue;
            }
        };
        let Some(expected) = &python[file.to_str().unwrap()] else {
            continue;
        };
        let Some((header, expected)) = expected.split_first() else {
            assert_eq!(rows.stats.rows, 0, "{name}");
            continue;
        };
        let (good, other): (Vec<_>, Vec<_>) = expected.iter().cloned().partition(|row| row.len() == header.len());
        assert_eq!(rows.columns.len(), header.len(), "{name}");
        assert_eq!(rows.good(), good, "{name}");
        assert_eq!(rows.broken().len(), other.len(), "{name}");
        alike += 1;
    }
    assert!(alike > 100, "{alike} alike; refused: {refused:#?}");
    let known = ["same name", "not UTF-8", "zip archive"];
    assert!(refused.iter().all(|fault| known.iter().any(|why| fault.contains(why))), "{refused:#?}");
}

/// Stray quotes and semicolons in a file of 20,000 fuel stations break only a few lines, not the file.
#[test]
fn stray_quotes_in_real_files() {
    let Some(suite) = corpus("E/frictionless_data.tar.xz") else {
        return;
    };
    let bytes = std::fs::read(suite.0.join("data/issue-1066.csv")).unwrap();
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    for chunk in [100, 1 << 20] {
        let limits = Limits { chunk, ..Limits::default() };
        let quoted = read_bytes(&limits, &bytes, Format::Csv, &dialect(b';', Some(b'"'))).unwrap();
        let plain = read_bytes(&limits, &bytes, Format::Csv, &dialect(b';', None)).unwrap();
        assert!(quoted.stats.broken * 100 < quoted.stats.rows.max(100), "{:?} {lines}", quoted.stats);
        assert!(plain.stats.rows >= quoted.stats.rows);
    }
    let windows = Csv { encoding: Encoding::Windows1252, ..dialect(b';', Some(b'"')) };
    let rows = read_bytes(
        &Limits::default(),
        &std::fs::read(suite.0.join("data/issue-811.csv")).unwrap(),
        Format::Csv,
        &windows,
    );
    println!("{:?}", rows.map(|rows| (rows.columns.clone(), rows.stats)));
}
