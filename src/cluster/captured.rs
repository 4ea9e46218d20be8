//! A real cluster for tests: one control plane and two workers at rest on v1.34.7, captured from Cluster API 1.14.2.

use super::view::ClusterView;
use crate::types::{ClusterName, Release, Target};
use serde_json::Value;
use std::sync::Arc;

/// Its objects.
pub(crate) fn objects() -> Vec<Value> {
    serde_json::from_str(include_str!("../../fixtures/objects/available-1x2.json")).unwrap()
}

/// A complete view of these objects.
pub(crate) fn view_of(objects: Vec<Value>) -> ClusterView {
    ClusterView {
        objects: objects.into_iter().map(|o| Arc::new(serde_json::from_value(o).unwrap())).collect(),
        synced: true,
        ..ClusterView::empty(ClusterName::new("c1").unwrap())
    }
}

/// A view of the captured cluster, each object changed.
pub(crate) fn view(change: impl Fn(&mut Value)) -> ClusterView {
    let mut objects = objects();
    objects.iter_mut().for_each(change);
    view_of(objects)
}

/// What the captured cluster is meant to be.
pub(crate) fn target() -> Target {
    let release = Release {
        class: "fast".into(),
        kubernetes: "v1.34.7".parse().unwrap(),
        worker_class: "default-worker".into(),
    };
    Target { release, control_planes: 1, workers: 2 }
}
