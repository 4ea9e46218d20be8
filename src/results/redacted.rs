//! An event without secrets: what may go to disk and to screens.

// A new kind of event, outcome or reason must be decided here, not fall into `_`.
#![deny(clippy::wildcard_enum_match_arm)]

use crate::event::{
    Availability, Cleanliness, Event, EventKind, Failure, LeftOutInfo, Outcome, Seen, UnitInfo,
};
use crate::types::{ObjectRef, Redactor};

/// `event` with every free text redacted. Identifiers, and the objects that an intent announces, stay: they are
/// made by the plan, and without them `--resume` could not find what to delete. Each event is taken apart field by
/// field, so that a new one does not compile until somebody has decided.
#[must_use]
pub fn redacted(event: &Event, redactor: &Redactor) -> Event {
    let Event { at, unit, kind } = event;
    Event { at: *at, unit: unit.clone(), kind: Clean(redactor).kind(kind) }
}

struct Clean<'a>(&'a Redactor);

impl Clean<'_> {
    fn text(&self, text: &str) -> String {
        self.0.redact(text).into_owned()
    }

    fn texts(&self, texts: &[String]) -> Vec<String> {
        texts.iter().map(|text| self.text(text)).collect()
    }

    fn object(&self, object: &ObjectRef) -> ObjectRef {
        let ObjectRef { kind, namespace, name } = object;
        ObjectRef { kind: self.text(kind), namespace: self.text(namespace), name: self.text(name) }
    }

    fn failure(&self, failure: &Failure) -> Failure {
        let Failure { class, summary, object, detail, hint } = failure;
        Failure {
            class: *class,
            summary: self.text(summary),
            object: object.as_ref().map(|object| self.object(object)),
            detail: self.text(detail),
            hint: hint.as_ref().map(|hint| self.text(hint)),
        }
    }

    fn outcome(&self, outcome: &Outcome) -> Outcome {
        match outcome {
            Outcome::Passed { note } => Outcome::Passed { note: self.text(note) },
            Outcome::Failed { failure, expected } => Outcome::Failed {
                failure: self.failure(failure),
                expected: expected.as_ref().map(|reason| self.text(reason)),
            },
            Outcome::Skipped { reason } => Outcome::Skipped { reason: self.text(reason) },
        }
    }

    fn availability(&self, availability: &Availability) -> Availability {
        let Availability { service, seen } = availability;
        let seen = match seen {
            Seen::Measured { downtime_ms, longest_gap_ms, probes, failed, first_failure } => Seen::Measured {
                downtime_ms: *downtime_ms,
                longest_gap_ms: *longest_gap_ms,
                probes: *probes,
                failed: *failed,
                first_failure: first_failure.as_ref().map(|why| self.text(why)),
            },
            Seen::Unknown { why } => Seen::Unknown { why: self.text(why) },
        };
        Availability { service: service.clone(), seen }
    }

    fn cleanliness(&self, clean: &Cleanliness) -> Cleanliness {
        match clean {
            Cleanliness::Clean => Cleanliness::Clean,
            Cleanliness::Left { objects } => {
                Cleanliness::Left { objects: objects.iter().map(|object| self.object(object)).collect() }
            }
            Cleanliness::Unknown { why } => Cleanliness::Unknown { why: self.text(why) },
            Cleanliness::Kept => Cleanliness::Kept,
        }
    }

    fn unit(&self, unit: &UnitInfo) -> UnitInfo {
        let UnitInfo { id, name, scenario, stack, cluster, properties, cases } = unit;
        let property = |(key, value): (&String, &String)| (key.clone(), self.text(value));
        UnitInfo {
            id: id.clone(),
            name: self.text(name),
            scenario: scenario.clone(),
            stack: stack.clone(),
            cluster: cluster.clone(),
            properties: properties.iter().map(property).collect(),
            cases: cases.clone(),
        }
    }

    fn left_out(&self, left_out: &LeftOutInfo) -> LeftOutInfo {
        let LeftOutInfo { name, scenario, stack, reason } = left_out;
        LeftOutInfo {
            name: self.text(name),
            scenario: scenario.clone(),
            stack: stack.clone(),
            reason: self.text(reason),
        }
    }

    fn kind(&self, kind: &EventKind) -> EventKind {
        match kind {
            EventKind::RunStarted { run, units, left_out, harness } => EventKind::RunStarted {
                run: run.clone(),
                units: units.iter().map(|unit| self.unit(unit)).collect(),
                left_out: left_out.iter().map(|left_out| self.left_out(left_out)).collect(),
                harness: harness.clone(),
            },
            EventKind::Prepared { failure } => {
                EventKind::Prepared { failure: failure.as_ref().map(|failure| self.failure(failure)) }
            }
            EventKind::Waiting { phase, why } => EventKind::Waiting { phase: *phase, why: self.text(why) },
            EventKind::CaseFinished { case, attempt, started, outcome, availability } => {
                EventKind::CaseFinished {
                    case: case.clone(),
                    attempt: *attempt,
                    started: *started,
                    outcome: self.outcome(outcome),
                    availability: availability.iter().map(|one| self.availability(one)).collect(),
                }
            }
            EventKind::Collected { files, trouble } => {
                EventKind::Collected { files: self.texts(files), trouble: self.texts(trouble) }
            }
            EventKind::Kept { commands } => EventKind::Kept { commands: self.texts(commands) },
            EventKind::UnitFinished { clean } => EventKind::UnitFinished { clean: self.cleanliness(clean) },
            EventKind::RunFinished { clean } => EventKind::RunFinished { clean: self.cleanliness(clean) },
            EventKind::RunResumed { .. }
            | EventKind::UnitStarted
            | EventKind::PhaseStarted { .. }
            | EventKind::Intent { .. }
            | EventKind::Cancelled { .. } => kind.clone(),
        }
    }
}
