//! A workload cluster: its kubeconfig from the management cluster, and what its own API server says.

use super::api::{Api, ApiError, chain};
use super::kind::Kind;
use super::view::ObjectExt;
use crate::event::{Failure, FailureClass};
use crate::types::{ClusterName, Namespace, ObjectRef};
use k8s_openapi::ByteString;
use kube::ResourceExt;
use kube::config::Kubeconfig;
use std::collections::BTreeMap;

/// Why a workload cluster cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// The management cluster did not give the Secret.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The Secret is not there or has another shape.
    #[error("Secret `{secret}`: {why}")]
    Secret {
        /// Where it should be.
        namespace: Namespace,
        /// Its name.
        secret: String,
        /// What is wrong.
        why: String,
    },
}

impl WorkloadError {
    /// The failure for a report. A management cluster that does not answer says nothing about the cluster; a Secret
    /// that is not as it should be does, and its class is `class`.
    #[must_use]
    pub fn failure(&self, class: FailureClass) -> Failure {
        match self {
            Self::Api(error) => error.failure(),
            Self::Secret { namespace, secret, .. } => {
                let object = ObjectRef {
                    kind: "Secret".into(),
                    namespace: namespace.to_string(),
                    name: secret.clone(),
                };
                Failure::new(class, self.to_string()).about(Some(object))
            }
        }
    }
}

/// A Node, as far as checks look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// `status.nodeInfo.kubeletVersion`.
    pub version: String,
    /// Whether it is `Ready`.
    pub ready: bool,
    /// Whether it carries the control plane's role label.
    pub control_plane: bool,
    /// `spec.providerID`.
    pub provider_id: String,
}

/// A connection to a workload cluster.
#[derive(Clone)]
pub struct Workload {
    api: Api,
    kubeconfig: Kubeconfig,
}

impl Workload {
    /// Connects with the admin kubeconfig that Cluster API wrote for the cluster.
    ///
    /// # Errors
    /// The Secret is missing, cannot be read or cannot be used.
    pub async fn connect(
        management: &Api,
        namespace: &Namespace,
        cluster: &ClusterName,
    ) -> Result<Self, WorkloadError> {
        let name = format!("{cluster}-kubeconfig");
        let bytes = secret_value(management, namespace, &name, "value").await?;
        let error =
            |why: String| WorkloadError::Secret { namespace: namespace.clone(), secret: name.clone(), why };
        let text = String::from_utf8(bytes).map_err(|_| error("`value` is not UTF-8".into()))?;
        let kubeconfig = Kubeconfig::from_yaml(&text).map_err(|e| error(chain(&e)))?;
        Self::with(kubeconfig).await.map_err(error)
    }

    /// Connects with a kubeconfig that is already in memory.
    ///
    /// # Errors
    /// Says why it cannot be used.
    pub async fn with(kubeconfig: Kubeconfig) -> Result<Self, String> {
        Ok(Self { api: Api::from_kubeconfig(kubeconfig.clone()).await?, kubeconfig })
    }

    /// Its API server.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// The kubeconfig in use.
    #[must_use]
    pub fn kubeconfig(&self) -> &Kubeconfig {
        &self.kubeconfig
    }

    /// All Nodes, by name.
    ///
    /// # Errors
    /// The API server of the workload cluster refuses or does not answer.
    pub async fn nodes(&self) -> Result<Vec<Node>, ApiError> {
        let listing = self.api.list(&Kind::of("v1", "Node"), None, "").await?;
        let mut nodes: Vec<Node> = listing
            .objects
            .iter()
            .map(|node| Node {
                name: node.name_any(),
                version: node.text("/status/nodeInfo/kubeletVersion").into(),
                ready: node.is_true("Ready"),
                control_plane: node.labels().contains_key("node-role.kubernetes.io/control-plane"),
                provider_id: node.text("/spec/providerID").into(),
            })
            .collect();
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(nodes)
    }
}

/// One decoded value of a Secret.
///
/// # Errors
/// The Secret is not there, has no such key, or the API server does not answer.
pub(crate) async fn secret_value(
    api: &Api,
    namespace: &Namespace,
    name: &str,
    key: &str,
) -> Result<Vec<u8>, WorkloadError> {
    let error = |why: &str| WorkloadError::Secret {
        namespace: namespace.clone(),
        secret: name.into(),
        why: why.into(),
    };
    let secret = api.get(&Kind::secret(), Some(namespace.as_str()), name).await?;
    let secret = secret.ok_or_else(|| error("does not exist"))?;
    let data: BTreeMap<String, ByteString> = secret
        .data
        .get("data")
        .and_then(|data| serde_json::from_value(data.clone()).ok())
        .ok_or_else(|| error("has no data"))?;
    data.into_iter()
        .find(|(k, _)| k == key)
        .map(|(_, v)| v.0)
        .ok_or_else(|| error(&format!("has no key `{key}`")))
}
