//! A release as the Cluster Stack Operator names it. Pure.

use crate::types::{KubernetesMinor, KubernetesVersion};
use serde::{Deserialize, Serialize};

/// A release that the operator is to bring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorRelease {
    /// The ClusterClass: `openstack-scs2-1-34-v0-sha.rwvgrna`.
    pub class: String,
    /// The ClusterStackRelease: the same with dashes only.
    pub release: String,
    /// The ClusterStack: without the version.
    pub cluster_stack: String,
    /// The provider, as the name has it.
    pub provider: String,
    /// The stack, as the name has it.
    pub stack: String,
    /// The minor, as the name has it.
    pub minor: KubernetesMinor,
    /// The version of the release: `v1`, `v0-sha.rwvgrna`.
    pub version: String,
    /// `stable`, or `custom` for everything that is none.
    pub channel: String,
    /// The version of the nodes.
    pub kubernetes: KubernetesVersion,
}

impl OperatorRelease {
    /// The release behind a ClusterClass.
    ///
    /// # Errors
    /// The operator could not take the name apart: it splits at every dash, and knows `vN` and `vN-CHANNEL.PATCH`.
    pub fn of(class: &str, kubernetes: KubernetesVersion) -> Result<Self, String> {
        let parts: Vec<&str> = class.split('-').collect();
        let (provider, stack, major, minor, version) = match parts.as_slice() {
            [provider, stack, major, minor, version] => {
                (*provider, *stack, major, minor, (*version).to_owned())
            }
            [provider, stack, major, minor, version, patch] => {
                (*provider, *stack, major, minor, format!("{version}-{patch}"))
            }
            _ => {
                return Err(format!(
                    "the operator cannot read `{class}`: it is not PROVIDER-STACK-1-NN-VERSION, each without a dash"
                ));
            }
        };
        let number = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
        let word =
            |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let known = match version.strip_prefix('v').unwrap_or_default().split_once('-') {
            None => number(version.strip_prefix('v').unwrap_or_default()),
            Some((n, rest)) => {
                number(n) && rest.split_once('.').is_some_and(|(c, patch)| word(c) && word(patch))
            }
        };
        if !known {
            return Err(format!(
                "the operator cannot read the version `{version}` of `{class}`: it knows vN and vN-CHANNEL.PATCH"
            ));
        }
        let minor: KubernetesMinor = format!("{major}.{minor}").parse().map_err(|_| {
            format!("the operator cannot read `{class}`: `{major}-{minor}` is no Kubernetes minor")
        })?;
        if minor != kubernetes.minor() {
            return Err(format!("`{class}` is named after {minor}, but its nodes run {kubernetes}"));
        }
        Ok(Self {
            class: class.to_owned(),
            release: class.replace('.', "-"),
            cluster_stack: format!("{provider}-{stack}-{}", minor.dashed()),
            provider: provider.to_owned(),
            stack: stack.to_owned(),
            minor,
            channel: if version.contains('-') { "custom" } else { "stable" }.into(),
            version,
            kubernetes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_as_the_operator_does() {
        let of = |class: &str| OperatorRelease::of(class, "v1.34.7".parse().unwrap());
        let release = of("openstack-scs2-1-34-v0-sha.rwvgrna").unwrap();
        assert_eq!(release.release, "openstack-scs2-1-34-v0-sha-rwvgrna");
        assert_eq!(release.cluster_stack, "openstack-scs2-1-34");
        assert_eq!((release.version.as_str(), release.channel.as_str()), ("v0-sha.rwvgrna", "custom"));
        let stable = of("docker-ferrol-1-34-v12").unwrap();
        assert_eq!((stable.version.as_str(), stable.channel.as_str()), ("v12", "stable"));
        assert_eq!((stable.provider.as_str(), stable.stack.as_str()), ("docker", "ferrol"));
        for (class, why) in [
            ("openstack-hosted-control-plane-1-34-v1", "each without a dash"),
            ("openstack-scs-1-34", "each without a dash"),
            ("openstack-scs-1-34-1", "cannot read the version `1`"),
            ("openstack-scs-1-34-v1-sha", "cannot read the version `v1-sha`"),
            ("openstack-scs-1-x-v1", "is no Kubernetes minor"),
            ("openstack-scs-1-33-v1", "named after 1.33, but its nodes run v1.34.7"),
        ] {
            let error = of(class).unwrap_err();
            assert!(error.contains(why), "`{why}` is not in: {error}");
        }
    }
}
