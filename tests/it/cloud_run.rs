//! The OpenStack project of a run: before the first cluster and after the last, and when the management cluster is dead.

use crate::manifests::{plan_of, release, scenario};
use crate::support::openstack::{Cloud, Fault};
use serde_json::{Value, json};
use stack_e2e::cloud::config::Files;
use stack_e2e::cloud::{Client, Limits, Mark, Proxies, Purge};
use stack_e2e::event::Cleanliness;
use stack_e2e::plan::Plan;
use stack_e2e::provider::manifest;
use stack_e2e::provider::project::Project;
use std::time::Duration;

fn plan() -> Plan {
    let scenario = scenario("openstack", "scs", "1.29", "  credentials: {cloud: test}");
    let mut plan = plan_of(&scenario, release("openstack-scs-1-29", "v1.29.15"));
    plan.expires = jiff::Timestamp::from_second(4_000_000_000).unwrap();
    plan
}

fn project(cloud: &Cloud, plan: &Plan) -> Project {
    let files = Files::of_texts(&cloud.clouds_yaml(), None, None).unwrap();
    let limits = Limits { attempts: 2, pause: Duration::from_millis(1), ..Limits::default() };
    let client = Client::new(files.cloud(None, None).unwrap(), limits, &Proxies::default(), None).unwrap();
    let purge = Purge { deadline: Duration::from_secs(5), look: Duration::from_millis(5), at_once: 4 };
    Project::new(client, plan).timed(Duration::from_millis(5), purge)
}

/// Made by the controllers for the cluster of the plan: with its mark, and what they make without one.
fn made(cloud: &Cloud, plan: &Plan) {
    let mark = manifest::mark(plan).unwrap();
    let (tags, cluster) = (mark.tags(), plan.runs[0].cluster.as_str());
    let name = format!("k8s-clusterapi-cluster-{}-{cluster}", plan.namespace);
    cloud.put("networks", "net", json!({"name": name, "tags": tags}));
    cloud.put(
        "servers",
        "cp",
        json!({"name": format!("{cluster}-abcde"), "tags": tags, "status": "ERROR",
        "fault": {"message": "No valid host was found."}}),
    );
    cloud.put(
        "ports",
        "of-cp",
        json!({"network_id": "net", "device_id": "cp", "device_owner": "compute:nova"}),
    );
    cloud.put(
        "volumes",
        "pvc",
        json!({"name": "pvc-1", "status": "available",
        "metadata": {"cinder.csi.openstack.org/cluster": cluster}}),
    );
    let lost = format!("Created by cluster-api-provider-openstack cluster {}-{cluster}", plan.namespace);
    cloud.put("floatingips", "tag-lost", json!({"description": lost}));
}

fn others(cloud: &Cloud) {
    let other = Mark::new(
        stack_e2e::types::RunId::from_uuid_v7([9; 16]),
        "stack-e2e",
        jiff::Timestamp::from_second(1_700_000_000).unwrap(),
    );
    cloud.put("networks", "expired", json!({"tags": other.unwrap().tags()}));
    cloud.put(
        "volumes",
        "theirs",
        json!({"name": "pvc-2", "metadata": {"cinder.csi.openstack.org/cluster": "prod"}}),
    );
    cloud.put("floatingips", "free", json!({"description": "", "status": "DOWN"}));
}

fn there(cloud: &Cloud) -> Vec<String> {
    let world = cloud.world.lock().unwrap();
    let all = world.things.values().flat_map(|things| things.keys().cloned());
    let mut all: Vec<String> = all.filter(|id| id != "default").collect();
    all.sort();
    all
}

const OTHERS: [&str; 3] = ["expired", "free", "theirs"];

#[tokio::test]
async fn what_controllers_left_is_deleted_by_id_and_nothing_of_others() {
    let (cloud, plan) = (Cloud::start().await, plan());
    others(&cloud);
    let project = project(&cloud, &plan);
    project.look().await.unwrap();
    assert!(project.account().is_none());
    made(&cloud, &plan);
    cloud.put("ports", "stranger", json!({"network_id": "other"}));
    assert_eq!(project.finish(Cleanliness::Clean).await, Cleanliness::Clean);
    assert_eq!(there(&cloud), ["expired", "free", "stranger", "theirs"]);
    let account = project.account().unwrap();
    assert_eq!(account.cleaned.judgement.taken().count(), 5);
    let strangers: Vec<&str> = account.strangers.iter().map(|r| r.id.as_str()).collect();
    assert_eq!(strangers, ["stranger"], "new, by its id, and not by the number");
}

#[tokio::test]
async fn a_dead_management_cluster_does_not_keep_the_cloud_and_stays_a_doubt() {
    let (cloud, plan) = (Cloud::start().await, plan());
    others(&cloud);
    let project = project(&cloud, &plan);
    project.look().await.unwrap();
    made(&cloud, &plan);
    let dead = Cleanliness::Unknown { why: "the API server of the management cluster is dead".into() };
    assert_eq!(project.finish(dead.clone()).await, dead, "its objects are not known to be gone");
    assert_eq!(there(&cloud), OTHERS);
    assert!(project.account().unwrap().cleaned.clean());
}

#[tokio::test]
async fn what_stays_or_is_not_known_is_never_clean() {
    let plan = plan();
    for (matching, fault, words) in [
        ("DELETE /compute/v2.1/servers", Fault::Status(500), "OpenStack server"),
        ("DELETE /compute/v2.1/servers", Fault::OtherShape, "OpenStack server"),
        ("GET /compute/v2.1/os-keypairs", Fault::Status(403), "the list of keypairs failed"),
        ("GET /compute/v2.1/limits", Fault::Status(500), ""),
        ("POST /identity", Fault::Status(401), "401"),
    ] {
        let cloud = Cloud::start().await;
        let project = project(&cloud, &plan);
        project.look().await.unwrap();
        made(&cloud, &plan);
        cloud.fault(matching, 0, usize::MAX, fault);
        if matching.contains("identity") {
            cloud.world.lock().unwrap().token = 99;
        }
        let clean = project.finish(Cleanliness::Clean).await;
        // What a quota no longer says, questions for each id say.
        assert_eq!(clean == Cleanliness::Clean, words.is_empty(), "{matching} {fault:?}: {clean:?}");
        assert!(format!("{clean:?}").contains(words), "{matching} {fault:?}: {clean:?}");
        assert!(clean != Cleanliness::Clean || there(&cloud).is_empty(), "{matching}");
    }
}

#[tokio::test]
async fn nothing_is_made_where_nobody_could_prove_it_gone() {
    let (cloud, plan) = (Cloud::start().await, plan());
    cloud.fault("GET /volume/v3/0000feed/volumes", 0, usize::MAX, Fault::Status(403));
    let failure = project(&cloud, &plan).look().await.unwrap_err();
    assert!(failure.summary.contains("volumes: GET http") && failure.summary.contains("403"), "{failure:?}");
    assert!(failure.hint.unwrap().contains("nothing was made"));
}

#[tokio::test]
async fn the_cloud_tells_of_a_cluster_whose_api_is_dead() {
    let (cloud, plan) = (Cloud::start().await, plan());
    others(&cloud);
    made(&cloud, &plan);
    let project = project(&cloud, &plan);
    let (files, trouble) = project.evidence(&plan.runs[0]).await;
    assert_eq!(trouble, Vec::<String>::new());
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["openstack.json", &format!("console-{}-abcde.log", plan.runs[0].cluster)]);
    assert!(files[1].1.contains("kernel panic"));
    let things: Vec<Value> = serde_json::from_str(&files[0].1).unwrap();
    let ids: Vec<&str> = things.iter().map(|thing| thing["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["cp", "tag-lost", "of-cp", "net", "pvc"]);
    assert_eq!(things[0]["fault"], "No valid host was found.");
    // What cannot be had is a line, and the rest is there.
    cloud.fault("POST /compute/v2.1/servers", 0, usize::MAX, Fault::Status(403));
    cloud.fault("GET /network/v2.0/ports", 0, usize::MAX, Fault::Status(500));
    let (files, trouble) = project.evidence(&plan.runs[0]).await;
    assert_eq!((files.len(), trouble.len()), (1, 2), "{trouble:?}");
}
