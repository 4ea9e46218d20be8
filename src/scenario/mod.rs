//! Scenario files: read, checked, and either a [`Scenario`] or every [`Problem`] at once.
//!
//! Pure but for `load`, which reads the files.

pub mod expr;

use crate::types::{
    CheckName, KubernetesMinor, ProviderKind, ScenarioName, StackName, SwitchName, SwitchValues, ValueName,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// A checked scenario: defaults filled in, names within limits, checks and providers known.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Its name, unique among the files of one command.
    pub name: ScenarioName,
    /// The file, as the user named it.
    pub file: PathBuf,
    /// What is tested.
    pub stack: StackSelector,
    /// The big switches, in the order of the file.
    pub switches: Vec<Switch>,
    /// Which combinations of the switches are wanted.
    pub cover: Cover,
    /// Combinations that must not run, each with its reason.
    pub exclude: Vec<Exclusion>,
    /// Rows that always run: a value for every switch.
    pub include: Vec<SwitchValues>,
    /// Worker Machines of a cluster, unless a switch value says otherwise.
    pub workers: u32,
    /// Checks, in order: names of checks and of groups such as `smoke`.
    pub checks: Vec<CheckName>,
    /// Changes, in order.
    pub changes: Vec<Change>,
    /// Known trouble.
    pub expect: Vec<Expectation>,
    /// Deadlines of the phases.
    pub timeouts: Timeouts,
}

/// Which Cluster Stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackSelector {
    /// The provider, and with it the place where clusters come from.
    pub provider: ProviderKind,
    /// The name without provider and minor.
    pub name: StackName,
    /// Directory of the stack, already resolved against the folder of the scenario file.
    pub directory: PathBuf,
}

/// A named axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Switch {
    /// Its name.
    pub name: SwitchName,
    /// Its values, at least one, in the order of the file.
    pub values: Vec<SwitchValue>,
}

/// One value of a switch: a named patch on the cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct SwitchValue {
    /// Its name.
    pub name: ValueName,
    /// What it sets.
    pub patch: ClusterPatch,
    /// Checks that run only with this value.
    pub checks: Vec<CheckName>,
    /// Where the value stands: line and column, from 1.
    pub position: (usize, usize),
}

/// What a switch value sets on a cluster. Two switches of one scenario must not set the same thing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClusterPatch {
    /// The Kubernetes minor.
    pub kubernetes: Option<KubernetesMinor>,
    /// The number of control plane Machines.
    pub control_planes: Option<u32>,
    /// The number of worker Machines.
    pub workers: Option<u32>,
    /// ClusterClass variables.
    pub variables: BTreeMap<String, Value>,
}

/// Which combinations of the switches are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cover {
    /// The full product.
    All,
    /// Every tuple of that many values at least once.
    Strength(u8),
}

/// Combinations that must not run.
#[derive(Debug, Clone, PartialEq)]
pub struct Exclusion {
    /// Which ones.
    pub when: When,
    /// Why not.
    pub because: String,
    /// The line of the entry, from 1.
    pub line: usize,
}

/// A predicate over combinations.
#[derive(Debug, Clone, PartialEq)]
pub enum When {
    /// All of these switches have one of these values.
    Values(BTreeMap<SwitchName, Vec<ValueName>>),
    /// A CEL expression, already parsed and type-checked against the switches.
    Expression(expr::Expr),
}

/// Something that is done to a running cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Scale the workers to this number.
    ScaleWorkers(u32),
    /// Scale the control plane to this number.
    ScaleControlPlanes(u32),
    /// Upgrade to the next Kubernetes minor that the stack has.
    UpgradeNextMinor,
}

impl Change {
    /// The name in case ids: `scale-workers-3`, `scale-control-planes-3`, `upgrade-next-minor`.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::ScaleWorkers(n) => format!("scale-workers-{n}"),
            Self::ScaleControlPlanes(n) => format!("scale-control-planes-{n}"),
            Self::UpgradeNextMinor => "upgrade-next-minor".into(),
        }
    }
}

/// Known trouble: a failure that does not count until a date.
#[derive(Debug, Clone)]
pub struct Expectation {
    /// Matches the whole name of a check (anchored at both ends).
    pub check: regex::Regex,
    /// Only with these switch values; empty = always.
    pub when: BTreeMap<SwitchName, Vec<ValueName>>,
    /// Why it is known.
    pub because: String,
    /// From this day on the failure counts again.
    pub until: jiff::civil::Date,
}

impl PartialEq for Expectation {
    fn eq(&self, other: &Self) -> bool {
        self.check.as_str() == other.check.as_str()
            && self.when == other.when
            && self.because == other.because
            && self.until == other.until
    }
}

/// Deadlines of the phases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Timeouts {
    /// From the create call to an available cluster.
    pub provision: Duration,
    /// One check.
    pub check: Duration,
    /// One change, until its end state.
    pub change: Duration,
    /// From the delete call until everything is gone.
    pub delete: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minutes = |m: u64| Duration::from_secs(m * 60);
        Self { provision: minutes(20), check: minutes(10), change: minutes(20), delete: minutes(15) }
    }
}
