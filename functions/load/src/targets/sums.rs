//! Counts and sums of hashes of rows, by which a table and a dataset of any size can be compared whatever the order of their rows.

use std::collections::BTreeMap;

/// Number of rows, and the sum of the hashes of their contents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) rows: u64,
    hashes: u128,
}

/// A sum for each value of the partition column, as bytes. Without a partition column all rows are under the empty key.
pub(crate) type Sums = BTreeMap<Vec<u8>, Sum>;

impl Sum {
    pub(crate) fn add(&mut self, row: &[u8]) {
        let hash = blake3::hash(row);
        let (half, _) = hash.as_bytes().split_at(16);
        self.rows += 1;
        self.hashes = self.hashes.wrapping_add(half.iter().fold(0, |sum, byte| sum << 8 | u128::from(*byte)));
    }
}

impl Sum {
    pub(crate) fn join(&mut self, more: Sum) {
        self.rows += more.rows;
        self.hashes = self.hashes.wrapping_add(more.hashes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_depend_on_the_number_of_rows_and_not_on_their_order() {
        let sum = |rows: &[&str]| {
            let mut sum = Sum::default();
            rows.iter().for_each(|row| sum.add(row.as_bytes()));
            sum
        };
        assert_eq!(sum(&["a", "b", "a"]), sum(&["b", "a", "a"]));
        assert_ne!(sum(&["a", "b", "a"]), sum(&["a", "b", "b"]));
        assert_ne!(sum(&["a"]), sum(&["a", "a"]));
    }
}
