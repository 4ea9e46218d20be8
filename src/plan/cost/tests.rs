use super::*;
use crate::plan::test_runs::{run, with};
use crate::results::script::Script;
use crate::types::ProviderKind;

fn takes(run: &PlannedRun, provider: ProviderKind) -> String {
    Cost::of(run, &Table::of(provider), &History::default()).resources.to_string()
}

#[test]
fn a_cluster_takes_what_its_machines_and_balancers_take() {
    let small = run(&[("k", "1")], 1, 2, false);
    let openstack = |run: &PlannedRun| takes(run, ProviderKind::Openstack);
    let management = "managementCpuMilli=50,managementMemoryMiB=50,clusters=1";
    let cases = [
        // Three Machines of 2 cores and 4 GiB; balancers of the API server and of the check, each with an address.
        (small.clone(), "cores=6,memoryMiB=12288,instances=3,floatingIPs=2,loadBalancers=2,networks=1"),
        // A rolling upgrade has one control plane and one worker more.
        (
            run(&[("k", "1")], 3, 2, true),
            "cores=14,memoryMiB=28672,instances=7,floatingIPs=2,loadBalancers=2,networks=1",
        ),
        // Flavors without a disk boot from volumes.
        (
            with(small.clone(), &[("controller_flavor", "SCS-2V-4-20s"), ("worker_flavor", "SCS-4V-8")]),
            "cores=10,memoryMiB=20480,instances=3,volumes=2,floatingIPs=2,loadBalancers=2,networks=1",
        ),
        // yawol balances with a Machine of its own.
        (
            with(
                small.clone(),
                &[("workload_loadbalancer", "yawol"), ("apiserver_loadbalancer", "kube-vip")],
            ),
            "cores=7,memoryMiB=13312,instances=4,floatingIPs=2,networks=1",
        ),
        // A flavor whose name does not say its size counts as the default.
        (
            with(small.clone(), &[("worker_flavor", "m1.small")]),
            "cores=6,memoryMiB=12288,instances=3,floatingIPs=2,loadBalancers=2,networks=1",
        ),
    ];
    for (run, expect) in cases {
        assert_eq!(openstack(&run), format!("{expect},{management}"), "{:?}", run.variables);
    }
    assert_eq!(
        takes(&small, ProviderKind::Embedded),
        "managementCpuMilli=160,managementMemoryMiB=120,clusters=1"
    );
    assert_eq!(takes(&small, ProviderKind::Scripted), "clusters=1");
}

#[test]
fn defaults_are_near_what_was_measured() {
    // Twelve clusters at once on two cores, each with all smoke checks: 254 s and 310 s from start to end.
    let measured = |control_planes, upgrade: u64, provision: u64| {
        let cost = Cost::of(
            &run(&[("k", "1")], control_planes, 2, true),
            &Table::of(ProviderKind::Embedded),
            &History::default(),
        );
        for (phase, expect) in [("provision", provision), ("change/upgrade-next-minor", upgrade)] {
            let found = cost.phases.iter().find(|p| p.phase == phase).unwrap().milliseconds;
            assert!(found.abs_diff(expect) * 10 <= expect, "{phase}: {found}, measured {expect}");
        }
    };
    measured(1, 102_000, 68_000);
    measured(3, 141_000, 88_000);
}

#[test]
fn history_comes_before_likeness_and_likeness_before_the_table() {
    let mut known = History::default();
    let sample = |run: &PlannedRun, number: u64, milliseconds: u64| Sample {
        run: format!("r{number}"),
        scenario: run.scenario.clone(),
        combination: run.id.to_string(),
        properties: run.switches.clone(),
        phases: [("provision".to_owned(), milliseconds)].into(),
    };
    let one = run(&[("k", "1"), ("y", "on")], 1, 2, false);
    let alike = run(&[("k", "2"), ("y", "on")], 1, 2, false);
    let other = run(&[("k", "2"), ("y", "off")], 1, 2, false);
    assert_eq!(known.expect(&one, "provision"), None);
    for (number, milliseconds) in [(0, 90), (1, 10), (2, 30)] {
        known.samples.push(sample(&one, number, milliseconds));
    }
    known.samples.push(sample(&other, 3, 500));
    assert_eq!(known.expect(&one, "provision"), Some((30, Source::History)));
    assert_eq!(known.expect(&other, "provision"), Some((500, Source::History)));
    // One shared value with each of both: the median over all that share as much.
    assert_eq!(known.expect(&alike, "provision"), Some((30, Source::Similar)));
    assert_eq!(known.expect(&one, "tear-down"), None);
    let elsewhere = PlannedRun { scenario: "elsewhere".into(), ..one };
    assert_eq!(known.expect(&elsewhere, "provision"), None);
}

#[test]
fn only_what_passed_is_learned_and_old_runs_are_forgotten() {
    let cases = &["provision", "check/nodes", "check/dns", "tear-down"];
    let script = || Script::new().unit("a", cases).started().passes("a", &["provision", "check/nodes"]);
    let mut history = History::default();
    let failed = script().fails("a", "check/dns", "no answer").passes("a", &["tear-down"]).unit_clean("a");
    history.learn(&failed.clean().report());
    let phases: Vec<&str> = history.samples()[0].phases.keys().map(String::as_str).collect();
    // Checks of which one failed are no measure of all of them.
    assert_eq!(phases, ["provision", "tear-down"]);
    let passed = || script().passes("a", &["check/dns", "tear-down"]).unit_clean("a").clean().report();
    history.learn(&passed());
    assert_eq!(history.samples().len(), 1, "the same run is learned anew");
    assert!(history.samples()[0].phases.contains_key("checks"));
    for number in 0..20 {
        let mut report = passed();
        report.run = crate::types::RunId::from_uuid_v7([
            0, 0, 0, 0, number, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, number,
        ]);
        history.learn(&report);
    }
    assert_eq!(history.samples().len(), KEPT_SAMPLES);
    let json = serde_json::to_string(&history).unwrap();
    assert_eq!(serde_json::from_str::<History>(&json).unwrap(), history);
}
