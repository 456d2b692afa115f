use super::*;

fn ndjson(text: &[u8]) -> Rows {
    let whole = read_bytes(&Limits::default(), text, Format::Ndjson, &Csv::default()).unwrap();
    for chunk in [1, 2, 3, 5, 17] {
        let limits = Limits { chunk, ..Limits::default() };
        assert_eq!(read_bytes(&limits, text, Format::Ndjson, &Csv::default()).unwrap(), whole);
    }
    whole
}

#[test]
fn records_keep_their_text() {
    let rows = ndjson(b"\xef\xbb\xbf{\"a\": 1}\r\n\n  {\"b\": \"\xc3\xa9\"} \t\n \r\n{}");
    assert!(rows.columns.is_empty());
    let expected = [(1, "{\"a\": 1}"), (3, "{\"b\": \"é\"}"), (5, "{}")];
    assert_eq!(rows.rows, expected.map(|(line, text)| (line, Row::Good(strings(&[text])))));
}

#[test]
fn a_line_that_is_not_an_object_is_broken() {
    let rows = ndjson(b"[1]\n\"x\"\n-1\ntrue\nnull\nnope\n{\"a\": 1\n{\n}\n{\"caf\xe9\": 1}\n\0\n");
    let faults: Vec<_> = rows.broken().into_iter().map(|(_, fault, _)| fault).collect();
    let object = |found: &str| format!("expected a JSON object{found}");
    let on_line = "the JSON object does not end on its line: one record per line is expected".to_owned();
    let expected = [
        object(", found an array"),
        object(", found a string"),
        object(", found a number"),
        object(", found a boolean"),
        object(", found null"),
        object(""),
        on_line.clone(),
        on_line,
        object(""),
        "byte 6 of the line is not UTF-8: \\xE9".to_owned(),
        object(""),
    ];
    assert_eq!(faults, expected);
    assert_eq!(rows.broken()[9].2, "{\"caf\\xE9\": 1}");
    assert!(rows.good().is_empty());
}

#[test]
fn an_empty_file_gives_an_empty_frame() {
    for text in [&b""[..], b"\n \n"] {
        assert_eq!(ndjson(text).frames, [0]);
    }
}

#[test]
fn a_line_that_is_too_long_is_one_broken_row() {
    let long = format!("{{\"a\": \"{}\"}}", "x".repeat(300));
    for chunk in [1, 50, 1 << 20] {
        let limits = Limits { chunk, line: 100, excerpt: 10, ..Limits::default() };
        let text = format!("{{}}\n{long}\n{{}}\n{long}");
        let rows = read_bytes(&limits, text.as_bytes(), Format::Ndjson, &Csv::default()).unwrap();
        assert_eq!(rows.broken().iter().map(|row| row.0).collect::<Vec<_>>(), [2, 4]);
        assert_eq!(rows.broken()[1].2, long[..10]);
        assert_eq!(rows.stats.rows, 4);
    }
}

#[test]
fn frames_are_bounded() {
    let text = "{\"a\": 1}\n".repeat(1_000);
    let limits = Limits { rows: 300, ..Limits::default() };
    let rows = read_bytes(&limits, text.as_bytes(), Format::Ndjson, &Csv::default()).unwrap();
    assert_eq!(rows.frames, [300, 300, 300, 100]);
    let limits = Limits { text: 80, ..Limits::default() };
    let rows = read_bytes(&limits, text.as_bytes(), Format::Ndjson, &Csv::default()).unwrap();
    assert!(rows.frames.iter().all(|height| *height == 10));
}

/// The files of the suite as lines: every line is counted, and every accepted record begins and ends like an object.
#[test]
fn the_json_test_suite_as_lines() {
    let Some(suite) = corpus("E/JSONTestSuite.tar.gz") else {
        return;
    };
    let (mut good, mut broken) = (0, 0);
    for file in suite.files().iter().filter(|file| file.extension().is_some_and(|ending| ending == "json")) {
        let name = suite.name_of(file);
        let bytes = std::fs::read(file).unwrap();
        let Ok(rows) = read_bytes(&Limits::default(), &bytes, Format::Ndjson, &Csv::default()) else {
            assert!(name.contains("UTF-16") || name.contains("utf16"), "{name}");
            continue;
        };
        good += rows.good().len();
        broken += rows.broken().len();
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
        assert_eq!(rows.stats.rows, lines as u64, "{name}");
        for record in rows.good() {
            assert!(record[0].starts_with('{') && record[0].ends_with('}'), "{name}");
        }
        let one_object = name.contains("/y_object") && !bytes.contains(&b'\n');
        assert!(!one_object || rows.good().len() == 1, "{name}");
    }
    assert!(good > 30 && broken > 200, "{good} good, {broken} broken");
}
