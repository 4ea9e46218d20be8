//! `sweep --cloud`, `plan --cloud` and what `run` asks a cloud before it makes anything: whole screens, before a scripted cloud.

use crate::support::openstack::{Cloud, Fault};
use serde_json::json;
use stack_e2e::cloud::Mark;
use stack_e2e::types::RunId;
use std::path::{Path, PathBuf};
use std::process::Command;

const CANARY: &str = "canary-sesame-open";

struct Screen {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Screen {
    /// Without what differs from run to run.
    fn text(&self) -> String {
        format!(
            "exit {}\n--- stdout\n{}\n--- stderr\n{}",
            self.code,
            self.stdout.trim_end(),
            self.stderr.trim_end()
        )
    }
}

async fn program(home: &Path, cloud: &Cloud, words: &[&str]) -> Screen {
    std::fs::write(home.join("clouds.yaml"), cloud.clouds_yaml()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_stack-e2e"));
    command
        .args(words)
        .current_dir(home)
        .env_clear()
        .env("HOME", home)
        .env("NO_COLOR", "1")
        .env("PATH", "/usr/bin:/bin");
    command.env("OS_CLIENT_CONFIG_FILE", home.join("clouds.yaml"));
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes: Vec<u8>| {
        String::from_utf8(bytes)
            .unwrap()
            .replace(&cloud.address.to_string(), "CLOUD")
            .replace(home.to_str().unwrap(), "HOME")
    };
    let text = |bytes| {
        let lines = text(bytes);
        let lines = lines.lines().filter(|line| !line.contains("the credential lives for"));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    let screen = Screen {
        code: output.status.code().unwrap(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    };
    assert!(!format!("{}{}", screen.stdout, screen.stderr).contains(CANARY), "{}", screen.text());
    screen
}

#[expect(clippy::disallowed_methods, reason = "tests are told where Helm is")]
fn helm() -> Option<PathBuf> {
    std::env::var("STACK_E2E_HELM").ok().map(PathBuf::from)
}

/// Things of a run that is over, of one that lives, of another owner, of nobody, and two that are broken.
async fn crowded() -> Cloud {
    let cloud = Cloud::start().await;
    let mark = |byte: u8, owner: &str, end: i64| {
        let end = jiff::Timestamp::from_second(end).unwrap();
        Mark::new(RunId::from_uuid_v7([byte; 16]), owner, end).unwrap()
    };
    let (over, alive) = (mark(7, "stack-e2e", 1_700_000_000), mark(8, "stack-e2e", 4_000_000_000));
    cloud.put("servers", "5e", json!({"name": "cp-0", "metadata": over.metadata(), "status": "ACTIVE"}));
    cloud.put("networks", "4e", json!({"name": "net", "tags": over.tags(), "status": "ACTIVE"}));
    cloud.put("ports", "90", json!({"network_id": "4e", "device_id": "5e", "device_owner": "compute:nova"}));
    cloud.put("networks", "4f", json!({"name": "net", "tags": alive.tags()}));
    cloud.put("networks", "50", json!({"name": "net", "tags": mark(7, "others", 1_700_000_000).tags()}));
    cloud.put(
        "volumes",
        "70",
        json!({"name": "pvc-1", "metadata": {"cinder.csi.openstack.org/cluster": "prod"}}),
    );
    cloud
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_shows_what_it_takes_and_what_it_leaves() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let cloud = crowded().await;
    let sweep = ["sweep", "--cloud", "test", "--settle", "10ms"];
    let dry = program(home, &cloud, &sweep).await;
    assert_eq!(cloud.asked("DELETE"), 0);
    insta::assert_snapshot!("sweep_cloud_dry", dry.text());
    let too_many = program(home, &cloud, &[&sweep[..], &["--yes", "--max-delete", "2"]].concat()).await;
    assert_eq!((too_many.code, cloud.asked("DELETE")), (4, 0));
    assert!(
        too_many.stdout.contains("NOTHING DELETED: 3 are more than --max-delete 2"),
        "{}",
        too_many.text()
    );
    let words = [&sweep[..], &["--yes", "--junit", "sweep.xml"]].concat();
    let done = program(home, &cloud, &words).await;
    insta::assert_snapshot!("sweep_cloud_done", done.text());
    insta::assert_snapshot!("sweep_cloud_junit", std::fs::read_to_string(home.join("sweep.xml")).unwrap());
    let again = program(home, &cloud, &[&sweep[..], &["--yes", "--format", "json"]].concat()).await;
    insta::assert_snapshot!("sweep_cloud_json", again.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_sweep_cannot_tell_is_not_clean() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let cloud = crowded().await;
    cloud.put("subnets", "5b", json!({"name": "s", "tags": ["stack-e2e-run=01k0000000000001"]}));
    let lost = "e2e-abcdefgh-000001";
    cloud.put(
        "volumes",
        "71",
        json!({"name": "pvc-2", "metadata": {"cinder.csi.openstack.org/cluster": lost}}),
    );
    cloud.fault("GET /compute/v2.1/os-keypairs", 0, usize::MAX, Fault::Status(403));
    let screen = program(home, &cloud, &["sweep", "--cloud", "test", "--settle", "10ms", "--yes"]).await;
    insta::assert_snapshot!("sweep_cloud_doubts", screen.text());
    let words = ["sweep", "--cloud", "test", "--settle", "10ms", "--yes", "--cluster", lost];
    let named = program(home, &cloud, &words).await;
    assert!(named.stdout.contains("volume         71") && named.stdout.contains("gone"), "{}", named.text());
    assert!(!cloud.world.lock().unwrap().things["volumes"].contains_key("71"));
    let revoked = Cloud::start().await;
    revoked.fault("POST /identity", 0, usize::MAX, Fault::Status(401));
    insta::assert_snapshot!(
        "sweep_cloud_revoked",
        program(home, &revoked, &["sweep", "--cloud", "test"]).await.text()
    );
    insta::assert_snapshot!(
        "sweep_cloud_misnamed",
        program(home, &revoked, &["sweep", "--cloud", "tset"]).await.text()
    );
}

const SCENARIO: &str = "apiVersion: e2e.clusterstack.x-k8s.io/v1alpha1
kind: Scenario
metadata: {name: golden}
spec:
  stack: {provider: openstack, name: scs, source: {directory: STACK}}
  credentials: {cloud: test}
  switches:
    kubernetes: [\"1.29\"]
    controlPlanes: [1, 3]
    apiServer:
      - {name: amphora, variables: {apiserver_loadbalancer: octavia-amphora, worker_flavor: SCS-2V-4-20}}
  workers: 2
  checks: [smoke]
";

async fn ready(quota: u64) -> Cloud {
    let cloud = Cloud::start().await;
    cloud.put("networks", "ext", json!({"name": "public"}));
    cloud.put("providers", "a", json!({"name": "amphora"}));
    cloud.put("flavors", "f", json!({"name": "SCS-2V-4-20", "vcpus": 2, "ram": 4096, "disk": 20}));
    cloud.put("images", "i", json!({"name": "ubuntu-capi-image-v1.29.15", "status": "active"}));
    cloud.world.lock().unwrap().quota = quota;
    cloud
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cloud_is_asked_before_anything_is_made() {
    if helm().is_none() {
        println!("skipped: STACK_E2E_HELM names no Helm");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let stack = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/stacks/openstack/scs");
    std::fs::write(home.join("scenario.yaml"), SCENARIO.replace("STACK", stack)).unwrap();
    let helm = format!("helm={}", helm().unwrap().display());
    let root = ["--root", "/", "--binary", &helm];
    let plan = [&["plan", "scenario.yaml", "--cloud", "test"][..], &root].concat();
    let run =
        [&["run", "scenario.yaml", "--kubeconfig", "nowhere", "--clouds", "clouds.yaml"][..], &root].concat();
    // Too little for one.
    let small = ready(4).await;
    insta::assert_snapshot!("plan_cloud_short", program(home, &small, &plan).await.text());
    let refused = program(home, &small, &run).await;
    insta::assert_snapshot!("run_cloud_short", refused.text());
    assert_eq!(refused.code, 5);
    assert!(!home.join(".stack-e2e").exists(), "nothing was touched");
    assert!(
        small
            .world
            .lock()
            .unwrap()
            .log
            .iter()
            .all(|line| line.starts_with("GET") || line.contains("/auth/tokens"))
    );
    // Too little for both at once: the planner is told.
    let enough = ready(7).await;
    let planned = program(home, &enough, &[&plan[..], &["--format", "json"]].concat()).await;
    assert_eq!(planned.code, 0, "{}", planned.text());
    let planned: serde_json::Value = serde_json::from_str(&planned.stdout).unwrap();
    assert_eq!(planned["timetable"]["capacity"]["instances"], 7);
    let ran = program(home, &enough, &run).await;
    assert_eq!(
        ran.code,
        3,
        "there is no management cluster, and that is found after the cloud: {}",
        ran.text()
    );
    let directory = std::fs::read_dir(home.join(".stack-e2e/runs")).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(directory.join("plan.json")).unwrap();
    let carried_out: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(carried_out["timetable"]["capacity"]["instances"], 7, "run is told what plan is told");
    assert!(!text.contains(CANARY));
    // A cloud that does not answer is neither enough nor too little.
    enough.fault("POST /identity", 0, usize::MAX, Fault::Status(503));
    assert_eq!(program(home, &enough, &run).await.code, 3);
}
