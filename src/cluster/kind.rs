//! Kinds of objects, as the API server addresses them.

use kube::core::{ApiResource, GroupVersionKind};

/// A kind with its API version; enough to call the API server for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Kind {
    resource: ApiResource,
    namespaced: bool,
}

impl Kind {
    fn new(group: &str, version: &str, kind: &str, namespaced: bool) -> Self {
        Self { resource: ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind)), namespaced }
    }

    /// The kind of an object with `apiVersion` and `kind`. Everything but namespaces lives in a namespace, as far
    /// as this harness creates it.
    #[must_use]
    pub fn of(api_version: &str, kind: &str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self::new(group, version, kind, !matches!(kind, "Namespace" | "Node"))
    }

    /// The API server's description of the kind.
    #[must_use]
    pub fn resource(&self) -> &ApiResource {
        &self.resource
    }

    /// The name of the kind, e.g. `Machine`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.resource.kind
    }

    /// Whether its objects live in namespaces.
    #[must_use]
    pub const fn is_namespaced(&self) -> bool {
        self.namespaced
    }

    /// `Namespace`.
    #[must_use]
    pub fn namespace() -> Self {
        Self::of("v1", "Namespace")
    }
    /// `ConfigMap`.
    #[must_use]
    pub fn config_map() -> Self {
        Self::of("v1", "ConfigMap")
    }
    /// `Secret`.
    #[must_use]
    pub fn secret() -> Self {
        Self::of("v1", "Secret")
    }
    /// `Event`.
    #[must_use]
    pub fn event() -> Self {
        Self::of("v1", "Event")
    }
    /// Cluster API's `Cluster`.
    #[must_use]
    pub fn cluster() -> Self {
        Self::of("cluster.x-k8s.io/v1beta2", "Cluster")
    }
    /// Cluster API's `ClusterClass`.
    #[must_use]
    pub fn cluster_class() -> Self {
        Self::of("cluster.x-k8s.io/v1beta2", "ClusterClass")
    }
    /// Cluster API's own kinds that a Cluster with a topology consists of.
    #[must_use]
    pub fn core() -> Vec<Self> {
        ["Cluster", "MachineDeployment", "MachineSet", "Machine", "MachineHealthCheck"]
            .map(|kind| Self::of("cluster.x-k8s.io/v1beta2", kind))
            .into()
    }

    /// The kinds of the objects that Cluster API makes from the templates of a ClusterClass: for a
    /// `DevMachineTemplate` both the template (it is cloned for every cluster) and `DevMachine`.
    #[must_use]
    pub fn from_templates(shared: &[serde_json::Value]) -> Vec<Self> {
        let mut kinds = Vec::new();
        for object in shared {
            let text = |key: &str| object.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
            let Some(made) = text("kind").strip_suffix("Template") else {
                continue;
            };
            for kind in [made, text("kind")] {
                let kind = Self::of(text("apiVersion"), kind);
                if !kinds.contains(&kind) {
                    kinds.push(kind);
                }
            }
        }
        kinds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn templates_tell_the_kinds_of_a_cluster() {
        let shared = [
            json!({"apiVersion": "infrastructure.cluster.x-k8s.io/v1beta2", "kind": "DevMachineTemplate"}),
            json!({"apiVersion": "infrastructure.cluster.x-k8s.io/v1beta2", "kind": "DevMachineTemplate"}),
            json!({"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "ClusterClass"}),
        ];
        let kinds = Kind::from_templates(&shared);
        let names: Vec<_> = kinds.iter().map(|kind| kind.resource().plural.as_str()).collect();
        assert_eq!(names, ["devmachines", "devmachinetemplates"]);
    }
}
