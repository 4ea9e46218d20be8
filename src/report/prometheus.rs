//! The results as metrics in the text format of Prometheus, for the textfile collector or a push.

use super::facts::Facts;
use crate::event::{Cleanliness, Seen};
use crate::results::{RunReport, UnitReport, Verdict};
use crate::types::one_line;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// With more combinations there is no series for each of them: who stores metrics pays by the series.
const MAX_UNITS: usize = 500;
const MAX_LABEL: usize = 200;

const VERDICTS: [Verdict; 5] =
    [Verdict::Passed, Verdict::Flaky, Verdict::Failed, Verdict::Errored, Verdict::Skipped];

/// The metrics about `facts`.
#[must_use]
pub fn prometheus(facts: &Facts<'_>) -> String {
    let mut out = Metrics::default();
    out.metric("exit_code", "The exit code of the run.", &[], f64::from(facts.exit_status().code()));
    if let Some(report) = facts.report {
        run(report, &mut out);
        units(report, &mut out);
        cases(report, &mut out);
        downtime(report, &mut out);
    }
    for file in &facts.foreign.files {
        for (verdict, number) in [
            ("passed", file.passed),
            ("failed", file.failed),
            ("errored", file.errored),
            ("skipped", file.skipped),
        ] {
            let labels = [("file", file.name.as_str()), ("verdict", verdict)];
            out.metric(
                "other_cases",
                "Cases of other tools, by file and verdict.",
                &labels,
                number_of(number),
            );
        }
    }
    out.finish()
}

fn number_of(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

fn seconds(from: jiff::Timestamp, to: jiff::Timestamp) -> f64 {
    Duration::try_from(to.duration_since(from)).unwrap_or_default().as_secs_f64()
}

fn run(report: &RunReport, out: &mut Metrics) {
    let verdict = report.verdict();
    let labels =
        [("run", report.run.as_str()), ("harness", report.harness.as_str()), ("verdict", verdict.as_str())];
    out.metric("run_info", "The run; always 1.", &labels, 1.0);
    out.metric(
        "run_start_time_seconds",
        "When the run began, in seconds since 1970.",
        &[],
        Duration::from_millis(report.started.as_millisecond().unsigned_abs()).as_secs_f64(),
    );
    out.metric(
        "run_duration_seconds",
        "How long the run took.",
        &[],
        seconds(report.started, report.finished),
    );
    let clean = f64::from(u8::from(report.clean == Cleanliness::Clean));
    out.metric("run_proven_clean", "1 when it is proven that nothing is left.", &[], clean);
    let left = match &report.clean {
        Cleanliness::Left { objects } => number_of(objects.len()),
        Cleanliness::Clean => 0.0,
        // Nobody knows, which is not nothing.
        Cleanliness::Unknown { .. } | Cleanliness::Kept => f64::NAN,
    };
    out.metric("run_leftover_objects", "Objects that outlived the run; NaN when nobody knows.", &[], left);
    out.metric(
        "left_out",
        "Combinations that were left out, with a reason.",
        &[],
        number_of(report.left_out.len()),
    );
}

fn units(report: &RunReport, out: &mut Metrics) {
    let verdicts: Vec<Verdict> = report.units.iter().map(UnitReport::verdict).collect();
    by_verdict("combinations", "Combinations by verdict.", &verdicts, out);
    if report.units.len() > MAX_UNITS {
        return;
    }
    for unit in &report.units {
        let labels = [
            ("id", unit.info.id.as_str()),
            ("scenario", unit.info.scenario.as_str()),
            ("combination", unit.info.name.as_str()),
        ];
        let good = f64::from(u8::from(!unit.verdict().is_bad()));
        out.metric("combination_good", "1 when the combination did not fail.", &labels, good);
        if let (Some(from), Some(to)) = (unit.started, unit.finished) {
            out.metric(
                "combination_duration_seconds",
                "How long the combination took.",
                &labels,
                seconds(from, to),
            );
        }
    }
}

fn cases(report: &RunReport, out: &mut Metrics) {
    let all = || report.units.iter().flat_map(|unit| &unit.cases);
    let verdicts: Vec<Verdict> = all().map(|case| case.verdict).collect();
    by_verdict("cases", "Cases by verdict.", &verdicts, out);
    let mut times: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for case in all().filter(|case| case.verdict != Verdict::Skipped) {
        if let Some(last) = case.deciding() {
            times.entry(&case.case.0).or_default().push(seconds(last.started, last.finished));
        }
    }
    for (case, mut times) in times.into_iter().take(MAX_UNITS) {
        times.sort_by(f64::total_cmp);
        for (stat, index) in [("median", times.len() / 2), ("max", times.len() - 1)] {
            out.metric(
                "case_duration_seconds",
                "How long a case took, over all combinations.",
                &[("case", case), ("stat", stat)],
                times[index],
            );
        }
    }
}

/// The longest downtime of each change, and how often nobody knows: an unknown is in no maximum.
fn downtime(report: &RunReport, out: &mut Metrics) {
    let mut longest: BTreeMap<(&str, &str), Option<u64>> = BTreeMap::new();
    let mut unknown: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (_, case, one) in report.availability() {
        let key = (case.case.0.as_str(), one.service.as_str());
        match &one.seen {
            Seen::Measured { downtime_ms, .. } => {
                let known = longest.entry(key).or_default();
                *known = (*known).max(Some(*downtime_ms));
                unknown.entry(key).or_default();
            }
            Seen::Unknown { .. } => *unknown.entry(key).or_default() += 1,
        }
    }
    for ((case, service), milliseconds) in longest.into_iter().take(MAX_UNITS) {
        let value = Duration::from_millis(milliseconds.unwrap_or_default()).as_secs_f64();
        let help = "For how long a change took a service down, the worst of all combinations.";
        out.metric("change_downtime_seconds", help, &[("case", case), ("service", service)], value);
    }
    for ((case, service), number) in unknown.into_iter().take(MAX_UNITS) {
        let help = "In how many combinations it is not known for how long a change took a service down.";
        let labels = [("case", case), ("service", service)];
        out.metric("change_downtime_unknown", help, &labels, number_of(number));
    }
}

fn by_verdict(name: &'static str, help: &'static str, verdicts: &[Verdict], out: &mut Metrics) {
    for verdict in VERDICTS {
        let number = verdicts.iter().filter(|other| **other == verdict).count();
        out.metric(name, help, &[("verdict", verdict.as_str())], number_of(number));
    }
}

/// All samples of a metric must stand together, whatever the order in which they are found.
#[derive(Default)]
struct Metrics {
    metrics: BTreeMap<&'static str, (&'static str, String)>,
}

impl Metrics {
    fn metric(&mut self, name: &'static str, help: &'static str, labels: &[(&str, &str)], value: f64) {
        let (_, samples) = self.metrics.entry(name).or_insert_with(|| (help, String::new()));
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let value = match value {
            value if value.is_nan() => "NaN".to_owned(),
            value if value.is_infinite() => "+Inf".to_owned(),
            value => value.to_string(),
        };
        let _ = writeln!(samples, "stack_e2e_{name}{labels} {value}");
    }

    fn finish(self) -> String {
        let mut out = String::new();
        for (name, (help, samples)) in self.metrics {
            let _ = write!(out, "# HELP stack_e2e_{name} {help}\n# TYPE stack_e2e_{name} gauge\n{samples}");
        }
        out
    }
}

/// The value of a label: backslash, quote and newline are all that the format knows to escape.
fn escaped(text: &str) -> String {
    one_line(text, MAX_LABEL).replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests;
