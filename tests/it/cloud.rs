//! The client of OpenStack before a scripted cloud: every fault has its error, and none an empty list.

use crate::support::openstack::{Cloud, Fault};
use serde_json::json;
use stack_e2e::cloud::config::Files;
use stack_e2e::cloud::{
    Client, CloudFacts, ErrorClass, Inventory, Kind, Limits, Listing, Mark, Outcome, Proxies, Purge,
    QuotaName, Rules, Service, judge, prove, silent,
};
use stack_e2e::types::{Redactor, RunId};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

fn client(cloud: &Cloud) -> Client {
    client_for(cloud, Fault::Reset)
}

/// Patient but where a fault takes time by itself, so that a slow machine is not taken for one.
fn client_for(cloud: &Cloud, fault: Fault) -> Client {
    let slow = matches!(fault, Fault::HalfOpen | Fault::Slow);
    let limits = Limits {
        request: Duration::from_millis(if slow { 1500 } else { 20_000 }),
        attempts: 3,
        pause: Duration::from_millis(5),
        retry_after: Duration::from_secs(3),
        ..Limits::default()
    };
    let files = Files::of_texts(&cloud.clouds_yaml(), None, None).unwrap();
    Client::new(files.cloud(None, None).unwrap(), limits, &Proxies::default(), None).unwrap()
}

/// Five ports, three pages.
async fn with_ports() -> Cloud {
    let cloud = Cloud::start().await;
    for n in 0..5 {
        cloud.put("ports", &format!("p{n}"), json!({"network_id": "n", "project_id": "0000feed"}));
    }
    cloud
}

fn ports(inventory: &Inventory) -> Result<usize, String> {
    match &inventory.kinds[&Kind::Port] {
        Listing::Known(ports) => Ok(ports.len()),
        Listing::Unknown(why) => Err(why.clone()),
        Listing::Absent => Err("absent".into()),
    }
}

/// A fault, the class of its error when it stays, words of its error, whether it passes by itself when it does not.
const FAULTS: &[(Fault, ErrorClass, &str, bool)] = &[
    (Fault::Status(401), ErrorClass::Unauthorized, "401: scripted 401", true),
    (Fault::Status(403), ErrorClass::Forbidden, "403: scripted 403", false),
    (Fault::Status(404), ErrorClass::NotFound, "404: scripted 404", false),
    (Fault::Status(409), ErrorClass::Conflict, "409: scripted 409", false),
    (Fault::Status(500), ErrorClass::Server, "500: scripted 500, 3 times", true),
    (Fault::Status(302), ErrorClass::Malformed, "302", true),
    (Fault::Busy(1), ErrorClass::TooMany, "429, 3 times", true),
    (Fault::Busy(3600), ErrorClass::TooMany, "asks for 3600 s of patience", false),
    (Fault::DoneBut504, ErrorClass::Server, "504, 3 times", true),
    (Fault::Reset, ErrorClass::Unreachable, "3 times", true),
    (Fault::HalfOpen, ErrorClass::TimedOut, "no whole answer within", true),
    (Fault::Slow, ErrorClass::TimedOut, "no whole answer within", true),
    (Fault::Cut, ErrorClass::Unreachable, "the connection broke before the answer was whole", true),
    (Fault::ShortJson, ErrorClass::Malformed, "is not JSON", true),
    (Fault::Html, ErrorClass::Malformed, "is not JSON", true),
    (Fault::OtherShape, ErrorClass::Malformed, "page 2 has no `ports`", false),
];

#[tokio::test]
async fn a_fault_on_the_second_page_is_a_failure_and_never_a_shorter_list() {
    let mut tests = Vec::new();
    for (fault, class, words, passes) in FAULTS {
        tests.push(async move {
            // Always: the listing is unknown, with the reason, and everything else is known.
            let cloud = with_ports().await;
            cloud.fault("/ports?marker", 0, usize::MAX, *fault);
            let inventory = Inventory::take(&client_for(&cloud, *fault)).await;
            let why = ports(&inventory).expect_err(&format!("{fault:?}"));
            assert!(why.contains(words), "{fault:?}: {why}");
            let unknown: Vec<Kind> = inventory.unknown().map(|(kind, _)| kind).collect();
            assert_eq!((unknown, inventory.empty()), (vec![Kind::Port], None), "{fault:?}");
            // Once: it passes, or it is told.
            let cloud = with_ports().await;
            cloud.fault("/ports?marker", 0, 1, *fault);
            let found = ports(&Inventory::take(&client_for(&cloud, *fault)).await);
            assert_eq!(found.is_ok(), *passes, "{fault:?}: {found:?}");
            assert!(found.is_err() || found == Ok(5), "{fault:?}: {found:?}");
            // The class decides what others do about it.
            let cloud = with_ports().await;
            cloud.fault("DELETE", 0, usize::MAX, *fault);
            let deleted = client_for(&cloud, *fault).delete(Service::Network, "/ports/p1").await;
            match deleted.map_err(|error| error.class) {
                // What is gone is deleted, and a body that nobody reads cannot be wrong.
                Ok(()) => assert!(
                    matches!(
                        fault,
                        Fault::Status(404)
                            | Fault::DoneBut504
                            | Fault::Slow
                            | Fault::Cut
                            | Fault::ShortJson
                            | Fault::OtherShape
                    ),
                    "{fault:?}"
                ),
                Err(found) => assert_eq!(found, *class, "{fault:?}"),
            }
        });
    }
    futures::future::join_all(tests).await;
}

#[tokio::test]
async fn without_a_token_nothing_is_known_and_the_reason_is_told() {
    for (fault, class, words, _) in
        FAULTS.iter().filter(|(fault, ..)| !matches!(fault, Fault::OtherShape | Fault::DoneBut504))
    {
        let cloud = with_ports().await;
        cloud.fault("POST /identity", 0, usize::MAX, *fault);
        let client = client_for(&cloud, *fault);
        let error = client.project().await.unwrap_err();
        assert_eq!(error.class, *class, "{fault:?}: {error}");
        assert!(error.to_string().contains(words.split(", 3").next().unwrap()), "{fault:?}: {error}");
        assert!(error.to_string().contains("POST http://") && !error.hint().is_empty());
        if *fault == Fault::Status(403) {
            let inventory = Inventory::take(&client).await;
            assert_eq!(inventory.unknown().count(), Kind::ALL.len());
            assert_eq!(inventory.empty(), None);
            assert!(inventory.usage.is_err());
        }
    }
}

#[tokio::test]
async fn a_token_is_made_once_and_again_when_it_is_refused_or_about_to_end() {
    let cloud = with_ports().await;
    let client = client(&cloud);
    assert_eq!(ports(&Inventory::take(&client).await), Ok(5));
    assert_eq!(cloud.asked("POST /identity"), 1);
    // Revoked.
    cloud.world.lock().unwrap().token = 77;
    assert_eq!(ports(&Inventory::take(&client).await), Ok(5));
    assert_eq!(cloud.asked("POST /identity"), 2);
    // One that lives for less than what it takes to be sure is used while it is fresh, as asking again does not help.
    let short = with_ports().await;
    short.world.lock().unwrap().life = 90;
    assert_eq!(ports(&Inventory::take(&self::client(&short)).await), Ok(5));
    assert_eq!(short.asked("POST /identity"), 1);
}

#[tokio::test]
async fn patience_is_what_the_cloud_asks_for() {
    let cloud = with_ports().await;
    cloud.fault("/ports?marker", 0, 1, Fault::Busy(1));
    let began = Instant::now();
    assert_eq!(ports(&Inventory::take(&client(&cloud)).await), Ok(5));
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn the_clock_of_the_cloud_is_compared_with_ours() {
    let cloud = Cloud::start().await;
    cloud.world.lock().unwrap().skew = -900;
    let skew = client(&cloud).skew().await.unwrap().as_secs();
    assert!((-902..=-899).contains(&skew), "{skew}");
}

#[tokio::test]
async fn facts_are_known_or_known_to_be_unknown() {
    let cloud = Cloud::start().await;
    cloud.put("networks", "ext", json!({"name": "public"}));
    cloud.put("flavors", "f", json!({"name": "SCS-2V-4", "vcpus": 2, "ram": 4096, "disk": 0}));
    cloud.put("providers", "a", json!({"name": "amphora"}));
    cloud.fault("/lbaas/quotas", 0, usize::MAX, Fault::Status(403));
    let facts = CloudFacts::fetch(&client(&cloud)).await.unwrap();
    assert!(facts.quotas[&QuotaName::LoadBalancers].unknown().unwrap().contains("403"));
    let quota = facts.quotas[&QuotaName::Cores].known().unwrap();
    assert_eq!((quota.limit, quota.left()), (Some(20), Some(20)));
    assert_eq!(facts.quotas[&QuotaName::MemoryMiB].known().unwrap().limit, None);
    assert_eq!(facts.quotas.len(), QuotaName::ALL.len());
    assert_eq!(facts.microversion.known().unwrap().as_deref(), Some("compute 2.64"));
    assert_eq!(facts.flavors.known().unwrap()["SCS-2V-4"].memory_mib, 4096);
    assert!(facts.providers.known().unwrap().contains("amphora"));
    let expires = facts.credential.expires.known().unwrap().unwrap();
    assert_eq!(expires.as_second(), 2_000_000_000);
}

/// One run's things and some of others.
async fn to_sweep() -> (Cloud, RunId) {
    let cloud = Cloud::start().await;
    let run = RunId::from_uuid_v7([7; 16]);
    let over = jiff::Timestamp::from_second(1_700_000_000).unwrap();
    let mark = Mark::new(run.clone(), "ci", over).unwrap();
    let tags = mark.tags();
    cloud.put("networks", "n", json!({"description": mark.description(), "project_id": "0000feed"}));
    cloud.put("subnets", "sn", json!({"tags": tags, "network_id": "n"}));
    cloud.put("servers", "s", json!({"metadata": mark.metadata(), "status": "ACTIVE"}));
    cloud.put("volumes", "v", json!({"metadata": mark.metadata()}));
    cloud.put("loadbalancers", "lb", json!({"tags": tags, "provisioning_status": "ACTIVE"}));
    cloud.put("server_groups", "g", json!({"name": mark.name("controlplane").unwrap()}));
    cloud.put("ports", "free", json!({"network_id": "n"}));
    cloud.put("ports", "theirs", json!({"network_id": "m"}));
    cloud.put("floatingips", "theirs", json!({"description": "stack-e2e"}));
    cloud.put("images", "other", json!({"owner": "another", "tags": tags}));
    (cloud, run)
}

static NONE: BTreeSet<String> = BTreeSet::new();

fn rules() -> Rules<'static> {
    Rules { owner: "ci", run: None, clusters: &NONE, now: jiff::Timestamp::now() }
}

async fn swept(cloud: &Cloud, fault: Fault, deadline: u64) -> (Vec<String>, bool) {
    let client = client_for(cloud, fault);
    let before = Inventory::take(&client).await;
    let judgement = judge(&before, &before, &rules());
    let taken: Vec<_> = judgement.taken().cloned().collect();
    let purge =
        Purge { deadline: Duration::from_secs(deadline), look: Duration::from_millis(10), at_once: 4 };
    let outcomes = purge.run(&client, &taken).await;
    let after = Inventory::take(&client).await;
    let mut by_id = Vec::new();
    for resource in taken.iter().map(|f| &f.resource).filter(|r| silent(&after, &taken).contains(&r.kind)) {
        let answer = stack_e2e::cloud::exists(&client, resource.kind, &resource.id).await;
        by_id.push((resource.kind, resource.id.clone(), answer.map_err(|error| error.to_string())));
    }
    let proof = prove(&before, &after, &taken, &rules(), false, &by_id);
    let stays = outcomes.into_iter().filter_map(|((kind, id), outcome)| match outcome {
        Outcome::Gone => None,
        Outcome::Stays(why) => Some(format!("{kind} {id}: {why}")),
    });
    (stays.collect(), judgement.unknown.is_empty() && proof.clean())
}

fn left(cloud: &Cloud) -> Vec<String> {
    let world = cloud.world.lock().unwrap();
    world
        .things
        .iter()
        .flat_map(|(kind, things)| things.keys().map(move |id| format!("{kind}/{id}")))
        .collect()
}

const OTHERS: [&str; 4] = ["floatingips/theirs", "images/other", "ports/theirs", "security_groups/default"];

#[tokio::test]
async fn what_is_ours_goes_in_order_and_nothing_else_does() {
    let (cloud, _) = to_sweep().await;
    let (stays, clean) = swept(&cloud, Fault::Reset, 60).await;
    assert_eq!((stays, clean, left(&cloud)), (vec![], true, OTHERS.map(str::to_owned).to_vec()));
    let log = cloud.world.lock().unwrap().log.clone();
    let deleted: Vec<&str> =
        log.iter().filter_map(|line| line.strip_prefix("DELETE ")?.split(' ').next()).collect();
    assert_eq!(
        deleted,
        [
            "/compute/v2.1/servers/s",
            "/lb/v2/lbaas/loadbalancers/lb?cascade=true",
            "/network/v2.0/ports/free",
            "/network/v2.0/subnets/sn",
            "/network/v2.0/networks/n",
            "/compute/v2.1/os-server-groups/g",
            "/volume/v3/0000feed/volumes/v",
        ]
    );
}

#[tokio::test]
async fn no_fault_of_a_deletion_leads_to_clean_while_something_is_left() {
    let mut tests = Vec::new();
    for (fault, _, _, passes) in FAULTS {
        tests.push(async move {
            for times in [1, usize::MAX] {
                let (cloud, _) = to_sweep().await;
                cloud.fault("DELETE", 1, times, *fault);
                let (stays, clean) = swept(&cloud, *fault, if times == 1 { 60 } else { 3 }).await;
                let left = left(&cloud);
                assert!(OTHERS.iter().all(|other| left.iter().any(|id| id == other)), "{fault:?}: {left:?}");
                assert!(!clean || left.len() == OTHERS.len(), "{fault:?} {times}: {stays:?} {left:?}");
                // What passes by itself does not keep the rest from going.
                if times == 1 && *passes && !matches!(fault, Fault::HalfOpen | Fault::Slow) {
                    assert!(clean, "{fault:?}: {stays:?} {left:?}");
                }
            }
        });
    }
    futures::future::join_all(tests).await;
}

#[tokio::test]
async fn a_list_that_lies_is_found_out() {
    let (cloud, _) = to_sweep().await;
    // Deletions are answered and not done; the lists are empty afterwards.
    for path in ["DELETE /lb", "DELETE /compute/v2.1/servers"] {
        cloud.fault(path, 0, usize::MAX, Fault::OtherShape);
    }
    let tags = cloud.world.lock().unwrap().things["subnets"]["sn"]["tags"].clone();
    cloud.put("loadbalancers", "lb", json!({"provisioning_status": "PENDING_DELETE", "tags": tags}));
    let (stays, clean) = swept(&cloud, Fault::Reset, 3).await;
    assert!(!clean);
    assert!(stays.iter().any(|line| line.starts_with("load balancer lb: it is PENDING_DELETE")), "{stays:?}");
    assert!(
        stays
            .iter()
            .any(|line| line.starts_with("server s: its deletion was accepted, and it is still ACTIVE")),
        "{stays:?}"
    );
    assert_eq!(cloud.asked("DELETE /lb"), 0, "it is reported, and not asked for");
}

#[tokio::test]
async fn no_secret_is_in_what_is_shown() {
    let cloud = with_ports().await;
    let client = client(&cloud);
    let mut shown = format!("{client:?}");
    let _ = client.project().await;
    shown.push_str(&format!("{client:?}"));
    cloud.fault("GET", 0, usize::MAX, Fault::Status(500));
    for (_, why) in Inventory::take(&client).await.unknown() {
        shown.push_str(why);
    }
    assert!(!shown.contains("canary"), "{shown}");
    let mut redactor = Redactor::default();
    assert!(client.redact(&mut redactor));
    assert_eq!(redactor.redact("canary-sesame-open"), "[redacted]");
}
