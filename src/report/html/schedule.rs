//! The schedule as it really was: who ran when, in which phase, what it waited for, and on whom the end depended.

use super::{Page, words};
use crate::event::Phase;
use crate::report::terminal::count;
use crate::results::timeline::{PhaseSpan, UnitSpan};
use crate::results::{RunReport, UnitReport, Verdict};
use jiff::Timestamp;
use maud::{Markup, html};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

/// With more units each row is a slot with all that ran in it.
const MAX_ROWS: usize = 40;
/// With more units their phases are too narrow to be seen.
const MAX_WITH_PHASES: usize = 120;
/// With more bars those of a slot are drawn as one shape for each verdict, which takes a tenth of the room; none of them
/// has a name then.
const MAX_BARS: usize = 1_000;
const MAX_LANES: usize = 100;

/// The drawing, in its own units.
const LEFT: i64 = 290;
const WIDTH: i64 = 1000;
const TOP: i64 = 26;
const ROW: i64 = 24;

const PHASES: [Phase; 6] =
    [Phase::Provision, Phase::Check, Phase::Change, Phase::Collect, Phase::TearDown, Phase::ProveClean];

/// Moments -> places.
struct Scale {
    start: Timestamp,
    span: i64,
}

impl Scale {
    fn x(&self, at: Timestamp) -> i64 {
        let since = at.as_millisecond().saturating_sub(self.start.as_millisecond()).clamp(0, self.span);
        LEFT + since * (WIDTH - LEFT) / self.span
    }

    /// Round moments, at most ten of them: place and label.
    fn ticks(&self) -> Vec<(i64, String)> {
        const STEPS: [i64; 14] = [1, 5, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 86_400];
        let seconds = self.span / 1000;
        let step = STEPS.into_iter().find(|step| seconds / step < 10).unwrap_or(604_800);
        let label = |at: i64| words::time(Duration::from_secs(at.unsigned_abs()));
        (0..=seconds / step)
            .map(|n| (LEFT + n * step * 1000 * (WIDTH - LEFT) / self.span, label(n * step)))
            .collect()
    }
}

fn length(span: &PhaseSpan) -> Duration {
    words::between(span.started, span.finished)
}

struct Chart<'a> {
    page: &'a Page<'a>,
    scale: Scale,
    units: HashMap<&'a str, &'a UnitReport>,
    critical: HashSet<*const UnitSpan>,
    with_phases: bool,
}

impl<'a> Chart<'a> {
    fn verdict(&self, span: &UnitSpan) -> Verdict {
        self.units.get(span.id.as_str()).map_or(Verdict::Skipped, |unit| unit.verdict())
    }

    fn name(&self, span: &'a UnitSpan) -> &'a str {
        self.page.name(&span.id)
    }

    fn is_critical(&self, span: &UnitSpan) -> bool {
        self.critical.contains(&std::ptr::from_ref(span))
    }

    fn bar(&self, span: &'a UnitSpan, y: i64) -> Markup {
        let (from, to) = (self.scale.x(span.started), self.scale.x(span.finished));
        let verdict = self.verdict(span);
        let took = words::time(words::between(span.started, span.finished));
        let path = if self.is_critical(span) { ", on the critical path" } else { "" };
        let told = format!("{}: {}, {took}{path}", self.name(span), verdict.as_str());
        // Without phases in them bars are told apart by their height as well as by their colour.
        let (top, height) = match (self.with_phases, verdict.is_bad()) {
            (true, _) => (3, ROW - 6),
            (false, true) => (1, ROW - 2),
            (false, false) => (6, ROW - 12),
        };
        let class =
            format!("unit-bar {}{}", verdict.as_str(), if self.is_critical(span) { " critical" } else { "" });
        html! {
            g {
                title { (told) }
                rect class=(class) x=(from) y=(y + top) width=((to - from).max(1)) height=(height) {}
                @if self.with_phases {
                    @for phase in &span.phases { (self.phase(phase, y)) }
                    @for wait in &span.waits {
                        @let (from, to) = (self.scale.x(wait.started), self.scale.x(wait.finished));
                        @if to - from >= 2 {
                            rect.wait x=(from) y=(y + ROW - 8) width=(to - from) height="4" {
                                title { "waited " (words::time(words::between(wait.started, wait.finished))) ": " (words::line(&wait.why)) }
                            }
                        }
                    }
                }
            }
        }
    }

    fn phase(&self, span: &PhaseSpan, y: i64) -> Markup {
        let (from, to) = (self.scale.x(span.started), self.scale.x(span.finished));
        let name = span.phase.as_str();
        // Seven units of width hold a letter.
        let room = i64::try_from(name.len()).unwrap_or(i64::MAX).saturating_mul(7) + 6;
        html! {
            @if to > from {
                rect class={ "phase " (name) } x=(from) y=(y + 3) width=(to - from) height=(ROW - 6) {
                    title { (name) ", " (words::time(length(span))) }
                }
                @if to - from > room { text.in-bar x=(from + 4) y=(y + 15) { (name) } }
            }
        }
    }
}

impl Page<'_> {
    pub(super) fn schedule(&self, report: &RunReport) -> Option<Markup> {
        let timeline = self.facts.timeline;
        let (start, end) = timeline.extent()?;
        let span = end.as_millisecond().saturating_sub(start.as_millisecond()).max(1);
        let path = timeline.critical_path();
        let chart = Chart {
            page: self,
            scale: Scale { start, span },
            units: report.units.iter().map(|unit| (unit.info.id.as_str(), unit)).collect(),
            critical: path.iter().map(|unit| std::ptr::from_ref::<UnitSpan>(unit)).collect(),
            with_phases: timeline.units.len() <= MAX_WITH_PHASES,
        };
        let single = timeline.units.len() <= MAX_ROWS;
        let mut lanes: Vec<Vec<&UnitSpan>> =
            if single { timeline.units.iter().map(|unit| vec![unit]).collect() } else { timeline.lanes() };
        let all_lanes = lanes.len();
        lanes.truncate(MAX_LANES);
        Some(html! {
            (critical(&path, &chart, start, end))
            div.scroll.chart tabindex="0" role="group" aria-label="the schedule as a chart" {
                (draw(&lanes, &chart, single))
            }
            (legend(chart.with_phases))
            @if all_lanes > lanes.len() { p { (all_lanes - lanes.len()) " slots are left out." } }
            (waits(timeline.units.iter(), &chart))
        })
    }
}

/// The bars of a slot, told apart by their height as well as by their colour.
fn shapes(lane: &[&UnitSpan], chart: &Chart<'_>, y: i64) -> Markup {
    let shape = |wanted: fn(Verdict) -> bool, top: i64, height: i64| {
        let mut path = String::new();
        for unit in lane.iter().filter(|unit| wanted(chart.verdict(unit))) {
            let (from, to) = (chart.scale.x(unit.started), chart.scale.x(unit.finished));
            let width = (to - from).max(1);
            path.push_str(&format!("M{from} {}h{width}v{height}h-{width}z", y + top));
        }
        path
    };
    let good = shape(|verdict| verdict == Verdict::Passed, 6, ROW - 12);
    let bad = shape(Verdict::is_bad, 1, ROW - 2);
    let other = shape(|verdict| !verdict.is_bad() && verdict != Verdict::Passed, 6, ROW - 12);
    html! {
        @for (class, path) in [("passed", good), ("flaky", other), ("failed", bad)] {
            @if !path.is_empty() { path class={ "unit-bar " (class) } d=(path) {} }
        }
        @for unit in lane.iter().filter(|unit| chart.is_critical(unit)) {
            @let (from, to) = (chart.scale.x(unit.started), chart.scale.x(unit.finished));
            rect.critical x=(from) y=(y + 1) width=((to - from).max(1)) height=(ROW - 2) {}
        }
    }
}

fn draw(lanes: &[Vec<&UnitSpan>], chart: &Chart<'_>, single: bool) -> Markup {
    let compact = chart.units.len() > MAX_BARS;
    let bottom = TOP + i64::try_from(lanes.len()).unwrap_or(0) * ROW;
    html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (WIDTH + 20) " " (bottom + 6) } role="img"
            aria-label="Bars of the combinations over time; the text above and below says the same" {
            @for (x, label) in chart.scale.ticks() {
                line.grid x1=(x) y1=(TOP - 4) x2=(x) y2=(bottom) {}
                text.tick x=(x) y=(TOP - 9) { (label) }
            }
            @for (lane, y) in lanes.iter().zip((TOP..).step_by(usize::try_from(ROW).unwrap_or(1))) {
                @let first = lane.first().copied();
                text.row-label x=(LEFT - 8) y=(y + 16) {
                    @match (single, first) {
                        (true, Some(unit)) => {
                            @if chart.verdict(unit).is_bad() { "✗ " }
                            @if chart.is_critical(unit) { "◆ " }
                            (crate::types::shorten(chart.name(unit), 44))
                        }
                        (_, _) => { "slot " ((y - TOP) / ROW + 1) ": " (lane.len()) }
                    }
                }
                @if compact {
                    (shapes(lane, chart, y))
                } @else {
                    @for unit in lane { (chart.bar(unit, y)) }
                }
            }
        }
    }
}

fn critical(path: &[&UnitSpan], chart: &Chart<'_>, start: Timestamp, end: Timestamp) -> Markup {
    const MAX: usize = 30;
    let mut by_phase: BTreeMap<Phase, Duration> = BTreeMap::new();
    for phase in path.iter().flat_map(|unit| &unit.phases) {
        *by_phase.entry(phase.phase).or_default() += length(phase);
    }
    let mut parts: Vec<(Phase, Duration)> = by_phase.into_iter().collect();
    parts.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
    let all = chart.units.len();
    html! {
        p {
            (count(all, "combination")) " in " (words::time(words::between(start, end))) ". The end depended on "
            (count(path.len(), "combination")) " one after the other"
            @if !parts.is_empty() {
                ", which spent "
                @for (number, (phase, time)) in parts.iter().take(4).enumerate() {
                    @if number > 0 { ", " }
                    strong { (words::time(*time)) } " in " (phase.as_str())
                }
            }
            ". Only what makes these shorter makes the run shorter."
        }
        details {
            summary { "the critical path" }
            ol {
                @for unit in path.iter().take(MAX) {
                    li {
                        (chart.name(unit)) ", "
                        (words::time(words::between(unit.started, unit.finished)))
                        ", from " (words::time(words::between(start, unit.started)))
                        ": "
                        @for (number, phase) in unit.phases.iter().take(12).enumerate() {
                            @if number > 0 { ", " }
                            (phase.phase.as_str()) " " (words::time(length(phase)))
                        }
                    }
                }
            }
            @if path.len() > MAX { p { "… and " (path.len() - MAX) " more." } }
        }
    }
}

fn legend(with_phases: bool) -> Markup {
    html! {
        p.legend {
            @if with_phases {
                @for phase in PHASES { span { span class={ "swatch " (phase.as_str()) } {} " " (phase.as_str()) } " " }
                span { span.swatch.wait {} " waiting, the longest ones" } " "
                span { "✗ failed or errored" } " "
            } @else {
                span { span.swatch.passed {} " passed" } " "
                span { span.swatch.tear-down {} " flaky or skipped" } " "
                span { span.swatch.failed {} " failed or errored, the higher bars" } " "
            }
            span { "◆ or a frame: on the critical path" }
        }
    }
}

/// What was waited for longest, over all units.
fn waits<'a>(units: impl Iterator<Item = &'a UnitSpan>, chart: &Chart<'a>) -> Markup {
    let mut longest: Vec<_> =
        units.flat_map(|unit| unit.waits.iter().map(move |wait| (unit, wait))).collect();
    longest.sort_by_key(|(_, wait)| std::cmp::Reverse(wait.length()));
    longest.truncate(15);
    html! {
        @if !longest.is_empty() {
            details {
                summary { "the longest waits" }
                (words::scrolling("the longest waits", html! {
                    table {
                        thead { tr { th scope="col" { "combination" } th scope="col" { "phase" } th scope="col" { "waited" } th scope="col" { "for" } } }
                        tbody {
                            @for (unit, wait) in &longest {
                                tr {
                                    th scope="row" { (chart.name(unit)) }
                                    td { (wait.phase.as_str()) }
                                    td.number { (words::time(words::between(wait.started, wait.finished))) }
                                    td { (words::line(&wait.why)) }
                                }
                            }
                        }
                    }
                }))
            }
        }
    }
}
