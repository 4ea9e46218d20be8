//! Makes results to look at and to measure with: a run as its journal tells it, or JUnit files.
//!
//! ```text
//! cargo run --example results -- run DIR COMBINATIONS [all-green|failures|stopped|hostile] [ID] [DAYS]
//! cargo run --example results -- junit DIR FILES CASES
//! ```

use jiff::{SignedDuration, Timestamp};
use stack_e2e::event::{
    Availability, CancelReason, Cleanliness, Event, EventKind, Failure, FailureClass, LeftOutInfo, Outcome,
    Phase, Seen, UnitInfo,
};
use stack_e2e::results::Journal;
use stack_e2e::types::{CaseId, CombinationId, ObjectRef, Redactor, SwitchName, ValueName};
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::io::{BufWriter, Write as _};
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["run", dir, combinations] => {
            run(Path::new(dir), combinations.parse()?, "failures", "06h0hvdw1gw4gpfn", 0)
        }
        ["run", dir, combinations, kind] => {
            run(Path::new(dir), combinations.parse()?, kind, "06h0hvdw1gw4gpfn", 0)
        }
        ["run", dir, combinations, kind, id, days] => {
            run(Path::new(dir), combinations.parse()?, kind, id, days.parse()?)
        }
        ["junit", dir, files, cases] => junit(Path::new(dir), files.parse()?, cases.parse()?),
        _ => Err("see the first lines of examples/results.rs".into()),
    }
}

/// The switches, the ones that vary fastest first; as many of them are used as it takes.
const SWITCHES: [(&str, &[&str]); 8] = [
    ("yawol", &["off", "on"]),
    ("controlPlanes", &["1", "3"]),
    ("kubernetes", &["1.33", "1.34", "1.35"]),
    ("apiserverLoadBalancer", &["kube-vip", "octavia"]),
    ("volume", &["local", "ceph", "ssd"]),
    ("oidc", &["off", "on"]),
    ("cni", &["cilium", "calico", "none"]),
    (
        "region",
        &["north", "south", "east", "west", "centre", "isle", "hill", "coast", "lake", "wood", "moor", "fen"],
    ),
];

const CASES: [&str; 17] = [
    "provision",
    "check/cluster-conditions",
    "check/control-plane-machines",
    "check/worker-nodes",
    "check/node-versions",
    "check/kubeconfig",
    "check/load-balancer",
    "check/persistent-volume",
    "change/scale-workers-3",
    "check/worker-nodes@after-scale-workers-3",
    "change/upgrade-next-minor",
    "check/node-versions@after-upgrade-next-minor",
    "check/old-kubeconfig@after-upgrade-next-minor",
    "check/load-balancer@after-upgrade-next-minor",
    "check/no-drift",
    "tear-down",
    "prove-clean",
];

const HOSTILE: &str = "<script>alert(1)</script> ]]> \"quoted\" 'x' `code` | cell **bold** @everyone [link](http://evil.example) \u{1b}[31mred \u{202e}turned &amp; ::error::no";

struct Combination {
    info: UnitInfo,
    switches: BTreeMap<&'static str, &'static str>,
}

fn combination(number: usize, kind: &str) -> Result<Combination, Box<dyn Error>> {
    let mut rest = number;
    let mut values = Vec::new();
    for (switch, known) in SWITCHES {
        values.push((switch, known[rest % known.len()]));
        rest /= known.len();
    }
    let named: Result<Vec<_>, Box<dyn Error>> =
        values.iter().map(|(s, v)| Ok((SwitchName::new(*s)?, ValueName::new(*v)?))).collect();
    let id = CombinationId::new("big-switches", &named?);
    let name: Vec<String> = values.iter().map(|(switch, value)| format!("{switch}={value}")).collect();
    let mut name = name.join(" ");
    if kind == "hostile" {
        name.push_str(HOSTILE);
    }
    let properties = values.iter().map(|(s, v)| ((*s).to_owned(), (*v).to_owned())).collect();
    let info = UnitInfo {
        cluster: format!("e2e-{id}"),
        id,
        name,
        scenario: "big-switches".into(),
        stack: "openstack-scs".into(),
        properties,
        cases: CASES.iter().map(|case| CaseId((*case).into())).collect(),
    };
    Ok(Combination { info, switches: values.into_iter().collect() })
}

/// What goes wrong in a case of a combination, if anything does.
fn failure(combination: &Combination, case: &str, number: usize, kind: &str) -> Option<Failure> {
    let is = |switch: &str, value: &str| combination.switches.get(switch) == Some(&value);
    let object = |kind: &str, name: &str| {
        Some(ObjectRef { kind: kind.into(), namespace: "stack-e2e".into(), name: name.into() })
    };
    if kind == "hostile" && case == "check/kubeconfig" {
        return Some(
            Failure::new(FailureClass::CheckFailed, HOSTILE)
                .detail(HOSTILE)
                .hint(HOSTILE)
                .about(object(HOSTILE, HOSTILE)),
        );
    }
    if kind != "failures" {
        return None;
    }
    if case == "check/load-balancer" && is("yawol", "on") && is("kubernetes", "1.35") {
        let detail: String = (0..40).fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "12:{line:02}:07 yawol-controller  loadbalancer kube-system/echo: no endpoint for <agent-{line}> & waiting");
            text
        });
        return Some(
            Failure::new(
                FailureClass::TimedOut,
                "no answer on 203.0.113.17:80 after 5m00s: the yawol agent has not reported since it was started",
            )
            .about(object("LoadBalancerMachine", "echo-7c9f6b5d8-x2x7v"))
            .detail(detail)
            .hint("yawol 0.21 does not start on Kubernetes 1.35; see `yawol-controller.log` among the evidence"),
        );
    }
    if case == "change/upgrade-next-minor" && number % 97 == 5 {
        return Some(
            Failure::new(
                FailureClass::TimedOut,
                "not upgraded after 30m00s: Machine `cp-2` waits for etcd: 2 of 3 members are healthy",
            )
            .about(object("Machine", "cp-2")),
        );
    }
    if case == "provision" && number % 61 == 11 {
        return Some(Failure::new(
            FailureClass::Infrastructure,
            "quota exceeded for cores: requested 8, used 120 of 120",
        ));
    }
    None
}

struct Writer {
    journal: Journal,
    redactor: Redactor,
}

impl Writer {
    fn tell(
        &mut self,
        at: Timestamp,
        unit: Option<&CombinationId>,
        kind: EventKind,
    ) -> Result<(), Box<dyn Error>> {
        self.journal.append(&Event { at, unit: unit.cloned(), kind }, &self.redactor)?;
        Ok(())
    }
}

fn probed(number: usize) -> Availability {
    let measured = |downtime_ms, longest_gap_ms, failed, first_failure: Option<&str>| Seen::Measured {
        downtime_ms,
        longest_gap_ms,
        probes: 820,
        failed,
        first_failure: first_failure.map(str::to_owned),
    };
    let seen = match number % 10 {
        3 => Seen::Unknown { why: "it did not answer before the change: no answer within 1s".into() },
        7 => measured(1_260, 1_350, 14, Some("connection refused")),
        _ => measured(0, 130, 0, None),
    };
    Availability { service: "api-server".into(), seen }
}

fn phase_of(case: &str) -> Phase {
    match case.split('/').next() {
        Some("provision") => Phase::Provision,
        Some("check") => Phase::Check,
        Some("change") => Phase::Change,
        Some("tear-down") => Phase::TearDown,
        _ => Phase::ProveClean,
    }
}

fn run(dir: &Path, combinations: usize, kind: &str, id: &str, days: i64) -> Result<(), Box<dyn Error>> {
    let noon: Timestamp = "2026-11-23T12:00:00Z".parse()?;
    let start = noon + SignedDuration::from_hours(24 * days);
    let units: Result<Vec<_>, _> = (0..combinations).map(|number| combination(number, kind)).collect();
    let units = units?;
    let mut out = Writer { journal: Journal::create(dir)?, redactor: Redactor::default() };
    let left_out = (0..combinations / 4).map(|number| LeftOutInfo {
        name: format!("yawol=on kubernetes=1.2{}", number % 10),
        scenario: "big-switches".into(),
        stack: "openstack-scs".into(),
        reason: if number % 2 == 0 { "yawol 0.21 does not start on 1.29" } else { "covered by another pair" }
            .into(),
    });
    let infos = units.iter().map(|unit| unit.info.clone()).collect();
    let (run, left_out) = (id.parse()?, left_out.collect());
    out.tell(start, None, EventKind::RunStarted { run, units: infos, left_out, harness: "0.1.0".into() })?;
    out.tell(start + SignedDuration::from_secs(4), None, EventKind::Prepared { failure: None })?;
    // Units side by side; events are written in the order of time.
    let mut events: Vec<(Timestamp, usize, EventKind)> = Vec::new();
    let mut slots = vec![start + SignedDuration::from_secs(4); 4 + combinations / 100];
    for (number, unit) in units.iter().enumerate() {
        let slot = (0..slots.len()).min_by_key(|slot| slots[*slot]).unwrap_or(0);
        slots[slot] = live(unit, number, kind, slots[slot], &mut events);
    }
    events.sort_by_key(|(at, ..)| *at);
    let end = events.last().map_or(start, |(at, ..)| *at);
    let stop = if kind == "stopped" { events.len() / 2 } else { events.len() };
    for (at, number, kind) in events.drain(..stop) {
        out.tell(at, Some(&units[number].info.id), kind)?;
    }
    match kind {
        "stopped" => out.tell(end, None, EventKind::Cancelled { reason: CancelReason::Interrupt }),
        _ => out.tell(end, None, EventKind::RunFinished { clean: Cleanliness::Clean }),
    }
}

/// The life of a unit from `start` on; when it ends.
fn live(
    unit: &Combination,
    number: usize,
    kind: &str,
    start: Timestamp,
    events: &mut Vec<(Timestamp, usize, EventKind)>,
) -> Timestamp {
    let mut at = start;
    let mut tell = |at: Timestamp, kind| events.push((at, number, kind));
    tell(at, EventKind::UnitStarted);
    let mut phase = None;
    let mut broken: Option<&str> = None;
    for case in CASES {
        let now = phase_of(case);
        if phase != Some(now) {
            tell(at, EventKind::PhaseStarted { phase: now });
            phase = Some(now);
        }
        let began = at;
        let ends_life = matches!(now, Phase::TearDown | Phase::ProveClean);
        if let Some(before) = broken.filter(|_| !ends_life) {
            tell(
                at,
                EventKind::CaseFinished {
                    case: CaseId(case.into()),
                    attempt: 0,
                    started: at,
                    outcome: Outcome::Skipped { reason: format!("not run: {before} failed") },
                    availability: Vec::new(),
                },
            );
            continue;
        }
        let long = match now {
            Phase::Provision => 60 + i64::try_from(number % 7).unwrap_or(0) * 9,
            Phase::Change => 75,
            Phase::TearDown => 29,
            Phase::Check | Phase::Collect | Phase::ProveClean => 2,
        };
        if matches!(now, Phase::Provision | Phase::Change) {
            let why = format!(
                "Machine/stack-e2e/{}-cp-1: InfrastructureReady is False: the server is being built",
                unit.info.cluster
            );
            tell(at + SignedDuration::from_secs(5), EventKind::Waiting { phase: now, why });
        }
        let failed = failure(unit, case, number, kind);
        at += SignedDuration::from_secs(if failed.is_some() { long + 300 } else { long });
        if number % 40 == 7 && case == "check/node-versions" && kind == "failures" {
            let failure = Failure::new(FailureClass::CheckFailed, "the API server closed the connection");
            tell(
                at,
                EventKind::CaseFinished {
                    case: CaseId(case.into()),
                    attempt: 0,
                    started: began,
                    outcome: Outcome::Failed { failure, expected: None },
                    availability: Vec::new(),
                },
            );
        }
        if failed.is_some() && now != Phase::Check {
            broken = Some(case);
        }
        let collects = failed.is_some();
        let outcome = match failed {
            Some(failure) => Outcome::Failed { failure, expected: None },
            None if case == "check/persistent-volume" => {
                Outcome::Skipped { reason: "not applicable on this backend: it runs no Pods".into() }
            }
            None => Outcome::Passed { note: "1 control plane and 3 worker Machines on v1.34.7".into() },
        };
        let availability = if now == Phase::Change { vec![probed(number)] } else { Vec::new() };
        let case = CaseId(case.into());
        tell(at, EventKind::CaseFinished { case, attempt: 0, started: began, outcome, availability });
        if collects {
            let file = |name: &str| format!("evidence/{}/{name}", unit.info.id);
            let files = vec![file("summary.txt"), file("objects.yaml"), file("yawol-controller.log")];
            tell(at, EventKind::Collected { files, trouble: vec![] });
        }
    }
    tell(at, EventKind::UnitFinished { clean: Cleanliness::Clean });
    at
}

/// Files as a large conformance suite writes them: every file has every case, most of them skipped, with the output of
/// what failed.
fn junit(dir: &Path, files: usize, cases: usize) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(dir)?;
    let output =
        "I0101 12:00:00.000000 1 reflector.go:1] Listing and watching *v1.Pod from <factory>\n".repeat(40);
    let output = output.replace('<', "&lt;").replace('>', "&gt;");
    for file in 0..files {
        let mut out = BufWriter::new(std::fs::File::create(dir.join(format!("junit_{file:02}.xml")))?);
        writeln!(
            out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"{cases}\" failures=\"{}\">",
            cases.div_ceil(500)
        )?;
        writeln!(
            out,
            "<testsuite name=\"Kubernetes e2e suite\" tests=\"{cases}\" timestamp=\"2026-11-23T12:00:00\">"
        )?;
        for case in 0..cases {
            write!(
                out,
                "<testcase name=\"[It] [sig-node] Pods should be submitted and removed, number {case} [Conformance]\" classname=\"Kubernetes e2e suite\" time=\"{}.25\"",
                case % 90
            )?;
            match (case * 7 + file) % 10 {
                _ if case % 500 == 0 => writeln!(
                    out,
                    "><failure type=\"failed\" message=\"timed out in {file}\">{output}</failure><system-err>{output}</system-err></testcase>"
                )?,
                0 => writeln!(out, "/>")?,
                _ => writeln!(out, "><skipped message=\"skipped\"/></testcase>")?,
            }
        }
        writeln!(out, "</testsuite>\n</testsuites>")?;
        out.flush()?;
    }
    Ok(())
}
