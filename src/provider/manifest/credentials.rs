//! The objects that bring an OpenStack credential to the controllers, in the two ways in use on SCS. Pure.
//!
//! - `clouds-yaml`: the Secret `openstack` for the controllers of the management cluster; the Secret `clouds-yaml` wraps a
//!   Secret of that name in `kube-system`, which a ClusterResourceSet brings into every cluster with the label
//!   `managed-secret: clouds-yaml`.
//! - `csp-helper`: as the chart openstack-csp-helper makes them, named after the cloud; `cloud.conf` reaches every cluster
//!   with the label `managed-secret: cloud-config`, `cloudprovider.conf` is the same for yawol.

use super::{annotations, run_labels};
use crate::plan::Plan;
use crate::provider::clouds::CloudEntry;
use crate::scenario::{CloudAccess, Delivery};
use serde_json::{Map, Value, json};

/// The label of a Cluster that says which credential is brought into it.
pub(super) const LABEL: &str = "managed-secret";
/// What Cluster API's ClusterResourceSets read.
const RESOURCE_SET: &str = "addons.cluster.x-k8s.io/resource-set";

/// The value of [`LABEL`].
pub(super) const fn label(access: &CloudAccess) -> &'static str {
    match access.deliver {
        Delivery::CloudsYaml => "clouds-yaml",
        Delivery::CspHelper => "cloud-config",
    }
}

/// The access that all runs of a plan share.
#[must_use]
pub fn access(plan: &Plan) -> Option<&CloudAccess> {
    plan.runs.iter().find_map(|run| run.credentials.as_ref())
}

/// The objects, in the order in which they are applied; none when the plan's clusters need no credential. Without an
/// entry, placeholders stand where the secrets will.
#[must_use]
pub fn credentials(plan: &Plan, entry: Option<&CloudEntry>) -> Vec<Value> {
    let Some(access) = access(plan) else { return Vec::new() };
    let cloud = access.cloud.as_str();
    let later = |what: &str| format!("({what} of the cloud `{cloud}`, known when the run begins)");
    let clouds_yaml = entry.map_or_else(|| later("clouds.yaml"), |e| e.clouds_yaml.expose().to_owned());
    let cloud_conf = || entry.map_or_else(|| later("cloud.conf"), |e| e.cloud_conf.expose().to_owned());
    let cacert = entry.and_then(|entry| entry.cacert.clone());
    let with_cacert = |mut data: Map<String, Value>| {
        data.extend(cacert.clone().map(|cacert| ("cacert".to_owned(), cacert.into())));
        Value::Object(data)
    };
    let data = |pairs: &[(&str, &str)]| {
        with_cacert(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect())
    };
    let inner = |name: &str, data: Value| {
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": "kube-system"},
            "type": "Opaque",
            "stringData": data,
        })
        .to_string()
    };
    let for_controllers = data(&[("cloudName", cloud), ("clouds.yaml", &clouds_yaml)]);
    match access.deliver {
        Delivery::CloudsYaml => {
            let wrapped = inner("clouds-yaml", data(&[("clouds.yaml", &clouds_yaml)]));
            vec![
                secret(plan, "openstack", "Opaque", for_controllers),
                secret(plan, "clouds-yaml", RESOURCE_SET, json!({"clouds-yaml-secret": wrapped})),
                resource_set(plan, "clouds-yaml", "clouds-yaml", label(access)),
            ]
        }
        Delivery::CspHelper => {
            let conf = cloud_conf();
            let wrapped =
                inner("cloud-config", data(&[("cloud.conf", &conf), ("cloudprovider.conf", &conf)]));
            let set = format!("{cloud}-workload-cluster-secret");
            vec![
                secret(plan, cloud, "Opaque", for_controllers),
                secret(plan, &set, RESOURCE_SET, json!({"cloud-config-secret": wrapped})),
                resource_set(plan, &format!("crs-{cloud}-secret"), &set, label(access)),
            ]
        }
    }
}

fn secret(plan: &Plan, name: &str, kind: &str, data: Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": plan.namespace.as_str(),
            "labels": run_labels(plan),
            "annotations": annotations(plan),
        },
        "type": kind,
        "stringData": data,
    })
}

fn resource_set(plan: &Plan, name: &str, secret: &str, label: &str) -> Value {
    json!({
        "apiVersion": "addons.cluster.x-k8s.io/v1beta2",
        "kind": "ClusterResourceSet",
        "metadata": {
            "name": name,
            "namespace": plan.namespace.as_str(),
            "labels": run_labels(plan),
            "annotations": annotations(plan),
        },
        "spec": {
            "strategy": "Reconcile",
            "clusterSelector": {"matchLabels": {LABEL: label}},
            "resources": [{"kind": "Secret", "name": secret}],
        },
    })
}
