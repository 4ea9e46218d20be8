//! Events -> when what was done: the schedule as it really was, with its waiting and its critical path.

// A new kind of event must be decided here, not fall into `_`.
#![deny(clippy::wildcard_enum_match_arm)]

use crate::event::{Event, EventKind, Phase};
use crate::types::CombinationId;
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;

/// When what was done in a run, or in several.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Timeline {
    /// One for each unit that started, in the order of starting, then of ids: two that start in one millisecond stand
    /// the same way round whether they were seen live, read from a journal, or merged.
    pub units: Vec<UnitSpan>,
    index: HashMap<CombinationId, usize>,
}

/// The life of a unit; a unit that was resumed has one for each life.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitSpan {
    /// Which one.
    pub id: CombinationId,
    /// When it got its slot.
    pub started: Timestamp,
    /// When it ended, or was last heard of.
    pub finished: Timestamp,
    /// Its phases, one after the other.
    pub phases: Vec<PhaseSpan>,
    /// Its longest waits.
    pub waits: Vec<Wait>,
    open: Option<Wait>,
}

/// A phase of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhaseSpan {
    /// Which one.
    pub phase: Phase,
    /// When it began.
    pub started: Timestamp,
    /// When it ended, or was last heard of.
    pub finished: Timestamp,
}

/// A wait for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// The phase that waited.
    pub phase: Phase,
    /// For what.
    pub why: String,
    /// From when.
    pub started: Timestamp,
    /// Until when.
    pub finished: Timestamp,
}

impl Wait {
    /// How long it took.
    #[must_use]
    pub fn length(&self) -> SignedDuration {
        self.finished.duration_since(self.started)
    }
}

/// The longest waits of a unit are kept, so that what is held does not grow with the length of a run.
const MAX_WAITS: usize = 8;
const MAX_PHASES: usize = 100;
const MAX_WHY: usize = 300;

impl Timeline {
    /// Takes one event.
    pub fn apply(&mut self, event: &Event) {
        let at = event.at;
        if let (EventKind::UnitStarted, Some(id)) = (&event.kind, &event.unit) {
            self.start(id, at);
        }
        let index = event.unit.as_ref().and_then(|id| self.index.get(id));
        let Some(unit) = index.and_then(|index| self.units.get_mut(*index)) else { return };
        unit.finished = unit.finished.max(at);
        if let Some(phase) = unit.phases.last_mut() {
            phase.finished = unit.finished;
        }
        match &event.kind {
            EventKind::PhaseStarted { phase } => {
                unit.end_wait(at);
                unit.begin(*phase, at);
            }
            EventKind::Waiting { phase, why } => {
                unit.end_wait(at);
                let why = why.chars().take(MAX_WHY).collect();
                unit.open = Some(Wait { phase: *phase, why, started: at, finished: at });
            }
            EventKind::CaseFinished { .. } => unit.end_wait(at),
            EventKind::UnitFinished { .. } => {
                unit.end_wait(at);
                if let Some(id) = &event.unit {
                    self.index.remove(id);
                }
            }
            EventKind::RunStarted { .. }
            | EventKind::RunResumed { .. }
            | EventKind::Prepared { .. }
            | EventKind::UnitStarted
            | EventKind::Intent { .. }
            | EventKind::Collected { .. }
            | EventKind::Kept { .. }
            | EventKind::Cancelled { .. }
            | EventKind::RunFinished { .. } => {}
        }
    }

    fn start(&mut self, id: &CombinationId, at: Timestamp) {
        let place = self.units.partition_point(|unit| (unit.started, &unit.id) <= (at, id));
        self.index.values_mut().filter(|index| **index >= place).for_each(|index| *index += 1);
        self.index.insert(id.clone(), place);
        self.units.insert(
            place,
            UnitSpan {
                id: id.clone(),
                started: at,
                finished: at,
                phases: Vec::new(),
                waits: Vec::new(),
                open: None,
            },
        );
    }

    /// Adds another run.
    pub fn add(&mut self, other: Self) {
        self.units.extend(other.units);
        self.index.clear();
        let place = |unit: &UnitSpan| (unit.started, unit.id.clone());
        self.units.sort_by_key(|unit| (place(unit), std::cmp::Reverse(unit.finished)));
        // A run that is given twice ran once.
        self.units.dedup_by_key(|unit| place(unit));
    }

    /// From the first start to the last end.
    #[must_use]
    pub fn extent(&self) -> Option<(Timestamp, Timestamp)> {
        let start = self.units.iter().map(|unit| unit.started).min()?;
        let end = self.units.iter().map(|unit| unit.finished).max()?;
        Some((start, end))
    }

    /// The units on which the end of the run depended, in the order of time: the last one to end, before it the one
    /// whose end made room for it, and so on.
    #[must_use]
    pub fn critical_path(&self) -> Vec<&UnitSpan> {
        let mut by_end: Vec<&UnitSpan> = self.units.iter().collect();
        by_end.sort_by(|one, other| (one.finished, &one.id).cmp(&(other.finished, &other.id)));
        let mut path: Vec<&UnitSpan> = by_end.last().copied().into_iter().collect();
        while let Some(first) = path.last() {
            // What ended when it began; a clock has a resolution, and so has a dispatcher.
            let until = by_end.partition_point(|unit| unit.finished <= first.started + SLACK);
            let before = by_end[..until].iter().rev().find(|unit| unit.started < first.started);
            match before {
                Some(before) if first.started.duration_since(before.finished) <= GAP => path.push(before),
                Some(_) | None => break,
            }
        }
        path.reverse();
        path
    }

    /// The units in as few rows as can be, so that none overlap: what ran in which slot.
    #[must_use]
    pub fn lanes(&self) -> Vec<Vec<&UnitSpan>> {
        let mut lanes: Vec<Vec<&UnitSpan>> = Vec::new();
        for unit in &self.units {
            let free = |lane: &&mut Vec<&UnitSpan>| {
                lane.last().is_none_or(|last| last.finished <= unit.started + SLACK)
            };
            match lanes.iter_mut().find(free) {
                Some(lane) => lane.push(unit),
                None => lanes.push(vec![unit]),
            }
        }
        lanes
    }
}

const SLACK: SignedDuration = SignedDuration::from_millis(50);
const GAP: SignedDuration = SignedDuration::from_secs(60);

impl UnitSpan {
    fn begin(&mut self, phase: Phase, at: Timestamp) {
        if self.phases.last().is_some_and(|last| last.phase == phase) || self.phases.len() >= MAX_PHASES {
            return;
        }
        self.phases.push(PhaseSpan { phase, started: at, finished: at });
    }

    fn end_wait(&mut self, at: Timestamp) {
        let Some(mut wait) = self.open.take() else { return };
        wait.finished = at;
        self.waits.push(wait);
        if self.waits.len() > MAX_WAITS
            && let Some(shortest) = (0..self.waits.len()).min_by_key(|index| self.waits[*index].length())
        {
            self.waits.remove(shortest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::script::{self, Script};

    fn timeline(script: &Script) -> Timeline {
        let mut timeline = Timeline::default();
        script.events().iter().for_each(|event| timeline.apply(event));
        timeline
    }

    #[test]
    fn phases_and_waits_are_told_with_their_times() {
        let timeline = timeline(&script::one_failure());
        let unit = &timeline.units[0];
        let phases: Vec<(Phase, i64)> = unit
            .phases
            .iter()
            .map(|span| (span.phase, span.finished.duration_since(span.started).as_secs()))
            .collect();
        assert_eq!(phases, [(Phase::Provision, 90), (Phase::Check, 360)]);
        assert_eq!(unit.waits.len(), 1);
        assert_eq!(unit.waits[0].length().as_secs(), 60);
    }

    #[test]
    fn what_starts_at_the_same_moment_stands_in_one_order() {
        let run = |first: &str, second: &str| {
            let begins = |script: Script, unit| script.event_after(0, Some(unit), EventKind::UnitStarted);
            let script = begins(begins(Script::new().unit("a", &["x"]).unit("b", &["x"]), first), second);
            timeline(&script.passes("a", &["x"]).passes("b", &["x"]).unit_clean("b").unit_clean("a"))
        };
        let live = run("b", "a");
        assert_eq!(live.units, run("a", "b").units);
        // As `report` reads it.
        let mut read = Timeline::default();
        read.add(live.clone());
        assert_eq!(read.units, live.units);
        assert_eq!(live.units.iter().map(|unit| &unit.id.as_str()[..1]).collect::<String>(), "ab");
    }

    #[test]
    fn the_path_to_the_end_is_followed_back_through_the_slots() {
        let start = |script: Script, unit| script.event_after(0, Some(unit), EventKind::UnitStarted);
        let script =
            ["a", "b", "c", "d"].iter().fold(Script::new(), |script, unit| script.unit(unit, &["x"]));
        // Two slots: `a` is long, `b` is followed by `c` and `d`, which ends last.
        let script = start(start(script, "a"), "b").passes("b", &["x"]).unit_clean("b");
        let script =
            start(script, "c").passes("a", &["x"]).unit_clean("a").passes("c", &["x"]).unit_clean("c");
        let timeline = timeline(&start(script, "d").passes("d", &["x", "x"]).unit_clean("d"));
        let names: Vec<&str> = timeline.critical_path().iter().map(|unit| &unit.id.as_str()[..1]).collect();
        assert_eq!(names, ["b", "c", "d"]);
        let lanes: Vec<usize> = timeline.lanes().iter().map(Vec::len).collect();
        assert_eq!(lanes, [2, 2]);
        assert_eq!(Timeline::default().critical_path(), Vec::<&UnitSpan>::new());
    }
}
