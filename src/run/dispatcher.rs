//! The owner of a run's state: select an input, apply it synchronously, act on what follows.

use super::clock::Clock;
use super::unit::{Earlier, Unit, resumable};
use super::world::World;
use crate::cluster::Why;
use crate::event::{Act, CancelReason, Cleanliness, Event, EventKind, Failure, FailureClass, Outcome, Phase};
use crate::plan::{Admission, Plan};
use crate::results::{FoldError, Folder, Journal, JournalError, RunReport, redacted};
use crate::types::{CaseId, ObjectRef, Redactor, show_duration};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The shared preparation makes a few dozen objects. Releases that the operator brings have their own limit besides.
const PREPARE_LIMIT: Duration = Duration::from_secs(300);
/// A namespace that holds no Cluster any more goes within seconds.
const FINISH_LIMIT: Duration = Duration::from_secs(180);
/// SIGTERM: everything is handed over within 2 seconds; the rest is for writing reports and ending.
const HANDOVER: Duration = Duration::from_millis(1500);

/// What somebody outside asks of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT.
    Interrupt,
    /// SIGTERM or SIGHUP.
    Terminate,
}

/// How a run is carried out.
pub struct Options {
    /// The run's directory: the journal is there, evidence goes below it.
    pub directory: PathBuf,
    /// The journal to continue, with its events; `None` for a new run. Without events the run begins.
    pub resumed: Option<(Journal, Vec<Event>)>,
    /// How long the run may take as a whole; when it is over, everything is torn down.
    pub deadline: Option<Duration>,
    /// How long the tear-down may take after the first SIGINT or the deadline.
    pub teardown_budget: Duration,
    /// Everything that is written passes through it.
    pub redactor: Redactor,
    /// The version of the harness, for the report.
    pub harness: String,
    /// The command that removes what the run left, as people would type it.
    pub sweep: String,
}

/// Why a run could not be carried out to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The journal cannot be written: nothing may be created without it.
    #[error("the journal cannot be written")]
    Journal(#[from] JournalError),
    /// The events make no sense: a defect.
    #[error("the events of the run make no report")]
    Fold(#[from] FoldError),
}

/// How a run ended.
#[derive(Debug)]
pub struct RunEnd {
    /// What it came to.
    pub report: RunReport,
    /// The first error of the journal, if it broke on the way. Nothing was created after it.
    pub journal_error: Option<JournalError>,
}

/// Who hears of events: reporters. It is also given the report after every unit, to write it down.
pub trait Sink {
    /// Something happened in an earlier life of the run; it was told then.
    fn earlier(&mut self, event: &Event);
    /// Something happened.
    fn event(&mut self, event: &Event);
    /// A second has passed: for screens that show how long something takes.
    fn tick(&mut self, now: jiff::Timestamp);
    /// A unit has ended, or the run has.
    fn report(&mut self, report: &RunReport);
}

/// What the dispatcher reacts to.
pub(super) enum Input {
    Event { event: Event, ack: Option<oneshot::Sender<bool>> },
}

enum Happening {
    Input(Input),
    UnitEnded(usize, Option<String>),
    Prepared(Option<Failure>),
    Finished(Cleanliness),
    Signal(Signal),
    Deadline,
    HandoverOver,
    BudgetOver,
}

/// What the tasks of a run end with.
enum Ended {
    Unit(usize),
    Prepare(Option<Failure>),
    Finish(Cleanliness),
}

struct Dispatcher {
    plan: Arc<Plan>,
    world: Arc<World>,
    clock: Clock,
    directory: PathBuf,
    sweep: Arc<str>,
    redactor: Redactor,
    journal: Journal,
    /// The first error of the journal; after it nothing is created.
    journal_error: Option<JournalError>,
    folder: Folder,
    cancel: watch::Sender<Option<CancelReason>>,
    inputs: mpsc::UnboundedSender<Input>,
    tasks: JoinSet<Ended>,
    /// Which unit a task carries out, for a task that dies without a word.
    owners: BTreeMap<tokio::task::Id, usize>,
    /// Which units wait, and which of them may start: decided in there, nowhere else.
    admission: Admission,
    alive: usize,
    earlier: BTreeMap<usize, Earlier>,
    prepared: bool,
    stage: Stage,
    /// The proof for the whole run, once there is one.
    clean: Option<Cleanliness>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Preparing,
    Running,
    Finishing,
    Done,
}

/// Carries out a plan in a world. Always comes to an end, and always says what is known of leftovers.
///
/// # Errors
/// See [`RunError`]; even then, what was created has been torn down as far as possible.
pub async fn run(
    plan: Arc<Plan>,
    world: Arc<World>,
    options: Options,
    mut signals: mpsc::UnboundedReceiver<Signal>,
    sink: &mut dyn Sink,
) -> Result<RunEnd, RunError> {
    let (send, mut inputs) = mpsc::unbounded_channel();
    let clock = Clock::starting_at(jiff::Timestamp::now());
    let (journal, before) = match options.resumed {
        Some((journal, events)) => (journal, events),
        None => (Journal::create(&options.directory)?, Vec::new()),
    };
    let admission = Admission::new(&plan);
    let mut dispatcher = Dispatcher {
        plan,
        world,
        clock,
        directory: options.directory,
        sweep: options.sweep.into(),
        redactor: options.redactor,
        journal,
        journal_error: None,
        folder: Folder::default(),
        cancel: watch::Sender::new(None),
        inputs: send,
        tasks: JoinSet::new(),
        owners: BTreeMap::new(),
        admission,
        alive: 0,
        earlier: BTreeMap::new(),
        prepared: false,
        stage: Stage::Preparing,
        clean: None,
    };
    dispatcher.begin(&before, options.harness, sink)?;
    let deadline = options.deadline.map(|limit| Instant::now() + limit);
    let mut stop_at: Option<Instant> = None;
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    while dispatcher.stage != Stage::Done {
        let happening = tokio::select! {
            biased;
            Some(signal) = signals.recv() => Happening::Signal(signal),
            Some(input) = inputs.recv() => Happening::Input(input),
            Some(ended) = dispatcher.tasks.join_next_with_id() => dispatcher.ended(ended),
            () = until(stop_at) => match dispatcher.reason() {
                Some(CancelReason::Deadline | CancelReason::Interrupt) => Happening::BudgetOver,
                Some(CancelReason::Terminate | CancelReason::Abort) | None => Happening::HandoverOver,
            },
            () = until(deadline), if dispatcher.reason().is_none() => Happening::Deadline,
            _ = ticks.tick() => {
                sink.tick(clock.now());
                continue;
            }
        };
        let reason = dispatcher.reason();
        dispatcher.apply(happening, sink);
        if dispatcher.reason() != reason {
            stop_at = dispatcher.reason().map(|reason| {
                Instant::now()
                    + match reason {
                        CancelReason::Deadline | CancelReason::Interrupt => options.teardown_budget,
                        CancelReason::Terminate | CancelReason::Abort => HANDOVER,
                    }
            });
        }
    }
    dispatcher.tasks.shutdown().await;
    // What the tasks said before they ended.
    while let Ok(Input::Event { event, ack: _ }) = inputs.try_recv() {
        dispatcher.record(event, false, sink);
    }
    let clean = dispatcher.conclusion();
    dispatcher.say(EventKind::RunFinished { clean }, sink);
    let report = dispatcher.folder.report()?;
    sink.report(&report);
    Ok(RunEnd { report, journal_error: dispatcher.journal_error })
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

impl Dispatcher {
    fn reason(&self) -> Option<CancelReason> {
        *self.cancel.borrow()
    }

    /// Writes the beginning down and starts the preparation.
    fn begin(&mut self, before: &[Event], harness: String, sink: &mut dyn Sink) -> Result<(), RunError> {
        for event in before {
            self.folder.apply(event)?;
            sink.earlier(event);
        }
        if before.is_empty() {
            let (run, shard) = (self.plan.run.clone(), self.plan.shard);
            self.say(
                EventKind::RunStarted {
                    units: self.plan.runs.iter().map(|planned| planned.info(&run, shard)).collect(),
                    left_out: self.plan.left_out.clone(),
                    run,
                    harness,
                },
                sink,
            );
        } else {
            let mut earlier = resumable(before);
            for (index, planned) in self.plan.runs.iter().enumerate() {
                if let Some(unit) = earlier.remove(&planned.id) {
                    self.earlier.insert(index, unit);
                }
            }
            let open = |index: &usize| !self.earlier.get(index).is_some_and(|unit| unit.done);
            let unfinished = (0..self.plan.runs.len())
                .filter(open)
                .map(|index| self.plan.runs[index].id.clone())
                .collect();
            self.say(EventKind::RunResumed { unfinished }, sink);
        }
        if let Some(error) = self.journal_error.take() {
            return Err(error.into());
        }
        for (&index, _) in self.earlier.iter().filter(|(_, unit)| unit.done) {
            self.admission.ended(index);
        }
        if self.admission.waiting().is_empty() && !before.is_empty() {
            // Killed between its last unit and its last word: what is shared may be gone already.
            self.stage = Stage::Running;
            self.go_on();
            return Ok(());
        }
        let object = ObjectRef {
            kind: "Namespace".into(),
            namespace: String::new(),
            name: self.plan.namespace.to_string(),
        };
        // The journal names the namespace before it exists.
        self.say(EventKind::Intent { act: Act::Create, object }, sink);
        let (world, inputs, clock) = (self.world.clone(), self.inputs.clone(), self.clock);
        let limit = PREPARE_LIMIT + self.plan.releases_within();
        self.tasks.spawn(async move {
            let on_why = move |why: &Why| {
                let kind = EventKind::Waiting { phase: Phase::Provision, why: why.to_string() };
                let _ = inputs
                    .send(Input::Event { event: Event { at: clock.now(), unit: None, kind }, ack: None });
            };
            let ended = tokio::time::timeout(limit, world.prepare(on_why)).await;
            let overdue = || {
                let words = format!("the preparation did not end within {}", show_duration(limit));
                Err(Failure::new(FailureClass::Infrastructure, words))
            };
            Ended::Prepare(ended.unwrap_or_else(|_| overdue()).err())
        });
        Ok(())
    }

    fn ended(&mut self, ended: Result<(tokio::task::Id, Ended), tokio::task::JoinError>) -> Happening {
        match ended {
            Ok((id, ended)) => {
                self.owners.remove(&id);
                match ended {
                    Ended::Unit(index) => Happening::UnitEnded(index, None),
                    Ended::Prepare(failure) => Happening::Prepared(failure),
                    Ended::Finish(clean) => Happening::Finished(clean),
                }
            }
            Err(error) => {
                let owner = self.owners.remove(&error.id());
                let words = panic_words(error);
                match owner {
                    Some(index) => Happening::UnitEnded(index, Some(words)),
                    None if self.stage == Stage::Preparing => {
                        Happening::Prepared(Some(Failure::new(FailureClass::Harness, words)))
                    }
                    None => Happening::Finished(Cleanliness::Unknown { why: words }),
                }
            }
        }
    }

    fn apply(&mut self, happening: Happening, sink: &mut dyn Sink) {
        match happening {
            Happening::Input(Input::Event { event, ack }) => {
                let creates = matches!(event.kind, EventKind::Intent { act: Act::Create | Act::Change, .. });
                let durable = ack.is_some();
                // Nothing new once the run is to end; and nothing at all without a journal.
                let allowed = !(creates && self.reason().is_some());
                let unit_ended = matches!(event.kind, EventKind::UnitFinished { .. });
                let written = allowed && self.record(event, durable, sink);
                if let Some(ack) = ack {
                    let _ = ack.send(written);
                }
                if unit_ended && let Ok(report) = self.folder.report() {
                    sink.report(&report);
                }
            }
            Happening::Prepared(failure) => {
                self.prepared = failure.is_none();
                self.say(EventKind::Prepared { failure }, sink);
                self.stage = Stage::Running;
                self.go_on();
            }
            Happening::UnitEnded(index, died) => {
                self.alive -= 1;
                self.admission.ended(index);
                if let Some(words) = died {
                    self.bury(index, &words, sink);
                }
                self.go_on();
            }
            Happening::Finished(clean) => {
                self.finished(clean);
            }
            Happening::Signal(signal) => self.cancel(signal, sink),
            Happening::Deadline => self.stop(CancelReason::Deadline, sink),
            Happening::BudgetOver => self.stop(CancelReason::Abort, sink),
            Happening::HandoverOver => self.stage = Stage::Done,
        }
    }

    /// Starts what may be started; when nothing is left to do, the last stage.
    fn go_on(&mut self) {
        if self.stage != Stage::Running {
            return;
        }
        let may_start = self.prepared && self.reason().is_none() && self.journal_error.is_none();
        // Those that start can make way for others at the same moment, so the question is asked again.
        let may_start_now = |dispatcher: &mut Self| match may_start {
            true => dispatcher.admission.admit(dispatcher.milliseconds()),
            false => Vec::new(),
        };
        let mut admitted = may_start_now(self);
        while !admitted.is_empty() {
            for index in admitted {
                let unit = self.unit(index);
                self.start(index, unit.live());
            }
            admitted = may_start_now(self);
        }
        // The run is to end, but what an earlier life left of the others goes all the same, while there is time.
        let may_clear = !may_start && self.reason() < Some(CancelReason::Terminate);
        while may_clear && self.admission.has_slot() {
            let dirty = |index: &usize| self.earlier.get(index).is_some_and(|unit| unit.dirty);
            let Some(index) = self.admission.waiting().iter().copied().find(dirty) else { break };
            let unit = self.unit(index);
            self.start(index, unit.clear());
        }
        if self.alive == 0 && (self.admission.waiting().is_empty() || !may_start) {
            self.finish();
        }
    }

    /// The time for the admission, counted from when the plan was made.
    fn milliseconds(&self) -> u64 {
        let since = self.clock.now().duration_since(self.plan.made).as_millis();
        u64::try_from(since.max(0)).unwrap_or(u64::MAX)
    }

    fn unit(&self, index: usize) -> Unit {
        let earlier = self.earlier.get(&index).cloned().unwrap_or_default();
        Unit {
            plan: self.plan.clone(),
            index,
            world: self.world.clone(),
            clock: self.clock,
            inputs: self.inputs.clone(),
            cancel: self.cancel.subscribe(),
            run_directory: self.directory.clone(),
            sweep: self.sweep.clone(),
            attempts: earlier.attempts,
            dirty: earlier.dirty,
        }
    }

    fn start(&mut self, index: usize, life: impl Future<Output = ()> + Send + 'static) {
        self.alive += 1;
        self.admission.started(index, self.milliseconds());
        let handle = self.tasks.spawn(async move {
            life.await;
            Ended::Unit(index)
        });
        self.owners.insert(handle.id(), index);
    }

    /// A unit's task has panicked. Its cluster is torn down all the same, once: a panic in there is the end.
    fn bury(&mut self, index: usize, words: &str, sink: &mut dyn Sink) {
        let id = self.plan.runs[index].id.clone();
        let first = !self.earlier.get(&index).is_some_and(|unit| unit.attempts.contains_key(&harness_case()));
        let failure = Failure::new(FailureClass::Harness, words)
            .hint("this is a defect of stack-e2e: please report it with the journal of the run");
        let outcome = Outcome::Failed { failure: failure.clone(), expected: None };
        let at = self.clock.now();
        let kind = EventKind::CaseFinished {
            case: harness_case(),
            attempt: 0,
            started: at,
            outcome,
            availability: Vec::new(),
        };
        self.record(Event { at, unit: Some(id.clone()), kind }, true, sink);
        self.earlier.entry(index).or_default().attempts.insert(harness_case(), 1);
        if first {
            let unit = self.unit(index);
            self.start(index, unit.bury(failure));
        } else {
            let why = format!("tearing down failed: {words}");
            let kind = EventKind::UnitFinished { clean: Cleanliness::Unknown { why } };
            self.record(Event { at, unit: Some(id), kind }, true, sink);
        }
    }

    /// Everything has ended: what is shared goes, unless a cluster that needs it is still there.
    fn finish(&mut self) {
        self.stage = Stage::Finishing;
        let report = self.folder.report();
        let clean =
            |unit: &crate::results::UnitReport| unit.started.is_none() || unit.clean == Cleanliness::Clean;
        let (all_clean, kept) = report.map_or((false, true), |report| {
            let kept = report.units.iter().any(|unit| unit.clean == Cleanliness::Kept);
            (report.units.iter().all(clean), kept)
        });
        if self.reason() >= Some(CancelReason::Terminate) {
            self.stage = Stage::Done;
            return;
        }
        let world = self.world.clone();
        let limit = FINISH_LIMIT * 2 + world.patience();
        let overdue = move || Cleanliness::Unknown {
            why: format!("the last listing did not end within {}", show_duration(limit)),
        };
        if all_clean {
            self.tasks.spawn(async move {
                let ended = tokio::time::timeout(limit, world.finish(FINISH_LIMIT)).await;
                Ended::Finish(ended.unwrap_or_else(|_| overdue()))
            });
            return;
        }
        // What the management cluster no longer tears down is deleted straight in the cloud. By the mark of the run
        // what is kept would go too.
        if kept || world.patience().is_zero() {
            self.stage = Stage::Done;
            return;
        }
        let above = self.conclusion();
        self.tasks.spawn(async move {
            let ended = tokio::time::timeout(limit, world.rescue(above.clone())).await;
            Ended::Finish(ended.map_or_else(|_| overdue(), |clean| clean.unwrap_or(above)))
        });
    }

    fn finished(&mut self, clean: Cleanliness) {
        self.clean = Some(clean);
        self.stage = Stage::Done;
    }

    /// What is known of the whole run in the end.
    fn conclusion(&self) -> Cleanliness {
        if let Some(clean) = &self.clean {
            return clean.clone();
        }
        let Ok(report) = self.folder.report() else {
            return Cleanliness::Unknown { why: "there is no report".into() };
        };
        let mut left = Vec::new();
        let mut unknown = None;
        let mut kept = false;
        for unit in report.units.iter().filter(|unit| unit.started.is_some()) {
            match &unit.clean {
                Cleanliness::Clean => {}
                Cleanliness::Left { objects } => left.extend(objects.iter().cloned()),
                Cleanliness::Unknown { why } => {
                    unknown.get_or_insert_with(|| format!("{}: {why}", unit.info.name));
                }
                Cleanliness::Kept => kept = true,
            }
        }
        match (left.is_empty(), unknown) {
            (false, _) => Cleanliness::Left { objects: left },
            (true, Some(why)) => Cleanliness::Unknown { why },
            (true, None) if kept => Cleanliness::Kept,
            (true, None) => Cleanliness::Unknown { why: "the run ended before the last listing".into() },
        }
    }

    fn cancel(&mut self, signal: Signal, sink: &mut dyn Sink) {
        let reason = match (signal, self.reason()) {
            (Signal::Interrupt, None | Some(CancelReason::Deadline)) => CancelReason::Interrupt,
            (Signal::Terminate, None | Some(CancelReason::Deadline | CancelReason::Interrupt)) => {
                CancelReason::Terminate
            }
            (Signal::Interrupt | Signal::Terminate, Some(_)) => CancelReason::Abort,
        };
        self.stop(reason, sink);
    }

    /// Starts nothing new from here on; the units hear of it themselves.
    fn stop(&mut self, reason: CancelReason, sink: &mut dyn Sink) {
        if Some(reason) <= self.reason() {
            return;
        }
        self.cancel.send_replace(Some(reason));
        self.say(EventKind::Cancelled { reason }, sink);
        if reason >= CancelReason::Terminate && self.stage != Stage::Running {
            self.stage = Stage::Done;
        }
        self.go_on();
    }

    /// Records an event of the run as a whole.
    fn say(&mut self, kind: EventKind, sink: &mut dyn Sink) {
        self.record(Event { at: self.clock.now(), unit: None, kind }, true, sink);
    }

    /// Journal first, then everybody else. `false` when it is not on disk; then nothing new may be created.
    fn record(&mut self, event: Event, durable: bool, sink: &mut dyn Sink) -> bool {
        // Here, so that no reader of events can forget it.
        let event = redacted(&event, &self.redactor);
        let written = if durable {
            self.journal.append_durable(&event, &self.redactor)
        } else {
            self.journal.append(&event, &self.redactor)
        };
        let written = match written {
            Ok(()) => self.journal_error.is_none(),
            Err(error) => {
                self.journal_error.get_or_insert(error);
                false
            }
        };
        if let Err(error) = self.folder.apply(&event) {
            tracing::warn!(%error, "an event makes no sense");
        }
        sink.event(&event);
        written
    }
}

fn harness_case() -> CaseId {
    CaseId("harness/panic".into())
}

fn panic_words(error: tokio::task::JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => {
            let text = panic.downcast_ref::<&str>().map(ToString::to_string);
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            format!("the harness panicked: {}", text.unwrap_or_else(|| "no message".into()))
        }
        Err(error) => format!("the harness stopped itself: {error}"),
    }
}
