//! SIGKILL at random moments of runs on the testbed, several runs at once: afterwards the API server holds nothing of
//! theirs, whether they were swept or resumed, and no sweep has taken a run that was alive.
//!
//! It takes about twenty-five minutes on two cores, so it only runs when `STACK_E2E_TESTBED_TESTS=1` says so (`.ci/kill-testbed`).

use crate::kill::{Dice, Tally, count, phase_of, seed};
use crate::support::process::{Home, Running, Said};
use kube::api::{DynamicObject, ListParams};
use kube::discovery::{Discovery, verbs};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, RwLock};
use std::time::{Duration, Instant};

/// Runs side by side. Each has three clusters at once.
const LANES: usize = 3;
/// Moments of the kill lie between the start and this.
const LONGEST_MS: u64 = 60_000;

const SCENARIO: &str = r#"
apiVersion: e2e.clusterstack.x-k8s.io/v1alpha1
kind: Scenario
metadata:
  name: kill
spec:
  stack:
    provider: embedded
    name: scs
    source: {directory: STACK}
  switches:
    kubernetes: ["1.34", "1.35"]
    controlPlanes: [1, 3]
  exclude:
    - when: {kubernetes: "1.34", controlPlanes: 3}
      because: three clusters at once are enough for one run
  workers: 1
  checks: [cluster-conditions]
  changes: [{scale: {workers: 2}}]
  timeouts: {provision: 15m, check: 5m, change: 15m, delete: 10m}
"#;

struct Suite {
    seed: u64,
    state: String,
    tally: Mutex<Tally>,
    /// Held while a dead run waits for its resumption, because a sweep may rightly take it.
    dead: RwLock<()>,
}

impl Suite {
    fn say(&self, home: &Home, words: &[&str]) -> Said {
        home.say(&[words, &["--state-dir", &self.state]].concat())
    }

    fn start(&self, home: &Home, words: &[&str]) -> Running {
        Running::start(&mut home.stack_e2e(&[words, &["--state-dir", &self.state]].concat()))
    }

    /// Everything of Cluster API and of ours that the API server holds, by a process inside of the testbed's network.
    fn exists(&self, home: &Home) -> Vec<String> {
        let program = std::env::current_exe().unwrap();
        let helper = ["kill_testbed::what_exists", "--exact", "--ignored", "--nocapture"];
        let words =
            ["testbed", "exec", "--admin", "--state-dir", &self.state, "--", program.to_str().unwrap()];
        let said = home.say(&[&words[..], &helper].concat());
        assert!(said.stdout.contains("that is all"), "{}\n{}", said.stdout, said.stderr);
        let line = |line: &str| line.strip_prefix("exists: ").map(str::to_owned);
        said.stdout.lines().filter_map(line).collect()
    }

    fn kill_after(&self, home: &Home, words: &[&str], after: Duration) -> bool {
        let running = self.start(home, words);
        #[allow(clippy::disallowed_methods, reason = "the moment of the kill is what is tested")]
        std::thread::sleep(after);
        running.kill().status.code().is_none()
    }

    fn life(&self, number: usize) {
        let mut dice = Dice::new(self.seed.wrapping_add(u64::try_from(number).unwrap()));
        let home = Home::new();
        let stack = std::path::absolute("fixtures/stacks/embedded/scs").unwrap();
        std::fs::write(home.path("kill.yaml"), SCENARIO.replace("STACK", stack.to_str().unwrap())).unwrap();
        let moment = Duration::from_millis(dice.below(LONGEST_MS));
        let resumes = number.is_multiple_of(2);
        let mut running = self.start(&home, &["run", "kill.yaml", "-j", "4"]);
        let begin = Instant::now();
        // Rendering the stack comes first; whatever comes first, the kill comes at its moment.
        #[allow(clippy::disallowed_methods, reason = "the moment of the kill is what is tested")]
        std::thread::sleep(moment.saturating_sub(begin.elapsed()));
        let waits = self.dead.read().unwrap();
        running.signal(nix::sys::signal::Signal::SIGKILL);
        let mut kills = usize::from(running.wait().code().is_none());
        let phase = phase_of(&home);
        let run = home.runs().pop();
        let mut history = vec![format!("killed after {moment:?} at `{phase}`")];
        let plan = run.as_ref().filter(|run| home.run_directory(run).join("plan.json").exists());
        let (said, fine, how) = match plan {
            Some(run) if resumes => {
                let resume = ["run", "--resume", run];
                if number.is_multiple_of(6) {
                    let again = Duration::from_millis(dice.below(LONGEST_MS / 4));
                    kills += usize::from(self.kill_after(&home, &resume, again));
                    history.push(format!("resumption killed after {again:?} at `{}`", phase_of(&home)));
                }
                // Most only tear down: a whole life takes two minutes.
                let short = ["--deadline", "3s"];
                let hurried = !number.is_multiple_of(8);
                let words = if hurried { [&resume[..], &short].concat() } else { resume.to_vec() };
                let mut resumed = self.start(&home, &words);
                let taken_over = resumed.hears_or_ends("prepared");
                history.push(format!("resumed, hurried {hurried}, {taken_over}"));
                drop(waits);
                let said = resumed.end();
                let fine = if hurried { &[0, 3][..] } else { &[0] };
                (said, fine, "the resumption")
            }
            Some(_) | None => {
                drop(waits);
                if number.is_multiple_of(3) {
                    let again = Duration::from_millis(dice.below(LONGEST_MS / 7));
                    let alone = self.dead.write().unwrap();
                    kills += usize::from(self.kill_after(&home, &["sweep", "--yes"], again));
                    drop(alone);
                    history.push(format!("sweep killed after {again:?}"));
                }
                let alone = self.dead.write().unwrap();
                let said = self.say(&home, &["sweep", "--yes"]);
                drop(alone);
                (said, &[0][..], "the sweep")
            }
        };
        let mine = |object: &String| run.as_ref().is_some_and(|run| object.contains(run.as_str()));
        let left: Vec<String> = self.exists(&home).into_iter().filter(mine).collect();
        println!(
            "life {number}: {}; {how} ended with {:?} after {:.0} s in all; {} left",
            history.join("; "),
            said.status.code(),
            begin.elapsed().as_secs_f64(),
            left.len()
        );
        let mut tally = self.tally.lock().unwrap();
        if !said.status.code().is_some_and(|code| fine.contains(&code)) || !left.is_empty() {
            tally.wrong.push(format!(
                "life {number}: {}; then {how} ended with {:?}, left: {left:?}\n{}\n{}",
                history.join("; "),
                said.status.code(),
                said.stdout,
                said.stderr
            ));
        }
        let nothing_yet =
            ["no directory", "no plan", "no journal", "no event", "run-started", "run-finished"];
        tally.mid_run += usize::from(!nothing_yet.contains(&phase.as_str()));
        *tally.phases.entry(phase).or_default() += 1;
        tally.kills += kills;
        *(if how == "the sweep" { &mut tally.swept } else { &mut tally.resumed }) += 1;
    }
}

#[test]
fn sigkill_on_the_testbed_leaves_nothing_that_cannot_be_found() {
    if std::env::var_os("STACK_E2E_TESTBED_TESTS").is_none_or(|value| value != "1") {
        println!(
            "skipped: it needs the testbed and twenty-five minutes; STACK_E2E_TESTBED_TESTS=1 asks for it"
        );
        return;
    }
    let (kills, start) = (count("STACK_E2E_TESTBED_KILLS", 40), Instant::now());
    let home = Home::new();
    let state = std::env::var_os("STACK_E2E_TESTBED_STATE_DIR");
    let state = state.map_or_else(|| home.path("testbed"), |given| Path::new(&given).to_owned());
    let suite = Suite {
        seed: seed(),
        state: state.to_str().unwrap().to_owned(),
        tally: Mutex::default(),
        dead: RwLock::new(()),
    };
    let up = suite.say(&home, &["testbed", "up"]);
    assert_eq!(up.code(), 0, "{}", up.stderr);
    assert_eq!(suite.exists(&home), [""; 0], "the testbed must be empty");
    println!("seed {}", suite.seed);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= kills {
                        return;
                    }
                    suite.life(number);
                }
            });
        }
    });
    let left = suite.exists(&home);
    let dry = suite.say(&home, &["sweep"]);
    let down = suite.say(&home, &["testbed", "down"]);
    let tally = suite.tally.into_inner().unwrap();
    tally.show("SIGKILL on the testbed", suite.seed, start);
    println!("objects on the API server in the end: {}", left.len());
    assert!(tally.wrong.is_empty(), "{} lives went wrong, seed {}", tally.wrong.len(), suite.seed);
    assert_eq!(left, [""; 0]);
    assert!(dry.stderr.contains("nothing to sweep"), "{}{}", dry.stdout, dry.stderr);
    assert_eq!(down.code(), 0, "{}", down.stderr);
}

/// Prints every object of a Cluster API group, and every namespace of ours.
#[test]
#[ignore = "a helper: it is started inside of the testbed's network"]
fn what_exists() {
    let kubeconfig = std::env::var_os("KUBECONFIG").expect("the way to the API server");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    runtime.block_on(async {
        let api = stack_e2e::cluster::Api::from_file(Path::new(&kubeconfig)).await.unwrap();
        let discovery = Discovery::new(api.client()).run().await.unwrap();
        let mut kinds = 0;
        for group in discovery.groups() {
            let ours = group.name() == "" || group.name().ends_with("cluster.x-k8s.io");
            for (resource, capabilities) in group.recommended_resources() {
                if !ours || !capabilities.supports_operation(verbs::LIST) {
                    continue;
                }
                if group.name().is_empty() && resource.kind != "Namespace" {
                    continue;
                }
                kinds += 1;
                let objects: kube::Api<DynamicObject> = kube::Api::all_with(api.client(), &resource);
                for object in objects.list(&ListParams::default()).await.unwrap() {
                    let name = object.metadata.name.unwrap_or_default();
                    let namespace = object.metadata.namespace.unwrap_or_default();
                    if resource.kind != "Namespace" || name.starts_with("stack-e2e-") {
                        println!("exists: {} {namespace}/{name}", resource.kind);
                    }
                }
            }
        }
        assert!(kinds > 5, "only {kinds} kinds are known");
        println!("that is all");
    });
}
