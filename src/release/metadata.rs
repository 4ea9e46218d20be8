//! `metadata.yaml` of a release.

use super::name::ReleaseVersion;
use crate::types::KubernetesVersion;
use serde::Deserialize;
use std::fmt::Write as _;

/// The version of the format.
pub const API_VERSION: &str = "metadata.clusterstack.x-k8s.io/v1alpha1";

/// The versions of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Of the whole, and of its ClusterClass.
    pub cluster_stack: ReleaseVersion,
    /// Of the nodes.
    pub kubernetes: KubernetesVersion,
    /// Of the add-ons.
    pub cluster_addon: ReleaseVersion,
    /// Of the node image, where there is one.
    pub node_image: Option<ReleaseVersion>,
}

/// As it is written by anybody.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    #[serde(default)]
    api_version: String,
    versions: WrittenVersions,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenVersions {
    cluster_stack: String,
    kubernetes: String,
    components: WrittenComponents,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenComponents {
    cluster_addon: String,
    #[serde(default)]
    node_image: String,
}

impl Metadata {
    /// Reads `metadata.yaml`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, Vec<String>> {
        let text = std::str::from_utf8(bytes).map_err(|_| vec!["is not UTF-8".to_owned()])?;
        let written: Written = serde_saphyr::from_str_with_options(text, crate::stack::yaml_options())
            .map_err(|error| vec![error.to_string()])?;
        let mut problems = Vec::new();
        if written.api_version != API_VERSION {
            problems.push(format!("has the apiVersion `{}`, not {API_VERSION}", written.api_version));
        }
        let mut version = |what: &str, text: &str| {
            text.parse::<ReleaseVersion>().map_err(|error| problems.push(format!("{what}: {error}"))).ok()
        };
        let versions = &written.versions;
        let cluster_stack = version("versions.clusterStack", &versions.cluster_stack);
        let cluster_addon = version("versions.components.clusterAddon", &versions.components.cluster_addon);
        let image = &versions.components.node_image;
        let node_image =
            if image.is_empty() { None } else { version("versions.components.nodeImage", image) };
        let kubernetes = versions.kubernetes.parse::<KubernetesVersion>();
        if let Err(error) = &kubernetes {
            problems.push(format!("versions.kubernetes: {error}"));
        }
        match (cluster_stack, cluster_addon, kubernetes.ok()) {
            (Some(cluster_stack), Some(cluster_addon), Some(kubernetes)) if problems.is_empty() => {
                Ok(Self { cluster_stack, kubernetes, cluster_addon, node_image })
            }
            _ => Err(problems),
        }
    }

    /// As `csctl` writes it.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let mut text = format!(
            "apiVersion: {API_VERSION}\nversions:\n    clusterStack: {}\n    kubernetes: {}\n    components:\n        \
             clusterAddon: {}\n",
            self.cluster_stack, self.kubernetes, self.cluster_addon
        );
        if let Some(image) = &self.node_image {
            let _ = writeln!(text, "        nodeImage: {image}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let metadata = Metadata {
            cluster_stack: "v0-sha.rwvgrna".parse().unwrap(),
            kubernetes: "v1.34.7".parse().unwrap(),
            cluster_addon: "v3".parse().unwrap(),
            node_image: Some("v1".parse().unwrap()),
        };
        assert_eq!(Metadata::parse(metadata.to_yaml().as_bytes()), Ok(metadata.clone()));
        let without = Metadata { node_image: None, ..metadata };
        assert!(!without.to_yaml().contains("nodeImage"));
        assert_eq!(Metadata::parse(without.to_yaml().as_bytes()), Ok(without));
    }

    #[test]
    fn every_problem_is_told() {
        let text = "apiVersion: v1\nversions:\n  clusterStack: 1\n  kubernetes: v1.34\n  components:\n    \
                    clusterAddon: v1-x\n    nodeImage: y\n";
        let problems = Metadata::parse(text.as_bytes()).unwrap_err();
        assert_eq!(problems.len(), 5, "{problems:#?}");
        assert!(Metadata::parse(b"versions: 1").is_err());
        assert!(Metadata::parse(&[0xff]).is_err());
    }
}
