//! What is known of one cluster at one moment.

use crate::types::{ClusterName, ObjectRef};
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::Value;
use std::sync::Arc;
use tokio::time::Instant;

/// A snapshot of all observed objects of one cluster.
#[derive(Debug, Clone)]
pub struct ClusterView {
    /// The cluster.
    pub cluster: ClusterName,
    /// Its objects, sorted by kind and name.
    pub objects: Vec<Arc<DynamicObject>>,
    /// Whether every kind has been listed completely; before that an absence means nothing.
    pub synced: bool,
    /// When the last object changed.
    pub changed: Instant,
    /// Since when, and why, changes may be missing: a watch that is broken.
    pub trouble: Option<(Instant, String)>,
}

/// One condition of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cond<'a> {
    /// Its type.
    pub kind: &'a str,
    /// `True`, `False` or `Unknown`.
    pub status: &'a str,
    /// One word.
    pub reason: &'a str,
    /// Any number of lines.
    pub message: &'a str,
    /// The generation that it speaks of, where it says so.
    pub observed_generation: Option<i64>,
}

/// Reading untyped objects.
pub trait ObjectExt {
    /// The object's kind.
    fn kind(&self) -> &str;
    /// The object as people write it.
    fn reference(&self) -> ObjectRef;
    /// A text at a JSON pointer below the object, e.g. `/spec/version`; empty when absent.
    fn text(&self, pointer: &str) -> &str;
    /// A number at a JSON pointer.
    fn number(&self, pointer: &str) -> Option<i64>;
    /// All conditions (`status.conditions`).
    fn conditions(&self) -> Vec<Cond<'_>>;
    /// One condition.
    fn condition(&self, kind: &str) -> Option<Cond<'_>>;
    /// Whether the condition is there and `True`.
    fn is_true(&self, kind: &str) -> bool {
        self.condition(kind).is_some_and(|c| c.status == "True")
    }
    /// Whether it is being deleted.
    fn is_deleting(&self) -> bool;
    /// Whether no controller has ever acted on it: one leaves a status or a finalizer, and mostly both.
    fn is_untouched(&self) -> bool;
}

impl ObjectExt for DynamicObject {
    fn kind(&self) -> &str {
        self.types.as_ref().map_or("", |types| types.kind.as_str())
    }

    fn reference(&self) -> ObjectRef {
        ObjectRef {
            kind: self.kind().into(),
            namespace: self.namespace().unwrap_or_default(),
            name: self.name_any(),
        }
    }

    fn text(&self, pointer: &str) -> &str {
        self.data.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    fn number(&self, pointer: &str) -> Option<i64> {
        self.data.pointer(pointer).and_then(Value::as_i64)
    }

    fn conditions(&self) -> Vec<Cond<'_>> {
        let list = self.data.pointer("/status/conditions").and_then(Value::as_array);
        list.into_iter().flatten().map(cond).collect()
    }

    fn condition(&self, kind: &str) -> Option<Cond<'_>> {
        let list = self.data.pointer("/status/conditions").and_then(Value::as_array)?;
        list.iter().map(cond).find(|c| c.kind == kind)
    }

    fn is_deleting(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    fn is_untouched(&self) -> bool {
        let status = self.data.get("status").and_then(Value::as_object);
        self.finalizers().is_empty() && status.is_none_or(serde_json::Map::is_empty)
    }
}

fn cond(value: &Value) -> Cond<'_> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    Cond {
        kind: text("type"),
        status: text("status"),
        reason: text("reason"),
        message: text("message"),
        observed_generation: value.get("observedGeneration").and_then(Value::as_i64),
    }
}

impl ClusterView {
    /// Nothing known yet.
    #[must_use]
    pub fn empty(cluster: ClusterName) -> Self {
        Self { cluster, objects: Vec::new(), synced: false, changed: Instant::now(), trouble: None }
    }

    /// The Cluster object.
    #[must_use]
    pub fn root(&self) -> Option<&DynamicObject> {
        self.of("Cluster").next()
    }

    /// The objects of one kind.
    pub fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a DynamicObject> {
        self.objects.iter().map(AsRef::as_ref).filter(move |object| object.kind() == kind)
    }

    /// Machines of the control plane (`true`) or workers (`false`).
    pub fn machines(&self, control_plane: bool) -> impl Iterator<Item = &DynamicObject> {
        self.of("Machine")
            .filter(move |m| m.labels().contains_key("cluster.x-k8s.io/control-plane") == control_plane)
    }

    /// The infrastructure of the whole cluster that the Cluster refers to.
    #[must_use]
    pub fn infrastructure(&self) -> Option<&DynamicObject> {
        self.referred("infrastructureRef")
    }

    /// The control plane object that the Cluster refers to.
    #[must_use]
    pub fn control_plane(&self) -> Option<&DynamicObject> {
        self.referred("controlPlaneRef")
    }

    /// The control plane object, when its members are no Machines but, say, Pods elsewhere: by the contract of Cluster
    /// API one with Machines says what they are made from.
    #[must_use]
    pub fn control_plane_without_machines(&self) -> Option<&DynamicObject> {
        self.control_plane().filter(|object| object.data.pointer("/spec/machineTemplate").is_none())
    }

    fn referred(&self, reference: &str) -> Option<&DynamicObject> {
        let root = self.root()?;
        let text = |key: &str| root.text(&format!("/spec/{reference}/{key}"));
        let (kind, name) = (text("kind"), text("name"));
        self.objects
            .iter()
            .map(AsRef::as_ref)
            .find(|object| object.kind() == kind && object.name_any() == name)
    }
}
