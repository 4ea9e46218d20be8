//! Scenarios x selection -> the combinations to run, and those left out, each with its reason. Pure.

mod affected;
mod blame;
pub mod cover;
mod coverage;
mod expand;
pub mod formats;
mod lower;
mod select;

pub use affected::spare_more;
pub use blame::{NamedValues, further, suspects};
pub use coverage::{Coverage, Part, coverage, part};
pub use expand::{DEFAULT_SEED, DEFAULT_STEPS, Earlier, Effort, Price, PriceOf, counterpart, expand};
pub use select::{SelectError, Selection, Shard, one_shard, select};

use crate::scenario::{ClusterPatch, Pattern};
use crate::types::{CheckName, CombinationId, ScenarioName, SwitchValues};
use std::collections::BTreeMap;

/// One value for every switch of a scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Combination {
    /// Stable under adding a value to another switch, and under adding a switch of which this has the default.
    pub id: CombinationId,
    /// The scenario.
    pub scenario: ScenarioName,
    /// The values, in the order of the scenario's switches.
    pub values: SwitchValues,
    /// What all the values together set.
    pub patch: ClusterPatch,
    /// Checks that the values ask for in addition to the scenario's.
    pub checks: Vec<CheckName>,
    /// When given, one of the values is invalid: the cluster must be refused, with a message that this matches.
    pub refusal: Option<Pattern>,
}

impl Combination {
    /// `kubernetes=1.34 controlPlanes=3 yawol=on`
    #[must_use]
    pub fn name(&self) -> String {
        named(&self.values)
    }
}

fn named(values: &SwitchValues) -> String {
    let pairs: Vec<String> = values.iter().map(|(s, v)| format!("{s}={v}")).collect();
    pairs.join(" ")
}

/// A combination that does not run, or values that no combination has together.
#[derive(Debug, Clone, PartialEq)]
pub struct LeftOut {
    /// The scenario.
    pub scenario: ScenarioName,
    /// The id of a combination; `None` for values that stand for all combinations that have them.
    pub id: Option<CombinationId>,
    /// The values, in the order of the scenario's switches.
    pub values: SwitchValues,
    /// Why.
    pub reason: String,
}

impl LeftOut {
    /// `kubernetes=1.34 controlPlanes=3 yawol=on`, or `every combination with yawol=on`
    #[must_use]
    pub fn name(&self) -> String {
        let of = if self.id.is_some() { "" } else { "every combination with " };
        format!("{of}{}", named(&self.values))
    }
}

/// How few combinations could cover what a scenario asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// No covering array has fewer.
    pub rows: usize,
    /// The bound is met, or it is proven otherwise that no array has fewer combinations than this one.
    pub optimal: bool,
}

/// The combinations of a selection of scenarios.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matrix {
    /// What runs, in the order of the files.
    pub combinations: Vec<Combination>,
    /// What does not: what the files exclude, in their order, then what the selection drops.
    pub left_out: Vec<LeftOut>,
    /// For scenarios with covering arrays: how few combinations there could be.
    pub bounds: BTreeMap<ScenarioName, Bound>,
}
