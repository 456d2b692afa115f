use std::io::Write;

use super::*;

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

fn table(rows: usize) -> Vec<u8> {
    let mut random = Random(3);
    let mut text = b"a,b\n".to_vec();
    for row in 0..rows {
        text.extend_from_slice(format!("{row},{}\n", random.below(1 << 40)).as_bytes());
    }
    text
}

fn csv(bytes: &[u8]) -> Result<Rows, FileFault> {
    read_bytes(&Limits::default(), bytes, Format::Csv, &Csv::default())
}

#[test]
fn compressed_objects_are_read_like_plain_ones() {
    let text = table(50_000);
    let plain = csv(&text).unwrap();
    assert_eq!(plain.stats.bytes, text.len() as u64);
    let (head, tail) = text.split_at(text.len() / 3);
    let mut padded = gzip(&text);
    padded.extend_from_slice(&[0; 1_000]);
    let skippable = [&b"\x50\x2a\x4d\x18\x03\0\0\0abc"[..], &zstd(&text)].concat();
    let packed = [
        gzip(&text),
        [gzip(head), gzip(b""), gzip(tail)].concat(),
        padded,
        zstd(&text),
        [zstd(head), zstd(tail)].concat(),
        skippable,
    ];
    for packed in packed {
        let rows = csv(&packed).unwrap();
        assert_eq!(rows.rows, plain.rows);
        assert_eq!(rows.stats.bytes, packed.len() as u64);
    }
    assert_eq!(csv(&gzip(b"")).unwrap().stats.rows, 0);
}

#[test]
fn streams_that_end_early_or_are_damaged_are_refused() {
    let text = table(50_000);
    for packed in [gzip(&text), zstd(&text)] {
        for length in [5, 11, 1_000, packed.len() / 2, packed.len() - 1] {
            let fault = csv(&packed[..length]).unwrap_err();
            assert!(fault.message.ends_with(&format!("ends in the middle, at byte {length}")), "{fault}");
        }
        let mut damaged = packed.clone();
        let middle = damaged.len() / 2;
        damaged[middle..middle + 8].fill(0xaa);
        assert!(csv(&damaged).unwrap_err().message.contains("stream is corrupt before byte"));
    }
    let trailing = [gzip(&text), b"trailing".to_vec()].concat();
    assert!(csv(&trailing).unwrap_err().message.starts_with("the gzip stream is corrupt"));
    let twice = csv(&gzip(&gzip(&text))).unwrap_err();
    assert_eq!(twice.message, "this is packed twice, not text");
}

/// A frame that asks for 2 GiB of memory is refused.
#[test]
fn a_window_that_is_too_wide_is_refused() {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.long_distance_matching(true).unwrap();
    encoder.window_log(31).unwrap();
    encoder.write_all(&table(1_000)).unwrap();
    let packed = encoder.finish().unwrap();
    assert!(csv(&packed).unwrap_err().message.contains("too much memory"), "{:?}", csv(&packed));
}

/// Reading stops in the middle: the decompression thread must end.
#[test]
fn dropping_the_reader_ends_the_decompression() {
    let packed = gzip(&table(300_000));
    let limits = Limits { rows: 10, ..Limits::default() };
    let read =
        read_with(&limits, stream(&packed), "o", Format::Csv, &Csv::default(), None, &mut |_| Err(std::fmt::Error));
    assert!(matches!(read, Err(ReadError::Emit(_))));
}
