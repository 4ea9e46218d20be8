//! What a run takes while it is carried out, and for how long: `PlannedRun` x table x history -> [`Cost`].

mod flavor;
mod history;
mod resources;
mod table;

pub use flavor::{Flavor, FlavorError};
pub use history::{History, KEPT_SAMPLES, Sample};
pub use resources::{Capacity, CapacityError, Resource, Resources};
pub use table::Table;

#[cfg(test)]
mod tests;

use super::{PlannedRun, StepAction};
use serde::{Deserialize, Serialize};

/// What a run takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// What it holds from its beginning to its end: the most that any of its steps needs.
    pub resources: Resources,
    /// Its phases in order, each with its expected duration in milliseconds.
    pub phases: Vec<PhaseCost>,
}

/// How long one phase is expected to take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseCost {
    /// `provision`, `checks`, `change/...`, `tear-down`, `prove-clean`.
    pub phase: String,
    /// Milliseconds.
    pub milliseconds: u64,
    /// Where the duration comes from.
    pub from: Source,
}

/// Where an expected duration comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The same combination has run before.
    History,
    /// Combinations like it have run before.
    Similar,
    /// The table of defaults.
    Default,
}

impl Cost {
    /// The whole duration in milliseconds; at least 1.
    #[must_use]
    pub fn milliseconds(&self) -> u64 {
        self.phases.iter().fold(0_u64, |sum, phase| sum.saturating_add(phase.milliseconds)).max(1)
    }

    /// What `run` will take, from what is known of earlier runs and else from `table`.
    #[must_use]
    pub fn of(run: &PlannedRun, table: &Table, history: &History) -> Self {
        let mut phases = Vec::new();
        let mut add = |phase: String, default: u64| {
            let (milliseconds, from) = history.expect(run, &phase).unwrap_or((default, Source::Default));
            phases.push(PhaseCost { phase, milliseconds, from });
        };
        add("provision".into(), table.provision(run.control_planes, run.workers));
        let checks = run.steps.iter().filter(|step| matches!(step.action, StepAction::Check(_))).count();
        if checks > 0 {
            add("checks".into(), table.check.saturating_mul(checks as u64));
        }
        for step in &run.steps {
            if let StepAction::Change(change) = &step.action {
                add(step.case.to_string(), table.change(*change, &step.target));
            }
        }
        add("tear-down".into(), table.tear_down);
        add("prove-clean".into(), table.prove_clean);
        Self { resources: table.resources(run), phases }
    }
}
