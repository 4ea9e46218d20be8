//! The one table of checks. A new check is a row here, a variant of [`Run`] and a function.

/// A check.
#[derive(Debug)]
pub struct Check {
    /// Its name in scenario files and reports.
    pub name: &'static str,
    /// The groups that it belongs to.
    pub groups: &'static [&'static str],
    /// What it holds true, one line.
    pub about: &'static str,
    /// What the cluster must be able to do for the check to mean anything.
    pub needs: Needs,
    /// Whether it looks again after every change. Checks that disturb the cluster look once.
    pub repeats: bool,
    /// Whether it only makes sense after a change.
    pub after_change_only: bool,
    pub(super) run: Run,
}

/// What a check needs of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// An API server and Nodes.
    Nodes,
    /// Pods that run.
    Pods,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Run {
    Conditions,
    ControlPlane,
    EtcdMembers,
    Workers,
    Versions,
    Kubeconfig,
    OldKubeconfig,
    Ownership,
    NoDrift,
    Quiescence,
    AddonStages,
    UpgradeWaits,
    Elsewhere,
}

/// Names of groups, for scenario files, with what they are for.
pub const GROUPS: &[(&str, &str)] = &[
    ("smoke", "everything that says in minutes whether a cluster is good"),
    ("machines", "Machines, Nodes, etcd members and their versions"),
    ("access", "kubeconfigs and the API server behind them"),
    ("controllers", "controllers keep objects as they should be, and then rest"),
    ("addons", "add-ons are applied in their stages, and upgrades wait for them"),
    ("workloads", "what needs running Pods"),
];

const fn check(name: &'static str, groups: &'static [&'static str], run: Run, about: &'static str) -> Check {
    Check { name, groups, about, needs: Needs::Nodes, repeats: true, after_change_only: false, run }
}

/// All checks, in the order in which they run.
pub const CHECKS: &[Check] = &[
    check(
        "cluster-conditions",
        &["smoke", "machines"],
        Run::Conditions,
        "every condition of the Cluster and of all its objects is as it should be",
    ),
    check(
        "control-plane-machines",
        &["smoke", "machines"],
        Run::ControlPlane,
        "the wanted number of control plane Machines exists, Ready, each with its Node",
    ),
    check(
        "etcd-members",
        &["smoke", "machines"],
        Run::EtcdMembers,
        "there is one healthy etcd member for each control plane Machine, and no other",
    ),
    check(
        "worker-nodes",
        &["smoke", "machines"],
        Run::Workers,
        "the wanted number of worker Nodes exists, Ready, and no stray Node",
    ),
    check(
        "node-versions",
        &["smoke", "machines"],
        Run::Versions,
        "every Node runs the wanted Kubernetes version",
    ),
    check(
        "kubeconfig",
        &["smoke", "access"],
        Run::Kubeconfig,
        "the kubeconfig works with full verification and belongs to this cluster",
    ),
    Check {
        after_change_only: true,
        ..check(
            "old-kubeconfig",
            &["smoke", "access"],
            Run::OldKubeconfig,
            "the kubeconfig from before a change still works",
        )
    },
    check(
        "no-drift",
        &["smoke", "controllers"],
        Run::NoDrift,
        "applying the same manifest a second time changes nothing",
    ),
    Check {
        repeats: false,
        ..check(
            "ownership",
            &["smoke", "controllers"],
            Run::Ownership,
            "owner references and finalizers are complete, and come back when they are removed",
        )
    },
    check(
        "quiescence",
        &["smoke", "controllers"],
        Run::Quiescence,
        "resource versions come to rest: no controller writes in a loop",
    ),
    check(
        "addon-stages",
        &["smoke", "addons"],
        Run::AddonStages,
        "the stages of the last hook are done, in order, and what they applied is there",
    ),
    Check {
        after_change_only: true,
        ..check(
            "upgrade-waits-for-addons",
            &["smoke", "addons"],
            Run::UpgradeWaits,
            "the control plane got its new version only after the stages before the upgrade",
        )
    },
    pods("pods-ready", "every Pod of the add-ons is Ready"),
    pods("service-dns", "a Pod resolves the name of a Service"),
    pods("pod-network", "Pods on different Nodes reach each other"),
    pods("persistent-volume", "a PersistentVolumeClaim is bound and keeps its data"),
    pods("load-balancer", "a Service of type LoadBalancer answers from outside"),
];

const fn pods(name: &'static str, about: &'static str) -> Check {
    Check { needs: Needs::Pods, ..check(name, &["smoke", "workloads"], Run::Elsewhere, about) }
}

/// The check of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Check> {
    CHECKS.iter().find(|check| check.name == name)
}

/// Names and groups of a scenario as checks: in the order of the table, each once.
#[must_use]
pub fn expand<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<&'static Check> {
    let names: Vec<&str> = names.into_iter().collect();
    let wanted = |check: &&Check| names.iter().any(|name| check.name == *name || check.groups.contains(name));
    CHECKS.iter().filter(wanted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_groups_are_known() {
        let names: BTreeSet<_> = CHECKS.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), CHECKS.len(), "two checks share a name");
        for check in CHECKS {
            assert!(crate::types::CheckName::new(check.name).is_ok(), "`{}` is no name", check.name);
            for group in check.groups {
                assert!(GROUPS.iter().any(|(name, _)| name == group), "group `{group}` is not listed");
                assert!(!names.contains(group), "`{group}` is both a check and a group");
            }
        }
    }

    #[test]
    fn a_group_and_its_member_give_a_check_once() {
        let names: Vec<_> = expand(["access", "kubeconfig"]).iter().map(|check| check.name).collect();
        assert_eq!(names, ["kubeconfig", "old-kubeconfig"]);
    }
}
