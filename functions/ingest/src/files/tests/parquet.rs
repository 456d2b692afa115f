use std::collections::BTreeMap;
use std::fs::File;

use super::*;

fn written(frame: &mut DataFrame, row_group: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes).with_row_group_size(Some(row_group)).finish(frame).unwrap();
    bytes
}

fn parquet(limits: &Limits, bytes: &[u8]) -> Result<(Vec<DataFrame>, ReadStats), FileFault> {
    frames(limits, stream(bytes), Format::Parquet, &Csv::default())
}

#[test]
fn rows_are_read_in_order_from_files_and_streams() {
    let mut frame = df!("id" => (0..1_000i64).collect::<Vec<_>>(), "s" => vec!["text"; 1_000]).unwrap();
    for row_group in [1_000, 300, 7] {
        let bytes = written(&mut frame, row_group);
        let folder = Folder::new(&format!("parquet-{row_group}"));
        let path = folder.0.join("a.parquet");
        std::fs::write(&path, &bytes).unwrap();
        let packed = super::compression::gzip(&bytes);
        let limits = Limits { rows: 128, ..Limits::default() };
        let inputs = [Input::File(File::open(&path).unwrap()), stream(&bytes), stream(&packed)];
        for (input, stored) in inputs.into_iter().zip([bytes.len(), bytes.len(), packed.len()]) {
            let (frames, stats) = frames(&limits, input, Format::Parquet, &Csv::default()).unwrap();
            assert_eq!(stats, ReadStats { rows: 1_000, broken: 0, bytes: stored as u64 });
            let rows = rows_of(&frames, stats);
            assert!(rows.frames.iter().all(|height| *height <= 128));
            for (at, (number, row)) in rows.rows.iter().enumerate() {
                assert_eq!(*number, at as i64 + 1);
                assert_eq!(*row, Row::Good(vec![at.to_string(), "text".to_owned()]));
            }
        }
    }
}

#[test]
fn types_are_converted_to_those_of_a_table() {
    let cast = |name: &str, values: Vec<i64>, dtype: DataType| {
        Column::new(name.into(), values).cast(&dtype).unwrap().with_name(name.into())
    };
    let instant = |unit| DataType::Datetime(unit, None);
    let lists = Series::new("x".into(), [Some(Series::new("".into(), [1i64, 2])), None]);
    let inner = df!("k" => [Some("a\"b"), None], "v" => [1.5, f64::NAN]).unwrap().into_struct("st".into());
    let mut frame = DataFrame::new(
        2,
        vec![
            cast("u8", vec![0, 255], DataType::UInt8),
            cast("i16", vec![-5, 5], DataType::Int16),
            cast("u32", vec![0, 4_294_967_295], DataType::UInt32),
            Column::new("u64".into(), vec![0u64, u64::MAX]),
            cast("ms", vec![-1, 1], instant(TimeUnit::Milliseconds)),
            cast("ns", vec![-1, 1_999], instant(TimeUnit::Nanoseconds)),
            cast("date", vec![0, 20_000], DataType::Date),
            Column::new("bytes".into(), vec![&b"\xff"[..], b"x"]),
            Column::full_null("null".into(), 2, &DataType::Null),
            lists.into_column(),
            inner.into_series().into_column(),
        ],
    )
    .unwrap();
    let (frames, _) = parquet(&Limits::default(), &written(&mut frame, 10)).unwrap();
    let types: BTreeMap<&str, String> =
        frames[0].columns().iter().map(|column| (column.name().as_str(), column.dtype().to_string())).collect();
    let utc = "datetime[μs, UTC]";
    let expected = [
        ("u8", "i32"),
        ("i16", "i32"),
        ("u32", "i64"),
        ("u64", "decimal[20,0]"),
        ("ms", utc),
        ("ns", utc),
        ("date", "date"),
        ("bytes", "binary"),
        ("null", "i32"),
        ("x", "str"),
        ("st", "str"),
    ];
    for (name, dtype) in expected {
        assert_eq!(types[name], dtype, "{name}");
    }
    let values = |name: &str| [0, 1].map(|at| cell(frames[0].column(name).unwrap(), at));
    assert_eq!(values("u64"), [Some("0".to_owned()), Some("18446744073709551615".to_owned())]);
    assert_eq!(values("x"), [Some("[1,2]".to_owned()), None]);
    let structs = ["{\"k\":\"a\\\"b\",\"v\":1.5}", "{\"k\":null,\"v\":\"NaN\"}"];
    assert_eq!(values("st"), structs.map(|text| Some(text.to_owned())));
    let micros = frames[0].column("ns").unwrap().to_physical_repr();
    assert_eq!(micros.i64().unwrap().to_vec(), [Some(-1), Some(1)]);
}

#[test]
fn no_rows_give_an_empty_frame() {
    let bytes = written(&mut df!("a" => Vec::<i64>::new(), "b" => Vec::<u8>::new()).unwrap(), 10);
    let (frames, stats) = parquet(&Limits::default(), &bytes).unwrap();
    let rows = rows_of(&frames, stats);
    assert_eq!((rows.columns, rows.frames), (strings(&["a", "b"]), vec![0]));
    assert_eq!(frames[0].column("b").unwrap().dtype(), &DataType::Int32);
}

#[test]
fn a_file_that_is_not_parquet_is_refused() {
    let good = written(&mut df!("a" => [1i64, 2, 3]).unwrap(), 10);
    let taken = written(&mut df!("_row" => [1i64]).unwrap(), 10);
    let cases: [(&[u8], &str); 6] = [
        (b"", "the file is empty"),
        (b"a,b\n1,2\n", "this is not a Parquet file"),
        (b"PAR1", "cannot be decoded at the footer"),
        (&good[..good.len() - 1], "has no footer"),
        (&[&good[..20], b"PAR1"].concat(), "cannot be decoded at the footer"),
        (&taken, "a name that is reserved"),
    ];
    for (bytes, expected) in cases {
        let folder = Folder::new("no-parquet");
        let path = folder.0.join("a.parquet");
        std::fs::write(&path, bytes).unwrap();
        for input in [stream(bytes), Input::File(File::open(&path).unwrap())] {
            let fault = frames(&Limits::default(), input, Format::Parquet, &Csv::default()).unwrap_err();
            assert!(fault.message.contains(expected), "{fault}");
        }
    }
}

/// A wrong bit in any byte of a file.
#[test]
fn damaged_files_never_panic() {
    let mut frame =
        df!("a" => (0..50i64).collect::<Vec<_>>(), "s" => (0..50).map(|n| format!("text {n}")).collect::<Vec<_>>())
            .unwrap();
    let good = written(&mut frame, 20);
    let mut random = Random(11);
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << random.below(8);
        if let Ok((frames, stats)) = parquet(&Limits::default(), &bad) {
            assert_eq!(frames.iter().map(DataFrame::height).sum::<usize>(), stats.rows as usize);
        }
    }
}

/// Every file of Apache's conformance suite is either read, with the numbers of rows and columns that another reader finds, or refused.
#[test]
fn the_parquet_test_suite() {
    let Some(suite) = corpus("D/parquet-testing.tar.xz") else {
        return;
    };
    let outcomes = suite_outcomes();
    let (mut read, mut refused) = (0, BTreeMap::new());
    for file in suite.files() {
        let name = suite.name_of(&file);
        let Some(expected) = outcomes["files"].get(&name) else {
            continue;
        };
        let input = Input::File(File::open(&file).unwrap());
        match frames(&Limits::default(), input, Format::Parquet, &Csv::default()) {
            Ok((frames, stats)) => {
                read += 1;
                if expected["ok"] == true {
                    assert_eq!(expected["rows"], stats.rows, "{name}");
                    assert_eq!(expected["columns"], frames[0].width() - raw::ORIGIN.len(), "{name}");
                }
            }
            Err(fault) => {
                assert!(!fault.message.is_empty());
                refused.insert(name, (expected["ok"] == true, fault.message));
            }
        }
    }
    assert!(read >= 60, "{read} read; refused: {refused:#?}");
    let refused_only_here =
        refused.iter().filter(|(_, (others_read, _))| *others_read).map(|(name, (_, why))| (name, why));
    let unknown: Vec<_> =
        refused_only_here.filter(|(name, _)| !NOT_DECODED.iter().any(|part| name.contains(part))).collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
}

/// Files that this version of polars does not decode although another reader does.
const NOT_DECODED: [&str; 10] = [
    // Logical types it does not know.
    "variant/",
    "geospatial/",
    "unknown-logical-type",
    // Rows of 1 GiB.
    "large_string_map",
    // Years beyond nanoseconds.
    "int96_from_spark",
    // Rare encodings, and metadata that other readers tolerate.
    "byte_stream_split_extended",
    "concatenated_gzip_members",
    "dict-page-offset-zero",
    "nation.dict-malformed",
    "repeated_no_annotation",
];

fn suite_outcomes() -> serde_json::Value {
    let path = data_root().join("D/parquet-testing_outcomes.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}
