use super::super::inventory::Usage;
use super::super::maker::Maker;
use super::super::mark::Mark;
use super::*;
use jiff::SignedDuration;
use std::collections::BTreeMap;

const NOW: i64 = 1_800_000_000;

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

fn run(byte: u8) -> RunId {
    RunId::from_uuid_v7([byte; 16])
}

fn mark(byte: u8, owner: &str, ends_in: i64) -> Reading {
    Reading::Mark(Mark::new(run(byte), owner, now() + SignedDuration::from_secs(ends_in)).unwrap())
}

fn resource(kind: Kind, id: &str, mark: Reading) -> Resource {
    let (id, name) = (id.to_owned(), id.to_owned());
    Resource {
        kind,
        id,
        name,
        status: None,
        fault: None,
        mark,
        maker: None,
        within: BTreeSet::new(),
        device: None,
        permanent: false,
    }
}

fn port(id: &str, within: &[&str], device: &str) -> Resource {
    let within = within.iter().map(|id| (*id).to_owned()).collect();
    Resource { within, device: Some(device.into()), ..resource(Kind::Port, id, Reading::None) }
}

fn inventory(resources: &[Resource]) -> Inventory {
    let mut kinds: BTreeMap<Kind, Listing> = BTreeMap::new();
    for kind in Kind::ALL {
        let of_kind = resources.iter().filter(|r| r.kind == kind).map(|r| (r.id.clone(), r.clone()));
        kinds.insert(kind, Listing::Known(of_kind.collect()));
    }
    let usage: Usage = [Kind::Server, Kind::Port, Kind::Network]
        .map(|kind| (kind, resources.iter().filter(|r| r.kind == kind).count() as u64))
        .into();
    Inventory { kinds, usage: Ok(usage) }
}

static NONE: BTreeSet<String> = BTreeSet::new();

fn rules() -> Rules<'static> {
    Rules { owner: "ci", run: None, clusters: &NONE, now: now() }
}

fn judged(resources: &[Resource], rules: &Rules<'_>) -> Vec<(String, Claim)> {
    let inventory = inventory(resources);
    let judgement = judge(&inventory, &inventory, rules);
    judgement.findings.into_iter().map(|finding| (finding.resource.id, finding.claim)).collect()
}

#[test]
fn only_what_is_marked_as_ours_and_over_is_taken() {
    let invalid = Reading::Invalid(crate::cloud::MarkError::Missing("stack-e2e-owner"));
    let resources = [
        resource(Kind::Server, "over", mark(1, "ci", -1)),
        resource(Kind::Server, "alive", mark(2, "ci", 1)),
        resource(Kind::Server, "to the second", mark(2, "ci", 0)),
        resource(Kind::Server, "foreign", mark(1, "somebody", -1)),
        resource(Kind::Server, "broken", invalid.clone()),
        resource(Kind::Server, "stack-e2e_looks_like_it", Reading::None),
        resource(Kind::FloatingIp, "pvc-1", Reading::None),
        Resource { permanent: true, ..resource(Kind::SecurityGroup, "default", mark(1, "ci", -1)) },
    ];
    let claims: BTreeMap<String, Claim> = judged(&resources, &rules()).into_iter().collect();
    let until = now() + SignedDuration::from_secs(1);
    let expect = [
        ("over", Claim::Take(Why::Expired)),
        ("alive", Claim::Keep(until)),
        ("to the second", Claim::Keep(now())),
        ("foreign", Claim::Foreign("somebody".into())),
        ("broken", Claim::Invalid("`stack-e2e-owner` is missing".into())),
        ("stack-e2e_looks_like_it", Claim::Unmarked),
        ("pvc-1", Claim::Unmarked),
        ("default", Claim::Unmarked),
    ];
    assert_eq!(claims, expect.map(|(id, claim)| (id.to_owned(), claim)).into());
    let named = run(2);
    let claims: BTreeMap<String, Claim> =
        judged(&resources, &Rules { run: Some(&named), ..rules() }).into_iter().collect();
    assert_eq!(claims["alive"], Claim::Take(Why::Named));
    assert_eq!(claims["over"], Claim::OtherRun);
    assert_eq!(claims["foreign"], Claim::Foreign("somebody".into()));
}

#[test]
fn two_sightings_with_the_same_mark_are_needed() {
    let ours = |id: &str| resource(Kind::Volume, id, mark(1, "ci", -5));
    let first = inventory(&[ours("both"), resource(Kind::Volume, "moved", mark(1, "ci", -600))]);
    let second = inventory(&[ours("both"), ours("moved"), ours("new")]);
    let claims: Vec<Claim> = judge(&first, &second, &rules()).findings.into_iter().map(|f| f.claim).collect();
    assert_eq!(claims, [Claim::Take(Why::Expired), Claim::SeenOnce, Claim::SeenOnce]);
}

#[test]
fn what_cannot_be_listed_is_said() {
    let mut broken = inventory(&[]);
    broken.kinds.insert(Kind::Port, Listing::Unknown("500".into()));
    for (first, second) in [(&broken, &inventory(&[])), (&inventory(&[]), &broken), (&broken, &broken)] {
        assert_eq!(judge(first, second, &rules()).unknown, [(Kind::Port, "500".into())]);
    }
}

#[test]
fn a_port_without_mark_goes_with_what_it_hangs_on_and_with_nothing_else() {
    let resources = [
        resource(Kind::Network, "ours", mark(1, "ci", -1)),
        resource(Kind::Router, "our router", mark(1, "ci", -1)),
        resource(Kind::Server, "our server", mark(1, "ci", -1)),
        resource(Kind::Network, "theirs", Reading::None),
        resource(Kind::Server, "their server", Reading::None),
        port("a free", &["ours"], ""),
        port("b of our server", &["ours", "our server"], "compute:nova"),
        port("c of our router", &["ours", "our router"], "network:router_interface"),
        port("d of dhcp", &["ours", "dhcp1"], "network:dhcp"),
        port("e of their server", &["ours", "their server"], "compute:nova"),
        port("f of their router", &["ours", "their router"], "network:router_interface"),
        port("g in their network", &["theirs"], ""),
        port("h our server in their network", &["theirs", "our server"], "compute:nova"),
        port("i free dhcp", &["ours"], "network:dhcp"),
    ];
    let taken: Vec<String> = judged(&resources, &rules())
        .into_iter()
        .filter(|(id, claim)| matches!(claim, Claim::Take(_)) && id.as_bytes()[1] == b' ')
        .map(|(id, _)| id)
        .collect();
    assert_eq!(taken, ["a free", "b of our server", "c of our router"]);
}

#[test]
fn what_a_controller_made_without_a_mark_goes_with_its_cluster() {
    let made = |kind, id: &str, cluster: &str, run: Option<u8>| Resource {
        maker: Some(Maker { cluster: cluster.into(), run: run.map(self::run) }),
        ..resource(kind, id, Reading::None)
    };
    let marked = |id: &str, cluster: &str, byte, ends| Resource {
        mark: mark(byte, "ci", ends),
        ..made(Kind::Network, id, cluster, Some(byte))
    };
    let (over, alive, lost) = ("e2e-aaaaaaaa-000001", "e2e-bbbbbbbb-000002", "e2e-cccccccc-000003");
    let resources = [
        marked("net over", over, 1, -1),
        marked("net alive", alive, 2, 1),
        made(Kind::Volume, "volume over", over, None),
        made(Kind::Volume, "volume alive", alive, None),
        made(Kind::Volume, "volume lost", lost, None),
        made(Kind::Volume, "volume prod", "prod", None),
        made(Kind::FloatingIp, "ip of a lost tag", lost, Some(3)),
    ];
    let claims = |rules: &Rules<'_>| -> BTreeMap<String, Claim> {
        judged(&resources, rules).into_iter().filter(|(id, _)| !id.starts_with("net")).collect()
    };
    let until = now() + SignedDuration::from_secs(1);
    let expect = |volume_lost: Claim, ip: Claim| -> BTreeMap<String, Claim> {
        [
            ("volume over", Claim::Take(Why::Cluster)),
            ("volume alive", Claim::Keep(until)),
            ("volume lost", volume_lost),
            ("volume prod", Claim::Unmarked),
            ("ip of a lost tag", ip),
        ]
        .map(|(id, claim)| (id.to_owned(), claim))
        .into()
    };
    let orphan = || Claim::Orphan(lost.into());
    assert_eq!(claims(&rules()), expect(orphan(), orphan()));
    // Who names the cluster, or the run that the description tells, says whose it is.
    let take = || Claim::Take(Why::Cluster);
    let clusters = [lost.to_owned()].into();
    assert_eq!(claims(&Rules { clusters: &clusters, ..rules() }), expect(take(), take()));
    let third = run(3);
    let named = claims(&Rules { run: Some(&third), ..rules() });
    assert_eq!((&named["ip of a lost tag"], &named["volume over"]), (&take(), &Claim::OtherRun));
    // Seen once only, or for another cluster before.
    let first = inventory(&[resource(Kind::Volume, "volume lost", Reading::None)]);
    let judgement = judge(&first, &inventory(&resources), &Rules { clusters: &clusters, ..rules() });
    let claim = |id: &str| judgement.findings.iter().find(|f| f.resource.id == id).unwrap().claim.clone();
    assert_eq!((claim("volume lost"), claim("volume over")), (Claim::SeenOnce, Claim::Orphan(over.into())));
}

fn proof(before: &[Resource], after: &Inventory) -> Proof {
    let before = inventory(before);
    let judgement = judge(&before, &before, &rules());
    let taken: Vec<Finding> = judgement.taken().cloned().collect();
    prove(&before, after, &taken, &rules(), false, &[])
}

#[test]
fn each_of_the_four_counts_finds_what_the_others_miss() {
    let ours = resource(Kind::Server, "ours", mark(1, "ci", -1));
    let theirs = resource(Kind::Server, "theirs", Reading::None);
    let before = [ours.clone(), theirs.clone()];
    assert!(proof(&before, &inventory(std::slice::from_ref(&theirs))).clean());
    // (a) The same id again.
    let again =
        proof(&before, &inventory(&[Resource { mark: Reading::None, ..ours.clone() }, theirs.clone()]));
    assert_eq!((again.left.len(), again.clean()), (1, false));
    // (b) Another id with our mark: made while we were deleting.
    let new = Resource { id: "new".into(), ..ours.clone() };
    let made = proof(&before, &inventory(&[new, theirs.clone()]));
    assert_eq!((made.left.len(), made.marked.len(), made.clean()), (0, 1, false));
    // (c) The list hides something.
    let mut hidden = inventory(std::slice::from_ref(&theirs));
    hidden.usage = Ok([(Kind::Server, 2)].into());
    let hidden = proof(&before, &hidden);
    assert_eq!(hidden.counts, ["servers: the quota counts 2, the list has 1"]);
    assert!(!hidden.clean());
    // (d) A disposable project has something in it.
    let (old, new) = (inventory(&before), inventory(std::slice::from_ref(&theirs)));
    let taken: Vec<Finding> = judge(&old, &old, &rules()).taken().cloned().collect();
    assert_eq!(prove(&old, &new, &taken, &rules(), true, &[]).inside, std::slice::from_ref(&theirs));
    // Not known is not clean.
    let mut failed = inventory(std::slice::from_ref(&theirs));
    failed.kinds.insert(Kind::Keypair, Listing::Unknown("500".into()));
    assert!(!proof(&before, &failed).clean());
    let mut uncounted = inventory(&[theirs]);
    uncounted.usage = Err("403".into());
    assert!(!proof(&before, &uncounted).clean());
    // Somebody else's thing that vanished meanwhile is told, whoever did it.
    assert_eq!(proof(&before, &inventory(&[])).vanished.len(), 1);
}

#[test]
fn an_empty_list_that_nothing_speaks_for_is_asked_about_by_id() {
    let balancer = resource(Kind::LoadBalancer, "lb", mark(1, "ci", -1));
    let server = resource(Kind::Server, "s", mark(1, "ci", -1));
    let old = inventory(&[balancer, server]);
    let taken: Vec<Finding> = judge(&old, &old, &rules()).taken().cloned().collect();
    let after = inventory(&[]);
    assert_eq!(silent(&after, &taken), [Kind::LoadBalancer].into(), "servers are counted by the quota");
    let with = |answer| {
        prove(&old, &after, &taken, &rules(), false, &[(Kind::LoadBalancer, "lb".into(), answer)]).clean()
    };
    assert!(with(Ok(false)));
    assert!(!with(Ok(true)), "the list has lied");
    assert!(!with(Err("500".into())));
}
