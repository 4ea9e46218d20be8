//! The marks of what Cluster API's provider makes in an OpenStack project: it gives `spec.tags` of an OpenStackCluster to
//! networks, subnets, routers, security groups, load balancers and floating IPs, and those of an OpenStackMachine to
//! servers and their ports. Pure.

use crate::cloud::{Mark, OWNER};
use crate::plan::Plan;
use crate::types::ProviderKind;
use serde_json::{Map, Value, json};

/// The group of the provider's kinds, in every version of it.
const GROUP: &str = "infrastructure.cluster.x-k8s.io/";

/// The mark of everything that the clusters of a plan are made of; `None` where it cannot be written.
#[must_use]
pub fn mark(plan: &Plan) -> Option<Mark> {
    if plan.provider != ProviderKind::Openstack {
        return None;
    }
    Mark::new(plan.run.clone(), OWNER, plan.expires).ok()
}

/// Adds the mark to the tags that the stack sets itself, if it is an object with tags.
pub(super) fn tag(object: &mut Value, mark: &Mark) {
    let text = |key: &str| object[key].as_str().unwrap_or_default();
    let ours = text("apiVersion").starts_with(GROUP);
    let places: &[&str] = match text("kind") {
        "OpenStackClusterTemplate" | "OpenStackMachineTemplate" if ours => &["spec", "template", "spec"],
        "OpenStackCluster" | "OpenStackMachine" if ours => &["spec"],
        _ => return,
    };
    let mut at = object;
    for place in places {
        let Some(map) = at.as_object_mut() else { return };
        at = map.entry(*place).or_insert_with(|| Value::Object(Map::new()));
    }
    let Some(spec) = at.as_object_mut() else { return };
    let tags = spec.entry("tags").or_insert_with(|| json!([]));
    if !tags.is_array() {
        *tags = json!([]);
    }
    if let Some(tags) = tags.as_array_mut() {
        for tag in mark.tags().into_iter().map(Value::from) {
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
    }
}
