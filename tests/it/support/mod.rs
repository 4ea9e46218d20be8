//! What several tests share: small plans, and a run of them on scripted clusters.

pub mod https;
pub mod openstack;
pub mod process;

use jiff::Timestamp;
use stack_e2e::event::Event;
use stack_e2e::plan::{Plan, PlannedRun, Step, StepAction};
use stack_e2e::provider::manifest;
use stack_e2e::provider::scripted::{Ledger, Script, Scripted};
use stack_e2e::results::RunReport;
use stack_e2e::run::{Options, RunEnd, RunError, Signal, Sink, World, run};
use stack_e2e::scenario::{Change, Timeouts};
use stack_e2e::types::{
    CaseId, CheckName, ClusterName, CombinationId, Owner, ProviderKind, Release, RunId, SwitchName, Target,
    ValueName,
};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

pub const CHECKS: [&str; 2] = ["cluster-conditions", "kubeconfig"];

/// A plan with that many units, each with two checks, a change, and a check after it.
pub fn plan(units: usize, concurrency: usize) -> Plan {
    let id = RunId::from_uuid_v7([1, 2, 3, 4, 5, 6, 0x70, 0, 0x80, 0, 1, 2, 3, 4, 5, 6]);
    Plan {
        namespace: manifest::namespace_name(&id).unwrap(),
        run: id,
        made: Timestamp::UNIX_EPOCH,
        expires: Timestamp::UNIX_EPOCH + Duration::from_secs(86_400),
        owner: Owner { boot: "boot".into(), pid: 1, start: 1 },
        provider: ProviderKind::Scripted,
        shared: vec![],
        addons: Default::default(),
        operator: vec![],
        runs: (0..units).map(planned).collect(),
        left_out: vec![],
        concurrency,
        shard: None,
        keep_on_failure: false,
        coverage: vec![],
        timetable: None,
        tables: Default::default(),
        after: Default::default(),
        places: [].into(),
    }
}

fn planned(n: usize) -> PlannedRun {
    let values = vec![(SwitchName::new("n").unwrap(), ValueName::new(n.to_string()).unwrap())];
    let id = CombinationId::new("test", &values);
    let release = Release {
        class: "scripted-test-1-34-v1".into(),
        kubernetes: "v1.34.0".parse().unwrap(),
        worker_class: "default-worker".into(),
    };
    let target = |workers| Target { release: release.clone(), control_planes: 1, workers };
    let check = |name: &str, suffix: &str, workers| Step {
        case: CaseId(format!("check/{name}{suffix}")),
        action: StepAction::Check(CheckName::new(name).unwrap()),
        target: target(workers),
    };
    PlannedRun {
        name: format!("n={n}"),
        scenario: "test".into(),
        stack: "scripted-test".into(),
        cluster: ClusterName::new(format!("e2e-{id}-test")).unwrap(),
        id,
        release: release.clone(),
        next_release: None,
        control_planes: 1,
        workers: 2,
        refusal: None,
        credentials: None,
        failure_domain: None,
        digest: String::new(),
        variables: [].into(),
        steps: vec![
            check(CHECKS[0], "", 2),
            check(CHECKS[1], "", 2),
            Step {
                case: CaseId("change/scale-workers-3".into()),
                action: StepAction::Change(Change::ScaleWorkers(3)),
                target: target(3),
            },
            check(CHECKS[0], "@after-scale-workers-3", 3),
        ],
        timeouts: Timeouts::default(),
        switches: [("n".to_owned(), n.to_string())].into(),
        expected: [].into(),
    }
}

/// Everything that was said.
#[derive(Default)]
pub struct Heard {
    pub events: Vec<Event>,
    pub reports: usize,
}

impl Sink for Heard {
    fn earlier(&mut self, _: &Event) {}
    fn event(&mut self, event: &Event) {
        self.events.push(event.clone());
    }
    fn tick(&mut self, _: Timestamp) {}
    fn report(&mut self, _: &RunReport) {
        self.reports += 1;
    }
}

pub fn options(directory: &Path) -> Options {
    Options {
        directory: directory.into(),
        resumed: None,
        deadline: None,
        teardown_budget: Duration::from_secs(600),
        redactor: Default::default(),
        harness: "test".into(),
        sweep: "stack-e2e sweep --run RUN --yes".into(),
    }
}

/// A life of a run on scripted clusters, with signals at given times.
pub async fn scripted(
    plan: &Plan,
    script: &Script,
    ledger: &Arc<Ledger>,
    options: Options,
    signals: &[(Duration, Signal)],
) -> (Result<RunEnd, RunError>, Heard) {
    let plan = Arc::new(plan.clone());
    let world = World::Scripted(Scripted::start(plan.clone(), script.clone(), ledger.clone()));
    let (send, receive) = mpsc::unbounded_channel();
    let mut heard = Heard::default();
    let signals = signals.to_vec();
    let sender = tokio::spawn(async move {
        for (after, signal) in signals {
            tokio::time::sleep(after).await;
            let _ = send.send(signal);
        }
        // Kept open for as long as the run may listen.
        std::future::pending::<()>().await;
    });
    let ended = run(plan, Arc::new(world), options, receive, &mut heard).await;
    sender.abort();
    (ended, heard)
}

/// Real states of the published stacks, one folder each, and the CRDs beside them. Not part of this repository: where
/// they are absent, tests skip what needs them, and say so.
pub fn upstream() -> Option<std::path::PathBuf> {
    let folder = match std::env::var_os("STACK_E2E_UPSTREAM") {
        Some(folder) => std::path::PathBuf::from(folder),
        None => std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent()?.join("shared/upstream"),
    };
    if folder.join("cluster-stacks").is_dir() {
        return Some(folder);
    }
    println!(
        "skipped: {} does not hold the published stacks (STACK_E2E_UPSTREAM names another)",
        folder.display()
    );
    None
}

/// Copies a folder with its links as they are.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, target) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(&path).unwrap(), target).unwrap();
        } else if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}
