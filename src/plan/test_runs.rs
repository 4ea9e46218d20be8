//! Planned runs for the tests of this module.

use super::{Plan, PlannedRun, Step, StepAction};
use crate::scenario::{Change, Timeouts};
use crate::types::{
    CaseId, CheckName, ClusterName, CombinationId, KubernetesMinor, Namespace, Owner, ProviderKind, Release,
    RunId, SwitchName, Target, ValueName,
};
use jiff::Timestamp;
use serde_json::Value;

/// A run of the scenario `test` that checks the cluster, and upgrades it if wanted.
pub(crate) fn run(switches: &[(&str, &str)], control_planes: u32, workers: u32, upgrade: bool) -> PlannedRun {
    let name = |(s, v): &(&str, &str)| (SwitchName::new(*s).unwrap(), ValueName::new(*v).unwrap());
    let id = CombinationId::new("test", &switches.iter().map(name).collect::<Vec<_>>());
    let release = |minor: &str| Release {
        class: format!("openstack-scs-{}-v1", minor.replace('.', "-")),
        kubernetes: format!("v{minor}.0").parse().unwrap(),
        worker_class: "default-worker".into(),
    };
    let target = |minor: &str| Target { release: release(minor), control_planes, workers };
    let check = |suffix: &str, minor: &str| Step {
        case: CaseId(format!("check/load-balancer{suffix}")),
        action: StepAction::Check(CheckName::new("load-balancer").unwrap()),
        target: target(minor),
    };
    let mut steps = vec![check("", "1.34")];
    if upgrade {
        let case = CaseId("change/upgrade-next-minor".into());
        steps.push(Step {
            case,
            action: StepAction::Change(Change::UpgradeNextMinor),
            target: target("1.35"),
        });
        steps.push(check("@after-upgrade-next-minor", "1.35"));
    }
    let words: Vec<String> = switches.iter().map(|(s, v)| format!("{s}={v}")).collect();
    PlannedRun {
        refusal: None,
        credentials: None,
        failure_domain: None,
        digest: String::new(),
        name: words.join(" "),
        scenario: "test".into(),
        stack: "openstack-scs".into(),
        cluster: ClusterName::new(format!("e2e-{id}-test")).unwrap(),
        id,
        release: release("1.34"),
        next_release: "1.35".parse::<KubernetesMinor>().ok().map(|_| release("1.35")),
        control_planes,
        workers,
        variables: [].into(),
        steps,
        timeouts: Timeouts::default(),
        switches: switches.iter().map(|(s, v)| ((*s).to_owned(), (*v).to_owned())).collect(),
        expected: [].into(),
    }
}

/// The run with these ClusterClass variables.
pub(crate) fn with(mut run: PlannedRun, variables: &[(&str, &str)]) -> PlannedRun {
    run.variables = variables.iter().map(|(n, v)| ((*n).to_owned(), Value::from(*v))).collect();
    run
}

/// A plan of these runs on OpenStack, without a timetable.
pub(crate) fn plan(runs: Vec<PlannedRun>, concurrency: usize) -> Plan {
    Plan {
        coverage: vec![],
        places: [].into(),
        run: RunId::from_uuid_v7([1, 2, 3, 4, 5, 6, 0x70, 0, 0x80, 0, 1, 2, 3, 4, 5, 6]),
        made: Timestamp::UNIX_EPOCH,
        expires: Timestamp::UNIX_EPOCH,
        owner: Owner { boot: "boot".into(), pid: 1, start: 1 },
        provider: ProviderKind::Openstack,
        namespace: Namespace::new("stack-e2e-test").unwrap(),
        shared: vec![],
        addons: Default::default(),
        operator: vec![],
        runs,
        left_out: vec![],
        concurrency,
        shard: None,
        keep_on_failure: false,
        timetable: None,
        tables: Default::default(),
        after: Default::default(),
    }
}
