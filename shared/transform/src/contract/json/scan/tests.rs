use std::path::PathBuf;
use std::process::Command;

use super::super::cursor::MAX_DEPTH;
use super::*;

fn scan<'a>(pointers: &[&str], text: &'a str) -> Result<Vec<Field<'a>>, String> {
    let mut paths = Paths::default();
    let slots: Vec<usize> = pointers.iter().map(|pointer| paths.add(pointer)).collect();
    let mut scanner = Scanner::new(&paths);
    // Scans twice, since the scanner learns the positions of fields from the first record.
    let mut first = vec![Field::Null; paths.slots()];
    let first_outcome = scanner.record(text, &mut first).map_err(|broken| broken.to_string());
    let mut fields = vec![Field::Null; paths.slots()];
    let outcome = scanner.record(text, &mut fields).map_err(|broken| broken.to_string());
    assert_eq!(first_outcome, outcome);
    outcome?;
    assert_eq!(first, fields);
    Ok(slots.into_iter().map(|slot| fields[slot]).collect())
}

#[test]
fn fields_are_found_at_any_position() {
    let text = r#" { "a" : 1.50 , "b":{"c":[true,{"d":"x"}],"e":null},"f~/g":"\u00e9", "h":[] } "#;
    let pointers = ["/a", "/b/c/1/d", "/b/c/0", "/b/e", "/f~0~1g", "/h", "/b/c", "/none", "/a/x", "a", "/b/c/01"];
    let fields = scan(&pointers, text).unwrap();
    assert_eq!(fields[0], Field::Number("1.50"));
    assert_eq!(fields[1], Field::Text("x"));
    assert_eq!(fields[2], Field::Bool(true));
    assert_eq!(fields[3], Field::Null);
    assert_eq!(fields[4], Field::Escaped(r#""\u00e9""#));
    assert_eq!(fields[5], Field::Nested("[]"));
    assert_eq!(fields[6], Field::Nested(r#"[true,{"d":"x"}]"#));
    assert_eq!(fields[7], Field::Null);
    assert_eq!(fields[8], Field::Null);
    assert_eq!(fields[9], Field::Number("1.50"));
    assert_eq!(fields[10], Field::Null);
}

#[test]
fn the_last_of_duplicate_members_counts() {
    assert_eq!(scan(&["/a"], r#"{"a":1,"b":0,"a":2}"#).unwrap(), [Field::Number("2")]);
    assert_eq!(scan(&["/a"], r#"{"a":1,"\u0061":null}"#).unwrap(), [Field::Null]);
    assert_eq!(scan(&["/a/b"], r#"{"a":{"b":1},"a":{"c":2}}"#).unwrap(), [Field::Null]);
    assert_eq!(scan(&["/a/b"], r#"{"a":{"b":1},"a":3}"#).unwrap(), [Field::Null]);
}

#[test]
fn the_order_of_members_may_vary() {
    let mut paths = Paths::default();
    let (a, b) = (paths.add("/a"), paths.add("/b"));
    let mut scanner = Scanner::new(&paths);
    let long = format!(r#"{{"{}":1,"a":1,"b":2}}"#, "k".repeat(400));
    let texts = [
        r#"{"a":1,"b":2}"#,
        r#"{"b":2,"a":1}"#,
        r#"{"x":{"a":5},"a":1,"b":2,"ab":3}"#,
        long.as_str(),
        r#"{"a" :1,"b" :2}"#,
    ];
    for _ in 0..3 {
        for text in texts {
            let mut fields = vec![Field::Null; 2];
            scanner.record(text, &mut fields).unwrap();
            assert_eq!((fields[a], fields[b]), (Field::Number("1"), Field::Number("2")), "{text}");
        }
    }
}

#[test]
fn invalid_records_are_reported_with_position() {
    for (text, message) in [
        ("", "the record ends too early at byte 0"),
        ("[1]", "expected a JSON object at byte 0"),
        ("null", "expected a JSON object at byte 0"),
        (r#"{"a":1"#, "the record ends too early at byte 6"),
        (r#"{"a":1}}"#, "unexpected text after the object at byte 7"),
        (r#"{"a":1}{"#, "unexpected text after the object at byte 7"),
        (r#"{"a":1,}"#, "expected a key in quotes at byte 7"),
        (r#"{"a":01}"#, "expected `,` or `}` at byte 6"),
        (r#"{"a":-}"#, "expected a digit at byte 6"),
        (r#"{"a":1.}"#, "expected a digit at byte 7"),
        (r#"{"a":tru}"#, "expected `true`, `false` or `null` at byte 5"),
        (r#"{"a":"\x"}"#, "an escape that JSON does not define at byte 7"),
        (r#"{"a":"\ud800"}"#, "half a surrogate pair at byte 12"),
        (r#"{"a":"\udc00\ud800"}"#, "half a surrogate pair at byte 12"),
        (r#"{"a":"\ud800\u0041"}"#, "half a surrogate pair at byte 18"),
        (r#"{"a":"\u12g4"}"#, "expected four hexadecimal digits at byte 10"),
        ("{\"a\":\"x\ty\"}", "a string has a control character that is not escaped at byte 7"),
        ("{\"a\":\"long enough for words\u{1}\"}", "a string has a control character that is not escaped at byte 27"),
        ("{\"a\":1\0}", "expected `,` or `}` at byte 6"),
        (r#"{"x":[1,{"y":}]}"#, "expected a value at byte 13"),
        (r#"{"x":[1 2]}"#, "expected `,` or `]` at byte 8"),
        (r#"{"x":[1}}"#, "expected `,` or `]` at byte 7"),
        (r#"{'a':1}"#, "expected a key in quotes at byte 1"),
    ] {
        for pointers in [&["/a"][..], &["/z"], &["/x/0", "/a/b"]] {
            assert_eq!(scan(pointers, text).unwrap_err(), message, "{text}");
        }
    }
}

#[test]
fn depth_is_limited_and_length_is_not() {
    for depth in [1, 500, MAX_DEPTH, MAX_DEPTH + 1, 10_000, 100_000] {
        for (open, close) in [("[", "]"), (r#"{"k":["#, "]}")] {
            let levels = depth / open.matches(['[', '{']).count();
            let text = format!(r#"{{"a":{}1{}}}"#, open.repeat(levels), close.repeat(levels));
            let outcome = scan(&["/b"], &text);
            assert_eq!(outcome.is_ok(), depth <= MAX_DEPTH || levels * open.matches(['[', '{']).count() <= MAX_DEPTH);
            assert_eq!(scan(&["/a"], &text).is_ok(), outcome.is_ok());
        }
        assert!(scan(&["/a"], &format!(r#"{{"a":{}"#, "[".repeat(depth))).is_err());
    }
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(10_000_000));
    assert_eq!(scan(&["/a"], &long).unwrap(), [Field::Text(&long[6..long.len() - 2])]);
}

/// Scanner and sonic-rs agree on every text with one byte changed, inserted or removed.
#[test]
fn scanner_and_sonic_agree_on_every_mutation() {
    let seed = r#"{"id":-12.50e+3,"s":"a\n\u00e9\ud83d\ude00 b","n":null,"o":{"x":[true,false,{},[]," "]}, "z":0}"#;
    let bytes = b"{}[]\":,\\u019-+.eE \t\n\rtnx\x01\x7f";
    let mut tried = 0;
    for at in 0..seed.len() {
        for &byte in bytes {
            for (cut, insert) in [(1, true), (0, true), (1, false)] {
                let mut text = seed.as_bytes().to_vec();
                text.splice(at..at + cut, insert.then_some(byte));
                let Ok(text) = String::from_utf8(text) else { continue };
                let sonic = sonic_rs::from_str::<sonic_rs::Value>(&text).is_ok() && text.trim_start().starts_with('{');
                for pointer in ["/s", "/o/x/2", "/none"] {
                    assert_eq!(scan(&[pointer], &text).is_ok(), sonic, "{pointer} {text}");
                }
                tried += 1;
            }
        }
    }
    assert!(tried > 5000);
}

/// Nicolas Seriot's JSONTestSuite; each file alone, and as the value of a member.
#[test]
fn the_json_test_suite() {
    let data = std::env::var_os("TIDEMARK_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    let archive = data.join("E/JSONTestSuite.tar.gz");
    if !archive.exists() {
        eprintln!("skipped: {} is not there; set TIDEMARK_DATA to the folder of the data", archive.display());
        return;
    }
    let folder = std::env::temp_dir().join(format!("tidemark-json-suite-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let tar = Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(&folder).status().unwrap();
    assert!(tar.success());
    let mut judged = 0;
    let mut folders = vec![folder.clone()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            // Texts that are not UTF-8 are rejected by ingest.
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            if !name.ends_with(".json") {
                continue;
            }
            let wrapped = format!(r#"{{"a":{text}}}"#);
            for pointer in ["/a", "/a/0", "/b"] {
                let alone = scan(&[pointer], &text).is_ok();
                let inside = scan(&[pointer], &wrapped).is_ok();
                match &name[..2] {
                    "y_" => {
                        assert!(inside, "{name}");
                        assert_eq!(alone, text.trim_start().starts_with('{'), "{name}");
                    }
                    "n_" => assert!(!alone && !inside, "{name}"),
                    _ => {}
                }
            }
            judged += 1;
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(judged > 250, "{judged}");
}
