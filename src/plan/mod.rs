//! Matrix x stack x options -> a [`Plan`]: everything decided, nothing left to choose at run time. Pure.

mod addons;
mod admission;
mod build;
pub mod cost;
mod operator;
mod price;
pub mod schedule;
mod steps;
#[cfg(test)]
pub(crate) mod test_runs;
mod timetable;

pub use admission::Admission;
pub use build::{KnownCheck, PlanOptions, build, digest, minors};
pub use operator::OperatorRelease;
pub use price::price;
pub use timetable::{Expected, Timetable, TimetableError};

use self::cost::{Capacity, Cost, History, Resource, Table};
use self::schedule::Item;
use crate::event::{LeftOutInfo, UnitInfo};
use crate::matrix::Coverage;
use crate::scenario::{Change, CloudAccess, Places, Timeouts};
use crate::stack::ReleaseAddons;
use crate::stack::addon::Hook;
use crate::types::{
    CaseId, CheckName, ClusterName, CombinationId, Namespace, Owner, ProviderKind, Release, RunId,
    SwitchName, SwitchValues, Target, ValueName,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What one command is going to do. Immutable; printed by `plan --format json`, carried out by `run`, kept in the
/// run's directory for `--resume`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The run.
    pub run: RunId,
    /// When it was made.
    pub made: Timestamp,
    /// After this moment `sweep` may take what the run left.
    pub expires: Timestamp,
    /// Which process on which boot of which machine carries it out; `sweep` asks whether that one still lives.
    pub owner: Owner,
    /// Where the clusters come from; one provider for all scenarios of a command.
    pub provider: ProviderKind,
    /// The namespace of all objects of the run in the management cluster.
    pub namespace: Namespace,
    /// The objects that all units share: ClusterClasses and their templates, rendered, without namespace and
    /// labels; the provider adds both.
    pub shared: Vec<Value>,
    /// The releases that the Cluster Stack Operator is to bring; empty when the harness does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operator: Vec<OperatorRelease>,
    /// The add-ons of each release, by the name of its ClusterClass; only of releases that have some.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub addons: BTreeMap<String, ReleaseAddons>,
    /// The runs, in order.
    pub runs: Vec<PlannedRun>,
    /// What does not run, and why.
    pub left_out: Vec<LeftOutInfo>,
    /// How many units may be alive at once.
    pub concurrency: usize,
    /// Which part of the whole this is: (index from 1, number of shards).
    pub shard: Option<(u32, u32)>,
    /// Whether clusters of failed units are kept.
    pub keep_on_failure: bool,
    /// What runs are expected to take, of scenarios that say more about it than the built-in table.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tables: BTreeMap<String, Table>,
    /// Which scenarios come after which: the names that a scenario waits for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub after: BTreeMap<String, Vec<String>>,
    /// What the runs cover, by scenario.
    #[serde(default)]
    pub coverage: Vec<Coverage>,
    /// When what is expected to start and end. Absent in plans of earlier versions: then the runs start in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timetable: Option<Timetable>,
    /// Where in the scenario files a failure can be pointed at, by scenario.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub places: BTreeMap<String, Places>,
}

/// One combination, planned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedRun {
    /// The combination; the unit is named by it everywhere.
    pub id: CombinationId,
    /// Readable name.
    pub name: String,
    /// The scenario.
    pub scenario: String,
    /// The stack: `<provider>-<stack>`.
    pub stack: String,
    /// The Cluster object's name: unique among all runs and all combinations.
    pub cluster: ClusterName,
    /// The release that the cluster starts on.
    pub release: Release,
    /// The release to upgrade to, when the stack has the next minor.
    pub next_release: Option<Release>,
    /// Control plane Machines.
    pub control_planes: u32,
    /// Worker Machines.
    pub workers: u32,
    /// ClusterClass variables.
    pub variables: BTreeMap<String, Value>,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// Deadlines.
    pub timeouts: Timeouts,
    /// Switch values, for properties and labels.
    pub switches: BTreeMap<String, String>,
    /// Failures that are known: case id (without the change suffix) -> reason.
    pub expected: BTreeMap<CheckName, String>,
    /// The hash of what the release renders to, `sha256:...`: results are about this content, not about a name.
    #[serde(default)]
    pub digest: String,
    /// When given, the cluster must be refused, with a message that this regular expression matches; there are no
    /// steps then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// The cloud that the cluster is made in; the same in all runs of a plan that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<CloudAccess>,
    /// The failure domain of the workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_domain: Option<String>,
}

/// One step of a unit between provision and tear-down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The case that reports it.
    pub case: CaseId,
    /// What is done.
    pub action: StepAction,
    /// What the cluster is meant to be while this step runs (for a change: after it).
    pub target: Target,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepAction {
    /// Look.
    Check(CheckName),
    /// Carry out a stage of the add-ons of the step's target, or look at what came of it.
    Addon(AddonStep),
    /// Change the cluster to the step's target.
    Change(Change),
    /// Try to change the cluster to the step's target, which must be refused; the cluster stays what it was.
    Refused {
        /// The change.
        change: Change,
        /// A regular expression that the message of the refusal matches.
        refusal: String,
    },
    /// Known while planning that it does not apply; reported as skipped with this reason.
    Skip(String),
}

/// One stage of a hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddonStep {
    /// The hook.
    pub hook: Hook,
    /// Its number among the stages of the hook, from 0.
    pub stage: usize,
}

/// What tells two plans apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// How many combinations are in both.
    pub kept: usize,
    /// Id and name of those that only the later plan has, in its order.
    pub new: Vec<(CombinationId, String)>,
    /// Id and name of those that only the earlier plan has, in its order.
    pub gone: Vec<(CombinationId, String)>,
}

/// What makes a new run of an old plan.
#[derive(Debug, Clone)]
pub struct Again {
    /// The new run.
    pub run: RunId,
    /// The namespace of its objects.
    pub namespace: Namespace,
    /// The moment of planning.
    pub now: Timestamp,
    /// How long the objects of the run are sacred to `sweep`.
    pub keep: Duration,
    /// The process that carries the run out.
    pub owner: Owner,
    /// How many units may be alive at once; `None` = as before.
    pub concurrency: Option<usize>,
    /// Whether clusters of failed units are kept.
    pub keep_on_failure: bool,
}

impl Plan {
    /// How long the operator may take to bring the releases: downloads take their time, as clusters do. Zero where there
    /// is no operator.
    #[must_use]
    pub fn releases_within(&self) -> Duration {
        if self.operator.is_empty() {
            return Duration::ZERO;
        }
        self.runs.iter().map(|run| run.timeouts.provision).max().unwrap_or_default()
    }

    /// What this plan runs that an earlier one did not, and the other way round.
    #[must_use]
    pub fn difference(&self, earlier: &Self) -> Difference {
        let lacks = |of: &Self, other: &Self| -> Vec<(CombinationId, String)> {
            let lacking = of.runs.iter().filter(|run| !other.runs.iter().any(|o| o.id == run.id));
            lacking.map(|run| (run.id.clone(), run.name.clone())).collect()
        };
        let new = lacks(self, earlier);
        Difference { kept: self.runs.len() - new.len(), new, gone: lacks(earlier, self) }
    }

    /// The values of its runs, for a later plan that keeps what it can.
    #[must_use]
    pub fn rows(&self) -> Vec<(String, SwitchValues)> {
        let row = |run: &PlannedRun| (run.scenario.clone(), run.values());
        self.runs.iter().map(row).collect()
    }

    /// The plan of a new run that does some of the combinations of this one again, exactly as they were planned.
    /// `None` when a cluster cannot be named after the new run.
    #[must_use]
    pub fn again(&self, wanted: impl Fn(&PlannedRun) -> bool, again: Again) -> Option<Self> {
        let named = |planned: &PlannedRun| {
            let cluster = build::cluster_name(&planned.id, &again.run)?;
            Some(PlannedRun { cluster, ..planned.clone() })
        };
        let runs: Option<Vec<PlannedRun>> =
            self.runs.iter().filter(|planned| wanted(planned)).map(named).collect();
        let mut new = Self {
            run: again.run.clone(),
            made: again.now,
            expires: again.now + again.keep,
            owner: again.owner,
            provider: self.provider,
            namespace: again.namespace,
            shared: self.shared.clone(),
            operator: self.operator.clone(),
            addons: self.addons.clone(),
            runs: runs?,
            left_out: Vec::new(),
            concurrency: again.concurrency.unwrap_or(self.concurrency).max(1),
            shard: self.shard,
            keep_on_failure: again.keep_on_failure,
            tables: self.tables.clone(),
            after: self.after.clone(),
            coverage: Vec::new(),
            places: self.places.clone(),
            timetable: None,
        };
        if let Some(earlier) = &self.timetable {
            let costs = |run: &PlannedRun| {
                let expected = earlier.runs.iter().find(|expected| expected.id == run.id)?;
                Some(Expected { after: new.waits_for(run), ..expected.clone() })
            };
            let costs: Option<Vec<Expected>> = new.runs.iter().map(costs).collect();
            let mut capacity = earlier.capacity.clone();
            capacity.limit(Resource::Clusters, new.concurrency as u64);
            new.timetable = costs.and_then(|costs| Timetable::of(costs, &new.runs, capacity).ok());
        }
        Some(new)
    }

    /// The runs, by their places, that end before this one starts.
    fn waits_for(&self, run: &PlannedRun) -> Vec<usize> {
        let Some(names) = self.after.get(&run.scenario) else { return Vec::new() };
        (0..).zip(&self.runs).filter(|(_, other)| names.contains(&other.scenario)).map(|(at, _)| at).collect()
    }

    /// Scenarios that wait for each other, however far apart, have one name for all of them: the first of theirs.
    fn family<'a>(&'a self, scenario: &'a str) -> &'a str {
        let mut family = BTreeSet::from([scenario]);
        loop {
            let related =
                self.after.iter().flat_map(|(one, others)| others.iter().map(move |other| (one, other)));
            let new: Vec<&str> = related
                .filter(|(one, other)| family.contains(one.as_str()) != family.contains(other.as_str()))
                .flat_map(|(one, other)| [one.as_str(), other.as_str()])
                .collect();
            if new.is_empty() {
                return family.first().copied().unwrap_or(scenario);
            }
            family.extend(new);
        }
    }

    /// Every combination with the number of its shard, from 1: balanced by what is expected of them, and by their ids and
    /// not by their places, so that most stay where they are when others come or go. With fewer combinations than
    /// shards the last shards have none.
    #[must_use]
    pub fn dealt(&self, shards: u32) -> Vec<(u32, &CombinationId)> {
        let expected = |at: usize| self.timetable.as_ref()?.runs.get(at).map(|run| run.cost.milliseconds());
        let number = |text: &str| {
            text.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(257).wrapping_add(byte.into()))
        };
        // What waits for something else stays with it.
        let waits: BTreeSet<&str> = self
            .after
            .iter()
            .flat_map(|(one, others)| std::iter::once(one).chain(others))
            .map(String::as_str)
            .collect();
        let group = |run: &PlannedRun| match waits.contains(run.scenario.as_str()) {
            true => number(self.family(&run.scenario)),
            false => number(run.id.as_str()),
        };
        let items: Vec<Item> = (0..)
            .zip(&self.runs)
            .map(|(at, run)| Item { duration: expected(at).unwrap_or(1), group: group(run) })
            .collect();
        let dealt = schedule::shards(&items, usize::try_from(shards).unwrap_or(1));
        let mut used = dealt.clone();
        used.sort_unstable();
        used.dedup();
        let number = |shard: &usize| used.partition_point(|other| other <= shard);
        let number = |shard: usize| u32::try_from(number(&shard)).unwrap_or(u32::MAX);
        dealt.into_iter().map(number).zip(self.runs.iter().map(|run| &run.id)).collect()
    }

    /// The same plan with a timetable under its own limits and these; where both limit a resource, these count.
    /// A limit of `clusters` is the concurrency.
    ///
    /// # Errors
    /// A run takes more than there is.
    pub fn scheduled(self, capacity: &Capacity, history: &History) -> Result<Self, TimetableError> {
        let mut limits = self.timetable.as_ref().map(|earlier| earlier.capacity.clone()).unwrap_or_default();
        limits.limit(Resource::Clusters, self.concurrency.max(1) as u64);
        let limits = limits.and(capacity);
        let clusters = limits.get(Resource::Clusters).unwrap_or(1);
        let concurrency = usize::try_from(clusters).unwrap_or(usize::MAX);
        let table = Table::of(self.provider);
        let table_of = |run: &PlannedRun| self.tables.get(&run.scenario).unwrap_or(&table);
        let expect = |run: &PlannedRun| Expected {
            id: run.id.clone(),
            start: 0,
            cost: Cost::of(run, table_of(run), history),
            after: self.waits_for(run),
        };
        let timetable = Timetable::of(self.runs.iter().map(expect).collect(), &self.runs, limits)?;
        Ok(Self { timetable: Some(timetable), concurrency, ..self })
    }
}

impl PlannedRun {
    /// The wanted state right after provisioning.
    #[must_use]
    pub fn first_target(&self) -> Target {
        Target { release: self.release.clone(), control_planes: self.control_planes, workers: self.workers }
    }

    /// Switches and values in the order of the scenario, taken from the name.
    #[must_use]
    pub fn pairs(&self) -> Vec<(&str, &str)> {
        self.name.split(' ').filter_map(|pair| pair.split_once('=')).collect()
    }

    /// The same as they are typed in the scenario.
    #[must_use]
    pub fn values(&self) -> SwitchValues {
        let pair = |(switch, value): (&str, &str)| {
            Some((SwitchName::new(switch).ok()?, ValueName::new(value).ok()?))
        };
        self.pairs().into_iter().filter_map(pair).collect()
    }

    /// The unit as the reports know it.
    #[must_use]
    pub fn info(&self, run: &RunId, shard: Option<(u32, u32)>) -> UnitInfo {
        let mut properties = self.switches.clone();
        properties.insert("stack-release".into(), self.release.class.clone());
        if !self.digest.is_empty() {
            properties.insert("stack-digest".into(), self.digest.clone());
        }
        properties.insert("kubernetes-version".into(), self.release.kubernetes.to_string());
        properties.insert("run-id".into(), run.to_string());
        properties.insert("combination-id".into(), self.id.to_string());
        if let Some((index, of)) = shard {
            properties.insert("shard".into(), format!("{index}/{of}"));
        }
        let mut cases = vec![CaseId("provision".into())];
        cases.extend(self.steps.iter().map(|step| step.case.clone()));
        cases.push(CaseId("tear-down".into()));
        cases.push(CaseId("prove-clean".into()));
        UnitInfo {
            id: self.id.clone(),
            name: self.name.clone(),
            scenario: self.scenario.clone(),
            stack: self.stack.clone(),
            cluster: self.cluster.to_string(),
            properties,
            cases,
        }
    }

    /// The deadline of a whole unit: the sum of those of its phases, a bound for `--deadline`.
    #[must_use]
    pub fn longest(&self) -> Duration {
        let steps = self.steps.iter().map(|step| match step.action {
            StepAction::Check(_) => self.timeouts.check,
            StepAction::Addon(_) | StepAction::Change(_) | StepAction::Refused { .. } => self.timeouts.change,
            StepAction::Skip(_) => Duration::ZERO,
        });
        self.timeouts.provision + steps.sum::<Duration>() + self.timeouts.delete
    }
}
