use super::*;

#[test]
fn fields_keep_their_text() {
    let rows = read_csv(b"id, name ,note\n1, Ann ,\n2,,\"x\"\n");
    assert_eq!(rows.columns, ["id", " name ", "note"]);
    assert_eq!(rows.good(), [strings(&["1", " Ann ", ""]), strings(&["2", "", "x"])]);
    assert_eq!(rows.rows[1].0, 3);
    assert_eq!(rows.stats, ReadStats { rows: 2, broken: 0, bytes: 31 });
}

#[test]
fn line_ends_may_be_mixed_and_blank_lines_are_skipped() {
    let rows = read_csv(b"\r\n\na,b\r\n1,2\n\n3,4\r\n\r\n5,6");
    assert_eq!(rows.good(), [strings(&["1", "2"]), strings(&["3", "4"]), strings(&["5", "6"])]);
    assert_eq!(rows.rows.iter().map(|row| row.0).collect::<Vec<_>>(), [4, 6, 8]);
    let rows = read_csv(b"a\n\n\"\"\n1\n");
    assert_eq!(rows.good(), [strings(&[""]), strings(&["1"])]);
}

#[test]
fn cr_ends_lines_if_the_first_line_ends_with_it() {
    let rows = read_csv(b"a,\"b\rc\"\r1,2\r3,4");
    assert_eq!(rows.columns, ["a", "b c"]);
    assert_eq!(rows.good(), [strings(&["1", "2"]), strings(&["3", "4"])]);
    let rows = read_csv(b"a,b\n1,x\ry\n");
    assert_eq!(rows.good(), [strings(&["1", "x\ry"])]);
}

#[test]
fn delimiters_and_quotes_can_be_chosen() {
    let rows =
        read_bytes(&Limits::default(), b"a;b\n'1;''x';2\n\"3\";4\n", Format::Csv, &dialect(b';', Some(b'\''))).unwrap();
    assert_eq!(rows.good(), [strings(&["1;'x", "2"]), strings(&["\"3\"", "4"])]);
    let rows = read_bytes(&Limits::default(), b"a\tb\n\"1\t2\"\n", Format::Csv, &dialect(b'\t', None)).unwrap();
    assert_eq!(rows.good(), [strings(&["\"1", "2\""])]);
}

#[test]
fn a_row_with_another_number_of_fields_is_broken() {
    let rows = read_csv(b"a,b\n1\n1,2\n1,2,3\r\n,\n\"x\ny\"\n");
    assert_eq!(rows.good(), [strings(&["1", "2"]), strings(&["", ""])]);
    let expected = [
        (2, "expected 2 fields, found 1", "1"),
        (4, "expected 2 fields, found 3", "1,2,3"),
        (6, "expected 2 fields, found 1", "\"x\ny\""),
    ];
    assert_eq!(rows.broken(), expected.map(|(line, fault, text)| (line, fault.to_owned(), text.to_owned())));
}

#[test]
fn invalid_utf8_breaks_only_its_row() {
    let rows = read_csv(b"a,b\n1,caf\xe9\n2,caf\xc3\xa9\n3,\0\n");
    assert_eq!(rows.broken(), [(2, "field 2 is not UTF-8: byte \\xE9".to_owned(), "1,caf\\xE9".to_owned())]);
    assert_eq!(rows.good(), [strings(&["2", "café"]), strings(&["3", "\0"])]);
}

#[test]
fn byte_order_marks_and_encodings() {
    assert_eq!(read_csv(b"\xef\xbb\xbfa\n1\n").columns, ["a"]);
    let windows = Csv { encoding: Encoding::Windows1252, ..Csv::default() };
    for chunk in [1, 3, 1 << 20] {
        let limits = Limits { chunk, ..Limits::default() };
        let rows = read_bytes(&limits, b"pr\xe9\n\x80 5\n\x81\n", Format::Csv, &windows).unwrap();
        assert_eq!(rows.columns, ["pré"]);
        assert_eq!(rows.good(), [strings(&["€ 5"]), strings(&["\u{81}"])]);
    }
    let rows = read_bytes(&Limits::default(), "\u{feff}é\nü\n".as_bytes(), Format::Csv, &windows).unwrap();
    assert_eq!((rows.columns.as_slice(), rows.good()), (&["é".to_owned()][..], vec![strings(&["ü"])]));
}

#[test]
fn columns_can_be_given() {
    let columns = ["x", "y"].map(|name| name.parse().unwrap()).to_vec();
    let given = Csv { header: Header::Given(columns), ..Csv::default() };
    let rows = read_bytes(&Limits::default(), b"1,2\n3,4\n", Format::Csv, &given).unwrap();
    assert_eq!(rows.columns, ["x", "y"]);
    assert_eq!(rows.rows, [(1, Row::Good(strings(&["1", "2"]))), (2, Row::Good(strings(&["3", "4"])))]);
    let rows = read_bytes(&Limits::default(), b"", Format::Csv, &given).unwrap();
    assert_eq!((rows.columns.len(), rows.frames), (2, vec![0]));
}

#[test]
fn empty_files_and_headers_without_rows() {
    for text in [&b""[..], b"\n\r\n", b"\xef\xbb\xbf"] {
        let rows = read_csv(text);
        assert_eq!((rows.frames.len(), rows.stats.rows), (0, 0));
    }
    for text in [&b"a,b"[..], b"a,b\n", b"a,b\r\n\r\n"] {
        let rows = read_csv(text);
        assert_eq!((rows.frames.as_slice(), rows.columns.as_slice()), (&[0][..], &strings(&["a", "b"])[..]));
    }
}

#[test]
fn column_names_from_headers() {
    let rows = read_csv("\"two\r\nlines\", ,,\"\tTab\u{85}\",\"é\"\n".as_bytes());
    assert_eq!(rows.columns, ["two lines", "column_2", "column_3", "Tab", "é"]);
    assert_eq!(read_csv(b"a,b,\n1,2,\n").columns, ["a", "b", "column_3"]);
    let long = "é".repeat(200);
    assert_eq!(read_csv(long.as_bytes()).columns, ["é".repeat(127)]);
}

#[test]
fn invalid_column_names_are_refused() {
    let fault = |text: &[u8]| read_bytes(&Limits::default(), text, Format::Csv, &Csv::default()).unwrap_err();
    let expected = "columns 1 and 3 have the same name: \"id\" and \"ID\" (case does not count)";
    assert_eq!(fault(b"id,x,ID\n").message, expected);
    assert!(fault(b"column_2,\n").message.starts_with("columns 1 and 2 have the same name"));
    assert_eq!(fault(b"a,_Row\n").message, "column 2 is called \"_Row\", a name that is reserved");
    assert!(fault(b"a,a\n").hint.contains("columns = [...]"));
    assert_eq!(fault(b"a,a\n").to_string().split(':').next(), Some("folder/object"));
    assert_eq!(
        fault(b"\na,\"b\"x\n").message,
        "the header in line 2 cannot be read: text follows the closing quote of field 2"
    );
    assert_eq!(fault(b"a,\xff\n").message, "the header in line 1 cannot be read: it holds bytes that are not UTF-8");
    assert!(fault(&b",".repeat(10_000)).message.starts_with("10001 columns"));
}

#[test]
fn non_text_is_refused() {
    let objects: [&[u8]; 6] =
        [b"\xff\xfea\0", b"PAR1....PAR1", b"PK\x03\x04", b"\xfd7zXZ\0", b"BZh91AY&SY", b"\xd0\xcf\x11\xe0"];
    for bytes in objects {
        for format in [Format::Csv, Format::Ndjson] {
            let fault = read_bytes(&Limits::default(), bytes, format, &Csv::default()).unwrap_err();
            assert!(fault.message.ends_with(", not text"), "{fault}");
        }
    }
}

#[test]
fn frames_are_bounded() {
    let mut text = b"a,b\n".to_vec();
    for number in 0..1_000 {
        text.extend_from_slice(format!("{number},{}\n", "x".repeat(number % 50)).as_bytes());
    }
    let limits = Limits { rows: 64, ..Limits::default() };
    let by_rows = read_bytes(&limits, &text, Format::Csv, &Csv::default()).unwrap();
    assert_eq!(by_rows.frames.len(), 16);
    assert!(by_rows.frames[..15].iter().all(|height| *height == 64));
    let limits = Limits { text: 500, chunk: 7, ..Limits::default() };
    let by_text = read_bytes(&limits, &text, Format::Csv, &Csv::default()).unwrap();
    assert!(by_text.frames.iter().all(|height| *height < 60));
    assert_eq!(by_text.rows, by_rows.rows);
}

#[test]
fn a_line_that_is_too_long_is_one_broken_row() {
    let long = "x".repeat(500);
    for chunk in [1, 16, 1 << 20] {
        let limits = Limits { chunk, line: 100, excerpt: 10, ..Limits::default() };
        for line in [format!("{long},y"), format!("\"{long}\",y"), format!("\"{long}")] {
            let text = format!("a,b\n1,2\n{line}\n3,4\n{line}");
            let rows = read_bytes(&limits, text.as_bytes(), Format::Csv, &Csv::default()).unwrap();
            assert_eq!(rows.good(), [strings(&["1", "2"]), strings(&["3", "4"])], "{chunk}");
            let broken = rows.broken();
            assert_eq!(broken.iter().map(|row| row.0).collect::<Vec<_>>(), [3, 5]);
            assert_eq!(broken[0].1, "the line is longer than 100 bytes; its first 10 bytes are kept");
            assert_eq!(broken[0].2, line[..10]);
        }
    }
}
