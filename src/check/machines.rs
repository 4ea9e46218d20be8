//! Machines, Nodes, etcd members and conditions.

use super::{CheckContext, Checked, failed};
use crate::cluster::{ClusterView, Kind, Node, ObjectExt, Why, condition};
use crate::event::Failure;
use crate::types::{ObjectRef, Target};
use itertools::Itertools;
use kube::ResourceExt;
use kube::api::DynamicObject;
use std::collections::BTreeSet;

/// Conditions that are `False` when all is well. Every other condition must be `True`, so one that a later
/// version brings is looked at from its first day.
const NEGATIVE: &[&str] = &[
    "RollingOut",
    "ScalingUp",
    "ScalingDown",
    "Remediating",
    "Deleting",
    "Paused",
    "Updating",
    "OwnerRemediated",
];

pub(super) async fn conditions(cx: &mut CheckContext<'_>) -> Result<Checked, Failure> {
    cx.within_grace(judge_conditions).await
}

fn judge_conditions(view: &ClusterView) -> Result<String, Why> {
    let root = view.root().ok_or_else(|| Why::new("the Cluster does not exist"))?;
    for (kind, _) in condition::RESTING {
        if root.condition(kind).is_none() {
            return Err(Why::of(root.reference(), format!("has no condition {kind}")));
        }
    }
    let mut count = 0;
    for object in &view.objects {
        for cond in object.conditions() {
            let wanted = if NEGATIVE.contains(&cond.kind) { "False" } else { "True" };
            if cond.status != wanted {
                return Err(Why::of(object.reference(), condition::say(&cond)));
            }
            count += 1;
        }
    }
    Ok(format!("{count} conditions of {} objects", view.objects.len()))
}

pub(super) async fn control_plane(cx: &mut CheckContext<'_>) -> Result<Checked, Failure> {
    if let Some(why) = without_machines(&cx.views.borrow()) {
        return Ok(Checked::Skipped(why));
    }
    let target = cx.target.clone();
    cx.within_grace(|view| judge_control_plane(view, &target)).await
}

/// Why what is about Machines of the control plane says nothing of this cluster, if so.
fn without_machines(view: &ClusterView) -> Option<String> {
    let object = view.control_plane_without_machines()?;
    Some(format!("not applicable: the members of a {} are no Machines", ObjectExt::kind(object)))
}

fn judge_control_plane(view: &ClusterView, target: &Target) -> Result<String, Why> {
    let wanted = target.control_planes;
    let machines = judge_machines(view, true, wanted)?;
    let object =
        view.control_plane().ok_or_else(|| Why::new("the Cluster refers to no control plane object"))?;
    for pointer in [
        "/spec/replicas",
        "/status/replicas",
        "/status/readyReplicas",
        "/status/upToDateReplicas",
        "/status/availableReplicas",
    ] {
        let found = object.number(pointer).unwrap_or(0);
        if found != i64::from(wanted) {
            return Err(Why::of(object.reference(), format!("{} is {found}, not {wanted}", &pointer[1..])));
        }
    }
    Ok(format!("{wanted} control plane Machines: {}", machines.join(", ")))
}

/// Exactly `wanted` Machines, each Ready, with a provider id of its own and a Node of its own.
fn judge_machines(view: &ClusterView, control_plane: bool, wanted: u32) -> Result<Vec<String>, Why> {
    let machines: Vec<&DynamicObject> = view.machines(control_plane).collect();
    let what = if control_plane { "control plane" } else { "worker" };
    if machines.len() != wanted as usize {
        return Err(Why::new(format!("{} {what} Machines exist, not {wanted}", machines.len())));
    }
    for machine in &machines {
        if machine.is_deleting() {
            return Err(Why::of(machine.reference(), "is being deleted"));
        }
        match machine.condition("Ready") {
            Some(cond) if cond.status == "True" => {}
            Some(cond) => return Err(Why::of(machine.reference(), condition::say(&cond))),
            None => return Err(Why::of(machine.reference(), "has no condition Ready")),
        }
    }
    for pointer in ["/spec/providerID", "/status/nodeRef/name"] {
        if let Some(machine) = machines.iter().find(|machine| machine.text(pointer).is_empty()) {
            return Err(Why::of(machine.reference(), format!("has no {}", &pointer[1..].replace('/', "."))));
        }
        if let Some(twice) = machines.iter().map(|m| m.text(pointer)).duplicates().next() {
            return Err(Why::new(format!("two {what} Machines share {} `{twice}`", &pointer[1..])));
        }
    }
    Ok(machines.iter().map(|machine| machine.name_any()).collect())
}

pub(super) async fn etcd_members(cx: &mut CheckContext<'_>) -> Result<Checked, Failure> {
    if let Some(why) = without_machines(&cx.views.borrow()) {
        return Ok(Checked::Skipped(why));
    }
    let target = cx.target.clone();
    let seen = cx.within_grace(|view| judge_etcd_members(view, &target)).await?;
    let Checked::Passed(_) = seen else { return Ok(seen) };
    // What Cluster API says, and what the workload cluster shows: one static Pod on each control plane Node.
    let workload = cx.workload().await?;
    let pods = workload.api().list(&Kind::of("v1", "Pod"), Some("kube-system"), "").await;
    let pods = pods.map_err(|error| error.failure())?;
    let members: BTreeSet<String> =
        pods.objects.iter().filter_map(|pod| pod.name_any().strip_prefix("etcd-").map(Into::into)).collect();
    let nodes: BTreeSet<String> = cx
        .views
        .borrow()
        .machines(true)
        .map(|machine| machine.text("/status/nodeRef/name").to_owned())
        .collect();
    let Some(odd) = members.symmetric_difference(&nodes).next() else {
        return Ok(Checked::Passed(format!("{} members", members.len())));
    };
    let pod = ObjectRef { kind: "Pod".into(), namespace: "kube-system".into(), name: format!("etcd-{odd}") };
    let summary = format!(
        "etcd Pods run for {{{}}}, control plane Nodes are {{{}}}",
        members.iter().join(", "),
        nodes.iter().join(", ")
    );
    Ok(failed(summary).about(pod))
}

fn judge_etcd_members(view: &ClusterView, target: &Target) -> Result<String, Why> {
    let healthy = view.machines(true).filter(|machine| machine.is_true("EtcdMemberHealthy")).count();
    if healthy != target.control_planes as usize {
        let sick = view.machines(true).find(|machine| !machine.is_true("EtcdMemberHealthy"));
        let text = format!("{healthy} of {} etcd members are healthy", target.control_planes);
        return Err(Why { text, object: sick.map(ObjectExt::reference) });
    }
    let object =
        view.control_plane().ok_or_else(|| Why::new("the Cluster refers to no control plane object"))?;
    match object.condition("EtcdClusterHealthy") {
        Some(cond) if cond.status == "True" => Ok(String::new()),
        Some(cond) => Err(Why::of(object.reference(), condition::say(&cond))),
        None => Err(Why::of(object.reference(), "has no condition EtcdClusterHealthy")),
    }
}

pub(super) async fn workers(cx: &mut CheckContext<'_>) -> Result<Checked, Failure> {
    let target = cx.target.clone();
    let seen =
        cx.within_grace(|view| judge_machines(view, false, target.workers).map(|_| String::new())).await?;
    let Checked::Passed(_) = seen else { return Ok(seen) };
    let nodes = cx.workload().await?.nodes().await.map_err(|error| error.failure())?;
    let view = cx.views.borrow().clone();
    Ok(judge_nodes(&view, &nodes, &target)
        .map_or_else(|why| Checked::Failed(super::wrong(&why)), Checked::Passed))
}

/// The Nodes are those of the Machines, no more and no less, in the same roles, all Ready.
fn judge_nodes(view: &ClusterView, nodes: &[Node], target: &Target) -> Result<String, Why> {
    for (control_plane, wanted, what) in
        [(true, target.control_planes, "control plane"), (false, target.workers, "worker")]
    {
        let of_machines: BTreeSet<&str> =
            view.machines(control_plane).map(|machine| machine.text("/status/nodeRef/name")).collect();
        let found: BTreeSet<&str> = nodes
            .iter()
            .filter(|node| node.control_plane == control_plane)
            .map(|node| node.name.as_str())
            .collect();
        if let Some(stray) = found.difference(&of_machines).next() {
            return Err(Why::of(node(stray), format!("is a {what} without a Machine")));
        }
        if let Some(missing) = of_machines.difference(&found).next() {
            return Err(Why::of(node(missing), format!("is the {what} of a Machine and does not exist")));
        }
        if found.len() != wanted as usize {
            return Err(Why::new(format!("{} {what} Nodes exist, not {wanted}", found.len())));
        }
    }
    if let Some(found) = nodes.iter().find(|node| !node.ready) {
        return Err(Why::of(node(&found.name), "is not Ready"));
    }
    if let Some(found) = nodes.iter().find(|node| node.provider_id.is_empty()) {
        return Err(Why::of(node(&found.name), "has no provider id"));
    }
    Ok(format!("{} Nodes, {} of them workers", nodes.len(), target.workers))
}

/// A Node, as people write it.
fn node(name: &str) -> ObjectRef {
    ObjectRef { kind: "Node".into(), namespace: String::new(), name: name.into() }
}

pub(super) async fn versions(cx: &mut CheckContext<'_>) -> Result<Checked, Failure> {
    let wanted = cx.target.release.kubernetes.to_string();
    let seen = cx.within_grace(|view| judge_versions(view, &wanted)).await?;
    let Checked::Passed(_) = seen else { return Ok(seen) };
    let nodes = cx.workload().await?.nodes().await.map_err(|error| error.failure())?;
    Ok(judge_node_versions(&nodes, &wanted))
}

fn judge_versions(view: &ClusterView, wanted: &str) -> Result<String, Why> {
    for object in view
        .objects
        .iter()
        .filter(|o| matches!(o.kind(), "Machine" | "MachineDeployment" | "KubeadmControlPlane"))
    {
        let pointer = match object.kind() {
            "MachineDeployment" => "/spec/template/spec/version",
            _ => "/spec/version",
        };
        if object.text(pointer) != wanted {
            return Err(Why::of(object.reference(), format!("wants {}, not {wanted}", object.text(pointer))));
        }
    }
    match view.control_plane() {
        Some(object) if object.text("/status/version") == wanted => Ok(String::new()),
        Some(object) => {
            let found = object.text("/status/version");
            Err(Why::of(object.reference(), format!("status.version is `{found}`, not {wanted}")))
        }
        None => Err(Why::new("the Cluster refers to no control plane object")),
    }
}

/// A cluster that was never rolled still validates, so every kubelet is asked.
fn judge_node_versions(nodes: &[Node], wanted: &str) -> Checked {
    let others: Vec<&Node> = nodes.iter().filter(|node| node.version != wanted).collect();
    match (nodes.len(), others.first()) {
        (0, _) => failed("the cluster has no Nodes"),
        (count, None) => Checked::Passed(format!("{count} Nodes on {wanted}")),
        (_, Some(first)) => {
            let list = others.iter().map(|node| format!("{} runs {}", node.name, node.version)).join(", ");
            failed(format!("not every Node runs {wanted}: {list}")).about(node(&first.name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::captured::{target, view};
    use serde_json::{Value, json};

    /// Sets what stands at `pointer` in every object of `kind`.
    fn set(kind: &'static str, pointer: &'static str, value: Value) -> impl Fn(&mut Value) {
        move |object| {
            if object["kind"] == kind
                && let Some(place) = object.pointer_mut(pointer)
            {
                *place = value.clone();
            }
        }
    }

    /// Sets the status of one condition in every object of `kind`.
    fn set_condition(kind: &'static str, name: &'static str, status: &'static str) -> impl Fn(&mut Value) {
        move |object| {
            if object["kind"] == kind {
                for cond in object["status"]["conditions"].as_array_mut().into_iter().flatten() {
                    if cond["type"] == name {
                        cond["status"] = status.into();
                    }
                }
            }
        }
    }

    fn nodes(view: &ClusterView) -> Vec<Node> {
        let node = |machine: &DynamicObject, control_plane| Node {
            name: machine.text("/status/nodeRef/name").into(),
            version: "v1.34.7".into(),
            ready: true,
            control_plane,
            provider_id: machine.text("/spec/providerID").into(),
        };
        view.machines(true)
            .map(|m| node(m, true))
            .chain(view.machines(false).map(|m| node(m, false)))
            .collect()
    }

    fn why<T: std::fmt::Debug>(result: Result<T, Why>) -> String {
        result.expect_err("the check must find something wrong").to_string()
    }

    #[test]
    fn a_good_cluster_passes() {
        let good = view(|_| {});
        assert!(judge_conditions(&good).is_ok());
        assert!(judge_control_plane(&good, &target()).is_ok());
        assert!(judge_etcd_members(&good, &target()).is_ok());
        assert!(judge_versions(&good, "v1.34.7").is_ok());
        assert!(judge_nodes(&good, &nodes(&good), &target()).is_ok());
        assert!(matches!(judge_node_versions(&nodes(&good), "v1.34.7"), Checked::Passed(_)));
    }

    #[test]
    fn conditions_fail_on_false_unknown_and_absent() {
        let bad = view(set_condition("DevMachine", "NodeProvisioned", "Unknown"));
        assert!(why(judge_conditions(&bad)).contains("NodeProvisioned is Unknown"));
        let bad = view(set_condition("MachineDeployment", "RollingOut", "True"));
        assert!(why(judge_conditions(&bad)).contains("RollingOut is True"));
        let bad = view(|object| {
            if object["kind"] == "Cluster" {
                object["status"]["conditions"] = json!([]);
            }
        });
        assert!(why(judge_conditions(&bad)).contains("has no condition Available"));
    }

    #[test]
    fn control_plane_fails_on_count_readiness_and_status() {
        let wanted = Target { control_planes: 3, ..target() };
        assert_eq!(why(judge_control_plane(&view(|_| {}), &wanted)), "1 control plane Machines exist, not 3");
        let bad = view(set_condition("Machine", "Ready", "False"));
        assert!(why(judge_control_plane(&bad, &target())).contains("Ready is False"));
        let bad = view(set("KubeadmControlPlane", "/status/readyReplicas", json!(0)));
        assert!(why(judge_control_plane(&bad, &target())).ends_with("status/readyReplicas is 0, not 1"));
        let bad = view(set("Machine", "/spec/providerID", json!("")));
        assert!(why(judge_control_plane(&bad, &target())).ends_with("has no spec.providerID"));
    }

    #[test]
    fn etcd_members_fail_when_one_is_sick() {
        let bad = view(set_condition("Machine", "EtcdMemberHealthy", "Unknown"));
        assert!(why(judge_etcd_members(&bad, &target())).contains("0 of 1 etcd members are healthy"));
        let bad = view(set_condition("KubeadmControlPlane", "EtcdClusterHealthy", "False"));
        assert!(why(judge_etcd_members(&bad, &target())).contains("EtcdClusterHealthy is False"));
    }

    #[test]
    fn worker_nodes_fail_on_stray_missing_and_unready_nodes() {
        let good = view(|_| {});
        let mut stray = nodes(&good);
        stray.push(Node { name: "ghost".into(), ..stray[1].clone() });
        assert_eq!(why(judge_nodes(&good, &stray, &target())), "Node/ghost: is a worker without a Machine");
        let mut missing = nodes(&good);
        missing.pop();
        assert!(why(judge_nodes(&good, &missing, &target())).contains("of a Machine and does not exist"));
        let mut unready = nodes(&good);
        unready[2].ready = false;
        assert!(why(judge_nodes(&good, &unready, &target())).ends_with("is not Ready"));
        let twins = view(set("Machine", "/status/nodeRef/name", json!("one")));
        assert!(why(judge_machines(&twins, false, 2)).contains("share status/nodeRef/name `one`"));
    }

    #[test]
    fn versions_fail_on_a_node_that_was_not_rolled() {
        let good = view(|_| {});
        let mut old = nodes(&good);
        old[1].version = "v1.33.10".into();
        let Checked::Failed(failure) = judge_node_versions(&old, "v1.34.7") else { panic!("must fail") };
        assert!(failure.summary.contains("runs v1.33.10"), "{}", failure.summary);
        assert!(matches!(judge_node_versions(&[], "v1.34.7"), Checked::Failed(_)), "no Nodes is not a pass");
        let bad = view(set("KubeadmControlPlane", "/status/version", json!("v1.33.10")));
        assert!(why(judge_versions(&bad, "v1.34.7")).contains("status.version is `v1.33.10`"));
        let bad = view(set("MachineDeployment", "/spec/template/spec/version", json!("v1.33.10")));
        assert!(why(judge_versions(&bad, "v1.34.7")).contains("wants v1.33.10"));
    }
}
