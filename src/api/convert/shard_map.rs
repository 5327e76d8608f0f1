//! Converts the shard map between its stored form and the domain's.

use crate::api::{Coordinator, Member, ShardMap, ShardMapSpec};
use crate::domain::replica::{Epoch, Incarnation, Term};
use crate::domain::shard_map::{self, Contact, PublishedMap};
use crate::domain::shards::Shards;

/// Reads a stored map. If edited by hand, it may have unparsable slots, which become unowned;
/// [`shard_map::ShardMap::check`] detects that.
pub fn shard_map(stored: &ShardMap) -> PublishedMap {
    let ShardMapSpec { term, epoch, coordinator, members } = &stored.spec;
    let process =
        |member: &Member| Incarnation::new(member.name.as_str(), member.pod_uid.as_str(), member.nonce.as_str());
    let row = |member: &Member| (process(member).name, member.slots.parse().unwrap_or_default());
    PublishedMap {
        map: shard_map::ShardMap {
            term: Term(*term),
            epoch: Epoch(*epoch),
            members: members.iter().map(process).map(|process| (process.name.clone(), process)).collect(),
            shards: Shards::new(members.iter().map(row)),
        },
        coordinator: Incarnation::new(
            coordinator.name.as_str(),
            coordinator.pod_uid.as_str(),
            coordinator.nonce.as_str(),
        ),
        contact: coordinator
            .address
            .clone()
            .zip(coordinator.certificate_sha256.clone())
            .map(|(address, certificate_sha256)| Contact { address, certificate_sha256 }),
    }
}

/// Renders the spec that stores `published`. Deterministic: the same map gives the same bytes.
pub fn shard_map_spec(published: &PublishedMap) -> ShardMapSpec {
    let PublishedMap { map, coordinator, contact } = published;
    let member = |process: &Incarnation| Member {
        name: process.name.to_string(),
        pod_uid: process.pod_uid.to_string(),
        nonce: process.nonce.to_string(),
        slots: map.shards.of(&process.name).to_string(),
    };
    ShardMapSpec {
        term: map.term.0,
        epoch: map.epoch.0,
        coordinator: Coordinator {
            name: coordinator.name.to_string(),
            pod_uid: coordinator.pod_uid.to_string(),
            nonce: coordinator.nonce.to_string(),
            address: contact.as_ref().map(|contact| contact.address.clone()),
            certificate_sha256: contact.as_ref().map(|contact| contact.certificate_sha256.clone()),
        },
        members: map.members.values().map(member).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::replica::ReplicaName;

    fn published() -> PublishedMap {
        let process = |name: &str| Incarnation::new(name, "uid", "nonce");
        let row = |name: &str, slots: &str| (ReplicaName::new(name), slots.parse().unwrap());
        PublishedMap {
            map: shard_map::ShardMap {
                term: Term(3),
                epoch: Epoch(9),
                members: ["a", "b"].map(|name| (ReplicaName::new(name), process(name))).into(),
                shards: Shards::new([row("a", "000-1ff"), row("b", "200-3ff")]),
            },
            coordinator: process("b"),
            contact: Some(Contact { address: "10.0.0.7:9443".to_owned(), certificate_sha256: "ab".repeat(32) }),
        }
    }

    #[test]
    fn map_round_trips_through_its_stored_form() {
        let map = published();
        assert_eq!(shard_map(&ShardMap::new("ksit", shard_map_spec(&map))), map);
        let alone = PublishedMap { contact: None, ..map };
        assert_eq!(shard_map(&ShardMap::new("ksit", shard_map_spec(&alone))), alone);
    }

    #[test]
    fn edited_map_is_read_but_fails_the_check() {
        let mut spec = shard_map_spec(&published());
        spec.members[0].slots = "nonsense".to_owned();
        let read = shard_map(&ShardMap::new("ksit", spec));
        assert_eq!((read.map.term, read.map.epoch), (Term(3), Epoch(9)));
        assert!(read.map.check().is_err());
    }
}
