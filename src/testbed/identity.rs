//! Who the harness is in the management cluster and what it may do there. Pure.
//!
//! The harness is no administrator: what it was not given in its design shows as a refusal here, not in production.
//! Its requests have a flow of their own, so that the API server counts them apart from those of the controllers.

use super::pki::HARNESS_USER;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The objects, each with the path it is applied to. `groups` are the API groups of the installed definitions.
pub(super) fn objects(groups: &BTreeSet<String>) -> Vec<(String, Value)> {
    let rbac = "rbac.authorization.k8s.io/v1";
    let all = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
    let read = ["get", "list", "watch"];
    let named = |path: &str| format!("/apis/{path}/{HARNESS_USER}");
    vec![
        (
            named("rbac.authorization.k8s.io/v1/clusterroles"),
            json!({
                "apiVersion": rbac,
                "kind": "ClusterRole",
                "metadata": {"name": HARNESS_USER},
                "rules": [
                    {"apiGroups": [""], "resources": ["namespaces", "configmaps", "secrets", "events"], "verbs": all},
                    {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": read},
                    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": all},
                    {"apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"], "verbs": read},
                    {"apiGroups": ["flowcontrol.apiserver.k8s.io"], "resources": ["flowschemas"], "verbs": ["get"]},
                    {"apiGroups": groups, "resources": ["*"], "verbs": all},
                    {"nonResourceURLs": ["/metrics", "/readyz", "/version"], "verbs": ["get"]},
                ],
            }),
        ),
        (
            named("rbac.authorization.k8s.io/v1/clusterrolebindings"),
            json!({
                "apiVersion": rbac,
                "kind": "ClusterRoleBinding",
                "metadata": {"name": HARNESS_USER},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": HARNESS_USER},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": HARNESS_USER}],
            }),
        ),
        (
            named("flowcontrol.apiserver.k8s.io/v1/flowschemas"),
            json!({
                "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
                "kind": "FlowSchema",
                "metadata": {"name": HARNESS_USER},
                "spec": {
                    "priorityLevelConfiguration": {"name": "workload-high"},
                    "matchingPrecedence": 500,
                    "distinguisherMethod": {"type": "ByUser"},
                    "rules": [{
                        "subjects": [{"kind": "User", "user": {"name": HARNESS_USER}}],
                        "resourceRules": [{
                            "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"],
                            "namespaces": ["*"], "clusterScope": true,
                        }],
                        "nonResourceRules": [{"nonResourceURLs": ["*"], "verbs": ["*"]}],
                    }],
                },
            }),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_harness_gets_cluster_api_and_no_pods() {
        let groups = BTreeSet::from(["cluster.x-k8s.io".to_owned()]);
        let role = &objects(&groups)[0].1;
        let rules = role["rules"].as_array().unwrap();
        assert!(rules.iter().any(|rule| rule["apiGroups"] == json!(["cluster.x-k8s.io"])));
        assert!(!role.to_string().contains("pods"));
        assert!(!rules.iter().any(|rule| rule["apiGroups"] == json!(["*"])));
    }
}
