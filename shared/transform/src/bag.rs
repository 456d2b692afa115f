//! Rows without a key: bags, which may hold equal rows several times, and their addition and subtraction.

use polars::chunked_array::ops::row_encode::encode_rows_unordered;
use polars::prelude::*;

use crate::error::FrameError;
use crate::frame::same_schema;

/// Sorts the rows by all columns, left to right, NULL first. Equal bags give equal frames.
pub fn sort(rows: &DataFrame) -> Result<DataFrame, FrameError> {
    if rows.height() < 2 || rows.width() == 0 || is_strictly_ascending(&rows.columns()[0])? {
        return Ok(rows.clone());
    }
    let by: Vec<PlSmallStr> = rows.columns().iter().map(|column| column.name().clone()).collect();
    Ok(rows.sort(by, SortMultipleOptions::default().with_nulls_last(false))?)
}

/// Whether the column is strictly increasing, so that the rows are already sorted. Many sources have such an id or time.
pub fn is_strictly_ascending(column: &Column) -> Result<bool, PolarsError> {
    if column.len() < 2 {
        return Ok(true);
    }
    if column.null_count() > 0 || column.dtype().is_nested() {
        return Ok(false);
    }
    let (before, after) = (column.slice(0, column.len() - 1), column.slice(1, column.len() - 1));
    // checked in slices, so that an unsorted column costs almost nothing
    const SLICE_ROWS: usize = 64 * 1024;
    for offset in (0..before.len()).step_by(SLICE_ROWS) {
        let (before, after) = (before.slice(offset as i64, SLICE_ROWS), after.slice(offset as i64, SLICE_ROWS));
        if !before.lt(&after)?.all() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The union of two bags, with all duplicates, sorted.
///
/// # Errors
/// Frames of different columns.
pub fn add(rows: &DataFrame, more: &DataFrame) -> Result<DataFrame, FrameError> {
    same_schema(rows, more)?;
    sort(&rows.vstack(more)?)
}

/// Removes rows from a bag, each as often as it is in `rows`. Also returns how many were found and removed. Remaining rows keep
/// its order.
///
/// # Errors
/// Frames of different columns.
pub fn subtract(from: &DataFrame, rows: &DataFrame) -> Result<(DataFrame, u64), FrameError> {
    same_schema(from, rows)?;
    if from.height() == 0 || rows.height() == 0 {
        return Ok((from.clone(), 0));
    }
    let rows = encode_rows_unordered(rows.columns())?;
    // Used only for counting and never iterated, so its order has no effect.
    let mut wanted: PlHashMap<&[u8], u64> = PlHashMap::new();
    for row in rows.iter().flatten() {
        *wanted.entry(row).or_default() += 1;
    }
    let encoded = encode_rows_unordered(from.columns())?;
    let mut removed = 0;
    let keep: Vec<bool> = encoded
        .iter()
        .map(|row| match row.and_then(|row| wanted.get_mut(row)) {
            Some(count) if *count > 0 => {
                *count -= 1;
                removed += 1;
                false
            }
            _ => true,
        })
        .collect();
    Ok((from.filter(&BooleanChunked::from_slice("keep".into(), &keep))?, removed))
}

/// The differences between two bags in both directions, each row as often as its count exceeds that in the other. The rows keep their
/// order.
///
/// # Errors
/// Frames of different columns.
pub fn difference(one: &DataFrame, other: &DataFrame) -> Result<(DataFrame, DataFrame), FrameError> {
    same_schema(one, other)?;
    if one.height() == 0 || other.height() == 0 {
        return Ok((one.clone(), other.clone()));
    }
    let (ones, others) = (encode_rows_unordered(one.columns())?, encode_rows_unordered(other.columns())?);
    let mut counts: PlHashMap<&[u8], u64> = PlHashMap::new();
    for row in others.iter().flatten() {
        *counts.entry(row).or_default() += 1;
    }
    let mut left = |row: Option<&[u8]>| match row.and_then(|row| counts.get_mut(row)) {
        Some(count) if *count > 0 => {
            *count -= 1;
            true
        }
        _ => false,
    };
    let only_one: Vec<bool> = ones.iter().map(|row| !left(row)).collect();
    let only_other: Vec<bool> = others.iter().map(&mut left).collect();
    let keep = |rows: &DataFrame, keep: &[bool]| rows.filter(&BooleanChunked::from_slice("keep".into(), keep));
    Ok((keep(one, &only_one)?, keep(other, &only_other)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bag(rows: usize, state: &mut u64) -> DataFrame {
        let mut next = |below: u64| {
            *state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (*state >> 33) % below
        };
        let id: Vec<Option<i64>> = (0..rows).map(|_| Some(next(4) as i64).filter(|id| *id > 0)).collect();
        let name: Vec<Option<&str>> = (0..rows).map(|_| ["a", "", "bb"].get(next(4) as usize).copied()).collect();
        let price: Int128Chunked = (0..rows).map(|_| Some(i128::from(next(3)) * 10i128.pow(30))).collect();
        let flag: Vec<bool> = (0..rows).map(|_| next(2) == 0).collect();
        let day: Int32Chunked = (0..rows).map(|_| Some(next(3) as i32 - 1)).collect();
        DataFrame::new(
            rows,
            vec![
                Column::new("id".into(), id),
                Column::new("name".into(), name),
                price.into_decimal_unchecked(38, 10).into_series().with_name("price".into()).into(),
                Column::new("flag".into(), flag),
                day.into_date().into_series().with_name("day".into()).into(),
            ],
        )
        .unwrap()
    }

    #[test]
    fn subtracting_reverses_adding() {
        let mut state = 3;
        for round in 0..60 {
            let left = sort(&bag(round % 23, &mut state)).unwrap();
            let right = bag(round % 17, &mut state);
            let both = add(&left, &right).unwrap();
            assert!(both.equals_missing(&add(&right, &left).unwrap()));
            let (rest, removed) = subtract(&both, &right).unwrap();
            assert_eq!(removed, right.height() as u64);
            assert!(rest.equals_missing(&left), "round {round}");
        }
    }

    #[test]
    fn a_difference_is_symmetric() {
        let mut state = 5;
        for round in 0..60 {
            let (left, right) = (bag(round % 23, &mut state), bag(round % 17, &mut state));
            let (only_left, only_right) = difference(&left, &right).unwrap();
            assert!(only_left.equals_missing(&difference(&right, &left).unwrap().1), "round {round}");
            let same = sort(&subtract(&left, &only_left).unwrap().0).unwrap();
            assert!(same.equals_missing(&sort(&subtract(&right, &only_right).unwrap().0).unwrap()), "round {round}");
            assert_eq!(subtract(&only_left, &only_right).unwrap().1, 0, "round {round}");
        }
    }

    #[test]
    fn a_row_is_removed_as_often_as_requested() {
        let from = df!("a" => [Some(1i64), Some(1), Some(1), None, Some(2)]).unwrap();
        let rows = df!("a" => [Some(1i64), None, None, Some(3), Some(1)]).unwrap();
        let (rest, removed) = subtract(&from, &rows).unwrap();
        assert!(rest.equals(&df!("a" => [1i64, 2]).unwrap()), "{rest}");
        assert_eq!(removed, 3);
    }

    #[test]
    fn null_sorts_first() {
        let rows = sort(&df!("a" => [Some("b"), None, Some("")], "b" => [1i64, 2, 3]).unwrap()).unwrap();
        assert!(rows.equals_missing(&df!("a" => [None, Some(""), Some("b")], "b" => [2i64, 3, 1]).unwrap()));
    }

    #[test]
    fn bags_with_different_columns_are_refused() {
        let (left, right) = (df!("a" => [1i64]).unwrap(), df!("b" => [1i64]).unwrap());
        assert!(matches!(add(&left, &right), Err(FrameError::Schema { .. })));
        assert!(matches!(subtract(&left, &right), Err(FrameError::Schema { .. })));
    }
}
