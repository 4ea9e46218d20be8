//! The live table: one line per unit that is at work. The state and its rows are plain data; [`Live`] draws them.

// A new kind of event, outcome or reason must be decided here, not fall into `_`.
#![deny(clippy::wildcard_enum_match_arm)]

use super::lines::{Detail, Lines};
use super::{count, elapsed};
use crate::event::{Event, EventKind, Outcome, Phase};
use crate::results::Verdict;
use crate::types::CombinationId;
use crate::types::show_duration;
use crate::types::{one_line, shorten};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::time::Duration;

/// What a table about a run needs to know.
#[derive(Debug, Clone, Default)]
pub struct LiveState {
    start: Option<Timestamp>,
    units: Vec<Unit>,
    index: HashMap<CombinationId, usize>,
    stopping: Option<&'static str>,
    /// What the preparation of the run waits for.
    preparing: Option<String>,
    /// How long combinations took before, by id.
    expected: BTreeMap<String, Duration>,
}

#[derive(Debug, Clone)]
struct Unit {
    id: CombinationId,
    name: String,
    state: State,
    started: Option<Timestamp>,
    verdict: Verdict,
    why: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Queued,
    Running { phase: Option<Phase>, since: Timestamp },
    Ended,
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The unit.
    pub unit: CombinationId,
    /// Its readable name.
    pub name: String,
    /// Where it stands in its life.
    pub phase: &'static str,
    /// How long it has been there.
    pub elapsed: String,
    /// The last thing that it said; empty when it waits for nothing.
    pub why: String,
}

impl Row {
    /// The row as text of at most `width` characters.
    #[must_use]
    pub fn render(&self, width: usize) -> String {
        let name_width = (width / 3).clamp(8, 45);
        let name = shorten(&self.name, name_width);
        let line = format!("{name:<name_width$}  {:<11} {:>6}  {}", self.phase, self.elapsed, self.why);
        shorten(line.trim_end(), width).into_owned()
    }
}

impl LiveState {
    /// How long combinations took before, by id; from now on the header says how long it may still take.
    pub fn expect(&mut self, expected: BTreeMap<String, Duration>) {
        self.expected = expected;
    }

    /// How long it may still take: every combination as long as before, the queued ones one after the other in the
    /// slots that there are. `None` as long as less than half of them are known.
    fn left(&self, now: Timestamp) -> Option<Duration> {
        let to_come: Vec<&Unit> = self.units.iter().filter(|unit| unit.state != State::Ended).collect();
        let known: Vec<Duration> =
            to_come.iter().filter_map(|unit| self.expected.get(unit.id.as_str()).copied()).collect();
        if known.is_empty() || known.len() * 2 < to_come.len() || self.stopping.is_some() {
            return None;
        }
        let usual = known.iter().sum::<Duration>() / u32::try_from(known.len()).ok()?;
        let takes = |unit: &Unit| self.expected.get(unit.id.as_str()).copied().unwrap_or(usual);
        let since = |unit: &Unit| {
            let started = unit.started.unwrap_or(now);
            Duration::try_from(now.duration_since(started)).unwrap_or_default()
        };
        let (queued, running): (Vec<&Unit>, Vec<&Unit>) =
            to_come.into_iter().partition(|unit| unit.state == State::Queued);
        let mut slots: BinaryHeap<Reverse<Duration>> =
            running.iter().map(|unit| Reverse(takes(unit).saturating_sub(since(unit)))).collect();
        let mut last = slots.iter().map(|Reverse(free)| *free).max().unwrap_or_default();
        for unit in queued {
            let free = slots.pop().map_or(Duration::ZERO, |Reverse(free)| free) + takes(unit);
            last = last.max(free);
            slots.push(Reverse(free));
        }
        Some(last)
    }

    /// Takes one event.
    pub fn apply(&mut self, event: &Event) {
        self.start.get_or_insert(event.at);
        let index = event.unit.as_ref().and_then(|id| self.index.get(id)).copied();
        let unit = index.map(|index| &mut self.units[index]);
        match (&event.kind, unit) {
            (EventKind::RunStarted { units, .. }, _) => {
                self.units = units
                    .iter()
                    .map(|unit| Unit {
                        id: unit.id.clone(),
                        name: one_line(&unit.name, 200),
                        state: State::Queued,
                        started: None,
                        verdict: Verdict::Skipped,
                        why: String::new(),
                    })
                    .collect();
                let numbered = self.units.iter().enumerate();
                self.index = numbered.map(|(index, unit)| (unit.id.clone(), index)).collect();
            }
            (EventKind::Waiting { why, .. }, None) => self.preparing = Some(one_line(why, 300)),
            (EventKind::Prepared { .. }, _) => self.preparing = None,
            (EventKind::RunResumed { .. }, _) => self.stopping = None,
            (EventKind::Cancelled { reason }, _) => self.stopping = Some(reason.as_str()),
            (EventKind::UnitStarted, Some(unit)) => {
                let (phase, since) = (None, event.at);
                unit.started = Some(since);
                unit.state = State::Running { phase, since };
            }
            (EventKind::PhaseStarted { phase }, Some(unit)) => {
                let (phase, since) = (Some(*phase), event.at);
                unit.state = State::Running { phase, since };
                unit.why.clear();
            }
            (EventKind::Waiting { phase: _, why }, Some(unit)) => unit.why = one_line(why, 300),
            (EventKind::CaseFinished { case, outcome, .. }, Some(unit)) => {
                let verdict = match outcome {
                    Outcome::Passed { .. } => Verdict::Passed,
                    Outcome::Skipped { .. } => Verdict::Skipped,
                    Outcome::Failed { failure, expected } => match (Verdict::of_failure(failure), expected) {
                        (Verdict::Failed, Some(_)) => Verdict::Skipped,
                        (verdict, _) => verdict,
                    },
                };
                unit.verdict = unit.verdict.max(verdict);
                unit.why = one_line(&format!("{case}: {}", verdict.as_str()), 300);
            }
            (EventKind::UnitFinished { .. }, Some(unit)) => unit.state = State::Ended,
            // The proof at the end is the summary's; the rest does not change where a unit stands.
            (
                EventKind::Intent { .. }
                | EventKind::Collected { .. }
                | EventKind::Kept { .. }
                | EventKind::RunFinished { .. }
                | EventKind::UnitStarted
                | EventKind::PhaseStarted { .. }
                | EventKind::CaseFinished { .. }
                | EventKind::UnitFinished { .. },
                _,
            ) => {}
        }
    }

    /// One line about the whole run.
    #[must_use]
    pub fn header(&self, now: Timestamp) -> String {
        let number = |wanted: fn(&Unit) -> bool| self.units.iter().filter(|unit| wanted(unit)).count();
        let running = number(|unit| matches!(unit.state, State::Running { .. }));
        let queued = number(|unit| unit.state == State::Queued);
        let bad = number(|unit| unit.state == State::Ended && unit.verdict.is_bad());
        let good = number(|unit| unit.state == State::Ended && !unit.verdict.is_bad());
        let time = elapsed(self.start.unwrap_or(now), now);
        let stopping = self.stopping.map_or(String::new(), |why| format!("; stopping: {why}"));
        let preparing = self.preparing.as_ref().map_or(String::new(), |why| format!("; preparing: {why}"));
        let left = match self.left(now) {
            Some(left) if !left.is_zero() => {
                format!("; about {} left", show_duration(Duration::from_secs(left.as_secs())))
            }
            Some(_) | None => String::new(),
        };
        format!(
            "{time}  {}: {running} at work, {queued} queued, {good} good, {bad} bad{left}{stopping}{preparing}",
            count(self.units.len(), "combination")
        )
    }

    /// One row for each unit at work, in the order of the plan.
    #[must_use]
    pub fn rows(&self, now: Timestamp) -> Vec<Row> {
        let row = |unit: &Unit| match unit.state {
            State::Queued | State::Ended => None,
            State::Running { phase, since } => Some(Row {
                unit: unit.id.clone(),
                name: unit.name.clone(),
                phase: phase.map_or("start", Phase::as_str),
                elapsed: elapsed(since, now),
                why: unit.why.clone(),
            }),
        };
        self.units.iter().filter_map(row).collect()
    }
}

/// Draws the table. It starts no thread: the caller ticks it, about once a second.
#[derive(Debug)]
pub struct Live {
    screen: MultiProgress,
    header: ProgressBar,
    bars: HashMap<CombinationId, ProgressBar>,
    state: LiveState,
    lines: Lines,
    width: usize,
}

impl Live {
    /// Draws to `target`, lines of at most `width` characters.
    #[must_use]
    pub fn new(target: ProgressDrawTarget, width: usize) -> Self {
        let screen = MultiProgress::with_draw_target(target);
        let header = screen.add(bar());
        Self {
            screen,
            header,
            bars: HashMap::new(),
            state: LiveState::default(),
            lines: Lines::new(Detail::Outcomes, width),
            width,
        }
    }

    /// How long combinations took before, by id.
    pub fn expect(&mut self, expected: BTreeMap<String, Duration>) {
        self.state.expect(expected);
    }

    /// Takes one event; what stays on the screen is written above the table.
    pub fn apply(&mut self, event: &Event) {
        for line in self.lines.lines(event) {
            // A terminal that is gone must not end the run.
            let _ = self.screen.println(line);
        }
        self.state.apply(event);
        self.tick(event.at);
    }

    /// Draws the table as of `now`.
    pub fn tick(&mut self, now: Timestamp) {
        self.header.set_message(shorten(&self.state.header(now), self.width).into_owned());
        let rows = self.state.rows(now);
        self.bars.retain(|unit, bar| {
            let stays = rows.iter().any(|row| row.unit == *unit);
            if !stays {
                bar.finish_and_clear();
                self.screen.remove(bar);
            }
            stays
        });
        for row in rows {
            let text = row.render(self.width);
            let bar =
                self.bars.entry(row.unit).or_insert_with(|| self.screen.insert_before(&self.header, bar()));
            bar.set_message(text);
        }
    }

    /// Runs `write` while the table is off the screen; for log lines that go to the same terminal.
    pub fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.screen.suspend(write)
    }

    /// Takes the table off the screen.
    pub fn finish(self) {
        let _ = self.screen.clear();
    }
}

fn bar() -> ProgressBar {
    let style =
        ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
    ProgressBar::new_spinner().with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::CancelReason;
    use crate::results::script::{self, Script};
    use indicatif::TermLike;
    use jiff::SignedDuration;
    use std::io;
    use std::sync::{Arc, Mutex};

    fn screen(script: &Script, width: usize) -> String {
        let events = script.events();
        let mut state = LiveState::default();
        for event in &events {
            state.apply(event);
        }
        let now = events.last().unwrap().at + SignedDuration::from_secs(75);
        let mut lines: Vec<String> = state.rows(now).iter().map(|row| row.render(width)).collect();
        lines.push(state.header(now));
        lines.join("\n")
    }

    #[test]
    fn the_table_while_units_are_at_work() {
        let cases = &["provision", "check/nodes-ready"];
        let script = Script::new().unit("a", cases).unit("b", cases).unit("c", cases).started();
        let script = script
            .phase("a", Phase::Provision)
            .waits("a", 20, Phase::Provision, "Machine/e2e/e2e-a-cp-1: waiting\u{1b}[2J for a node")
            .phase("b", Phase::Check)
            .fails("b", "check/nodes-ready", "2 of 3 nodes")
            .passes("c", cases)
            .unit_clean("c")
            .cancelled(CancelReason::Interrupt);
        insta::assert_snapshot!("wide", screen(&script, 110));
        insta::assert_snapshot!("narrow", screen(&script, 60));
    }

    #[test]
    fn what_is_left_is_guessed_from_what_was_before() {
        let cases = &["provision"];
        let start = |script: Script, unit| script.event_after(0, Some(unit), EventKind::UnitStarted);
        let script = ["a", "b", "c", "d"].iter().fold(Script::new(), |script, unit| script.unit(unit, cases));
        let script = start(start(script, "a"), "b").waits("a", 60, Phase::Provision, "x");
        let mut state = LiveState::default();
        script.events().iter().for_each(|event| state.apply(event));
        let now = script.events().last().unwrap().at;
        assert!(!state.header(now).contains("left"), "nothing is known");
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        // `a` goes on for 4 minutes, `b` for 1; then `c` runs until 6, and `d`, taken to be as long as usual, until 8.
        state.expect(
            [("aaaaaaaa", 5), ("bbbbbbbb", 2), ("cccccccc", 5)].map(|(id, m)| (id.into(), minutes(m))).into(),
        );
        let header = state.header(now);
        assert!(header.ends_with("0 bad; about 8m00s left"), "{header}");
    }

    /// A terminal that remembers what was written to it.
    #[derive(Debug, Clone, Default)]
    struct Paper(Arc<Mutex<String>>);

    impl TermLike for Paper {
        fn width(&self) -> u16 {
            100
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)?;
            self.write_str("\n")
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_table_is_drawn_and_failures_stay_above_it() {
        let paper = Paper::default();
        let target = ProgressDrawTarget::term_like(Box::new(paper.clone()));
        let mut live = Live::new(target, 100);
        let events = script::one_failure().events();
        for event in &events {
            live.apply(event);
        }
        assert!(live.bars.is_empty(), "units that ended leave the table");
        live.finish();
        let text = paper.0.lock().unwrap().clone();
        for wanted in [
            "] aaaaaaaa  FAILED check/nodes-ready",
            "Machine/e2e/e2e-a-cp-1: waiting for a node",
            "2 combinations: 2 at work",
            "2 combinations: 0 at work, 0 queued, 1 good, 1 bad",
        ] {
            assert!(text.contains(wanted), "`{wanted}` is missing in\n{text}");
        }
    }

    #[test]
    fn nothing_is_drawn_for_nobody_and_nothing_breaks() {
        let mut live = Live::new(ProgressDrawTarget::hidden(), 80);
        for event in script::one_failure().events() {
            live.apply(&event);
        }
        assert!(live.bars.is_empty(), "units that ended leave the table");
        live.suspend(|| ());
        live.finish();
    }
}
