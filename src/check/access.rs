//! Kubeconfigs and the API server behind them.

use super::{CheckContext, Checked, failed};
use crate::cluster::{ApiError, ObjectExt, Workload, secret_value};
use crate::event::{Failure, FailureClass};
use crate::types::ObjectRef;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use itertools::Itertools;
use kube::config::Kubeconfig;
use std::collections::BTreeSet;

pub(super) async fn kubeconfig(cx: &mut CheckContext<'_>) -> Result<Checked, Failure> {
    let workload = cx.connect().await?;
    let secret = ObjectRef {
        kind: "Secret".into(),
        namespace: cx.namespace.to_string(),
        name: format!("{}-kubeconfig", cx.cluster),
    };
    if let Some(why) = names_this_cluster(cx, workload.kubeconfig()).await? {
        return Ok(failed(why).about(secret));
    }
    let nodes = workload.nodes().await.map_err(|error| useless("the kubeconfig does not work", &error))?;
    let found: BTreeSet<String> = nodes.into_iter().map(|node| node.name).collect();
    let wanted = node_names(cx);
    if found != wanted {
        return Ok(failed(format!(
            "the kubeconfig leads to another cluster: its Nodes are {{{}}}, the Machines' are {{{}}}",
            found.iter().join(", "),
            wanted.iter().join(", ")
        ))
        .about(secret));
    }
    // Verification is proven by failing: with a CA of the same kind, but of another purpose, nothing may work.
    let stranger = secret_value(cx.api, cx.namespace, &format!("{}-etcd", cx.cluster), "tls.crt").await;
    let stranger = stranger.map_err(|error| error.failure(FailureClass::CheckFailed))?;
    let distrustful = with_ca(workload.kubeconfig().clone(), &stranger);
    let distrustful =
        Workload::with(distrustful).await.map_err(|why| Failure::new(FailureClass::Harness, why))?;
    Ok(match distrustful.api().version_refused().await {
        Ok(()) => Checked::Passed(format!(
            "{} Nodes seen; a client that trusts another CA is turned away",
            found.len()
        )),
        Err(why) => failed(why),
    })
}

pub(super) async fn old_kubeconfig(cx: &mut CheckContext<'_>) -> Result<Checked, Failure> {
    let Some(first) = cx.first else {
        return Ok(failed("no kubeconfig was kept from before the change"));
    };
    let nodes = first
        .nodes()
        .await
        .map_err(|error| useless("the kubeconfig from before the change no longer works", &error))?;
    let found: BTreeSet<String> = nodes.into_iter().map(|node| node.name).collect();
    let wanted = node_names(cx);
    Ok(if found == wanted {
        Checked::Passed(format!("{} Nodes seen", found.len()))
    } else {
        failed("the kubeconfig from before the change leads to other Nodes than the Machines have")
    })
}

/// An API server that is named by a kubeconfig and does not answer is what these checks look for.
fn useless(what: &str, error: &ApiError) -> Failure {
    let summary = format!("{what}: {error}");
    Failure { class: FailureClass::CheckFailed, summary, ..error.failure() }
}

fn node_names(cx: &CheckContext<'_>) -> BTreeSet<String> {
    let view = cx.views.borrow();
    view.of("Machine").map(|machine| machine.text("/status/nodeRef/name").to_owned()).collect()
}

/// The kubeconfig's CA is the cluster's, and its server is the cluster's endpoint; otherwise says what differs.
async fn names_this_cluster(
    cx: &CheckContext<'_>,
    kubeconfig: &Kubeconfig,
) -> Result<Option<String>, Failure> {
    let ca = secret_value(cx.api, cx.namespace, &format!("{}-ca", cx.cluster), "tls.crt").await;
    let ca = ca.map_err(|error| error.failure(FailureClass::CheckFailed))?;
    let view = cx.views.borrow();
    let root =
        view.root().ok_or_else(|| Failure::new(FailureClass::CheckFailed, "the Cluster does not exist"))?;
    let endpoint = format!(
        "https://{}:{}",
        root.text("/spec/controlPlaneEndpoint/host"),
        root.number("/spec/controlPlaneEndpoint/port").unwrap_or_default()
    );
    Ok(differs(kubeconfig, &ca, &endpoint))
}

fn differs(kubeconfig: &Kubeconfig, ca: &[u8], endpoint: &str) -> Option<String> {
    let Some(cluster) = kubeconfig.clusters.first().and_then(|named| named.cluster.as_ref()) else {
        return Some("the kubeconfig names no cluster".into());
    };
    if cluster.insecure_skip_tls_verify == Some(true) {
        return Some("the kubeconfig turns verification off (insecure-skip-tls-verify)".into());
    }
    let found = cluster.certificate_authority_data.as_deref().unwrap_or_default();
    if STANDARD.decode(found).ok().as_deref() != Some(ca) {
        return Some("the CA in the kubeconfig is not the cluster's CA".into());
    }
    let server = cluster.server.as_deref().unwrap_or_default();
    if server != endpoint {
        return Some(format!(
            "the kubeconfig's server is `{server}`, the cluster's endpoint is `{endpoint}`"
        ));
    }
    None
}

fn with_ca(mut kubeconfig: Kubeconfig, ca: &[u8]) -> Kubeconfig {
    for named in &mut kubeconfig.clusters {
        if let Some(cluster) = &mut named.cluster {
            cluster.certificate_authority_data = Some(STANDARD.encode(ca));
        }
    }
    kubeconfig
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kubeconfig(server: &str, ca: &[u8], insecure: bool) -> Kubeconfig {
        let text = format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: c1\n  cluster:\n    server: {server}\n    \
             certificate-authority-data: {}\n    insecure-skip-tls-verify: {insecure}\n",
            STANDARD.encode(ca)
        );
        Kubeconfig::from_yaml(&text).unwrap()
    }

    #[test]
    fn a_kubeconfig_of_another_cluster_is_told_apart() {
        let endpoint = "https://192.0.2.1:6443";
        let says = |server, ca: &[u8], insecure| differs(&kubeconfig(server, ca, insecure), b"ca", endpoint);
        assert_eq!(says(endpoint, b"ca", false), None);
        assert!(says(endpoint, b"other", false).unwrap().contains("is not the cluster's CA"));
        assert!(says("https://192.0.2.2:6443", b"ca", false).unwrap().contains("192.0.2.2"));
        assert!(says(endpoint, b"ca", true).unwrap().contains("turns verification off"));
        assert!(differs(&Kubeconfig::default(), b"ca", endpoint).unwrap().contains("names no cluster"));
    }
}
