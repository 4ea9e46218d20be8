//! The objects of a planned run, as they go to the API server. Pure.

mod credentials;
mod tags;

pub use credentials::{access, credentials};
pub use tags::mark;

use crate::plan::{Plan, PlannedRun};
use crate::types::{Namespace, Target, label};
use serde_json::{Map, Value, json};

/// The name of the object whose presence in a list proves that the list can be believed.
pub const SENTINEL: &str = "stack-e2e-run";

/// Labels of everything that belongs to the whole run.
fn run_labels(plan: &Plan) -> Map<String, Value> {
    let mut labels = Map::new();
    labels.insert(label::MANAGED_BY.into(), label::MANAGED_BY_VALUE.into());
    labels.insert(label::RUN.into(), plan.run.as_str().into());
    labels
}

/// Labels of everything that belongs to one unit.
fn unit_labels(plan: &Plan, run: &PlannedRun) -> Map<String, Value> {
    let mut labels = run_labels(plan);
    labels.insert(label::COMBINATION.into(), run.id.as_str().into());
    labels.insert(label::SCENARIO.into(), run.scenario.clone().into());
    labels
}

/// The same as a value.
pub(super) fn run_marks(plan: &Plan) -> Value {
    Value::Object(run_labels(plan))
}

pub(super) fn annotations(plan: &Plan) -> Value {
    json!({
        label::EXPIRES_AT: plan.expires.as_second().to_string(),
        label::OWNER: plan.owner.to_string(),
    })
}

/// The namespace of the run.
#[must_use]
pub fn namespace(plan: &Plan) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": plan.namespace.as_str(),
            "labels": run_labels(plan),
            "annotations": annotations(plan),
        },
    })
}

/// The sentinel: it lives as long as the run's namespace and carries its labels.
#[must_use]
pub fn sentinel(plan: &Plan) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": SENTINEL,
            "namespace": plan.namespace.as_str(),
            "labels": run_labels(plan),
            "annotations": annotations(plan),
        },
    })
}

/// ClusterClasses and their templates, moved into the run's namespace and labelled; what is made in an OpenStack project
/// from them carries the mark of the run.
#[must_use]
pub fn shared(plan: &Plan) -> Vec<Value> {
    let mark = mark(plan);
    let adopt = |object: &Value| {
        let mut object = object.clone();
        let metadata = object
            .as_object_mut()
            .map(|object| object.entry("metadata").or_insert_with(|| json!({})))
            .and_then(Value::as_object_mut);
        if let Some(metadata) = metadata {
            metadata.insert("namespace".into(), plan.namespace.as_str().into());
            extend(metadata, "labels", run_labels(plan));
            if let Value::Object(annotations) = annotations(plan) {
                extend(metadata, "annotations", annotations);
            }
        }
        if let Some(mark) = &mark {
            tags::tag(&mut object, mark);
        }
        object
    };
    plan.shared.iter().map(adopt).collect()
}

fn extend(metadata: &mut Map<String, Value>, key: &str, more: Map<String, Value>) {
    match metadata.get_mut(key).and_then(Value::as_object_mut) {
        Some(map) => map.extend(more),
        None => {
            metadata.insert(key.into(), Value::Object(more));
        }
    }
}

/// The Cluster of a unit for a target. Applied once it creates the cluster; applied for another target it changes
/// it; applied again for the same target it must change nothing.
#[must_use]
pub fn cluster(plan: &Plan, run: &PlannedRun, target: &Target) -> Value {
    let labels = Value::Object(unit_labels(plan, run));
    let mut own = unit_labels(plan, run);
    own.extend(
        run.credentials
            .as_ref()
            .map(|access| (credentials::LABEL.to_owned(), Value::from(credentials::label(access)))),
    );
    let variables: Vec<Value> =
        run.variables.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    let mut cluster = json!({
        "apiVersion": "cluster.x-k8s.io/v1beta2",
        "kind": "Cluster",
        "metadata": {
            "name": run.cluster.as_str(),
            "namespace": plan.namespace.as_str(),
            "labels": own,
            "annotations": annotations(plan),
        },
        "spec": {
            "clusterNetwork": {
                "pods": {"cidrBlocks": ["192.168.0.0/16"]},
                "services": {"cidrBlocks": ["10.128.0.0/12"]},
                "serviceDomain": "cluster.local",
            },
            "topology": {
                "classRef": {"name": target.release.class},
                "version": target.release.kubernetes.to_string(),
                // Labels of the topology reach the Machines and everything made for them.
                "controlPlane": {"replicas": target.control_planes, "metadata": {"labels": labels}},
                "workers": {"machineDeployments": [{
                    "class": target.release.worker_class,
                    "name": "md-0",
                    "replicas": target.workers,
                    "metadata": {"labels": labels},
                }]},
            },
        },
    });
    if let Some(domain) = &run.failure_domain
        && let Some(workers) = cluster.pointer_mut("/spec/topology/workers/machineDeployments/0")
    {
        workers["failureDomain"] = domain.as_str().into();
    }
    // An empty list is refused.
    if !variables.is_empty()
        && let Some(topology) = cluster.pointer_mut("/spec/topology").and_then(Value::as_object_mut)
    {
        topology.insert("variables".into(), variables.into());
    }
    cluster
}

/// The selector of everything that a run made.
#[must_use]
pub fn run_selector(run: &crate::types::RunId) -> String {
    format!("{}={run}", label::RUN)
}

/// The selector of everything that Cluster API made for one cluster.
#[must_use]
pub fn cluster_selector(run: &PlannedRun) -> String {
    format!("cluster.x-k8s.io/cluster-name={}", run.cluster)
}

/// The namespace of a run; also how `sweep` knows one.
#[must_use]
pub fn namespace_name(run: &crate::types::RunId) -> Option<Namespace> {
    Namespace::new(format!("stack-e2e-{run}")).ok()
}
