//! What Cluster API itself tells patches about a cluster, as `builtin`, as far as a plan knows it. Pure.
//!
//! A patch is evaluated for each template that its definitions select, and sees `builtin.controlPlane` for templates of the
//! control plane alone, `builtin.machineDeployment` for those of workers alone. Names are given while the cluster is made; they
//! stay unknown.

use crate::stack::StackRelease;
use crate::stack::gotemplate::Val;
use serde_json::json;
use std::collections::BTreeMap;

/// What a plan knows of a new cluster besides its variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The version of the nodes, `v1.34.7`.
    pub kubernetes: String,
    /// The ClusterClass.
    pub class: String,
    /// The class of its workers.
    pub worker_class: String,
    /// Control plane Machines.
    pub control_planes: u32,
    /// Worker Machines.
    pub workers: u32,
}

impl Planned {
    /// A new cluster on a release.
    #[must_use]
    pub fn on(release: &StackRelease, control_planes: u32, workers: u32) -> Self {
        Self {
            kubernetes: release.kubernetes.to_string(),
            class: release.class.clone(),
            worker_class: release.worker_class.clone(),
            control_planes,
            workers,
        }
    }
}

/// For what a patch is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// A template of the infrastructure of the whole cluster.
    Cluster,
    /// A template of the control plane.
    ControlPlane,
    /// A template of workers.
    Workers,
    /// Nobody knows which.
    Any,
}

impl Role {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::ControlPlane => "control plane",
            Self::Workers => "workers",
            Self::Any => "",
        }
    }
}

/// `builtin` for a template; all of it is unknown without a plan.
pub(super) fn builtin(planned: Option<&Planned>, role: Role) -> Val {
    let unknown = |path: &str| Val::Opaque(format!("builtin{path}"));
    let Some(planned) = planned.filter(|_| role != Role::Any) else { return unknown("") };
    let with = |known: serde_json::Value, path: &str, opaque: &[&str]| {
        let mut map = match Val::from_json(&known) {
            Val::Map(map) => map,
            _ => BTreeMap::new(),
        };
        map.extend(opaque.iter().map(|key| ((*key).to_owned(), unknown(&format!("{path}.{key}")))));
        Val::Map(map)
    };
    let topology = json!({"topology": {"version": planned.kubernetes, "class": planned.class}});
    let of_cluster = ["name", "namespace", "uid", "metadata", "network", "classNamespace"];
    let mut all = BTreeMap::from([("cluster".to_owned(), with(topology, ".cluster", &of_cluster))]);
    match role {
        Role::ControlPlane => {
            let known = json!({"version": planned.kubernetes, "replicas": planned.control_planes});
            let opaque = ["name", "metadata", "machineTemplate"];
            all.insert("controlPlane".into(), with(known, ".controlPlane", &opaque));
        }
        Role::Workers => {
            let known = json!({"version": planned.kubernetes, "class": planned.worker_class, "replicas": planned.workers});
            let opaque = ["name", "topologyName", "metadata", "bootstrap", "infrastructureRef"];
            all.insert("machineDeployment".into(), with(known, ".machineDeployment", &opaque));
        }
        Role::Cluster | Role::Any => {}
    }
    Val::Map(all)
}
