//! Reading resumed at the start of any frame gives the same frames as an uninterrupted read.

use super::*;
use crate::files::{Batch, Position};

fn batches(
    limits: &Limits,
    input: Input,
    format: Format,
    csv: &Csv,
    from: Option<&Position>,
) -> (Vec<Batch>, ReadStats) {
    let mut batches = Vec::new();
    let stats = read_with::<Infallible>(limits, input, "folder/object", format, csv, from, &mut |batch| {
        batches.push(batch);
        Ok(())
    });
    (batches, stats.unwrap())
}

fn assert_same(found: &[Batch], expected: &[Batch]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.from, expected.from);
        assert!(found.rows.equals_missing(&expected.rows), "{:?} is not {:?}", found.rows, expected.rows);
        assert_eq!(found.rows.schema(), expected.rows.schema());
    }
}

/// Resumes at every frame, with frames so small that nearly every record starts one.
fn resumes(bytes: &[u8], format: Format, csv: &Csv) {
    let tiny = match format {
        Format::Parquet => Limits::default(),
        _ => Limits { line: 120, quoted_bytes: 40, quoted_lines: 4, excerpt: 10, ..Limits::default() },
    };
    for (rows, text, chunk) in [(1, 1 << 20, 1 << 20), (1, 1 << 20, 1), (2, 1 << 20, 5), (3, 1 << 20, 64), (100, 20, 7)]
    {
        let limits = Limits { rows, text, chunk, ..tiny };
        let (whole, stats) = batches(&limits, stream(bytes), format, csv, None);
        assert!(rows > 1 || whole.len() > 2, "{} frames", whole.len());
        let mut before = 0;
        for (nth, batch) in whole.iter().enumerate() {
            assert_eq!(batch.from.rows(), before);
            before += batch.rows.height() as u64;
            let kept = serde_json::to_string(&batch.from).unwrap();
            let from: Position = serde_json::from_str(&kept).unwrap();
            assert_eq!(from, batch.from);
            let at = from.stored().unwrap_or(0) as usize;
            let (rest, rest_stats) = batches(&limits, stream(&bytes[at..]), format, csv, Some(&from));
            assert_same(&rest, &whole[nth..]);
            assert_eq!(rest_stats, stats);
        }
    }
}

/// The same for the plain object, with a byte order mark, and compressed.
fn resumes_compressed(bytes: &[u8], format: Format, csv: &Csv) {
    resumes(bytes, format, csv);
    resumes(&[b"\xef\xbb\xbf", bytes].concat(), format, csv);
    let (head, tail) = bytes.split_at(bytes.len() / 3);
    resumes(&[compression::gzip(head), compression::gzip(tail)].concat(), format, csv);
    resumes(&zstd::encode_all(bytes, 3).unwrap(), format, csv);
}

const QUOTED: &str = "\na,\"b\n c\",d\n1,2,3\n\n\"x\ny\",\"say \"\"so\"\"\",\n1,2\n\"open,2,3\n4,5,6\n\"j\"unk,7,8\n9,\"ten\n\
                      eleven\n\ntwelve\",13\n\n\n\"a\nb\nc\nd\ne\nf\",1,2\n,,\n14,é,15\n\"\"\"\",\"\n\",16";

#[test]
fn a_csv_resumes_from_any_frame() {
    let csv = Csv::default();
    resumes_compressed(QUOTED.as_bytes(), Format::Csv, &csv);
    resumes_compressed(QUOTED.replace('\n', "\r\n").as_bytes(), Format::Csv, &csv);
    resumes_compressed(b"a,b\r1,2\r\"3\r\n\",4\r\r5\r6,7\r", Format::Csv, &csv);
    let bytes = [QUOTED.as_bytes(), b"\n\xff,1,2\n17,18,", &b"x".repeat(300), b"\n19,20,21\n"].concat();
    resumes_compressed(&bytes, Format::Csv, &csv);
}

#[test]
fn a_csv_without_a_header_resumes_from_any_frame() {
    let columns = ["a", "b", "c"].map(|name| name.parse().unwrap()).to_vec();
    let csv = Csv { header: Header::Given(columns), delimiter: b';', ..Csv::default() };
    resumes_compressed(QUOTED.replace(',', ";").as_bytes(), Format::Csv, &csv);
}

#[test]
fn windows_1252_resumes_from_any_frame() {
    let csv = Csv { encoding: Encoding::Windows1252, ..dialect(b',', Some(b'"')) };
    let bytes = b"cafe,b\n\x80\xe9,1\n\"\xfc\n\xfc\",2\n3\n\x99\x99,4\n5,6\n";
    resumes_compressed(bytes, Format::Csv, &csv);
}

#[test]
fn ndjson_resumes_from_any_frame() {
    let long = format!("{{\"a\": \"{}\"}}", "x".repeat(200));
    let text =
        format!("\n{{\"a\": 1}}\r\n\n  {{\"b\": \"é\"}} \t\n \r\n[1]\n{long}\n\n\n{{}}\n{long}\n{{\"last\": 1}}");
    resumes_compressed(text.as_bytes(), Format::Ndjson, &Csv::default());
    resumes(&[text.as_bytes(), b"\n{\"caf\xe9\": 1}\n"].concat(), Format::Ndjson, &Csv::default());
}

#[test]
fn parquet_resumes_from_any_frame() {
    let mut frame =
        df!("a" => (0..30i64).collect::<Vec<_>>(), "s" => (0..30).map(|n| format!("text {n}")).collect::<Vec<_>>())
            .unwrap();
    for row_group in [30, 7, 1] {
        let mut bytes = Vec::new();
        ParquetWriter::new(&mut bytes).with_row_group_size(Some(row_group)).finish(&mut frame).unwrap();
        resumes(&bytes, Format::Parquet, &Csv::default());
        resumes(&compression::gzip(&bytes), Format::Parquet, &Csv::default());
    }
}

/// Random text of quotes, line ends and delimiters.
#[test]
fn any_text_resumes_from_any_frame() {
    let mut random = Random(7);
    for _ in 0..60 {
        let mut text = b"a,b\n1,2\n3,4\n".to_vec();
        for _ in 0..random.below(150) {
            text.push(b"\"\"\n\n,,\rxy"[random.below(9)]);
        }
        text.extend_from_slice(b"\n5,6\n7,8\n");
        resumes(&text, Format::Csv, &Csv::default());
    }
}
