//! Digests of reports, which worker and coordinator compare before full reports are sent.

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::domain::keys::TargetKey;

/// One target's row in the first message on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    /// Hash of the target's name, which may be over 300 bytes long.
    pub target: u64,
    /// Hash of the report without its timestamps; differs if a status would.
    pub meaning: u128,
}

impl Digest {
    /// Bytes on the wire.
    pub const LENGTH: usize = 24;

    /// `fields`: the content of the report in a fixed order, without timestamps.
    pub fn of<'a>(target: &TargetKey, fields: impl IntoIterator<Item = &'a str>) -> Self {
        Self { target: Self::name(target), meaning: meaning(fields) }
    }

    /// Hash of a target's name.
    pub fn name(target: &TargetKey) -> u64 {
        xxh3_64(target.to_string().as_bytes())
    }

    /// The form on the wire: both numbers in little-endian.
    pub fn to_bytes(self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..8].copy_from_slice(&self.target.to_le_bytes());
        bytes[8..].copy_from_slice(&self.meaning.to_le_bytes());
        bytes
    }

    /// Hash of a set of digests, independent of their order.
    pub fn of_set(digests: impl IntoIterator<Item = Self>) -> u64 {
        digests.into_iter().map(|digest| xxh3_64(&digest.to_bytes())).fold(0, u64::wrapping_add)
    }

    /// `None` for anything but [`Self::LENGTH`] bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (target, meaning) = bytes.split_at_checked(8)?;
        let target = u64::from_le_bytes(target.try_into().ok()?);
        Some(Self { target, meaning: u128::from_le_bytes(meaning.try_into().ok()?) })
    }
}

/// Hash of the fields, in this order.
pub fn meaning<'a>(fields: impl IntoIterator<Item = &'a str>) -> u128 {
    let mut bytes = Vec::new();
    for field in fields {
        // Length-prefixed, so that one field can't equal two.
        bytes.extend((field.len() as u64).to_le_bytes());
        bytes.extend(field.as_bytes());
    }
    xxh3_128(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(fields: &[&str]) -> Digest {
        Digest::of(&TargetKey::new("fleet", "c1"), fields.iter().copied())
    }

    #[test]
    fn digest_differs_with_the_content() {
        assert_eq!(digest(&["Running", "ok"]), digest(&["Running", "ok"]));
        let others: [&[&str]; 5] = [&["Running"], &["Runningok"], &["Runnin", "gok"], &["ok", "Running"], &[]];
        others.iter().for_each(|other| assert_ne!(digest(other), digest(&["Running", "ok"])));
        assert_ne!(Digest::of(&TargetKey::new("fleet", "c2"), ["Running", "ok"]), digest(&["Running", "ok"]));
    }

    #[test]
    fn digest_round_trips_and_has_a_fixed_length() {
        let digest = digest(&["Running"]);
        assert_eq!(Digest::from_bytes(&digest.to_bytes()), Some(digest));
        assert_eq!(Digest::from_bytes(&digest.to_bytes()[1..]), None);
        assert_eq!(Digest::from_bytes(&[0; 25]), None);
    }

    #[test]
    fn set_digest_is_independent_of_the_order() {
        let row = |target, meaning| Digest { target, meaning };
        let set = Digest::of_set([row(1, 10), row(2, 20)]);
        assert_eq!(set, Digest::of_set([row(2, 20), row(1, 10)]));
        for other in [vec![], vec![row(1, 10)], vec![row(1, 20), row(2, 10)], vec![row(1, 10), row(2, 20), row(3, 30)]]
        {
            assert_ne!(set, Digest::of_set(other.clone()), "{other:?}");
        }
    }

    /// Worker and coordinator may be of two versions during a roll.
    #[test]
    fn digest_is_the_same_in_every_version() {
        let bytes = digest(&["Running", "Flux", ""]).to_bytes();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "b4cfa44d5509d51e913c21ecc3c146c7dd3b1ab9403eb1d3");
    }
}
