//! Runs for tests, told as a sequence of short sentences. Time goes on by a minute with every event.

use super::{RunReport, fold};
use crate::event::{
    Act, Availability, CancelReason, Cleanliness, Event, EventKind, Failure, FailureClass, LeftOutInfo,
    Outcome, Phase, Seen, UnitInfo,
};
use crate::types::{CaseId, CombinationId, ObjectRef};
use jiff::{SignedDuration, Timestamp};

/// What happens in a run, so far.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    start: Timestamp,
    now: Timestamp,
    units: Vec<UnitInfo>,
    left_out: Vec<LeftOutInfo>,
    events: Vec<Event>,
}

/// `a` -> `aaaaaaaa`
pub(crate) fn id(letter: &str) -> CombinationId {
    letter.repeat(8).parse().expect("one letter makes an id")
}

/// `Machine/default/abc` or `Machine/abc`
pub(crate) fn object(text: &str) -> ObjectRef {
    let parts: Vec<&str> = text.split('/').collect();
    let [kind, .., name] = parts[..] else { panic!("`{text}` is not `Kind/namespace/name`") };
    ObjectRef {
        kind: kind.into(),
        namespace: if parts.len() == 3 { parts[1].into() } else { String::new() },
        name: name.into(),
    }
}

/// Leftovers.
pub(crate) fn left(objects: &[&str]) -> Cleanliness {
    Cleanliness::Left { objects: objects.iter().map(|text| object(text)).collect() }
}

impl Script {
    /// A run that starts at noon.
    pub(crate) fn new() -> Self {
        Self::at(0)
    }

    /// A run that starts that many minutes past noon.
    pub(crate) fn at(minute: i64) -> Self {
        let noon: Timestamp = "2026-11-23T12:00:00Z".parse().expect("a timestamp");
        let start = noon + SignedDuration::from_mins(minute);
        Self { start, now: start, units: Vec::new(), left_out: Vec::new(), events: Vec::new() }
    }

    /// Plans a unit, named by one letter.
    pub(crate) fn unit(mut self, letter: &str, cases: &[&str]) -> Self {
        let number = self.units.len() + 1;
        let text = |pairs: &[(&str, String)]| {
            let own = |(k, v): &(&str, String)| ((*k).to_owned(), v.clone());
            pairs.iter().map(own).collect()
        };
        self.units.push(UnitInfo {
            id: id(letter),
            name: format!("kubernetes=1.3{number} controlPlanes={}", 2 * number - 1),
            scenario: "big-switches".into(),
            stack: "embedded-scs".into(),
            cluster: format!("e2e-{letter}"),
            properties: text(&[
                ("kubernetes", format!("1.3{number}")),
                ("controlPlanes", (2 * number - 1).to_string()),
                ("stack-release", format!("embedded-scs-1-3{number}-v1")),
            ]),
            cases: cases.iter().map(|case| CaseId((*case).into())).collect(),
        });
        self
    }

    /// Leaves a combination out.
    pub(crate) fn leaves_out(mut self, name: &str, reason: &str) -> Self {
        self.left_out.push(LeftOutInfo {
            name: name.into(),
            scenario: "big-switches".into(),
            stack: "embedded-scs".into(),
            reason: reason.into(),
        });
        self
    }

    /// Adds any event, a minute later.
    pub(crate) fn event(self, letter: Option<&str>, kind: EventKind) -> Self {
        self.event_after(60, letter, kind)
    }

    /// Adds any event, so many seconds later.
    pub(crate) fn event_after(mut self, seconds: i64, letter: Option<&str>, kind: EventKind) -> Self {
        self.now += SignedDuration::from_secs(seconds);
        self.events.push(Event { at: self.now, unit: letter.map(id), kind });
        self
    }

    /// The preparation goes well and all planned units start.
    pub(crate) fn started(self) -> Self {
        let letters: Vec<String> = self.units.iter().map(|u| u.info_letter()).collect();
        let script = self.event(None, EventKind::Prepared { failure: None });
        letters
            .iter()
            .fold(script, |script, letter| script.event_after(0, Some(letter), EventKind::UnitStarted))
    }

    /// The preparation fails.
    pub(crate) fn prepare_fails(self, class: FailureClass, summary: &str) -> Self {
        let failure = Some(Failure::new(class, summary));
        self.event(None, EventKind::Prepared { failure })
    }

    /// A phase begins.
    pub(crate) fn phase(self, letter: &str, phase: Phase) -> Self {
        self.event_after(0, Some(letter), EventKind::PhaseStarted { phase })
    }

    /// A wait says why.
    pub(crate) fn waits(self, letter: &str, seconds: i64, phase: Phase, why: &str) -> Self {
        let why = why.into();
        self.event_after(seconds, Some(letter), EventKind::Waiting { phase, why })
    }

    /// An act is announced.
    pub(crate) fn intends(self, letter: &str, act: Act, text: &str) -> Self {
        let object = object(text);
        self.event_after(0, Some(letter), EventKind::Intent { act, object })
    }

    /// A case ends, a minute after it began.
    pub(crate) fn ends(self, letter: &str, case: &str, outcome: Outcome) -> Self {
        let unit = Some(id(letter));
        let earlier = |e: &&Event| matches!(&e.kind, EventKind::CaseFinished { case: c, .. } if c.0 == case);
        let attempt = self.events.iter().filter(|e| e.unit == unit).filter(earlier).count();
        let kind = EventKind::CaseFinished {
            case: CaseId(case.into()),
            attempt: u32::try_from(attempt).expect("few attempts"),
            started: self.now,
            outcome,
            availability: Vec::new(),
        };
        self.event(Some(letter), kind)
    }

    /// The case that ended last was a change during which the API server was probed.
    pub(crate) fn probed(mut self, seen: Seen) -> Self {
        if let Some(EventKind::CaseFinished { availability, .. }) =
            self.events.last_mut().map(|event| &mut event.kind)
        {
            availability.push(Availability { service: "api-server".into(), seen });
        }
        self
    }

    /// Cases pass.
    pub(crate) fn passes(self, letter: &str, cases: &[&str]) -> Self {
        cases
            .iter()
            .fold(self, |script, case| script.ends(letter, case, Outcome::Passed { note: String::new() }))
    }

    /// A check finds something.
    pub(crate) fn fails(self, letter: &str, case: &str, summary: &str) -> Self {
        self.fails_as(letter, case, FailureClass::CheckFailed, summary)
    }

    /// A case fails.
    pub(crate) fn fails_as(self, letter: &str, case: &str, class: FailureClass, summary: &str) -> Self {
        self.fails_with(letter, case, Failure::new(class, summary))
    }

    /// A case fails, with everything that is known.
    pub(crate) fn fails_with(self, letter: &str, case: &str, failure: Failure) -> Self {
        let expected = None;
        self.ends(letter, case, Outcome::Failed { failure, expected })
    }

    /// A case fails as an `expect` entry says.
    pub(crate) fn fails_as_expected(self, letter: &str, case: &str, class: FailureClass, why: &str) -> Self {
        let failure = Failure::new(class, "it does not start");
        let expected = Some(why.into());
        self.ends(letter, case, Outcome::Failed { failure, expected })
    }

    /// A case is skipped.
    pub(crate) fn skips(self, letter: &str, case: &str, reason: &str) -> Self {
        let reason = reason.into();
        self.ends(letter, case, Outcome::Skipped { reason })
    }

    /// Evidence is written.
    pub(crate) fn collects(self, letter: &str, files: &[&str], trouble: &[&str]) -> Self {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).into()).collect();
        let (files, trouble) = (own(files), own(trouble));
        self.event(Some(letter), EventKind::Collected { files, trouble })
    }

    /// A unit ends.
    pub(crate) fn unit_ends(self, letter: &str, clean: Cleanliness) -> Self {
        self.event_after(0, Some(letter), EventKind::UnitFinished { clean })
    }

    /// A unit ends, proven clean.
    pub(crate) fn unit_clean(self, letter: &str) -> Self {
        self.unit_ends(letter, Cleanliness::Clean)
    }

    /// The run is asked to stop.
    pub(crate) fn cancelled(self, reason: CancelReason) -> Self {
        self.event(None, EventKind::Cancelled { reason })
    }

    /// The run is resumed.
    pub(crate) fn resumed(self, letters: &[&str]) -> Self {
        let unfinished = letters.iter().map(|letter| id(letter)).collect();
        self.event(None, EventKind::RunResumed { unfinished })
    }

    /// The run ends.
    pub(crate) fn ends_run(self, clean: Cleanliness) -> Self {
        self.event_after(0, None, EventKind::RunFinished { clean })
    }

    /// The run ends, proven clean.
    pub(crate) fn clean(self) -> Self {
        self.ends_run(Cleanliness::Clean)
    }

    /// The run ends with clusters kept on request.
    pub(crate) fn kept(self) -> Self {
        self.ends_run(Cleanliness::Kept)
    }

    /// The run ends with leftovers.
    pub(crate) fn left(self, objects: &[&str]) -> Self {
        self.ends_run(left(objects))
    }

    /// The run ends without knowing what is left.
    pub(crate) fn clean_unknown(self, why: &str) -> Self {
        self.ends_run(Cleanliness::Unknown { why: why.into() })
    }

    /// All events, the start included.
    pub(crate) fn events(&self) -> Vec<Event> {
        let kind = EventKind::RunStarted {
            run: "01kb3v7a9xq4m2te".parse().expect("a run id"),
            units: self.units.clone(),
            left_out: self.left_out.clone(),
            harness: "0.1.0".into(),
        };
        let start = Event { at: self.start, unit: None, kind };
        std::iter::once(start).chain(self.events.iter().cloned()).collect()
    }

    /// What the run comes to.
    pub(crate) fn report(&self) -> RunReport {
        fold(self.events()).expect("the script makes sense")
    }
}

impl UnitInfo {
    fn info_letter(&self) -> String {
        self.id.as_str()[..1].to_owned()
    }
}

const CASES: &[&str] = &[
    "provision",
    "check/nodes-ready",
    "check/coredns-available",
    "change/scale-workers-3",
    "tear-down",
    "prove-clean",
];

/// Two units, everything passes.
pub(crate) fn all_passed() -> Script {
    let script = Script::new().unit("a", CASES).unit("b", CASES);
    let script = script.leaves_out("kubernetes=1.33 controlPlanes=1", "1.33 is out of support");
    let script = script.started();
    let script = script.passes("a", CASES).unit_clean("a");
    script.passes("b", CASES).unit_clean("b").clean()
}

/// Two units with a change each; during the first the API server was down for so long, of the other nobody knows
/// unless it was never down.
pub(crate) fn all_probed(downtime_ms: u64) -> Script {
    let change = &["change/scale-workers-3"];
    let script = Script::new().unit("a", change).unit("b", change).started();
    let failed = downtime_ms / 90;
    let script = script.passes("a", change).probed(Seen::Measured {
        downtime_ms,
        longest_gap_ms: downtime_ms + 120,
        probes: 660,
        failed,
        first_failure: (failed > 0).then(|| "connection refused".into()),
    });
    let script = script.unit_clean("a").passes("b", change);
    let script = match failed {
        0 => script,
        _ => script.probed(Seen::Unknown { why: "it did not answer before the change: no route".into() }),
    };
    script.unit_clean("b").clean()
}

/// Two units; a check of the first one fails.
pub(crate) fn one_failure() -> Script {
    let failure = Failure::new(
        FailureClass::CheckFailed,
        "2 of 3 nodes are Ready; `e2e-a-worker-2`: container runtime is down",
    )
    .about(Some(object("Node/e2e-a-worker-2")))
    .detail("NAME            STATUS\ne2e-a-worker-1  Ready\ne2e-a-worker-2  NotReady")
    .hint("see `kubelet.log` among the evidence");
    let script = Script::new().unit("a", CASES).unit("b", CASES).started();
    let script = script
        .phase("a", Phase::Provision)
        .intends("a", Act::Create, "Cluster/e2e/e2e-a")
        .waits("a", 30, Phase::Provision, "Machine/e2e/e2e-a-cp-1: waiting for a node")
        .passes("a", &["provision"])
        .phase("a", Phase::Check)
        .fails_with("a", "check/nodes-ready", failure)
        .passes("a", &["check/coredns-available"])
        .skips("a", "change/scale-workers-3", "not run: a check before it failed")
        .collects("a", &["aaaaaaaa/objects.yaml", "aaaaaaaa/kubelet.log"], &["no console log: 404"])
        .passes("a", &["tear-down", "prove-clean"])
        .unit_clean("a");
    script.passes("b", CASES).unit_clean("b").clean()
}
