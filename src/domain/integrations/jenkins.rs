//! Jenkins, as its chart installs it.

use super::{Part, Tool};
use crate::domain::component::ComponentKind::{Service, StatefulSet};

const NAME: &str = "app.kubernetes.io/name";
const COMPONENT: &str = "app.kubernetes.io/component";

pub const TOOL: Tool = Tool {
    name: "jenkins",
    title: "Jenkins",
    namespace: "jenkins",
    parts: &[
        Part::required(StatefulSet, "jenkins").labelled(&[&[(NAME, "jenkins"), (COMPONENT, "jenkins-controller")]]),
        // Also finds the Service for agents, which has the same labels.
        Part::required(Service, "jenkins").labelled(&[&[(NAME, "jenkins"), (COMPONENT, "jenkins-controller")]]),
    ],
};
