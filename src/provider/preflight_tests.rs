use super::*;
use crate::cloud::{Credential, Flavor};
use crate::plan::cost::Capacity;
use crate::plan::test_runs::{plan, run, with};
use serde_json::json;

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

/// A cloud with enough of everything.
fn facts() -> CloudFacts {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let flavor = |cores, gib: u64| Flavor { cores, memory_mib: gib * 1024, disk_gb: 0 };
    CloudFacts {
        cloud: "test".into(),
        credential: Credential {
            project: "p1".into(),
            project_name: "tests".into(),
            roles: vec!["member".into()],
            application: true,
            expires: Known::Yes(Some(now() + SignedDuration::from_hours(48))),
            skew: SignedDuration::ZERO,
        },
        microversion: Known::Yes(Some("compute 2.64".into())),
        external_networks: Known::Yes([("ext-1".to_owned(), "public".to_owned())].into()),
        flavors: Known::Yes(
            [("SCS-2V-4".to_owned(), flavor(2, 4)), ("SCS-4V-8".to_owned(), flavor(4, 8))].into(),
        ),
        images: Known::Yes(
            ["v1.34.0", "v1.35.0"].map(|v| (v.to_owned(), format!("ubuntu-capi-image-{v}"))).into(),
        ),
        zones: Known::Yes(names(&["nova"])),
        providers: Known::Yes(names(&["amphora", "ovn"])),
        quotas: QuotaName::ALL
            .map(|name| (name, Known::Yes(Quota { limit: Some(1_000_000), used: Some(0) })))
            .into(),
    }
}

fn scheduled(runs: Vec<PlannedRun>) -> Plan {
    let count = runs.len();
    plan(runs, count).scheduled(&Capacity::default(), &History::default()).unwrap()
}

fn small() -> PlannedRun {
    with(
        run(&[("n", "1")], 1, 2, true),
        &[("controller_flavor", "SCS-2V-4"), ("apiserver_loadbalancer", "octavia-ovn")],
    )
}

fn judged(facts: &CloudFacts, run: PlannedRun) -> Preflight {
    preflight(facts, &scheduled(vec![run]), now())
}

#[test]
fn a_cloud_with_enough_is_enough() {
    let judged = judged(&facts(), small());
    assert_eq!((judged.impossible, judged.unknown), (vec![], vec![]));
    assert!(judged.capacity.get(Resource::Cores) == Some(1_000_000), "{:?}", judged.capacity);
    insta::assert_snapshot!(judged.found.join("\n"));
}

/// What is wrong with the facts or the run, and what is said about it.
#[test]
fn every_lack_is_found_for_the_right_reason() {
    type Change = fn(&mut CloudFacts, &mut PlannedRun);
    let cases: &[(Change, &str)] = &[
        (
            |f, _| f.credential.expires = Known::Yes(Some(now() + SignedDuration::from_mins(5))),
            "the application credential ends at",
        ),
        (
            |f, _| f.credential.expires = Known::Yes(Some(now() - SignedDuration::from_mins(5))),
            "the application credential ends at",
        ),
        (|f, _| f.credential.skew = SignedDuration::from_secs(-301), "the clock of the cloud is -301 s"),
        (
            |_, r| drop(r.variables.insert("workload_loadbalancer".into(), json!("yawol"))),
            "yawol, which cannot use application credentials",
        ),
        (|f, _| f.external_networks = Known::Yes([].into()), "there is no external network"),
        (
            |f, _| f.external_networks = Known::Yes(["a", "b"].map(|n| (n.to_owned(), n.to_owned())).into()),
            "there are 2 external networks, and no variable",
        ),
        (
            |_, r| drop(r.variables.insert("external_id".into(), json!("gone"))),
            "no external network with the id `gone`",
        ),
        (
            |_, r| drop(r.variables.insert("worker_flavor".into(), json!("SCS-64V-1"))),
            "flavors: the cloud does not have `SCS-64V-1`",
        ),
        (
            |f, _| f.images = Known::Yes([("1".to_owned(), "ubuntu-capi-image-v1.34.0".to_owned())].into()),
            "does not have `ubuntu-capi-image-v1.35.0`",
        ),
        (|f, _| f.images = Known::Yes([].into()), "and the cloud has none"),
        (|_, r| drop(r.variables.insert("imageName".into(), json!("flatcar"))), "`flatcar-v1.34.0`"),
        (
            |_, r| drop(r.variables.insert("controlPlaneAvailabilityZones".into(), json!(["nova", "moon"]))),
            "does not have `moon`",
        ),
        (
            |f, _| f.providers = Known::Yes(["amphora".to_owned()].into()),
            "does not have `ovn`; it has `amphora`",
        ),
        (|f, _| f.microversion = Known::Yes(None), "older than microversion 2.52"),
    ];
    for (change, message) in cases {
        let (mut facts, mut run) = (facts(), small());
        change(&mut facts, &mut run);
        let judged = judged(&facts, run);
        let found: Vec<_> = judged.impossible.iter().filter(|line| line.contains(message)).collect();
        assert_eq!((found.len(), judged.impossible.len()), (1, 1), "{message}: {:?}", judged.impossible);
    }
}

#[test]
fn each_quota_is_judged_with_numbers_and_unknown_is_neither_enough_nor_too_little() {
    let counted = [
        QuotaName::Cores,
        QuotaName::MemoryMiB,
        QuotaName::Instances,
        QuotaName::Volumes,
        QuotaName::Gigabytes,
        QuotaName::FloatingIps,
        QuotaName::LoadBalancers,
        QuotaName::Networks,
        QuotaName::Subnets,
        QuotaName::Routers,
        QuotaName::Ports,
        QuotaName::SecurityGroups,
    ];
    let mut told = Vec::new();
    for name in counted {
        let mut short = facts();
        short.quotas.insert(name, Known::Yes(Quota { limit: Some(7), used: Some(7) }));
        let judgement = judged(&short, small());
        assert_eq!(judgement.impossible.len(), 1, "{name:?}: {:?}", judgement.impossible);
        told.push(judgement.impossible[0].clone());
        let mut closed = facts();
        closed.quotas.insert(name, Known::No("it answers 403".into()));
        let judgement = judged(&closed, small());
        assert_eq!(judgement.impossible, Vec::<String>::new());
        assert_eq!(judgement.unknown, [format!("the quota of {}: it answers 403", name.name())]);
        if let Some(resource) = resource(name) {
            assert_eq!(judgement.capacity.get(resource), None, "nothing is made of what is not known");
        }
        let mut endless = facts();
        endless.quotas.insert(name, Known::Yes(Quota { limit: None, used: Some(99) }));
        assert_eq!(judged(&endless, small()).impossible, Vec::<String>::new());
    }
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn too_little_for_all_at_once_becomes_the_capacity_of_the_planner() {
    let runs = || (1..=4).map(|n| with(run(&[("n", &n.to_string())], 1, 2, false), &[])).collect::<Vec<_>>();
    let mut tight = facts();
    tight.credential.expires = Known::Yes(None);
    tight.quotas.insert(QuotaName::Instances, Known::Yes(Quota { limit: Some(10), used: Some(3) }));
    // Two clusters have 2 × 8 ports.
    tight.quotas.insert(QuotaName::Ports, Known::Yes(Quota { limit: Some(20), used: Some(2) }));
    let judgement = preflight(&tight, &scheduled(runs()), now());
    assert_eq!(judgement.impossible, Vec::<String>::new());
    assert_eq!(judgement.capacity.get(Resource::Instances), Some(7));
    assert_eq!(judgement.capacity.get(Resource::Clusters), Some(2));
    let alone = scheduled(runs()).timetable.unwrap().makespan;
    let limited =
        plan(runs(), 4).scheduled(&judgement.capacity, &History::default()).unwrap().timetable.unwrap();
    assert!(limited.makespan >= 2 * alone, "two at a time take twice as long: {} {alone}", limited.makespan);
}

#[test]
fn a_plan_of_another_provider_is_not_judged() {
    let mut other = scheduled(vec![small()]);
    other.provider = ProviderKind::Embedded;
    let judgement = preflight(&facts(), &other, now());
    assert_eq!(
        judgement.impossible,
        ["the clusters of this plan come from `embedded`, and not from OpenStack"]
    );
}
