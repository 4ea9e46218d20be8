//! A Cluster Stack on disk: its minors, its ClusterClass rendered, its variables with their schema, and whether a
//! value has an effect. Pure but for `load` and `render`.

use crate::types::{KubernetesVersion, ProviderKind, StackName};
use serde_json::Value;
use std::path::PathBuf;

/// A Cluster Stack, read from its folder.
#[derive(Debug, Clone, PartialEq)]
pub struct Stack {
    /// The provider of its release names.
    pub provider: ProviderKind,
    /// Its name.
    pub name: StackName,
    /// Its folder.
    pub directory: PathBuf,
    /// One release for each minor that it has, oldest first.
    pub releases: Vec<StackRelease>,
}

/// One minor of a stack, rendered.
#[derive(Debug, Clone, PartialEq)]
pub struct StackRelease {
    /// The version of the nodes.
    pub kubernetes: KubernetesVersion,
    /// The name of the ClusterClass object.
    pub class: String,
    /// The name of the first worker class.
    pub worker_class: String,
    /// The ClusterClass, as rendered.
    pub cluster_class: Value,
    /// Everything that the chart renders, the ClusterClass included.
    pub objects: Vec<Value>,
}
