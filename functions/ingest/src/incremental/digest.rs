//! Order-independent digests of records.

use serde::{Deserialize, Serialize};

/// The number of records that can be returned again, and the sum of their hashes: equal for the same records in any order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OverlapDigest {
    pub records: u64,
    hash: [u64; 2],
}

impl OverlapDigest {
    pub(crate) fn add(&mut self, hash: u128) {
        let sum = self.sum().wrapping_add(hash);
        self.records += 1;
        self.hash = [(sum >> 64) as u64, sum as u64];
    }

    fn sum(&self) -> u128 {
        u128::from(self.hash[0]) << 64 | u128::from(self.hash[1])
    }
}

/// The first 128 bits of the BLAKE3 hash.
pub(crate) fn hash_of(content: impl AsRef<[u8]>) -> u128 {
    let hash = blake3::hash(content.as_ref());
    hash.as_bytes().first_chunk().map_or(0, |bytes| u128::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_does_not_depend_on_the_order() {
        let of = |hashes: &[u128]| {
            let mut digest = OverlapDigest::default();
            hashes.iter().for_each(|hash| digest.add(*hash));
            digest
        };
        assert_eq!(of(&[1, u128::MAX, 3]), of(&[3, 1, u128::MAX]));
        assert_ne!(of(&[1, 2]), of(&[3, 0, 0]));
        assert_ne!(of(&[1]), of(&[2]));
    }
}
