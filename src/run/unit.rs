//! The life of one unit, straight through: provision, steps, and on every path the epilogue: collect, tear down,
//! prove clean.

use super::clock::Clock;
use super::dispatcher::Input;
use super::refusal::refused_as_wanted;
use super::world::{API_SERVER, Memory, World};
use crate::check::Checked;
use crate::cluster::Why;
use crate::event::{
    Act, Availability, CancelReason, Cleanliness, Event, EventKind, Failure, FailureClass, Outcome, Phase,
    Seen,
};
use crate::plan::{Plan, PlannedRun, StepAction};
use crate::stack::addon::Hook;
use crate::types::{CaseId, CombinationId};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// What a single call may take on top of the limits that the provider keeps itself. It ends what would never end.
const CALL_LIMIT: Duration = Duration::from_secs(120);

/// After that long a delete call that fails is not tried again.
const ASKING_LIMIT: Duration = Duration::from_secs(60);
/// For the listing, after a delete call that nobody took.
const LAST_CHANCE: Duration = Duration::from_secs(30);

/// A unit's connection to the dispatcher.
pub(super) struct Unit {
    pub(super) plan: Arc<Plan>,
    pub(super) index: usize,
    pub(super) world: Arc<World>,
    pub(super) clock: Clock,
    pub(super) inputs: mpsc::UnboundedSender<Input>,
    pub(super) cancel: watch::Receiver<Option<CancelReason>>,
    pub(super) run_directory: PathBuf,
    /// The command that removes what the run left.
    pub(super) sweep: Arc<str>,
    /// How often each case has ended before, in an earlier life of the run.
    pub(super) attempts: BTreeMap<CaseId, u32>,
    /// Whether an earlier life may have left a cluster of this unit.
    pub(super) dirty: bool,
}

/// How long a delete call may still take when the run is to end at once; the whole hand-over has 2 seconds.
const HANDOVER: Duration = Duration::from_millis(800);

/// What the journal says about a unit of a killed run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Earlier {
    /// It came to its own end, and was proven clean: nothing is to be done.
    pub done: bool,
    /// Something of it may exist.
    pub dirty: bool,
    /// How often each case has ended.
    pub attempts: BTreeMap<CaseId, u32>,
}

/// Reads from a journal what is left to do for each unit.
#[must_use]
#[deny(clippy::wildcard_enum_match_arm)]
pub fn resumable(events: &[Event]) -> BTreeMap<CombinationId, Earlier> {
    let mut units: BTreeMap<CombinationId, Earlier> = BTreeMap::new();
    let mut planned: BTreeMap<&CombinationId, &[CaseId]> = BTreeMap::new();
    // What ended a case last; a case that was cut short is none that ended.
    let mut ended: BTreeMap<(&CombinationId, &CaseId), bool> = BTreeMap::new();
    let mut cancelled = false;
    for event in events {
        match &event.kind {
            EventKind::RunStarted { units, .. } => {
                planned = units.iter().map(|unit| (&unit.id, unit.cases.as_slice())).collect();
            }
            EventKind::RunResumed { .. } => cancelled = false,
            EventKind::Cancelled { .. } => cancelled = true,
            EventKind::Prepared { .. }
            | EventKind::UnitStarted
            | EventKind::PhaseStarted { .. }
            | EventKind::Intent { .. }
            | EventKind::Waiting { .. }
            | EventKind::CaseFinished { .. }
            | EventKind::Collected { .. }
            | EventKind::Kept { .. }
            | EventKind::UnitFinished { .. }
            | EventKind::RunFinished { .. } => {}
        }
        let Some(id) = &event.unit else { continue };
        let unit = units.entry(id.clone()).or_default();
        match &event.kind {
            EventKind::UnitStarted => unit.done = false,
            EventKind::Intent { act: Act::Create, .. } => unit.dirty = true,
            EventKind::CaseFinished { case, outcome, .. } => {
                *unit.attempts.entry(case.clone()).or_default() += 1;
                let cut_short = |failure: &Failure| failure.class == FailureClass::Cancelled;
                let whole = !matches!(outcome, Outcome::Failed { failure, .. } if cut_short(failure));
                ended.insert((id, case), whole);
            }
            EventKind::UnitFinished { clean } => {
                let whole = |case: &CaseId| ended.get(&(id, case)).copied().unwrap_or(false);
                let cut_short = cancelled && !planned.get(id).is_some_and(|cases| cases.iter().all(whole));
                unit.done = *clean == Cleanliness::Clean && !cut_short;
                unit.dirty = *clean != Cleanliness::Clean;
            }
            EventKind::RunStarted { .. }
            | EventKind::RunResumed { .. }
            | EventKind::Prepared { .. }
            | EventKind::PhaseStarted { .. }
            | EventKind::Intent { .. }
            | EventKind::Waiting { .. }
            | EventKind::Collected { .. }
            | EventKind::Kept { .. }
            | EventKind::Cancelled { .. }
            | EventKind::RunFinished { .. } => {}
        }
    }
    units
}

/// Why a unit must not act.
struct Stopped;

/// How a tear-down ended.
struct TornDown {
    ended: Result<(), Failure>,
    proof_began: jiff::Timestamp,
    clean: Cleanliness,
}

impl Unit {
    fn run(&self) -> &PlannedRun {
        &self.plan.runs[self.index]
    }

    fn cancelled(&self) -> Option<CancelReason> {
        *self.cancel.borrow()
    }

    /// Tells what happened. The dispatcher outlives its units, so nothing is lost.
    fn tell(&self, kind: EventKind) {
        let at = self.clock.now();
        let event = Event { at, unit: Some(self.run().id.clone()), kind };
        let _ = self.inputs.send(Input::Event { event, ack: None });
    }

    /// Announces an act, and returns once it is on disk.
    async fn intent(&self, act: Act) -> Result<(), Stopped> {
        let object = self.world.object(&self.plan, self.run());
        let kind = EventKind::Intent { act, object };
        let event = Event { at: self.clock.now(), unit: Some(self.run().id.clone()), kind };
        let (ack, written) = oneshot::channel();
        let _ = self.inputs.send(Input::Event { event, ack: Some(ack) });
        match written.await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Stopped),
        }
    }

    fn why(&self, phase: Phase) -> impl FnMut(&Why) + use<> {
        let (inputs, clock, id) = (self.inputs.clone(), self.clock, self.run().id.clone());
        move |why: &Why| {
            let kind = EventKind::Waiting { phase, why: why.to_string() };
            let event = Event { at: clock.now(), unit: Some(id.clone()), kind };
            let _ = inputs.send(Input::Event { event, ack: None });
        }
    }

    fn ended(&self, case: &CaseId, started: jiff::Timestamp, outcome: Outcome) {
        self.ended_with(case, started, outcome, Vec::new());
    }

    fn ended_with(
        &self,
        case: &CaseId,
        started: jiff::Timestamp,
        outcome: Outcome,
        availability: Vec<Availability>,
    ) {
        let attempt = self.attempts.get(case).copied().unwrap_or(0);
        self.tell(EventKind::CaseFinished { case: case.clone(), attempt, started, outcome, availability });
    }

    /// Carries out `work` until it ends, the run is cancelled, or `limit` is over.
    async fn guarded<T>(
        &self,
        what: &str,
        limit: Duration,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let mut cancel = self.cancel.clone();
        tokio::select! {
            biased;
            reason = cancel.wait_for(Option::is_some) => {
                let reason = reason.ok().and_then(|reason| *reason);
                let words = reason.map_or("the run has ended", CancelReason::as_str);
                Err(Failure::new(FailureClass::Cancelled, format!("{what} was stopped: {words}")))
            }
            ended = tokio::time::timeout(limit, work) => ended.unwrap_or_else(|_| Err(overdue(what, limit))),
        }
    }

    /// The whole life.
    pub(super) async fn live(mut self) {
        self.tell(EventKind::UnitStarted);
        if self.dirty && !self.reclaim().await {
            return;
        }
        let mut memory = self.world.begin();
        let mut cause: Option<Failure> = None;
        let created = self.provision(&mut memory, &mut cause).await;
        self.steps(&mut memory, &mut cause).await;
        self.epilogue(&memory, cause, created).await;
    }

    /// Only tears down what an earlier life left, because the run is about to end.
    pub(super) async fn clear(mut self) {
        self.tell(EventKind::UnitStarted);
        if self.reclaim().await {
            self.tell(EventKind::UnitFinished { clean: Cleanliness::Clean });
        }
    }

    /// Only the end of a life, for a unit whose task has died.
    pub(super) async fn bury(self, failure: Failure) {
        let memory = self.world.begin();
        self.epilogue(&memory, Some(failure), true).await;
    }

    /// An earlier life of the run may have left this unit's cluster: that goes first.
    async fn reclaim(&mut self) -> bool {
        let TornDown { ended, clean, .. } = self.tear_down().await;
        if let (Ok(()), Cleanliness::Clean) = (&ended, &clean) {
            return true;
        }
        if let Err(failure) = ended {
            self.ended(&case("tear-down"), self.clock.now(), failed(failure));
        }
        self.tell(EventKind::UnitFinished { clean });
        false
    }

    /// Whether the create call was announced; from then on there is something to tear down, whatever came of it.
    async fn provision(&self, memory: &mut Memory, cause: &mut Option<Failure>) -> bool {
        let case = case("provision");
        let started = self.clock.now();
        self.tell(EventKind::PhaseStarted { phase: Phase::Provision });
        if self.intent(Act::Create).await.is_err() {
            let words = self.cancelled().map_or("its intent could not be written down", CancelReason::as_str);
            let failure = Failure::new(FailureClass::Cancelled, format!("nothing was created: {words}"));
            self.ended(&case, started, failed(failure.clone()));
            *cause = Some(failure);
            return false;
        }
        let run = self.run();
        let work = async {
            let created = tokio::time::timeout(CALL_LIMIT, self.world.create(run)).await;
            created.unwrap_or_else(|_| Err(overdue("the create call", CALL_LIMIT)))?;
            self.world.provision(run, memory, self.why(Phase::Provision)).await
        };
        let ended = self.guarded("provisioning", run.timeouts.provision + CALL_LIMIT, work).await;
        let ended = match &run.refusal {
            Some(pattern) => refused_as_wanted("cluster", pattern, ended),
            None => ended,
        };
        match ended {
            Ok(note) => self.ended(&case, started, Outcome::Passed { note }),
            Err(failure) => {
                self.ended(&case, started, failed(failure.clone()));
                *cause = Some(of_case(&case, failure));
            }
        }
        true
    }

    /// A failed change makes what follows meaningless; a failed check does not.
    async fn steps(&self, memory: &mut Memory, cause: &mut Option<Failure>) {
        let mut blocked: Option<String> = cause.as_ref().map(|_| "provision failed".into());
        let mut phase = Phase::Provision;
        let mut enter = |next: Phase| {
            // One word for a row of checks is enough.
            if next != phase {
                phase = next;
                self.tell(EventKind::PhaseStarted { phase });
            }
        };
        for step in &self.run().steps {
            if self.cancelled().is_some() {
                // What has no outcome is reported as never run, with the reason of the cancellation.
                return;
            }
            let mut started = self.clock.now();
            if blocked.is_none() {
                blocked = self.world.blind(self.run());
            }
            if let Some(why) = &blocked {
                self.ended(&step.case, started, Outcome::Skipped { reason: format!("not run: {why}") });
                continue;
            }
            let mut availability = Vec::new();
            let outcome = match &step.action {
                StepAction::Refused { refusal, .. } => {
                    enter(Phase::Change);
                    if self.intent(Act::Change).await.is_err() {
                        return;
                    }
                    let run = self.run();
                    let work = self.world.attempt(run, &step.case, &step.target);
                    let tried = self.guarded(&format!("`{}`", step.case), CALL_LIMIT, work).await;
                    match refused_as_wanted("change", refusal, tried) {
                        Ok(note) => Outcome::Passed { note },
                        Err(failure) => {
                            // Whatever the cluster is now, it is not what the next step thinks.
                            blocked = Some(format!("{} failed", step.case));
                            failed(failure)
                        }
                    }
                }
                StepAction::Skip(reason) => Outcome::Skipped { reason: reason.clone() },
                StepAction::Check(name) => {
                    enter(Phase::Check);
                    let run = self.run();
                    let work =
                        async { Ok(self.world.check(run, &step.case, name, &step.target, memory).await) };
                    let limit = run.timeouts.check + CALL_LIMIT;
                    let checked = self.guarded(&format!("check `{name}`"), limit, work).await;
                    let known = run.expected.get(name).cloned();
                    match checked.unwrap_or_else(Checked::Failed) {
                        Checked::Passed(note) if known.is_some() => Outcome::Passed {
                            note: format!("{note} (expected to fail, but passed: remove the `expect` entry)"),
                        },
                        Checked::Passed(note) => Outcome::Passed { note },
                        Checked::Skipped(reason) => Outcome::Skipped { reason },
                        // Only the product can be expected to fail; a broken network is never known trouble.
                        Checked::Failed(failure) => Outcome::Failed {
                            expected: known.filter(|_| failure.class == FailureClass::CheckFailed),
                            failure,
                        },
                    }
                }
                StepAction::Addon(addon) => {
                    let ahead = addon.hook != Hook::AfterControlPlaneInitialized;
                    enter(if ahead { Phase::Change } else { Phase::Check });
                    if ahead && self.intent(Act::Change).await.is_err() {
                        return;
                    }
                    let run = self.run();
                    let mut why = self.why(Phase::Change);
                    let work =
                        async { Ok(self.world.addon(run, addon, &step.target, memory, &mut why).await) };
                    let limit = run.timeouts.change + CALL_LIMIT;
                    let came = self.guarded(&format!("`{}`", step.case), limit, work).await;
                    let (began, checked) = came.unwrap_or_else(|failure| (None, Checked::Failed(failure)));
                    started = began.unwrap_or(started);
                    match checked {
                        Checked::Passed(note) => Outcome::Passed { note },
                        Checked::Skipped(reason) => Outcome::Skipped { reason },
                        Checked::Failed(failure) => {
                            // An upgrade is never let go without its add-ons.
                            if ahead {
                                blocked = Some(format!("{} failed", step.case));
                            }
                            failed(failure)
                        }
                    }
                }
                StepAction::Change(_) => {
                    enter(Phase::Change);
                    if self.intent(Act::Change).await.is_err() {
                        return;
                    }
                    let run = self.run();
                    let why = self.why(Phase::Change);
                    let work =
                        async { Ok(self.world.change(run, &step.case, &step.target, memory, why).await) };
                    let limit = run.timeouts.change + CALL_LIMIT;
                    let cut_short = |failure: Failure| {
                        let why = failure.summary.clone();
                        let unknown =
                            Availability { service: API_SERVER.into(), seen: Seen::Unknown { why } };
                        (Err(failure), vec![unknown])
                    };
                    let changed = self.guarded(&format!("`{}`", step.case), limit, work).await;
                    let (ended, seen) = changed.unwrap_or_else(cut_short);
                    availability = seen;
                    match ended {
                        Ok(note) => Outcome::Passed { note },
                        Err(failure) => {
                            blocked = Some(format!("{} failed", step.case));
                            failed(failure)
                        }
                    }
                }
            };
            if let Outcome::Failed { failure, expected: None } = &outcome {
                cause.get_or_insert_with(|| of_case(&step.case, failure.clone()));
            }
            self.ended_with(&step.case, started, outcome, availability);
        }
    }

    /// On every path: evidence when something failed, then tear down, then the proof.
    async fn epilogue(&self, memory: &Memory, cause: Option<Failure>, created: bool) {
        let run = self.run();
        let own_fault = cause.as_ref().is_some_and(|failure| failure.class != FailureClass::Cancelled);
        if let Some(failure) = cause.as_ref().filter(|_| own_fault && self.cancelled().is_none()) {
            self.collect(memory, failure).await;
            if self.plan.keep_on_failure && created {
                let mut commands = self.world.commands(&self.plan, run);
                commands.push(self.sweep.to_string());
                self.tell(EventKind::Kept { commands });
                for name in ["tear-down", "prove-clean"] {
                    let reason = "kept on request (--keep-on-failure)".into();
                    self.ended(&case(name), self.clock.now(), Outcome::Skipped { reason });
                }
                self.tell(EventKind::UnitFinished { clean: Cleanliness::Kept });
                return;
            }
        }
        if !created {
            for name in ["tear-down", "prove-clean"] {
                let reason = "nothing was created".into();
                self.ended(&case(name), self.clock.now(), Outcome::Skipped { reason });
            }
            self.tell(EventKind::UnitFinished { clean: Cleanliness::Clean });
            return;
        }
        let started = self.clock.now();
        let TornDown { ended, proof_began, clean } = self.tear_down().await;
        let handed_over = ended.as_ref().is_err_and(|failure| failure.class == FailureClass::Cancelled);
        match ended {
            Ok(()) => self.ended(&case("tear-down"), started, Outcome::Passed { note: String::new() }),
            Err(failure) => self.ended(&case("tear-down"), started, failed(failure)),
        }
        let proven = match &clean {
            Cleanliness::Clean => Outcome::Passed { note: "nothing of the cluster is left".into() },
            Cleanliness::Left { objects } => {
                // One line has room for a few; the rest are the evidence.
                let names: Vec<String> = objects.iter().map(ToString::to_string).collect();
                let few = names.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
                let more = match objects.len().saturating_sub(3) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                let summary = format!("{} objects are left: {few}{more}", objects.len());
                let failure = Failure::new(FailureClass::Leftover, summary).detail(names.join("\n"));
                failed(failure.about(objects.first().cloned()))
            }
            Cleanliness::Unknown { why } => failed(Failure::new(
                if handed_over { FailureClass::Cancelled } else { FailureClass::Leftover },
                format!("not known whether anything is left: {why}"),
            )),
            Cleanliness::Kept => Outcome::Skipped { reason: "kept on request".into() },
        };
        self.ended(&case("prove-clean"), proof_began, proven);
        self.tell(EventKind::UnitFinished { clean });
    }

    async fn collect(&self, memory: &Memory, failure: &Failure) {
        self.tell(EventKind::PhaseStarted { phase: Phase::Collect });
        let relative = format!("evidence/{}", self.run().id);
        let directory = self.run_directory.join(&relative);
        let cause = match &failure.object {
            Some(object) if !failure.summary.contains(&object.name) => {
                format!("{} ({object})", failure.summary)
            }
            Some(_) | None => failure.summary.clone(),
        };
        let work = self.world.collect(self.run(), memory, &cause, &directory);
        let collected = tokio::time::timeout(CALL_LIMIT, work).await;
        let (files, trouble) = match collected {
            Ok(collected) => (collected.files, collected.trouble),
            Err(_) => (Vec::new(), vec![overdue("collecting evidence", CALL_LIMIT).summary]),
        };
        let files = files.into_iter().map(|file| format!("{relative}/{file}")).collect();
        self.tell(EventKind::Collected { files, trouble });
    }

    /// Deletes, waits and lists. A run that is to end at once only asks for the deletion; whoever resumes or
    /// sweeps does the rest.
    async fn tear_down(&self) -> TornDown {
        self.tell(EventKind::PhaseStarted { phase: Phase::TearDown });
        // Written down or not: deleting what one made needs no permission, and a full disk must not prevent it.
        let _ = self.intent(Act::Delete).await;
        let run = self.run();
        let mut cancel = self.cancel.clone();
        let at_once = async {
            let _ = cancel.wait_for(|reason| *reason >= Some(CancelReason::Terminate)).await;
            tokio::time::sleep(HANDOVER).await;
        };
        let rest = async {
            let limit = run.timeouts.delete + CALL_LIMIT;
            let (waited, list_limit) = match self.ask_for_deletion().await {
                Ok(()) => {
                    let gone = self.world.await_gone(run, self.why(Phase::TearDown));
                    let gone = tokio::time::timeout(limit, gone).await;
                    (gone.unwrap_or_else(|_| Err(overdue("the deletion", limit))), CALL_LIMIT)
                }
                // Whoever did not even take the request has had all the time there is.
                Err(failure) => (Err(failure), LAST_CHANCE),
            };
            self.tell(EventKind::PhaseStarted { phase: Phase::ProveClean });
            let proof_began = self.clock.now();
            let listed = tokio::time::timeout(list_limit, self.world.left(run)).await;
            let clean = listed.unwrap_or_else(|_| Cleanliness::Unknown {
                why: match &waited {
                    Ok(()) => overdue("the listing", list_limit).summary,
                    Err(before) => {
                        format!(
                            "{}; before it: {}",
                            overdue("the listing", list_limit).summary,
                            before.summary
                        )
                    }
                },
            });
            TornDown { ended: waited, proof_began, clean }
        };
        tokio::select! {
            biased;
            _ = at_once => {
                let why = "its deletion was asked for, but not awaited".to_owned();
                TornDown {
                    ended: Err(Failure::new(FailureClass::Cancelled, why.clone())),
                    proof_began: self.clock.now(),
                    clean: Cleanliness::Unknown { why },
                }
            }
            ended = rest => ended,
        }
    }

    /// The delete call, a few times: a cluster that nobody asked to delete is a leak for certain. A call that has
    /// taken long was tried again by the provider itself.
    async fn ask_for_deletion(&self) -> Result<(), Failure> {
        let mut pause = Duration::from_secs(1);
        let enough = tokio::time::Instant::now() + ASKING_LIMIT;
        loop {
            let asked = tokio::time::timeout(CALL_LIMIT, self.world.delete(self.run())).await;
            let failure = match asked.unwrap_or_else(|_| Err(overdue("the delete call", CALL_LIMIT))) {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            if pause > Duration::from_secs(4) || tokio::time::Instant::now() >= enough {
                return Err(failure);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }
}

fn case(name: &str) -> CaseId {
    CaseId(name.into())
}

fn failed(failure: Failure) -> Outcome {
    Outcome::Failed { failure, expected: None }
}

/// The cause of a unit's failure says in which case it came up.
fn of_case(case: &CaseId, failure: Failure) -> Failure {
    Failure { summary: format!("{case}: {}", failure.summary), ..failure }
}

fn overdue(what: &str, limit: Duration) -> Failure {
    let summary = format!("{what} did not end within {}", crate::types::show_duration(limit));
    Failure::new(FailureClass::Infrastructure, summary)
}
