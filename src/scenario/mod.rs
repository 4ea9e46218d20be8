//! Scenario files: read, checked, and either a [`Scenario`] or every [`Problem`] at once.
//!
//! ```text
//! bytes -> source text -> node tree -> fields -> Scenario
//!      text, problem      tree         decode    document: stack, switches, variables, rows, expr, steps
//! ```
//!
//! Every step reports what it finds and goes on with the rest. Pure but for [`load`], which reads the files.

mod access;
mod boxes;
mod cost;
mod decode;
mod document;
pub mod expr;
mod load;
mod marks;
mod places;
mod policy;
mod problem;
mod rows;
mod scalar;
mod schema;
mod stack;
mod steps;
mod switches;
mod text;
mod tree;
mod variables;

pub use access::{CloudAccess, Delivery};
pub use boxes::{MAX_BOXES, ValueBox, boxes};
pub use cost::{CostOverrides, RESOURCES};
pub use document::{parse, parse_bytes};
pub use load::load;
pub use places::Places;
pub use policy::{NamedValues, Policy, PolicyCoverage};
pub use problem::{MAX_PROBLEMS, Problem, Problems, SourceText, Span, did_you_mean};
pub use schema::schema;
pub use text::{MAX_FILE, MAX_LINE};
pub use tree::{MAX_DEPTH, MAX_NODES};

use crate::types::{
    CheckName, KubernetesMinor, ProviderKind, ScenarioName, StackName, SwitchName, SwitchValues, ValueName,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// `apiVersion` of scenario files.
pub const API_VERSION: &str = "e2e.clusterstack.x-k8s.io/v1alpha1";
/// The most switches of a scenario.
pub const MAX_SWITCHES: usize = 32;
/// The most values of a switch.
pub const MAX_VALUES: usize = 64;
/// The most combinations that a scenario may run.
pub const MAX_COMBINATIONS: usize = 10_000;
/// The strongest cover: every tuple of that many values.
pub const MAX_STRENGTH: u8 = 6;
/// The most scenarios that one may come after.
pub const MAX_AFTER: usize = 16;
/// The heaviest weight of a value.
pub const MAX_WEIGHT: u32 = 100;
/// The most Machines of one kind in a cluster.
pub const MAX_WORKERS: u32 = 100;

/// What exists around a scenario: given by the caller, because it stands in higher layers.
#[derive(Debug, Clone, Default)]
pub struct Known<'a> {
    /// All checks, each with its group.
    pub checks: &'a [(&'a str, &'a str)],
    /// The environment variables that scenario files may refer to, with their values. Empty for files that are not
    /// trusted, e.g. those of a pull request.
    pub environment: BTreeMap<String, String>,
    /// When given, the directory of a stack must be inside.
    pub root: Option<PathBuf>,
    /// With a root: starts of places on other machines that releases may be read from, e.g. `oci://registry/kaas/`.
    pub places: Vec<String>,
}

impl<'a> Known<'a> {
    /// Names that may stand in `checks`: groups first, then checks.
    pub fn check_names(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        let mut groups: Vec<&str> = self.checks.iter().map(|(_, group)| *group).collect();
        groups.sort_unstable();
        groups.dedup();
        groups.into_iter().chain(self.checks.iter().map(|(name, _)| *name))
    }
}

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
    /// What the refusal of a change must say, of those that must be refused.
    pub refusals: Vec<(Change, Pattern)>,
    /// Known trouble.
    pub expect: Vec<Expectation>,
    /// Deadlines of the phases.
    pub timeouts: Timeouts,
    /// The cloud that the clusters are made in, where the provider has clouds.
    pub credentials: Option<CloudAccess>,
    /// The failure domain of the workers.
    pub failure_domain: Option<String>,
    /// What its clusters are expected to take, where that is not what the table says.
    pub cost: CostOverrides,
    /// Scenarios of the same command whose combinations end before those of this one start.
    pub after: Vec<ScenarioName>,
    /// The text of the file, for problems that later steps find.
    pub source: Arc<SourceText>,
    /// Where things stand in it.
    pub positions: Positions,
}

/// Places in a scenario file that later steps may have to point at. Places of switch values and their variables are
/// in [`SwitchValue`]. A key that is not there has the place of the mapping that it belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Positions {
    /// `metadata.name`
    pub name: Span,
    /// `spec.stack.provider`
    pub provider: Span,
    /// `spec.stack.name`
    pub stack: Span,
    /// `spec.stack.source.directory`, or `release`
    pub directory: Span,
    /// The same of `spec.stack.next`.
    pub next: Span,
    /// The same of `spec.stack.other`.
    pub other: Span,
    /// `spec.cover`
    pub cover: Span,
    /// `spec.workers`
    pub workers: Span,
    /// `spec.credentials`
    pub credentials: Span,
    /// The items of `spec.checks`.
    pub checks: Vec<Span>,
    /// The items of `spec.changes`.
    pub changes: Vec<Span>,
    /// The rows of `spec.include`.
    pub include: Vec<Span>,
    /// `spec.cost.flavor`
    pub flavor: Span,
    /// The items of `spec.after`.
    pub after: Vec<Span>,
}

impl Scenario {
    /// A problem at a place of this file, for steps that know more than the loader.
    #[must_use]
    pub fn problem(&self, span: Span, message: impl AsRef<str>) -> Problem {
        Problem::at(&self.source, span, message)
    }

    /// The value of a switch.
    #[must_use]
    pub fn value(&self, switch: &SwitchName, value: &ValueName) -> Option<&SwitchValue> {
        let switch = self.switches.iter().find(|s| s.name == *switch)?;
        switch.values.iter().find(|v| v.name == *value)
    }

    /// Where a value of a switch sets a ClusterClass variable; the value itself if it does not.
    #[must_use]
    pub fn variable_span(&self, switch: &SwitchName, value: &ValueName, variable: &str) -> Span {
        self.value(switch, value)
            .map(|v| v.variable_positions.get(variable).copied().unwrap_or(v.position))
            .unwrap_or_default()
    }
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
    /// Links in the stack must not lead out of this folder; without it, of the git work tree.
    pub root: Option<PathBuf>,
    /// Who makes a release of the directory, which is tested then; without it, the directory itself is.
    pub build: Option<BuildWith>,
    /// Releases in place of a directory.
    pub published: Option<Published>,
    /// Who brings the ClusterClass and the add-ons into being.
    pub via: Via,
    /// Where the release is that clusters are upgraded to without another minor.
    pub next: Option<Box<StackSelector>>,
    /// Another stack, to which no cluster may go.
    pub other: Option<Box<StackSelector>>,
}

/// Who makes a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BuildWith {
    /// This program.
    Own,
    /// `csctl`.
    Csctl,
}

/// Who brings a release into being on the management cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Via {
    /// The harness: it applies what it has rendered and carries the add-ons out.
    #[default]
    Harness,
    /// The Cluster Stack Operator: it is told which release is wanted.
    Operator,
}

/// Releases that are read from where they are published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Their names, one for each minor.
    pub releases: Vec<String>,
    /// Where each name stands.
    pub positions: Vec<Span>,
    /// Where they are: a directory, already resolved, `oci://...` or `github:...`.
    pub from: String,
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
    /// The kind of OpenStack credential that the value needs.
    pub credentials: Option<Credentials>,
    /// The values of other switches that it needs.
    pub requires: Option<Requirement>,
    /// How much it is preferred where a covering array may choose: 1 unless the file says otherwise.
    pub weight: u32,
    /// What a cluster was before the switch existed: combinations with this value have the ids that they had then.
    pub default: bool,
    /// When given, the value is invalid: the cluster must be refused, with a message that this matches.
    pub refusal: Option<Pattern>,
    /// Where the value stands.
    pub position: Span,
    /// Where its variables stand.
    pub variable_positions: BTreeMap<String, Span>,
}

/// The values of other switches that a value needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Requirement {
    /// Each of these switches must have one of these values.
    pub values: BTreeMap<SwitchName, Vec<ValueName>>,
    /// Why, if the file says so.
    pub because: Option<String>,
    /// Where it stands.
    pub position: Span,
}

/// A regular expression; equal to another when both are written alike.
#[derive(Debug, Clone)]
pub struct Pattern(pub regex::Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

/// A kind of OpenStack credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credentials {
    /// User name and password.
    Password,
    /// An application credential.
    ApplicationCredential,
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cover {
    /// The full product.
    All,
    /// A covering array.
    Tuples {
        /// Every tuple of that many values stands together in at least one combination: 1 to [`MAX_STRENGTH`].
        strength: u8,
        /// Groups of switches that are covered more strongly.
        groups: Vec<CoverGroup>,
    },
}

/// Switches among which tuples of another strength are covered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoverGroup {
    /// The switches.
    pub of: Vec<SwitchName>,
    /// How many values stand together: more than for all switches, at most as many as there are switches.
    pub strength: u8,
}

/// Combinations that must not run.
#[derive(Debug, Clone, PartialEq)]
pub struct Exclusion {
    /// Which ones.
    pub when: When,
    /// Why not.
    pub because: String,
    /// Where its `when` stands.
    pub position: Span,
}

/// A predicate over combinations.
#[derive(Debug, Clone, PartialEq)]
pub enum When {
    /// All of these switches have one of these values.
    Values(BTreeMap<SwitchName, Vec<ValueName>>),
    /// A CEL expression, already parsed and type-checked against the switches.
    Expression(expr::Expr),
}

impl When {
    /// Whether it holds for a combination; `value` gives the value of a switch.
    pub fn holds<'a>(&self, value: &dyn Fn(&SwitchName) -> Option<&'a ValueName>) -> bool {
        match self {
            Self::Values(values) => {
                values.iter().all(|(switch, wanted)| value(switch).is_some_and(|v| wanted.contains(v)))
            }
            Self::Expression(expr) => expr.holds(value),
        }
    }

    /// The switches that it depends on.
    #[must_use]
    pub fn switches(&self) -> Vec<&SwitchName> {
        match self {
            Self::Values(values) => values.keys().collect(),
            Self::Expression(expr) => expr.switches(),
        }
    }
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
    /// Upgrade to the next release of the same minor.
    UpgradeNextRelease,
    /// Go to the minor after the next, which must be refused.
    UpgradeSkipMinor,
    /// Go back to the minor before, which must be refused.
    UpgradePreviousMinor,
    /// Go to another stack, which must be refused.
    UpgradeOtherStack,
}

impl Change {
    /// What `upgrade` may go to, each with its word in scenario files.
    pub const UPGRADES: [(&'static str, Self); 5] = [
        ("next-minor", Self::UpgradeNextMinor),
        ("next-release", Self::UpgradeNextRelease),
        ("skip-minor", Self::UpgradeSkipMinor),
        ("previous-minor", Self::UpgradePreviousMinor),
        ("other-stack", Self::UpgradeOtherStack),
    ];

    /// Whether it is a mistake that must be refused.
    #[must_use]
    pub const fn must_be_refused(self) -> bool {
        matches!(self, Self::UpgradeSkipMinor | Self::UpgradePreviousMinor | Self::UpgradeOtherStack)
    }

    /// The name in case ids: `scale-workers-3`, `scale-control-planes-3`, `upgrade-next-minor`.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::ScaleWorkers(n) => format!("scale-workers-{n}"),
            Self::ScaleControlPlanes(n) => format!("scale-control-planes-{n}"),
            Self::UpgradeNextMinor => "upgrade-next-minor".into(),
            Self::UpgradeNextRelease => "upgrade-next-release".into(),
            Self::UpgradeSkipMinor => "upgrade-skip-minor".into(),
            Self::UpgradePreviousMinor => "upgrade-previous-minor".into(),
            Self::UpgradeOtherStack => "upgrade-other-stack".into(),
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
    /// Where its `check` stands.
    pub position: Span,
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
