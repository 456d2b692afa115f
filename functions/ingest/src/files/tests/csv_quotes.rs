//! Quotes: a round trip with any chunk size; a stray quote breaks a line, not the file.

use std::time::Instant;

use super::*;

#[test]
fn quotes_follow_rfc_4180() {
    let rows = read_csv(b"a,b\n\"x,\"\"y\"\"\",\"two\nlines\r\n\"\r\n\"\"\"\",\"\"\"\"\"\"\n");
    assert_eq!(rows.good(), [strings(&["x,\"y\"", "two\nlines\r\n"]), strings(&["\"", "\"\""])]);
    assert_eq!(rows.rows.iter().map(|row| row.0).collect::<Vec<_>>(), [2, 5]);
}

#[test]
fn a_quote_inside_a_field_is_text() {
    let rows = read_csv(b"a,b\n5\" pipe,x\"y\"\n \"1\",2\n");
    assert_eq!(rows.good(), [strings(&["5\" pipe", "x\"y\""]), strings(&[" \"1\"", "2"])]);
}

#[test]
fn text_after_a_closing_quote() {
    let rows = read_csv(b"a,b\n\"1\"x,2\n3,4\n5,\"6\" \n\"7\n8\"9,0\n");
    let expected = [
        (2, "text follows the closing quote of field 1", "\"1\"x,2"),
        (4, "text follows the closing quote of field 2", "5,\"6\" "),
        (5, "text follows the closing quote of field 1", "\"7"),
    ];
    assert_eq!(rows.broken(), expected.map(|(line, fault, text)| (line, fault.to_owned(), text.to_owned())));
    assert_eq!(rows.good(), [strings(&["3", "4"]), strings(&["8\"9", "0"])]);
}

#[test]
fn an_unclosed_quote_breaks_one_line() {
    let open = "the quote opened in field 2 is not closed before the file ends or within 1 MiB or 10000 lines";
    let rows = read_csv(b"a,b\n1,\"2\r\n3,4\n5,\"\"\n6,7");
    assert_eq!(rows.broken(), [(2, open.to_owned(), "1,\"2".to_owned())]);
    assert_eq!(rows.good(), [strings(&["3", "4"]), strings(&["5", ""]), strings(&["6", "7"])]);
    for text in [&b"a,b\n1,\""[..], b"a,b\n1,\"\n", b"a,b\n1,\"\r\n", b"a,b\n1,\"2", b"a,b\n1,\"2\"\""] {
        assert_eq!(read_csv(text).broken().len(), 1, "{:?}", String::from_utf8_lossy(text));
    }
}

#[test]
fn a_quoted_field_has_a_maximum_length() {
    let limits = Limits { quoted_lines: 4, quoted_bytes: 40, ..Limits::default() };
    let held = |lines: usize, width: usize| {
        let field = format!("{}\n", "y".repeat(width)).repeat(lines);
        let text = format!("a,b\n1,\"{field}\"\n2,3\n");
        let reads: Vec<Rows> = [1, 2, 7, 64, 1 << 20]
            .iter()
            .map(|chunk| {
                let limits = Limits { chunk: *chunk, ..limits };
                read_bytes(&limits, text.as_bytes(), Format::Csv, &Csv::default()).unwrap()
            })
            .collect();
        assert!(reads.windows(2).all(|pair| pair[0] == pair[1]));
        reads[0].broken().is_empty()
    };
    assert!(held(4, 1) && !held(5, 1));
    assert!(held(3, 18) && !held(3, 20));
    // The first line of a field does not count.
    assert!(held(1, 100));
}

/// After an unclosed quote the scanner goes back to the second line, so it must not scan the text ahead again for every record.
#[expect(clippy::disallowed_methods, reason = "a test has a clock")]
#[test]
fn open_quotes_everywhere_are_read_in_linear_time() {
    let lines = ["x\",\"y\n", "1,\"2\n", "\"\n", "a,\"\"\"\n", "\"a\"\"\n"];
    for line in lines {
        for tail in ["", "\"junk", "\"\n", "\",\"\"\n"] {
            let text = format!("a,b\n{}{tail}", line.repeat(200_000));
            let started = Instant::now();
            let rows = read_csv(text.as_bytes());
            assert!(started.elapsed().as_secs() < 60, "{line:?} {tail:?}");
            assert!(rows.stats.rows > 0);
        }
    }
}

/// Compares the scanner, with cached verdicts, to a plain implementation of the rules without a cache.
#[test]
fn cached_verdicts_do_not_change_the_result() {
    let mut random = Random(7);
    let pieces = ["a", "\"", "\"", "\"\"", ",", ",", "\n", "\n", "\r\n", "é", "\",\"", "\r"];
    for _ in 0..4_000 {
        let text: String = (0..random.below(40)).map(|_| pieces[random.below(pieces.len())]).collect();
        let text = format!("a,b\n{text}");
        let limits = Limits { quoted_lines: 3, quoted_bytes: 12, ..Limits::default() };
        let whole = read_bytes(&limits, text.as_bytes(), Format::Csv, &Csv::default()).unwrap();
        assert_eq!(whole.rows, reference_read(&text, 3, 12), "{text:?}");
        for chunk in [1, 2, 5] {
            let limits = Limits { chunk, ..limits };
            let pieces = read_bytes(&limits, text.as_bytes(), Format::Csv, &Csv::default()).unwrap();
            assert_eq!(pieces.rows, whole.rows, "{text:?} in pieces of {chunk}");
        }
    }
}

/// The rules of `csv::scan` without optimisation, for two columns, comma, double quote and LF. Starts after the header.
fn reference_read(text: &str, quoted_lines: usize, quoted_bytes: usize) -> Vec<(i64, Row)> {
    let bytes = text.as_bytes();
    let mut rows = Vec::new();
    let (mut at, mut line) = (4, 2);
    while at < bytes.len() {
        let first_end = bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| at + end);
        if matches!(&bytes[at..first_end], b"" | b"\r") {
            (at, line) = (first_end + 1, line + 1);
            continue;
        }
        let cut = |end: usize| end - usize::from(end > at && bytes[end - 1] == b'\r');
        let (row, next) = match record(bytes, at, first_end, quoted_lines, quoted_bytes) {
            Ok((fields, end, next)) if fields.len() == 2 => (Row::Good(fields), (end, next).1),
            Ok((fields, end, next)) => {
                let fault = format!("expected 2 fields, found {}", fields.len());
                (Row::Broken { fault, text: text[at..end].to_owned() }, next)
            }
            Err(fault) => (Row::Broken { fault, text: text[at..cut(first_end)].to_owned() }, first_end + 1),
        };
        rows.push((line, row));
        line += bytes[at..next.min(bytes.len())].iter().filter(|byte| **byte == b'\n').count() as i64;
        at = next;
    }
    rows
}

type Record = (Vec<String>, usize, usize);

fn record(b: &[u8], start: usize, first_end: usize, lines: usize, bytes: usize) -> Result<Record, String> {
    let mut fields = Vec::new();
    let mut at = start;
    let mut opened = None;
    loop {
        let mut field = Vec::new();
        if b.get(at) != Some(&b'"') {
            let length = b[at..].iter().position(|byte| matches!(byte, b',' | b'\n')).unwrap_or(b.len() - at);
            let (mut end, stop) = (at + length, b.get(at + length));
            if stop != Some(&b',') && end > at && b[end - 1] == b'\r' {
                end -= 1;
            }
            fields.push(String::from_utf8(b[at..end].to_vec()).unwrap());
            match stop {
                Some(b',') => at += length + 1,
                _ => return Ok((fields, end, at + length + 1)),
            }
            continue;
        }
        let number = fields.len() + 1;
        let mut i = at + 1;
        loop {
            let open = |opened: Option<usize>| {
                let field = opened.unwrap_or(number);
                format!(
                    "the quote opened in field {field} is not closed before the file ends or within {bytes} bytes or {lines} lines"
                )
            };
            let far = |i: usize| i > first_end && i >= first_end + 1 + bytes;
            match (b.get(i), b.get(i + 1)) {
                (None, _) => return Err(open(opened)),
                (Some(b'"' | b'\n'), _) if far(i) => return Err(open(opened)),
                (Some(b'"'), Some(b'"')) => i += 2,
                (Some(b'"'), _) => break,
                (Some(b'\n'), _) => {
                    opened = opened.or(Some(number));
                    let passed = b[start..=i].iter().filter(|byte| **byte == b'\n').count();
                    if passed > lines {
                        return Err(open(opened));
                    }
                    i += 1;
                }
                _ => i += 1,
            }
            field.clear();
        }
        field.extend_from_slice(&b[at + 1..i]);
        fields.push(String::from_utf8(field).unwrap().replace("\"\"", "\""));
        match &b[i + 1..] {
            [] => return Ok((fields, i + 1, i + 1)),
            [b',', ..] => at = i + 2,
            [b'\n', ..] => return Ok((fields, i + 1, i + 2)),
            [b'\r'] => return Ok((fields, i + 1, i + 2)),
            [b'\r', b'\n', ..] => return Ok((fields, i + 1, i + 3)),
            _ => {
                return Err(format!("text follows the closing quote of field {}", opened.unwrap_or(number)));
            }
        }
    }
}

#[test]
fn csv_round_trips_with_any_chunk_size() {
    let mut random = Random(42);
    let alphabet = ["a", "b", "é", "😀", " ", ",", ";", "\"", "\n", "\r\n", "x y", "0"];
    for round in 0..60 {
        let columns = 1 + random.below(5);
        let quote_all = random.below(2) == 0;
        let line_end = ["\n", "\r\n"][random.below(2)];
        let mut text = (0..columns).map(|column| format!("c{column}")).collect::<Vec<_>>().join(",");
        let mut expected = Vec::new();
        for _ in 0..random.below(12) {
            let row: Vec<String> = (0..columns)
                .map(|_| (0..random.below(6)).map(|_| alphabet[random.below(alphabet.len())]).collect())
                .collect();
            let cells: Vec<String> = row
                .iter()
                .map(|cell: &String| {
                    let plain = !quote_all && !cell.is_empty() && !cell.contains([',', '"', '\n', '\r']);
                    if plain { cell.clone() } else { format!("\"{}\"", cell.replace('"', "\"\"")) }
                })
                .collect();
            text.push_str(line_end);
            text.push_str(&cells.join(","));
            expected.push(row);
        }
        if random.below(2) == 0 {
            text.push_str(line_end);
        }
        for chunk in 1..=64 {
            let limits = Limits { chunk, ..Limits::default() };
            let rows = read_bytes(&limits, text.as_bytes(), Format::Csv, &Csv::default()).unwrap();
            assert_eq!(rows.good(), expected, "round {round}, chunk {chunk}: {text:?}");
            assert_eq!(rows.stats.broken, 0);
        }
    }
}
