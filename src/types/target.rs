//! What a cluster is meant to be.

use super::KubernetesVersion;
use serde::{Deserialize, Serialize};

/// A release of a Cluster Stack for one minor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The ClusterClass: `<provider>-<stack>-1-NN-<version>`.
    pub class: String,
    /// The version of the nodes.
    pub kubernetes: KubernetesVersion,
    /// The worker class of the ClusterClass that the workers use.
    pub worker_class: String,
}

/// The wanted state of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Release, and with it the version.
    pub release: Release,
    /// Control plane Machines.
    pub control_planes: u32,
    /// Worker Machines.
    pub workers: u32,
}
