//! Velero, as `velero install` and its chart install it.

use super::{Part, Tool};
use crate::domain::component::ComponentKind::{Crd, DaemonSet, Deployment};

const NAME: &str = "app.kubernetes.io/name";

pub const TOOL: Tool = Tool {
    name: "velero",
    title: "Velero",
    namespace: "velero",
    parts: &[
        Part::required(Deployment, "velero").labelled(&[&[("component", "velero")]]),
        // Its Pods back up and restore volumes; those for Windows have the same labels.
        Part::optional(DaemonSet, "node-agent").labelled(&[&[("component", "velero")], &[(NAME, "velero")]]),
        Part::optional(Crd, "backups.velero.io"),
        Part::optional(Crd, "restores.velero.io"),
        Part::optional(Crd, "schedules.velero.io"),
        Part::optional(Crd, "backupstoragelocations.velero.io"),
    ],
};
