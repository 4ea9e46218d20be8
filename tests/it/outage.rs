//! Outages under a real run: the management API freezes, dies, or loses its controllers. The run gets over it or ends
//! soon, and what it says of leftovers is true.
//!
//! Each test brings up a testbed of its own, so they run only when asked to: `.ci/outage`.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use stack_e2e::results::JOURNAL_FILE;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

const PROGRAM: &str = env!("CARGO_BIN_EXE_stack-e2e");
/// After that long a run must have ended, whatever has happened to its management cluster.
const LONGEST: Duration = Duration::from_secs(300);

/// A testbed of its own, and a directory for runs; both go in the end.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    /// Starts a testbed; `None` when nobody asked for such tests.
    async fn start() -> Option<Self> {
        let wanted = std::env::var_os("STACK_E2E_TESTBED_TESTS").is_some_and(|value| value == "1");
        if !wanted {
            println!("skipped: it brings a testbed up; `.ci/outage` runs it");
            return None;
        }
        let place = Self { directory: tempfile::tempdir().unwrap() };
        let up = place.end_of(&["testbed", "up"]).await;
        assert!(up.status.success(), "{}", text(&up));
        Some(place)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env("STACK_E2E_TESTBED_STATE_DIR", self.path("testbed"))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    async fn end_of(&self, arguments: &[&str]) -> Output {
        timeout(LONGEST, self.command(arguments).output()).await.unwrap().unwrap()
    }

    async fn pid(&self, component: &str) -> i32 {
        let status = self.end_of(&["testbed", "status", "--format", "json"]).await;
        let status: Value = serde_json::from_slice(&status.stdout).unwrap();
        let components = status["components"].as_array().unwrap();
        let found = components.iter().find(|found| found["name"] == component).unwrap();
        i32::try_from(found["pid"].as_i64().unwrap()).unwrap()
    }

    async fn signal(&self, component: &str, signal: Signal) {
        kill(Pid::from_raw(self.pid(component).await), signal).unwrap();
        println!("{component} gets {signal}");
    }

    /// Starts a run of two clusters and gives it back in the middle of provisioning.
    async fn run(&self, timeouts: &str) -> Child {
        let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/stacks/embedded/scs");
        let scenario = format!(
            "apiVersion: e2e.clusterstack.x-k8s.io/v1alpha1\nkind: Scenario\nmetadata: {{name: outage}}\nspec:\n  \
             stack: {{provider: embedded, name: scs, source: {{directory: {fixture}}}}}\n  \
             switches: {{kubernetes: [\"1.34\", \"1.35\"]}}\n  workers: 1\n  \
             checks: [cluster-conditions, worker-nodes]\n  timeouts: {timeouts}\n"
        );
        std::fs::write(self.path("outage.yaml"), scenario).unwrap();
        let screen = std::fs::File::create(self.path("screen")).unwrap();
        let mut command = self.command(&["run", "outage.yaml", "--output", "out"]);
        let run = command.stdout(screen.try_clone().unwrap()).stderr(screen).spawn().unwrap();
        let begun = Instant::now();
        while !self.journal().contains("Machine/") {
            assert!(begun.elapsed() < Duration::from_secs(60), "no Machine is waited for: {}", self.screen());
            sleep(Duration::from_millis(200)).await;
        }
        run
    }

    /// The exit code of a run, and how long it took from now.
    async fn end(&self, mut run: Child) -> (i32, Duration) {
        let begun = Instant::now();
        let ended = timeout(LONGEST, run.wait()).await;
        let ended = ended.unwrap_or_else(|_| panic!("the run does not end: {}", self.screen())).unwrap();
        println!("{}\nexit {:?} {:.0?} later", self.screen(), ended.code(), begun.elapsed());
        (ended.code().unwrap(), begun.elapsed())
    }

    fn screen(&self) -> String {
        std::fs::read_to_string(self.path("screen")).unwrap_or_default()
    }

    fn run_directory(&self) -> Option<PathBuf> {
        std::fs::read_dir(self.path("out/runs")).ok()?.next()?.ok().map(|entry| entry.path())
    }

    fn journal(&self) -> String {
        let read = |directory: PathBuf| std::fs::read_to_string(directory.join(JOURNAL_FILE)).ok();
        self.run_directory().and_then(read).unwrap_or_default()
    }

    fn junit(&self) -> String {
        std::fs::read_to_string(self.run_directory().unwrap().join("junit.xml")).unwrap()
    }

    /// The evidence of the first unit that has some: what its summary begins with.
    fn cause(&self) -> String {
        let evidence = self.run_directory().unwrap().join("evidence");
        let unit = std::fs::read_dir(evidence).unwrap().next().unwrap().unwrap().path();
        let summary = std::fs::read_to_string(Path::new(&unit).join("summary.txt")).unwrap();
        summary.lines().next().unwrap().to_owned()
    }

    /// After an outage that the testbed has not survived: everything anew, and nothing is left.
    async fn is_clean_afterwards(&self) {
        for command in [&["testbed", "up"][..], &["sweep", "--yes"], &["sweep"]] {
            let ended = self.end_of(command).await;
            println!("{command:?}: {}", text(&ended));
            assert!(ended.status.success());
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let down = std::process::Command::new(PROGRAM)
            .args(["testbed", "down"])
            .env("STACK_E2E_TESTBED_STATE_DIR", self.path("testbed"))
            .output();
        assert!(down.is_ok_and(|down| down.status.success()) || std::thread::panicking());
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test]
async fn a_frozen_api_server_is_waited_out() {
    let Some(place) = Place::start().await else { return };
    let run = place.run("{provision: 4m, check: 2m, delete: 2m}").await;
    place.signal("kube-apiserver", Signal::SIGSTOP).await;
    sleep(Duration::from_secs(20)).await;
    place.signal("kube-apiserver", Signal::SIGCONT).await;
    assert_eq!(place.end(run).await.0, 0);
    place.is_clean_afterwards().await;
}

#[tokio::test]
async fn a_restarted_api_server_is_found_again() {
    let Some(place) = Place::start().await else { return };
    let run = place.run("{provision: 5m, check: 2m, delete: 2m}").await;
    let process = PathBuf::from(format!("/proc/{}", place.pid("kube-apiserver").await));
    let command = std::fs::read_to_string(process.join("cmdline")).unwrap();
    let directory = std::fs::read_link(process.join("cwd")).unwrap();
    place.signal("kube-apiserver", Signal::SIGKILL).await;
    sleep(Duration::from_secs(15)).await;
    let mut words = vec!["testbed", "exec", "--"];
    words.extend(command.split_terminator('\0'));
    // The testbed does not know this one; it ends with the test.
    let mut again = place
        .command(&words)
        .current_dir(directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(place.end(run).await.0, 0);
    again.kill().await.unwrap();
}

#[tokio::test]
async fn without_its_controllers_the_run_ends_by_its_deadlines() {
    let Some(place) = Place::start().await else { return };
    let run = place.run("{provision: 40s, check: 1m, delete: 30s}").await;
    place.signal("capi-core", Signal::SIGKILL).await;
    let (code, took) = place.end(run).await;
    assert_eq!(code, 4, "not proven clean");
    assert!(took < LONGEST, "{took:?}");
    assert!(place.cause().starts_with("provision: "), "{}", place.cause());
    assert!(place.cause().contains("not within 40s"), "{}", place.cause());
    // The deletion fails at the webhook of the dead controller, and the clusters are still there.
    let junit = place.junit();
    for words in ["tear-down", "failed calling webhook", "connection refused", "objects are left: Cluster/"] {
        assert!(junit.contains(words), "`{words}` is not in {junit}");
    }
    place.is_clean_afterwards().await;
}

#[tokio::test]
async fn a_dead_api_server_ends_the_run_within_minutes() {
    let Some(place) = Place::start().await else { return };
    let run = place.run("{provision: 10m, check: 2m, delete: 10m}").await;
    place.signal("kube-apiserver", Signal::SIGKILL).await;
    let (code, took) = place.end(run).await;
    assert_eq!(code, 4, "not proven clean");
    assert!(took < LONGEST, "{took:?}");
    assert!(place.cause().contains("could not be watched"), "{}", place.cause());
    let junit = place.junit();
    for words in ["not known whether anything is left", "onnection refused"] {
        assert!(junit.contains(words), "`{words}` is not in {junit}");
    }
    place.is_clean_afterwards().await;
}
