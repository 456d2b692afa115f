//! Splits rows into ranges of their order, so that data larger than memory can be sorted and merged range by range.

use polars::chunked_array::ops::row_encode::_get_rows_encoded_ca;
use polars::prelude::*;
use tidemark_pipeline::name::ColumnName;

use crate::error::FrameError;

/// Bounds between ranges of rows, in the order of the results of [`crate::merge::merge`] and [`crate::bag::sort`]: by these columns,
/// left to right, NULL first. Concatenating the ranges, each of them sorted, gives all rows sorted, whatever the bounds are.
#[derive(Debug)]
pub struct Ranges {
    columns: Vec<String>,
    bounds: Vec<Vec<u8>>,
}

impl Ranges {
    /// Chooses bounds that divide the rows of a sample into `wanted` ranges of equal size, or fewer if it has too few different rows.
    ///
    /// # Errors
    /// A column the sample does not have.
    pub fn from_sample(sample: &DataFrame, columns: Vec<String>, wanted: usize) -> Result<Ranges, FrameError> {
        let keys = encode(sample, &columns)?;
        let mut keys: Vec<&[u8]> = keys.iter().flatten().collect();
        keys.sort_unstable();
        let wanted = wanted.max(1);
        let mut bounds: Vec<Vec<u8>> = Vec::new();
        for nth in 1..wanted {
            if let Some(bound) = keys.get(nth * keys.len() / wanted)
                && bounds.last().is_none_or(|last| last.as_slice() < *bound)
            {
                bounds.push(bound.to_vec());
            }
        }
        Ok(Ranges { columns, bounds })
    }

    /// Number of ranges, at least one.
    pub fn count(&self) -> usize {
        self.bounds.len() + 1
    }

    /// Splits the rows of a frame by range. Ranges come in ascending order; within a range, rows keep the order of the frame. Ranges
    /// without rows are left out.
    ///
    /// # Errors
    /// A column the frame does not have.
    pub fn split(&self, frame: &DataFrame) -> Result<Vec<(usize, DataFrame)>, FrameError> {
        let keys = encode(frame, &self.columns)?;
        let mut rows: Vec<Vec<IdxSize>> = vec![Vec::new(); self.count()];
        for (row, key) in keys.iter().enumerate() {
            let key = key.unwrap_or_default();
            rows[self.bounds.partition_point(|bound| bound.as_slice() <= key)].push(row as IdxSize);
        }
        let parts = rows.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty());
        parts.map(|(range, rows)| Ok((range, frame.take(&IdxCa::from_vec("row".into(), rows))?))).collect()
    }
}

fn encode(frame: &DataFrame, columns: &[String]) -> Result<BinaryOffsetChunked, FrameError> {
    let named = |name: &String| frame.column(name).cloned().map_err(|_| FrameError::NoColumn(name.clone()));
    let by: Vec<Column> = columns.iter().map(named).collect::<Result<_, _>>()?;
    let ascending = vec![false; by.len()];
    Ok(_get_rows_encoded_ca("row".into(), &by, &ascending, &ascending, false)?)
}

/// Keys that have versions in more than one partition, with the partitions that hold an older version. Their rows must be removed there.
///
/// `rows` has the key columns, `latest_by`, the partition's column, and `_came`: false for existing rows, true for incoming
/// rows; in the order of arrival. The result has the key columns, the partition's column, `_stood` and `_came`: how many existing and
/// incoming rows are removed.
///
/// # Errors
/// A column that the rows do not have.
pub fn superseded(
    rows: DataFrame,
    key: &[ColumnName],
    latest_by: Option<&ColumnName>,
    partition: &ColumnName,
) -> Result<DataFrame, FrameError> {
    let key: Vec<Expr> = key.iter().map(|name| col(name.as_str())).collect();
    let partition = col(partition.as_str());
    let order: Vec<Expr> = latest_by.iter().map(|name| col(name.as_str())).chain([col("_nth")]).collect();
    let rows = rows.lazy().with_row_index("_nth", None);
    let options = SortMultipleOptions::default().with_nulls_last(false).with_maintain_order(true);
    let homes = rows
        .clone()
        .sort_by_exprs(order, options)
        .group_by_stable(key.clone())
        .agg([partition.clone().last().alias("_home"), partition.clone().n_unique().alias("_homes")])
        .filter(col("_homes").gt(lit(1)));
    let join = JoinArgs { nulls_equal: true, ..JoinArgs::new(JoinType::Inner) };
    let outdated = rows
        .join(homes, key.clone(), key.clone(), join)
        .filter(partition.clone().neq_missing(col("_home")))
        .group_by_stable(key.iter().cloned().chain([partition]).collect::<Vec<_>>())
        .agg([
            col("_came").not().sum().cast(DataType::Int64).alias("_stood"),
            col("_came").sum().cast(DataType::Int64).alias("_came"),
        ]);
    Ok(outdated.collect()?)
}

/// The rows whose key is not in `removed`.
///
/// # Errors
/// A key column that one of the frames does not have.
pub fn without(rows: DataFrame, removed: &DataFrame, key: &[ColumnName]) -> Result<DataFrame, FrameError> {
    let key: Vec<Expr> = key.iter().map(|name| col(name.as_str())).collect();
    let join = JoinArgs { nulls_equal: true, maintain_order: MaintainOrderJoin::Left, ..JoinArgs::new(JoinType::Anti) };
    Ok(rows.lazy().join(removed.clone().lazy(), key.clone(), key, join).collect()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bag;

    #[test]
    fn sorted_ranges_are_the_sorted_whole() {
        let rows = df!(
            "a" => (0..500i64).map(|n| (n % 7 > 0).then_some(n * 37 % 101 - 50)).collect::<Vec<_>>(),
            "b" => (0..500i64).map(|n| (n % 5 > 0).then(|| format!("{}", n * 13 % 97))).collect::<Vec<_>>(),
        )
        .unwrap();
        let sorted = bag::sort(&rows).unwrap();
        for wanted in [1, 2, 3, 10, 1000] {
            let ranges = Ranges::from_sample(&rows.head(Some(60)), vec!["a".into(), "b".into()], wanted).unwrap();
            assert!(ranges.count() <= wanted);
            let mut whole = rows.clear();
            for (_, part) in ranges.split(&rows).unwrap() {
                whole.vstack_mut(&bag::sort(&part).unwrap()).unwrap();
            }
            assert!(whole.equals_missing(&sorted), "{wanted} ranges");
        }
    }

    #[test]
    fn a_moved_key_is_removed_from_its_old_partition() {
        let rows = df!(
            "id" => [Some(1i64), Some(2), None, Some(1), Some(2), None, Some(3)],
            "at" => [5i64, 5, 5, 9, 1, 9, 1],
            "day" => ["mon", "mon", "mon", "tue", "tue", "tue", "tue"],
            "_came" => [false, false, false, true, true, true, true],
        )
        .unwrap();
        let key: Vec<ColumnName> = vec!["id".parse().unwrap()];
        let found = superseded(rows, &key, Some(&"at".parse().unwrap()), &"day".parse().unwrap()).unwrap();
        let found = found.sort(["id"], SortMultipleOptions::default()).unwrap();
        let expected = df!(
            "id" => [None, Some(1i64), Some(2)],
            "day" => ["mon", "mon", "tue"],
            "_stood" => [1i64, 1, 0],
            "_came" => [0i64, 0, 1],
        )
        .unwrap();
        assert!(found.equals_missing(&expected), "{found:?}");
        let rest = without(df!("id" => [Some(1i64), None, Some(4)]).unwrap(), &expected, &key).unwrap();
        assert!(rest.equals_missing(&df!("id" => [4i64]).unwrap()));
    }
}
