//! Rights that a value of the chart grants, and nothing else.

use std::collections::BTreeSet;

use super::helm::objects;
use super::rights::{Right, granted};

fn right(group: &str, resource: &str, verb: &str) -> Right {
    (group.to_owned(), resource.to_owned(), verb.to_owned())
}

#[tokio::test]
async fn opt_in_values_grant_their_rights_and_no_others() {
    let trusted = ["config.accessNamespaces={a}"];
    for (before, value, rights) in [
        (&[][..], "config.renewTokens=true", vec![right("", "secrets", "patch")]),
        (&[], "config.clusterProfiles=true", vec![]),
        (
            &trusted,
            "config.clusterProfiles=true",
            ["list", "watch"].map(|verb| right("multicluster.x-k8s.io", "clusterprofiles", verb)).to_vec(),
        ),
        // The others, to list and watch ksit's objects, the operator has too.
        (&[], "ui.enabled=true", vec![right("authorization.k8s.io", "subjectaccessreviews", "create")]),
    ] {
        let usual = granted(&objects("ksit-system", before).await);
        let with = granted(&objects("ksit-system", &[before, &[value]].concat()).await);
        let more: BTreeSet<Right> = with.difference(&usual).cloned().collect();
        assert_eq!(more, rights.into_iter().collect(), "{value}");
        assert!(usual.is_subset(&with), "{value}");
    }
}
