//! A schedule as a picture: one bar for each run, as SVG.

use crate::types::one_line;
use crate::types::show_duration;
use std::fmt::Write as _;
use std::time::Duration;

/// One run on the time axis. All times are milliseconds from the left end of the axis.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bar {
    /// What it is.
    pub label: String,
    /// Bars of one lane stand together, under its name: for example a scenario.
    pub lane: Option<String>,
    /// When it starts.
    pub start: u64,
    /// When it ends.
    pub end: u64,
    /// Its phases in order: name and end. What is left after the last one belongs to no phase.
    pub phases: Vec<(String, u64)>,
}

const WIDTH: u64 = 960;
const LABELS: u64 = 300;
const ROW: u64 = 24;
const TOP: u64 = 40;
const LABEL_LENGTH: usize = 42;
/// Colours that can be told apart by brightness as well; the first is also that of a bar without phases.
const COLOURS: usize = 5;

const STYLE: &str = "\
text{font:12px system-ui,sans-serif;fill:#1b1f24}\
.lane{font-weight:600}\
.axis{fill:#57606a;font-size:11px}\
.grid{stroke:#d0d7de}\
.bound{stroke:#b3261e;stroke-width:1.5;stroke-dasharray:5 3}\
.limit{fill:#b3261e;font-size:11px}\
.back{fill:#ffffff}\
.p0{fill:#3d7dca}.p1{fill:#7fb4e6}.p2{fill:#2f5d8c}.p3{fill:#9aa5b1}.p4{fill:#57889c}\
@media(prefers-color-scheme:dark){\
text{fill:#e6edf3}.axis{fill:#9198a1}.grid{stroke:#3d444d}.back{fill:#0d1117}\
.bound{stroke:#ff8a80}.limit{fill:#ff8a80}\
.p0{fill:#4c8fdd}.p1{fill:#9cc8f2}.p2{fill:#3a6ea5}.p3{fill:#6e7681}.p4{fill:#6fa3b8}}";

/// Text as it may stand in an element or an attribute.
fn escaped(text: &str, max: usize) -> String {
    let line = one_line(text, max);
    let mut out = String::with_capacity(line.len());
    for c in line.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn show(milliseconds: u64) -> String {
    if milliseconds == 0 { "0".to_owned() } else { show_duration(Duration::from_millis(milliseconds)) }
}

/// The bars in their order, lane by lane, on one time axis; `bound` is drawn as a line, before which nothing can be
/// over. A file of its own: no script, no reference, readable in light and dark, and by screen readers.
#[must_use]
pub fn gantt(bars: &[Bar], bound: Option<u64>) -> String {
    let end = bars.iter().map(|bar| bar.end).chain(bound).max().unwrap_or(0).max(1);
    let step = step(end);
    let x = |at: u64| {
        let wide = u128::from(at.min(end)) * u128::from(WIDTH - LABELS - 20) / u128::from(end);
        LABELS + u64::try_from(wide).unwrap_or(0)
    };
    let mut lanes: Vec<Option<&str>> = Vec::new();
    for bar in bars {
        if !lanes.contains(&bar.lane.as_deref()) {
            lanes.push(bar.lane.as_deref());
        }
    }
    let named = lanes.iter().filter(|lane| lane.is_some()).count();
    let height = TOP + ROW * (bars.len() + named) as u64 + 28;
    let bottom = height - 24;
    let names = phases(bars);
    let mut svg = String::new();
    let last = bars.iter().map(|bar| bar.end).max().unwrap_or(0);
    let _ = writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"100%\" \
         style=\"max-width:1200px;min-width:700px\" role=\"img\" aria-labelledby=\"title desc\">"
    );
    let _ =
        writeln!(svg, "<title id=\"title\">Schedule of {} runs, {} in all</title>", bars.len(), show(last));
    let _ = writeln!(svg, "<desc id=\"desc\">{}</desc>", description(bars, bound));
    let _ = writeln!(svg, "<style>{STYLE}</style>");
    let _ = writeln!(svg, "<rect class=\"back\" width=\"{WIDTH}\" height=\"{height}\"/>");
    for (number, name) in names.iter().enumerate() {
        let (at, class) = (LABELS + 130 * (number as u64 % 5), number % COLOURS);
        let name = escaped(name, 18);
        let _ = writeln!(svg, "<rect class=\"p{class}\" x=\"{at}\" y=\"4\" width=\"10\" height=\"10\"/>");
        let _ = writeln!(svg, "<text class=\"axis\" x=\"{}\" y=\"13\">{name}</text>", at + 14);
    }
    let mut tick = 0;
    while tick <= end {
        let at = x(tick);
        let _ = writeln!(svg, "<line class=\"grid\" x1=\"{at}\" y1=\"{TOP}\" x2=\"{at}\" y2=\"{bottom}\"/>");
        let (above, label) = (TOP - 8, show(tick));
        let _ = writeln!(svg, "<text class=\"axis\" x=\"{at}\" y=\"{above}\">{label}</text>");
        tick = tick.saturating_add(step);
    }
    let mut y = TOP;
    for lane in lanes {
        if let Some(lane) = lane {
            let _ =
                writeln!(svg, "<text class=\"lane\" x=\"8\" y=\"{}\">{}</text>", y + 16, escaped(lane, 60));
            y += ROW;
        }
        for bar in bars.iter().filter(|bar| bar.lane.as_deref() == lane) {
            draw(&mut svg, bar, y, &names, &x);
            y += ROW;
        }
    }
    if let Some(bound) = bound {
        let at = x(bound);
        let _ = writeln!(svg, "<line class=\"bound\" x1=\"{at}\" y1=\"{TOP}\" x2=\"{at}\" y2=\"{bottom}\"/>");
        let (edge, text) = (at.min(WIDTH - 20), show(bound));
        let _ = writeln!(
            svg,
            "<text class=\"limit\" x=\"{edge}\" y=\"{}\" text-anchor=\"end\">bound {text}</text>",
            height - 8
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// A distance of ticks that people count in, such that there are at most eight.
fn step(end: u64) -> u64 {
    const STEPS: [u64; 14] = [1, 5, 10, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 86_400];
    let fits = |step: &u64| end / (step * 1_000) <= 8;
    STEPS.iter().find(|step| fits(step)).map_or(end.div_ceil(8).max(1), |step| step * 1_000)
}

/// The kinds of phases, each once, without what follows a slash.
fn phases(bars: &[Bar]) -> Vec<&str> {
    let mut names = Vec::new();
    for (name, _) in bars.iter().flat_map(|bar| &bar.phases) {
        let kind = kind(name);
        if !names.contains(&kind) && names.len() < COLOURS {
            names.push(kind);
        }
    }
    names
}

fn kind(phase: &str) -> &str {
    phase.split('/').next().unwrap_or(phase)
}

fn description(bars: &[Bar], bound: Option<u64>) -> String {
    let mut words: Vec<String> = bars
        .iter()
        .take(200)
        .map(|bar| format!("{}: {} to {}.", escaped(&bar.label, 80), show(bar.start), show(bar.end)))
        .collect();
    words.extend(bound.map(|bound| format!("No schedule ends before {}.", show(bound))));
    words.join(" ")
}

fn draw(svg: &mut String, bar: &Bar, y: u64, names: &[&str], x: &dyn Fn(u64) -> u64) {
    let (label, whole) = (escaped(&bar.label, LABEL_LENGTH), escaped(&bar.label, 300));
    let (start, end) = (show(bar.start), show(bar.end));
    let _ = writeln!(svg, "<g><title>{whole}: {start} to {end}</title>");
    let _ = writeln!(svg, "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{label}</text>", LABELS - 8, y + 16);
    let mut from = bar.start;
    let rest = [(String::new(), bar.end)];
    for (name, to) in bar.phases.iter().chain(&rest) {
        let to = (*to).clamp(from, bar.end.max(from));
        if to == from && !(name.is_empty() && from == bar.start) {
            continue;
        }
        let class = names.iter().position(|known| *known == kind(name)).unwrap_or(0) % COLOURS;
        let (left, width) = (x(from), (x(to) - x(from)).max(1));
        let _ = write!(
            svg,
            "<rect class=\"p{class}\" x=\"{left}\" y=\"{}\" width=\"{width}\" height=\"{}\" rx=\"2\">",
            y + 4,
            ROW - 8
        );
        let what = if name.is_empty() { whole.clone() } else { escaped(name, 60) };
        let _ = writeln!(svg, "<title>{what}: {} to {}</title></rect>", show(from), show(to));
        from = to;
    }
    svg.push_str("</g>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bar(label: &str, lane: &str, start: u64, end: u64) -> Bar {
        let third = (end - start) / 3;
        Bar {
            label: label.into(),
            lane: Some(lane.into()),
            start,
            end,
            phases: vec![("provision".into(), start + third), ("change/upgrade".into(), end)],
        }
    }

    #[test]
    fn a_schedule_is_a_picture() {
        let mut plain = bar("without phases", "other", 60_000, 400_000);
        plain.phases.clear();
        let bars = [
            bar("kubernetes=1.34 controlPlanes=3", "local", 0, 310_000),
            bar("kubernetes=1.33 controlPlanes=1", "local", 310_000, 560_000),
            plain,
        ];
        insta::assert_snapshot!(gantt(&bars, Some(540_000)));
    }

    #[test]
    fn nothing_to_show_is_still_a_picture() {
        roxmltree::Document::parse(&gantt(&[], None)).unwrap();
    }

    proptest! {
        #[test]
        fn whatever_the_texts_and_times_it_is_well_formed_and_runs_nothing(
            label in ".{0,60}", lane in proptest::option::of("\\PC{0,30}"), phase in ".{0,20}",
            start: u64, end: u64, middle: u64, bound: Option<u64>,
        ) {
            let bars = [Bar { label: format!("<script>{label}"), lane, start, end, phases: vec![(phase, middle)] }];
            let svg = gantt(&bars, bound);
            let document = roxmltree::Document::parse(&svg).unwrap();
            let known = ["svg", "title", "desc", "style", "rect", "text", "line", "g"];
            for node in document.descendants().filter(roxmltree::Node::is_element) {
                prop_assert!(known.contains(&node.tag_name().name()));
                prop_assert!(node.attributes().all(|attribute| !attribute.name().starts_with("on")));
            }
        }
    }
}
