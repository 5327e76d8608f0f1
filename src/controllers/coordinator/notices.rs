//! Log lines of the coordinator's decisions.

use crate::domain::coordinator::Notice;

pub(super) fn log(notice: &Notice) {
    match notice {
        Notice::StatusPruned => {
            tracing::warn!("the hub keeps less of a status than is written: apply the CRDs of this version of ksit");
        }
        Notice::MapDeleted => tracing::warn!("the ShardMap was deleted; writing it again"),
        Notice::MapDrifted => tracing::warn!("the ShardMap was changed by somebody else; writing it again"),
        Notice::Unconfirmed { targets, first } => tracing::warn!(
            targets,
            %first,
            "targets are not confirmed by their replica: it has not observed them in time, or their label ksit.io/slot \
             is wrong"
        ),
        Notice::NotAccepted { sender, target, epoch, refusal } => {
            tracing::debug!(replica = %sender.name, %target, %epoch, %refusal, "report not accepted");
        }
        Notice::OtherInstallationChanged { name, is_gone } => {
            tracing::warn!(installation = name, is_gone, "another installation of ksit came or went");
        }
    }
}
