//! How long the phases of earlier runs took.

use super::Source;
use crate::plan::PlannedRun;
use crate::results::{CaseReport, RunReport, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many runs of one combination are remembered; a duration is the median over them.
pub const KEPT_SAMPLES: usize = 9;

/// What earlier runs took. A plain value; whoever has it reads and writes it as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Oldest first.
    pub(super) samples: Vec<Sample>,
}

/// What one combination took in one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The run.
    pub run: String,
    /// The scenario.
    pub scenario: String,
    /// The combination's id.
    pub combination: String,
    /// Its switch values and what else was known of it, by name.
    pub properties: BTreeMap<String, String>,
    /// Milliseconds of every phase that went well.
    pub phases: BTreeMap<String, u64>,
}

impl History {
    /// What is remembered, oldest first.
    #[must_use]
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// Remembers what a run took. Only what passed counts: what failed took as long as its timeout. A run that is
    /// known already is learned anew, not twice.
    pub fn learn(&mut self, report: &RunReport) {
        let run = report.run.to_string();
        self.samples.retain(|sample| sample.run != run);
        for unit in &report.units {
            let mut phases: BTreeMap<String, u64> = BTreeMap::new();
            let mut checked = true;
            for case in &unit.cases {
                let name = case.case.0.as_str();
                let is_check = name.starts_with("check/");
                let Some(milliseconds) = took(case) else {
                    checked &= !is_check || case.verdict == Verdict::Skipped;
                    continue;
                };
                let phase = if is_check { "checks" } else { name };
                *phases.entry(phase.to_owned()).or_default() += milliseconds;
            }
            if !checked {
                phases.remove("checks");
            }
            if !phases.is_empty() {
                self.samples.push(Sample {
                    run: run.clone(),
                    scenario: unit.info.scenario.clone(),
                    combination: unit.info.id.to_string(),
                    properties: unit.info.properties.clone(),
                    phases,
                });
            }
        }
        self.forget();
    }

    /// Drops what is older than the last [`KEPT_SAMPLES`] of its combination.
    fn forget(&mut self) {
        let mut seen: BTreeMap<(String, String), usize> = BTreeMap::new();
        let mut kept: Vec<Sample> = Vec::with_capacity(self.samples.len());
        for sample in self.samples.drain(..).rev() {
            let count = seen.entry((sample.scenario.clone(), sample.combination.clone())).or_default();
            *count += 1;
            if *count <= KEPT_SAMPLES {
                kept.push(sample);
            }
        }
        kept.reverse();
        self.samples = kept;
    }

    /// How many milliseconds a phase of `run` took before: the median over the runs of the same combination, else
    /// over those of the same scenario that share the most switch values with it.
    #[must_use]
    pub fn expect(&self, run: &PlannedRun, phase: &str) -> Option<(u64, Source)> {
        let same_scenario = self.samples.iter().filter(|sample| sample.scenario == run.scenario);
        let has = same_scenario.filter_map(|sample| Some((sample, *sample.phases.get(phase)?)));
        let has: Vec<(&Sample, u64)> = has.collect();
        let own = has.iter().filter(|(sample, _)| sample.combination == run.id.as_str()).map(|(_, ms)| *ms);
        if let Some(median) = median(own) {
            return Some((median, Source::History));
        }
        let shared = |sample: &Sample| {
            let equal = |(switch, value): &(&String, &String)| sample.properties.get(*switch) == Some(*value);
            run.switches.iter().filter(equal).count()
        };
        let most = has.iter().map(|(sample, _)| shared(sample)).max()?;
        let alike = has.iter().filter(|(sample, _)| shared(sample) == most).map(|(_, ms)| *ms);
        median(alike).map(|median| (median, Source::Similar))
    }
}

/// Milliseconds of the last try of a case that passed.
fn took(case: &CaseReport) -> Option<u64> {
    let passed = matches!(case.verdict, Verdict::Passed | Verdict::Flaky);
    let attempt = case.deciding().filter(|_| passed)?;
    u64::try_from(attempt.finished.duration_since(attempt.started).as_millis()).ok()
}

/// The lower of the two in the middle when there are two.
fn median(values: impl Iterator<Item = u64>) -> Option<u64> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values.get(values.len().saturating_sub(1) / 2).copied()
}
