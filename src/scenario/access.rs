//! `spec.credentials`: which entry of the operator's clouds.yaml the clusters use, and how it gets to them. The file itself
//! is named on the command line; a scenario never holds a secret.

use super::Positions;
use super::decode::{Decoder, Fields};
use super::document::keys;
use super::problem::{name_hint, quote};
use super::tree::Node;
use crate::types::{CheckName, ProviderKind};
use serde::{Deserialize, Serialize};

/// A cloud that clusters are made in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudAccess {
    /// The entry of clouds.yaml; also part of the names of Secrets, so it is a DNS label.
    pub cloud: String,
    /// How the credential gets to the controllers.
    pub deliver: Delivery,
}

/// The two ways in use on SCS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// The Secret `openstack`, and a ClusterResourceSet `clouds-yaml` that brings clouds.yaml into each cluster.
    CloudsYaml,
    /// The Secrets and the ClusterResourceSet of the chart openstack-csp-helper, which brings cloud.conf into each cluster.
    CspHelper,
}

impl Delivery {
    const ALL: [Self; 2] = [Self::CloudsYaml, Self::CspHelper];

    /// The name in scenario files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CloudsYaml => "clouds-yaml",
            Self::CspHelper => "csp-helper",
        }
    }
}

/// As long as the names that are made of it still are names of objects.
const MAX_CLOUD: usize = 40;
const MAX_DOMAIN: usize = 63;

impl Decoder<'_> {
    /// `Some(None)` where there is none.
    pub(super) fn access(
        &mut self,
        spec: &Fields<'_>,
        provider: Option<ProviderKind>,
        positions: &mut Positions,
    ) -> Option<Option<CloudAccess>> {
        let Some(entry) = spec.entry("credentials") else {
            positions.credentials = spec.span;
            return Some(None);
        };
        positions.credentials = entry.key_span;
        let hint = "write `credentials: {cloud: openstack, deliver: clouds-yaml}`";
        let node = self.map(&entry.value, entry.key_span, "`credentials`", keys::CREDENTIALS)?;
        let cloud = self.required(&node, "cloud", "`credentials`", hint).and_then(|node| {
            let text = self.string(node, "`cloud`")?;
            // A check's name has the very shape of a DNS label.
            if text.len() > MAX_CLOUD || CheckName::new(text).is_err() {
                let message = format!(
                    "{} cannot be the name of a cloud: use lower-case letters, digits and `-`, at most {MAX_CLOUD}",
                    quote(text)
                );
                self.problem(node.span, message, "Secrets are named after it; rename the entry of clouds.yaml");
                return None;
            }
            Some(text.to_owned())
        });
        let deliver = match node.get("deliver") {
            None => Some(Delivery::CloudsYaml),
            Some(node) => self.delivery(node),
        };
        if let Some(provider) = provider.filter(|provider| *provider != ProviderKind::Openstack) {
            let message = format!("clusters of the provider `{provider}` take no OpenStack credential");
            self.problem(entry.key_span, message, "leave `credentials` out");
            return None;
        }
        Some(Some(CloudAccess { cloud: cloud?, deliver: deliver? }))
    }

    fn delivery(&mut self, node: &Node) -> Option<Delivery> {
        let text = self.string(node, "`deliver`")?;
        let found = Delivery::ALL.into_iter().find(|way| way.as_str() == text);
        if found.is_none() {
            let names = Delivery::ALL.map(Delivery::as_str);
            let message = format!("there is no way {} to deliver credentials", quote(text));
            self.problem(node.span, message, name_hint(text, names));
        }
        found
    }

    /// `spec.failureDomain`; `Some(None)` where there is none.
    pub(super) fn failure_domain(&mut self, spec: &Fields<'_>) -> Option<Option<String>> {
        let Some(node) = spec.get("failureDomain") else { return Some(None) };
        let text = self.string(node, "`failureDomain`")?;
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() || text.len() > MAX_DOMAIN || !text.chars().all(fits) {
            let message = format!("{} cannot be the name of a failure domain", quote(text));
            self.problem(node.span, message, "use letters, digits, `-`, `_` and `.`, e.g. `nova`");
            return None;
        }
        Some(Some(text.to_owned()))
    }
}
