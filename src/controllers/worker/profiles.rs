//! The ClusterProfiles of the hub, for targets with `spec.access.clusterProfile`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::api::{ClusterProfile, convert};
use crate::domain::access::{IdentityAccess, TargetAccess};
use crate::domain::desired::DesiredTarget;
use crate::domain::keys::ObjectKey;
use crate::domain::reason::{Failure, Reason};
use crate::hub::Change;

/// How ksit signs in to a target by its profile, or why it can't.
pub(super) type ProfileAccess = Result<Arc<IdentityAccess>, Failure>;

/// Those of the namespaces that are trusted with ksit's identity.
pub(super) struct Profiles {
    /// `None` if no profiles are followed.
    trusted: Option<BTreeSet<String>>,
    is_listed: bool,
    known: BTreeMap<ObjectKey, ProfileAccess>,
}

impl Profiles {
    /// `trusted`: the namespaces that are watched, if any are.
    pub(super) fn new(trusted: Option<BTreeSet<String>>) -> Self {
        Self { trusted, is_listed: false, known: BTreeMap::new() }
    }

    /// Applies a change.
    pub(super) fn apply(&mut self, change: Change<ClusterProfile>) {
        match change {
            Change::Applied(profile) => {
                let key = convert::object_key(&*profile);
                let access = convert::profile_access(&profile).map(Arc::new).map_err(|why| {
                    let message = format!("ClusterProfile {}/{} can't be used: {why}", key.namespace(), key.name());
                    Failure::new(Reason::AccessRefused, message)
                });
                self.known.insert(key, access);
            }
            Change::Deleted(key) => drop(self.known.remove(&key)),
            Change::Listed(keys) => {
                self.known.retain(|key, _| keys.contains(key));
                self.is_listed = true;
            }
        }
    }

    /// The access of a target that names a profile.
    pub(super) fn of(&self, target: &DesiredTarget) -> Option<ProfileAccess> {
        let Some(TargetAccess::ClusterProfile(key)) = &target.access else { return None };
        let refused = |why| Some(Err(Failure::new(Reason::AccessRefused, why)));
        let Some(trusted) = &self.trusted else {
            let why = "spec.access.clusterProfile is not accepted: set --cluster-profiles of the operator \
                       (config.clusterProfiles in the values of its chart)";
            return refused(why.to_owned());
        };
        if !trusted.contains(key.namespace()) {
            return refused(format!(
                "spec.access.clusterProfile.namespace {} is not accepted: add it to --access-namespaces of the operator \
                 if all who may write ClusterProfiles there may use ksit's identity",
                key.namespace()
            ));
        }
        Some(self.known.get(key).cloned().unwrap_or_else(|| Err(self.absent(key))))
    }

    fn absent(&self, key: &ObjectKey) -> Failure {
        let profile = format!("ClusterProfile {}/{}", key.namespace(), key.name());
        let message = match self.is_listed {
            true => format!("{profile} does not exist: check spec.access.clusterProfile and its cluster manager"),
            false => format!("{profile} is not known yet: check that the hub has the Cluster Inventory API"),
        };
        Failure::new(Reason::TokenUnavailable, message)
    }
}
