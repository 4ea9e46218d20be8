//! For which cluster a thing was made, as the controllers that make it write it down. Pure.
//!
//! Cluster API's provider makes things with our mark, but for Neutron in a second call, which may be lost. The cloud
//! controller manager and the CSI driver inside a cluster know nothing of marks. All of them write the name of the
//! cluster, in forms of their own, and names of clusters are unique among all runs. A form is read as a whole; how
//! something begins says nothing.

use super::kind::Kind;
use crate::types::RunId;
use serde_json::Value;

/// The cluster that something was made for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Maker {
    /// The name of the Cluster.
    pub cluster: String,
    /// Its run, where the namespace of the Cluster is written down too.
    pub run: Option<RunId>,
}

impl Maker {
    /// Whether the cluster has a name as runs give it: `e2e-`, an id of 8 characters, the last 6 of the run's.
    #[must_use]
    pub fn looks_like_ours(&self) -> bool {
        let plain = |part: &str, length: usize| {
            part.len() == length && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        match self.cluster.split('-').collect::<Vec<_>>()[..] {
            ["e2e", combination, run] => plain(combination, 8) && plain(run, 6),
            _ => false,
        }
    }

    /// Reads a resource as OpenStack gives it.
    ///
    /// The forms: `pkg/utils/names` and the names in `pkg/cloud/services` of cluster-api-provider-openstack 0.14;
    /// `kube_service_CLUSTER_NAMESPACE_SERVICE` and the descriptions of cloud-provider-openstack's load balancers; the
    /// metadata `cinder.csi.openstack.org/cluster` of its CSI driver.
    pub(super) fn read(kind: Kind, item: &Value) -> Option<Self> {
        let text = |key: &str| item[key].as_str().unwrap_or_default();
        let (name, description) = (text("name"), text("description"));
        let whole =
            |cluster: &str| (!cluster.is_empty()).then(|| Self { cluster: cluster.to_owned(), run: None });
        let described =
            || provider(description.strip_prefix("Created by cluster-api-provider-openstack cluster ")?);
        match kind {
            Kind::Volume | Kind::Snapshot => {
                whole(item["metadata"]["cinder.csi.openstack.org/cluster"].as_str()?)
            }
            Kind::LoadBalancer => match name.split('_').collect::<Vec<_>>()[..] {
                ["kube", "service", cluster, _, _] => whole(cluster),
                _ => described(),
            },
            Kind::FloatingIp => {
                match description.strip_prefix("Floating IP for Kubernetes external service ") {
                    Some(rest) => whole(rest.split_once(" from cluster ")?.1),
                    None => described(),
                }
            }
            Kind::SecurityGroup => {
                let service = description.strip_prefix("Security Group for ");
                match service.and_then(|rest| rest.split_once(" Service LoadBalancer in cluster ")) {
                    Some((_, cluster)) => whole(cluster),
                    None => {
                        let rest = name.strip_prefix("k8s-cluster-")?;
                        let roles = ["controlplane", "worker", "bastion"];
                        let (cluster, role) = rest.rsplit_once("-secgroup-")?;
                        roles.contains(&role).then(|| provider(cluster))?
                    }
                }
            }
            Kind::Network | Kind::Subnet | Kind::Router => {
                described().or_else(|| provider(name.strip_prefix("k8s-clusterapi-cluster-")?))
            }
            Kind::Port => described(),
            Kind::Server | Kind::ServerGroup | Kind::Keypair | Kind::Image => None,
        }
    }
}

/// Cluster API's provider writes `NAMESPACE-CLUSTER`, which could be cut in several ways; the namespaces of runs can in
/// one only: `stack-e2e-`, the id of the run, which has no dash.
fn provider(text: &str) -> Option<Maker> {
    let (run, cluster) = text.strip_prefix("stack-e2e-")?.split_once('-')?;
    let run = run.parse().ok()?;
    (!cluster.is_empty()).then(|| Maker { cluster: cluster.to_owned(), run: Some(run) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const RUN: &str = "01k0000000000001";

    fn read(kind: Kind, item: &Value) -> Option<(String, bool)> {
        Maker::read(kind, item).map(|maker| (maker.cluster, maker.run.is_some()))
    }

    #[test]
    fn every_form_of_the_controllers_is_read_as_a_whole() {
        let ours = "e2e-abcdefgh-000001";
        let of = |namespace: &str| format!("{namespace}-{ours}");
        let capo = of(&format!("stack-e2e-{RUN}"));
        let created = |name: &str| format!("Created by cluster-api-provider-openstack cluster {name}");
        let yes = [
            (Kind::Network, json!({"name": format!("k8s-clusterapi-cluster-{capo}")}), true),
            (Kind::Router, json!({"name": "x", "description": created(&capo)}), true),
            (Kind::Port, json!({"description": created(&capo)}), true),
            (Kind::FloatingIp, json!({"description": created(&capo)}), true),
            (Kind::LoadBalancer, json!({"name": "any", "description": created(&capo)}), true),
            (Kind::SecurityGroup, json!({"name": format!("k8s-cluster-{capo}-secgroup-worker")}), true),
            (Kind::Volume, json!({"metadata": {"cinder.csi.openstack.org/cluster": ours}}), false),
            (Kind::Snapshot, json!({"metadata": {"cinder.csi.openstack.org/cluster": ours}}), false),
            (Kind::LoadBalancer, json!({"name": format!("kube_service_{ours}_default_web")}), false),
            (
                Kind::FloatingIp,
                json!({"description": format!("Floating IP for Kubernetes external service default/web from cluster {ours}")}),
                false,
            ),
            (
                Kind::SecurityGroup,
                json!({"description": format!("Security Group for default/web Service LoadBalancer in cluster {ours}")}),
                false,
            ),
        ];
        for (kind, item, run) in yes {
            assert_eq!(read(kind, &item), Some((ours.to_owned(), run)), "{item}");
            assert!(Maker::read(kind, &item).unwrap().looks_like_ours());
        }
        let no = [
            (Kind::Network, json!({"name": format!("k8s-clusterapi-cluster-default-{ours}")})),
            (Kind::Network, json!({"name": "k8s-clusterapi-cluster-stack-e2e-"})),
            (Kind::Network, json!({"name": format!("k8s-clusterapi-cluster-stack-e2e-{RUN}")})),
            (Kind::Volume, json!({"name": format!("pvc-{ours}"), "metadata": {}})),
            (Kind::LoadBalancer, json!({"name": format!("kube_service_{ours}")})),
            (Kind::SecurityGroup, json!({"name": format!("k8s-cluster-{capo}-secgroup-other")})),
            (Kind::Server, json!({"name": ours, "description": created(&capo)})),
        ];
        for (kind, item) in no {
            assert_eq!(read(kind, &item), None, "{item}");
        }
    }

    #[test]
    fn a_name_is_ours_by_its_whole_shape() {
        for (name, ours) in [
            ("e2e-abcdefgh-000001", true),
            ("e2e-abcdefgh-000001-2", false),
            ("e2e-abcdefgh", false),
            ("e2e-abcdefghi-000001", false),
            ("xe2e-abcdefgh-000001", false),
            ("e2e-ABCDEFGH-000001", false),
            ("prod", false),
        ] {
            let maker = Maker { cluster: name.into(), run: None };
            assert_eq!(maker.looks_like_ours(), ours, "{name}");
        }
    }
}
