//! Runs on scripted clusters, under paused time: what goes wrong at each step, signals, crashes and resumption.

use crate::support::{CHECKS, options, plan, scripted};
use stack_e2e::event::{Availability, CancelReason, Cleanliness, Event, EventKind, FailureClass, Seen};
use stack_e2e::plan::Plan;
use stack_e2e::provider::scripted::{Fault, FaultKind, Ledger, Script};
use stack_e2e::results::{ExitStatus, Journal, JournalError, RunReport, Torn, Verdict, fold};
use stack_e2e::run::Signal;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn script(faults: &[(&str, FaultKind)]) -> Script {
    let fault = |(at, kind): &(&str, FaultKind)| Fault {
        at: (*at).into(),
        unit: None,
        kind: *kind,
        times: None,
        says: None,
    };
    Script {
        call_ms: 100,
        provision_ms: 60_000,
        check_ms: 1_000,
        delete_ms: 10_000,
        faults: faults.iter().map(fault).collect(),
    }
}

struct Ran {
    report: RunReport,
    ledger: Arc<Ledger>,
    events: Vec<EventKind>,
    elapsed: Duration,
}

async fn ran(plan: &Plan, script: &Script, signals: &[(Duration, Signal)]) -> Ran {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Arc::new(Ledger::default());
    let start = tokio::time::Instant::now();
    let (ended, heard) =
        scripted(plan, script, &ledger, options(&directory.path().join("run")), signals).await;
    let elapsed = start.elapsed();
    let ended = ended.expect("the run ends with a report");
    Ran { report: ended.report, ledger, events: heard.events.into_iter().map(|e| e.kind).collect(), elapsed }
}

/// Other tests of this binary start processes, which hold copies of its open files, and so of the lock, for the moment
/// between fork and exec.
fn reopen(directory: &Path) -> (Journal, Vec<Event>, Option<Torn>) {
    loop {
        match Journal::reopen(directory) {
            Err(JournalError::Locked { .. }) => std::thread::yield_now(),
            other => return other.unwrap(),
        }
    }
}

fn left(ran: &Ran) -> usize {
    ran.ledger.objects().unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn a_good_run_passes_and_is_clean() {
    let ran = ran(&plan(3, 2), &script(&[]), &[]).await;
    assert_eq!(ran.report.exit_status(), ExitStatus::Passed);
    assert_eq!(ran.report.clean, Cleanliness::Clean);
    assert_eq!(left(&ran), 0);
    for unit in &ran.report.units {
        assert!(unit.cases.iter().all(|case| case.verdict == Verdict::Passed), "{:?}", unit.cases);
    }
}

#[tokio::test(start_paused = true)]
async fn units_run_side_by_side_up_to_the_limit() {
    let one = ran(&plan(4, 1), &script(&[]), &[]).await.elapsed;
    let four = ran(&plan(4, 4), &script(&[]), &[]).await.elapsed;
    assert!(one > four * 3, "four side by side take {four:?}, one after the other {one:?}");
    let ran = ran(&plan(5, 2), &script(&[]), &[]).await;
    let (mut alive, mut most) = (0, 0);
    for event in &ran.events {
        match event {
            EventKind::UnitStarted => alive += 1,
            EventKind::UnitFinished { .. } => alive -= 1,
            _ => {}
        }
        most = most.max(alive);
    }
    assert_eq!(most, 2);
}

/// The steps of a run, and the verdict that an error there must lead to.
const STEPS: &[(&str, Verdict, Verdict)] = &[
    // at, when refused (the product's fault), when failed (the infrastructure's fault)
    ("prepare", Verdict::Failed, Verdict::Errored),
    ("create", Verdict::Failed, Verdict::Errored),
    ("provision", Verdict::Failed, Verdict::Errored),
    ("check/cluster-conditions", Verdict::Failed, Verdict::Errored),
    ("check/kubeconfig", Verdict::Failed, Verdict::Errored),
    ("change", Verdict::Failed, Verdict::Errored),
    ("change/scale-workers-3", Verdict::Failed, Verdict::Errored),
    ("check/cluster-conditions@after-scale-workers-3", Verdict::Failed, Verdict::Errored),
];

#[tokio::test(start_paused = true)]
async fn an_error_at_any_step_gives_the_right_verdict_and_leaves_nothing() {
    for (at, refused, failed) in STEPS {
        for (kind, verdict) in [
            (FaultKind::Refuse, *refused),
            (FaultKind::Fail, *failed),
            (FaultKind::FailAfter, Verdict::Errored),
            (FaultKind::Hang, Verdict::Errored),
            (FaultKind::Panic, Verdict::Errored),
        ] {
            let ran = ran(&plan(2, 2), &script(&[(at, kind)]), &[]).await;
            assert_eq!(ran.report.verdict(), verdict, "{kind:?} at `{at}`");
            assert_eq!(ran.report.clean, Cleanliness::Clean, "{kind:?} at `{at}`");
            assert_eq!(left(&ran), 0, "{kind:?} at `{at}`");
            let status = match verdict {
                Verdict::Failed => ExitStatus::Failed,
                _ => ExitStatus::Inconclusive,
            };
            assert_eq!(ran.report.exit_status(), status, "{kind:?} at `{at}`");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_at_any_step_with_a_failing_teardown_is_never_clean() {
    // The delete call never works, does nothing, or the end never comes; or nobody can tell.
    let endings = [
        ("delete", FaultKind::Fail),
        ("delete", FaultKind::Ignore),
        ("delete", FaultKind::Hang),
        ("list", FaultKind::Fail),
    ];
    for (at, ..) in STEPS.iter().filter(|(at, ..)| *at != "prepare") {
        for kind in [FaultKind::Refuse, FaultKind::Fail, FaultKind::FailAfter, FaultKind::Panic] {
            for (ending, how) in endings {
                let what = format!("{kind:?} at `{at}`, then {how:?} at `{ending}`");
                let ran = ran(&plan(2, 2), &script(&[(at, kind), (ending, how)]), &[]).await;
                let created = !(*at == "create" && kind != FaultKind::FailAfter);
                let truly_left = created && ending == "delete";
                assert_eq!(left(&ran) > 1, truly_left, "{what}: the ledger");
                if truly_left || ending == "list" {
                    assert_ne!(ran.report.clean, Cleanliness::Clean, "{what}");
                    assert_eq!(ran.report.exit_status(), ExitStatus::NotProvenClean, "{what}");
                    assert_eq!(ran.report.verdict(), Verdict::Errored, "{what}");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_bad_unit_does_not_harm_the_others() {
    let plan = plan(3, 3);
    for kind in [FaultKind::Refuse, FaultKind::Hang, FaultKind::Panic] {
        let mut script = script(&[("provision", kind)]);
        script.faults[0].unit = Some(plan.runs[1].id.to_string());
        let ran = ran(&plan, &script, &[]).await;
        let verdicts: Vec<Verdict> = ran.report.units.iter().map(|unit| unit.verdict()).collect();
        assert_eq!(verdicts[0], Verdict::Passed, "{kind:?}");
        assert_ne!(verdicts[1], Verdict::Passed, "{kind:?}");
        assert_eq!(verdicts[2], Verdict::Passed, "{kind:?}");
        assert_eq!(left(&ran), 0, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_check_does_not_stop_the_others_but_a_failed_change_does() {
    let verdicts = |report: &RunReport| -> Vec<Verdict> {
        report.units[0].cases.iter().map(|case| case.verdict).collect()
    };
    use Verdict::{Failed, Passed, Skipped};
    let check = ran(&plan(1, 1), &script(&[("check/cluster-conditions", FaultKind::Refuse)]), &[]).await;
    assert_eq!(verdicts(&check.report), [Passed, Failed, Passed, Passed, Passed, Passed, Passed]);
    let change = ran(&plan(1, 1), &script(&[("change", FaultKind::Refuse)]), &[]).await;
    assert_eq!(verdicts(&change.report), [Passed, Passed, Passed, Failed, Skipped, Passed, Passed]);
}

/// From a probe that fails to the report, and to the same report from the journal.
#[tokio::test(start_paused = true)]
async fn a_change_that_takes_the_api_server_down_says_for_how_long() {
    let fault = |kind, times| Fault { at: "probe".into(), unit: None, kind, times, says: None };
    // The first question, before the change, takes a fault as well; none is left for it.
    let mut faults = script(&[]);
    faults.faults = vec![fault(FaultKind::FailAfter, Some(0))];
    let never = ran(&plan(1, 1), &faults, &[]).await;
    let directory = tempfile::tempdir().unwrap();
    let run_directory = directory.path().join("run");
    let ledger = Arc::new(Ledger::default());
    faults.faults = vec![fault(FaultKind::Fail, None)];
    let (ended, _) = scripted(&plan(1, 1), &faults, &ledger, options(&run_directory), &[]).await;
    let unknown = ended.unwrap().report;
    let seen = |report: &RunReport| -> Vec<Availability> {
        report
            .availability()
            .map(|(_, case, one)| {
                assert_eq!(case.case.0, "change/scale-workers-3");
                one.clone()
            })
            .collect()
    };
    let [Availability { seen: Seen::Measured { downtime_ms: 0, failed: 0, probes, .. }, .. }] =
        &seen(&never.report)[..]
    else {
        panic!("{:?}", seen(&never.report))
    };
    assert!(*probes > 600, "a minute of more than ten probes a second: {probes}");
    let [Availability { seen: Seen::Unknown { why }, .. }] = &seen(&unknown)[..] else {
        panic!("{:?}", seen(&unknown))
    };
    assert_eq!(why, "it did not answer before the change: scripted fault at `probe`");
    assert_eq!(unknown.exit_status(), ExitStatus::Passed, "a change is judged by its end state");
    let (_, events, _) = reopen(&run_directory);
    assert_eq!(fold(events).unwrap(), unknown);
}

#[tokio::test(start_paused = true)]
async fn known_trouble_does_not_count_but_a_broken_network_does() {
    let mut plan = plan(1, 1);
    plan.runs[0].expected.insert(CHECKS[1].parse().unwrap(), "known".into());
    let known = ran(&plan, &script(&[("check/kubeconfig", FaultKind::Refuse)]), &[]).await;
    assert_eq!(known.report.exit_status(), ExitStatus::Passed);
    assert_eq!(known.report.units[0].cases[2].verdict, Verdict::Skipped);
    let broken = ran(&plan, &script(&[("check/kubeconfig", FaultKind::Fail)]), &[]).await;
    assert_eq!(broken.report.exit_status(), ExitStatus::Inconclusive);
}

#[tokio::test(start_paused = true)]
async fn an_invalid_value_must_be_refused_and_with_the_expected_words() {
    let with = |pattern: &str| {
        let mut plan = plan(1, 1);
        plan.runs[0].refusal = Some(pattern.to_owned());
        plan.runs[0].steps.clear();
        plan
    };
    let refuse = script(&[("create", FaultKind::Refuse)]);
    let judged = [
        (ran(&with("fault at .create"), &refuse, &[]).await, Verdict::Passed, "refused, as it must be"),
        (ran(&with("unsupported"), &refuse, &[]).await, Verdict::Failed, "not with the expected words"),
        (ran(&with("fault"), &script(&[]), &[]).await, Verdict::Failed, "but it was accepted"),
        // A broken network says nothing about the value.
        (ran(&with("fault"), &script(&[("create", FaultKind::Fail)]), &[]).await, Verdict::Errored, "fault"),
        (
            ran(&with("fault"), &script(&[("create", FaultKind::Hang)]), &[]).await,
            Verdict::Errored,
            "not end",
        ),
    ];
    for (ran, verdict, words) in judged {
        let provision = &ran.report.units[0].cases[0];
        assert_eq!(ran.report.verdict(), verdict, "{provision:?}");
        assert!(format!("{provision:?}").contains(words), "{words}: {provision:?}");
        assert_eq!(ran.report.clean, Cleanliness::Clean);
        assert_eq!(left(&ran), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_is_kept_on_request_only_when_it_failed() {
    let mut plan = plan(2, 2);
    plan.keep_on_failure = true;
    let mut script = script(&[("check/kubeconfig", FaultKind::Refuse)]);
    script.faults[0].unit = Some(plan.runs[0].id.to_string());
    let ran = ran(&plan, &script, &[]).await;
    assert_eq!(ran.report.units[0].clean, Cleanliness::Kept);
    assert_eq!(ran.report.units[1].clean, Cleanliness::Clean);
    assert_eq!(ran.report.clean, Cleanliness::Kept);
    assert_eq!(ran.report.exit_status(), ExitStatus::Failed);
    assert!(ran.report.units[0].commands.iter().any(|command| command.contains("sweep --run")));
    assert!(left(&ran) > 0, "the cluster is there");
}

#[tokio::test(start_paused = true)]
async fn the_first_interrupt_tears_down_and_proves_clean() {
    let after = |seconds| [(Duration::from_secs(seconds), Signal::Interrupt)];
    // While preparing, provisioning, checking, changing, tearing down.
    for (nanos, seconds) in [(50_000_000, 0), (0, 30), (0, 61), (0, 90), (0, 126)] {
        let mut signal = after(seconds);
        signal[0].0 += Duration::from_nanos(nanos);
        let ran = ran(&plan(5, 2), &script(&[]), &signal).await;
        assert_eq!(ran.report.cancelled, Some(CancelReason::Interrupt), "{signal:?}");
        assert_eq!(ran.report.exit_status(), ExitStatus::Interrupted, "{signal:?}");
        assert_eq!(ran.report.clean, Cleanliness::Clean, "{signal:?}");
        assert_eq!(left(&ran), 0, "{signal:?}");
        assert_eq!(ran.report.verdict(), Verdict::Errored, "an interrupted run never passes: {signal:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn sigterm_hands_over_within_two_seconds() {
    for at in [
        Duration::from_millis(50),
        Duration::from_secs(30),
        Duration::from_secs(61),
        Duration::from_secs(126),
    ] {
        for faults in [&[][..], &[("delete", FaultKind::Hang)][..]] {
            let ran = ran(&plan(4, 2), &script(faults), &[(at, Signal::Terminate)]).await;
            assert!(ran.elapsed - at <= Duration::from_secs(2), "{at:?}: {:?}", ran.elapsed - at);
            assert_eq!(ran.report.exit_status(), ExitStatus::Terminated);
            assert_ne!(ran.report.clean, Cleanliness::Clean, "nobody has looked");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_signal_does_not_wait_for_the_deletion() {
    let signals = [(Duration::from_secs(30), Signal::Interrupt), (Duration::from_secs(1), Signal::Interrupt)];
    let ran = ran(&plan(2, 2), &script(&[]), &signals).await;
    assert!(ran.elapsed <= Duration::from_secs(33), "{:?}", ran.elapsed);
    assert_eq!(ran.report.cancelled, Some(CancelReason::Abort));
    assert_eq!(ran.report.exit_status(), ExitStatus::Interrupted);
    // The deletion was asked for, so the cloud goes on with it alone; only the namespace stays.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(left(&ran), 1);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_tears_down_and_its_budget_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Arc::new(Ledger::default());
    let mut options = options(&directory.path().join("run"));
    options.deadline = Some(Duration::from_secs(90));
    options.teardown_budget = Duration::from_secs(30);
    let start = tokio::time::Instant::now();
    let script = script(&[("await-gone", FaultKind::Hang)]);
    let (ended, _) = scripted(&plan(2, 2), &script, &ledger, options, &[]).await;
    let report = ended.unwrap().report;
    assert!(start.elapsed() <= Duration::from_secs(90 + 30 + 2), "{:?}", start.elapsed());
    assert_ne!(report.clean, Cleanliness::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_killed_run_is_resumed_to_its_end() {
    // Killed after so many simulated seconds: the future is dropped, as SIGKILL drops a process.
    for seconds in [0, 1, 10, 61, 63, 70, 123, 125, 130, 136, 150, 200, 262] {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().join("run");
        let ledger = Arc::new(Ledger::default());
        let (plan, script) = (plan(4, 2), script(&[]));
        let life = scripted(&plan, &script, &ledger, options(&directory), &[]);
        let killed =
            tokio::time::timeout(Duration::from_secs(seconds) + Duration::from_millis(150), life).await;
        assert!(killed.is_err(), "the run must still be going on after {seconds} s");
        let (journal, events, _) = reopen(&directory);
        let mut options = options(&directory);
        options.resumed = Some((journal, events));
        let (ended, _) = scripted(&plan, &script, &ledger, options, &[]).await;
        let report = ended.unwrap().report;
        assert_eq!(report.exit_status(), ExitStatus::Passed, "killed after {seconds} s");
        assert_eq!(ledger.objects().unwrap(), [], "killed after {seconds} s");
        for unit in &report.units {
            let bad =
                unit.cases.iter().find(|case| !matches!(case.verdict, Verdict::Passed | Verdict::Flaky));
            assert_eq!(bad, None, "killed after {seconds} s");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_resumption_that_is_stopped_tears_down_what_the_earlier_life_left_and_can_be_resumed() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().join("run");
    let ledger = Arc::new(Ledger::default());
    // Only one at a time, so that most of what is left belongs to units that have not begun when the stop comes.
    let (mut plan, script) = (plan(4, 4), script(&[]));
    let life = scripted(&plan, &script, &ledger, options(&directory), &[]);
    assert!(tokio::time::timeout(Duration::from_secs(30), life).await.is_err());
    plan.concurrency = 1;
    let resumed = || {
        let (journal, events, _) = reopen(&directory);
        let mut options = options(&directory);
        options.resumed = Some((journal, events));
        options
    };
    let stop = [(Duration::from_millis(300), Signal::Interrupt)];
    let (ended, _) = scripted(&plan, &script, &ledger, resumed(), &stop).await;
    let report = ended.unwrap().report;
    assert_eq!(report.exit_status(), ExitStatus::Interrupted);
    assert_eq!(report.clean, Cleanliness::Clean);
    assert_eq!(ledger.objects().unwrap(), []);
    let (ended, _) = scripted(&plan, &script, &ledger, resumed(), &[]).await;
    let report = ended.unwrap().report;
    assert_eq!(report.exit_status(), ExitStatus::Passed, "what was cut short is done after all");
    let bad = |verdict| report.units.iter().flat_map(|unit| &unit.cases).any(|case| case.verdict == verdict);
    assert!(!bad(Verdict::Flaky), "to be cut short is not to fail");
    assert_eq!(ledger.objects().unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_run_killed_before_its_first_event_begins_when_it_is_resumed() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().join("run");
    drop(Journal::create(&directory).unwrap());
    let (journal, events, _) = reopen(&directory);
    assert_eq!(events, []);
    let ledger = Arc::new(Ledger::default());
    let mut options = options(&directory);
    options.resumed = Some((journal, events));
    let (ended, _) = scripted(&plan(1, 1), &script(&[]), &ledger, options, &[]).await;
    assert_eq!(ended.unwrap().report.exit_status(), ExitStatus::Passed);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_created_before_its_intent_is_on_disk() {
    let ran = ran(&plan(3, 3), &script(&[]), &[]).await;
    let position = |wanted: fn(&EventKind) -> bool| ran.events.iter().position(wanted).unwrap();
    let intent = position(|kind| matches!(kind, EventKind::Intent { .. }));
    let prepared = position(|kind| matches!(kind, EventKind::Prepared { .. }));
    assert!(intent < prepared);
    for unit in &ran.report.units {
        assert!(
            unit.cases.iter().all(|case| case.failure().is_none_or(|f| f.class != FailureClass::Harness))
        );
    }
}
