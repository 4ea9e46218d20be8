//! Scenarios x selection -> the combinations to run, and those left out, each with its reason. Pure.

pub mod cover;
mod expand;
pub mod formats;
mod select;

pub use expand::expand;
pub use select::{SelectError, Selection, Shard, select};

use crate::scenario::ClusterPatch;
use crate::types::{CheckName, CombinationId, ScenarioName, SwitchValues};

/// One value for every switch of a scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Combination {
    /// Stable under adding a value to another switch.
    pub id: CombinationId,
    /// The scenario.
    pub scenario: ScenarioName,
    /// The values, in the order of the scenario's switches.
    pub values: SwitchValues,
    /// What all the values together set.
    pub patch: ClusterPatch,
    /// Checks that the values ask for in addition to the scenario's.
    pub checks: Vec<CheckName>,
}

impl Combination {
    /// `kubernetes=1.34 controlPlanes=3 yawol=on`
    #[must_use]
    pub fn name(&self) -> String {
        let pairs: Vec<String> = self.values.iter().map(|(s, v)| format!("{s}={v}")).collect();
        pairs.join(" ")
    }
}

/// A combination that does not run.
#[derive(Debug, Clone, PartialEq)]
pub struct LeftOut {
    /// Which one.
    pub combination: Combination,
    /// Why.
    pub reason: String,
}

/// The combinations of a selection of scenarios.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matrix {
    /// What runs, in the order of the files.
    pub combinations: Vec<Combination>,
    /// What does not: what the files exclude, in their order, then what the selection drops.
    pub left_out: Vec<LeftOut>,
}
