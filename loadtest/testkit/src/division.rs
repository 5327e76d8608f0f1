//! Slot ownership, parsed from the ShardMap.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// One version of the map, parsed without ksit's own types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Division {
    /// Version of the map, which grows with each change of an owner.
    pub epoch: u64,
    /// Nonce of the process and slots, by member.
    pub members: BTreeMap<String, (String, BTreeSet<u16>)>,
}

impl Division {
    /// Parses the `spec` of a ShardMap.
    pub fn parse(spec: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let member = |member: &Value| {
            Some((text(&member["name"])?, (text(&member["nonce"])?, slots(member["slots"].as_str().unwrap_or(""))?)))
        };
        let members = spec["members"].as_array()?.iter().map(member).collect::<Option<_>>()?;
        Some(Self { epoch: spec["epoch"].as_u64()?, members })
    }

    /// Name of the member that owns the slot; `None` if nobody does.
    pub fn owner(&self, slot: u16) -> Option<&str> {
        self.members.iter().find(|(_, (_, slots))| slots.contains(&slot)).map(|(name, _)| name.as_str())
    }

    /// Slots with a different owner in `later`.
    pub fn moved(&self, later: &Self) -> BTreeSet<u16> {
        self.members
            .values()
            .flat_map(|(_, slots)| slots)
            .copied()
            .filter(|s| self.owner(*s) != later.owner(*s))
            .collect()
    }

    /// Slots that moved although their owner is still a member.
    pub fn moved_between_survivors(&self, later: &Self) -> usize {
        let survives = |slot: &u16| self.owner(*slot).is_some_and(|owner| later.members.contains_key(owner));
        self.moved(later).iter().filter(|slot| survives(slot)).count()
    }
}

/// `000-01f,3a0`
fn slots(text: &str) -> Option<BTreeSet<u16>> {
    let number = |digits: &str| u16::from_str_radix(digits, 16).ok();
    let mut slots = BTreeSet::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        slots.extend(number(first)?..=number(last)?);
    }
    Some(slots)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(epoch: u64, rows: &[(&str, &str)]) -> Division {
        let members: Vec<Value> =
            rows.iter().map(|(name, slots)| json!({ "name": name, "nonce": "n", "slots": slots })).collect();
        Division::parse(&json!({ "epoch": epoch, "members": members })).unwrap()
    }

    #[test]
    fn moves_between_survivors_are_counted_separately() {
        let before = map(1, &[("a", "000-00f"), ("b", "010-01f"), ("c", "020")]);
        let after = map(2, &[("a", "000-00e,020"), ("b", "00f-01f")]);
        assert_eq!(before.moved(&after), [0x00f, 0x020].into());
        assert_eq!(before.moved_between_survivors(&after), 1);
        assert!(before.moved(&before).is_empty());
    }
}
