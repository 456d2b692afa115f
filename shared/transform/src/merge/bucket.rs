//! Distributes rows over buckets by a hash of their key, so that each bucket can be merged alone.

use polars::prelude::*;
use tidemark_pipeline::name::ColumnName;

use crate::error::FrameError;

/// Distributes rows over buckets by a hash of their key. Equal keys always go to the same bucket, independent of the frame, run, host
/// and release of polars. Within a bucket rows keep their order.
///
/// # Errors
/// A key column that is absent or of a type without a stable hash (lists, structs), no key, or no buckets.
pub fn bucket(frame: &DataFrame, key: &[ColumnName], buckets: usize) -> Result<Vec<DataFrame>, FrameError> {
    let count = u32::try_from(buckets).ok().filter(|count| *count > 0).ok_or(FrameError::Buckets(buckets))?;
    if key.is_empty() {
        return Err(FrameError::NoKey);
    }
    let mut hashes = vec![0u64; frame.height()];
    for name in key {
        let column = frame.column(name.as_str()).map_err(|_| FrameError::NoColumn(name.to_string()))?;
        add(column.as_materialized_series(), &mut hashes)?;
    }
    let mut rows = vec![Vec::<IdxSize>::new(); buckets];
    for (row, hash) in hashes.into_iter().enumerate() {
        // The high half of the product is evenly distributed, without a division.
        let bucket = (u64::from(count) * (hash >> 32)) >> 32;
        rows[bucket as usize].push(row as IdxSize);
    }
    rows.into_iter().map(|rows| Ok(frame.take(&IdxCa::from_vec("row".into(), rows))?)).collect()
}

/// The hash of NULL. A value with the same hash merely shares its bucket.
const NULL: u64 = 0x6e75_6c6c;

fn add(series: &Series, hashes: &mut [u64]) -> Result<(), FrameError> {
    let physical = series.to_physical_repr();
    match physical.dtype() {
        DataType::String => {
            mix_all(hashes, physical.str()?.iter().map(|value| value.map(|text| bytes(text.as_bytes()))))
        }
        DataType::Boolean => mix_all(hashes, physical.bool()?.iter().map(|value| value.map(u64::from))),
        DataType::Int128 => {
            let halves = |value: i128| mix(value as u64, (value >> 64) as u64);
            mix_all(hashes, physical.i128()?.iter().map(|value| value.map(halves)));
        }
        DataType::Float32 | DataType::Float64 => {
            let floats = physical.cast(&DataType::Float64)?;
            mix_all(hashes, floats.f64()?.iter().map(|value| value.map(|value| (value + 0.0).to_bits())));
        }
        DataType::UInt64 => mix_all(hashes, physical.u64()?.iter()),
        integer if integer.is_integer() => {
            let integers = physical.cast(&DataType::Int64)?;
            mix_all(hashes, integers.i64()?.iter().map(|value| value.map(|value| value as u64)));
        }
        other => return Err(FrameError::Key { column: series.name().to_string(), found: other.to_string() }),
    }
    Ok(())
}

fn mix_all(hashes: &mut [u64], values: impl Iterator<Item = Option<u64>>) {
    for (hash, value) in hashes.iter_mut().zip(values) {
        *hash = mix(*hash, value.unwrap_or(NULL));
    }
}

/// One step of SplitMix64 (Steele, Lea and Flood, 2014) over both.
fn mix(hash: u64, value: u64) -> u64 {
    let mut z = (hash.rotate_left(5) ^ value).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn bytes(text: &[u8]) -> u64 {
    let (words, rest) = text.as_chunks::<8>();
    let mut last = [0u8; 8];
    last[..rest.len()].copy_from_slice(rest);
    let hash = words.iter().fold(text.len() as u64, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    mix(hash, u64::from_le_bytes(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<ColumnName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn buckets_hold_all_rows_in_order_and_never_split_a_key() {
        let keys: Vec<Option<i64>> = (0..5000).map(|n| if n % 97 == 0 { None } else { Some(n % 701) }).collect();
        let frame = df!("id" => keys, "n" => (0..5000i64).collect::<Vec<_>>()).unwrap();
        let buckets = bucket(&frame, &names(&["id"]), 7).unwrap();
        assert_eq!(buckets.iter().map(DataFrame::height).sum::<usize>(), 5000);
        let mut home = std::collections::HashMap::new();
        for (at, rows) in buckets.iter().enumerate() {
            assert!(rows.height() > 300, "bucket {at} has {} rows", rows.height());
            let order: Vec<_> = rows.column("n").unwrap().i64().unwrap().iter().flatten().collect();
            assert!(order.is_sorted());
            for key in rows.column("id").unwrap().i64().unwrap().iter() {
                assert_eq!(*home.entry(key).or_insert(at), at);
            }
        }
    }

    /// The next release must find the buckets of rows that are on disk.
    #[test]
    fn hashes_are_stable() {
        let mut hashes = [0; 4];
        add(&Series::new("s".into(), &["", "a", "abcdefgh", "abcdefghi"]), &mut hashes).unwrap();
        add(&Series::new("n".into(), &[Some(0i32), Some(-1), None, Some(7)]), &mut hashes).unwrap();
        assert_eq!(hashes, [15863671973240509184, 14549058822255723078, 10048600482353177849, 11944864509744679063]);
    }

    #[test]
    fn the_width_of_an_integer_does_not_matter() {
        let (mut narrow, mut wide) = ([0; 2], [0; 2]);
        add(&Series::new("n".into(), &[1i32, -1]), &mut narrow).unwrap();
        add(&Series::new("n".into(), &[1i64, -1]), &mut wide).unwrap();
        assert_eq!(narrow, wide);
    }

    #[test]
    fn invalid_arguments_are_refused() {
        let frame = df!("id" => [1i64]).unwrap();
        assert!(matches!(bucket(&frame, &names(&["id"]), 0), Err(FrameError::Buckets(0))));
        assert!(matches!(bucket(&frame, &[], 1), Err(FrameError::NoKey)));
        assert!(matches!(bucket(&frame, &names(&["no"]), 1), Err(FrameError::NoColumn(_))));
    }
}
