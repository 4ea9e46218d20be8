//! When every run of a plan is expected to start and to end, under which capacities, and what binds.

use super::PlannedRun;
use super::cost::{Capacity, Cost, Resource};
use super::schedule::{self, Bound, Instance, Job, Options, ScheduleError};
use crate::types::{CombinationId, show_duration};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How many runs are placed, over all schedules that are generated for a plan: a fraction of a second.
const PLACED: u64 = 400_000;
/// Not more than this many schedules even for small plans.
const SCHEDULES: u64 = 8_000;

/// What is expected of a plan. Times are milliseconds from the start of the first run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timetable {
    /// What there is; `clusters` is the concurrency.
    pub capacity: Capacity,
    /// One for each run of the plan, in its order.
    pub runs: Vec<Expected>,
    /// When the last run ends.
    pub makespan: u64,
    /// Nothing ends before this, in whatever order it runs.
    pub bound: u64,
    /// What the bound comes from: the name of a resource, `longest run` or `runs that exclude each other`.
    pub bound_by: String,
}

/// What is expected of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// The run.
    pub id: CombinationId,
    /// When it starts.
    pub start: u64,
    /// What it takes.
    pub cost: Cost,
    /// The runs, by their place in the plan, that end before it starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<usize>,
}

impl Expected {
    /// When it ends.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.cost.milliseconds())
    }
}

/// Why the runs cannot be scheduled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimetableError {
    /// Runs that take more than there is.
    #[error("{}", .0.join("\n"))]
    TooLarge(Vec<String>),
    /// For another reason.
    #[error("the runs cannot be scheduled: {0}")]
    Other(String),
}

impl Timetable {
    /// Schedules runs whose costs are known: `expected` has one for each of `runs`, in their order.
    pub(super) fn of(
        expected: Vec<Expected>,
        runs: &[PlannedRun],
        capacity: Capacity,
    ) -> Result<Self, TimetableError> {
        let mut made = Self { capacity, runs: expected, ..Self::default() };
        let instance = made.instance();
        let resources: Vec<Resource> = made.capacity.limits().map(|(resource, _)| resource).collect();
        let schedules = (PLACED / (runs.len() as u64).max(1)).min(SCHEDULES);
        let options = Options { seed: 1, schedules, stop: None };
        let schedule = schedule::schedule(&instance, &options).map_err(|error| match error {
            ScheduleError::TooLarge(short) => TimetableError::TooLarge(
                short
                    .iter()
                    .map(|s| {
                        let (run, resource) = (&runs[s.job].name, resources[s.resource]);
                        let missing = s.demand - s.capacity;
                        let (demand, capacity) = (s.demand, s.capacity);
                        format!("`{run}` needs {resource}={demand}, there are {capacity}: {missing} short")
                    })
                    .collect(),
            ),
            other => TimetableError::Other(other.to_string()),
        })?;
        for (run, start) in made.runs.iter_mut().zip(&schedule.start) {
            run.start = *start;
        }
        made.makespan = schedule.makespan;
        made.bound = schedule.bound;
        made.bound_by = match schedule.bound_by {
            Bound::Chain => "longest run".into(),
            Bound::Resource(resource) => resources[resource].to_string(),
            Bound::Clique(_) => "runs that exclude each other".into(),
        };
        Ok(made)
    }

    /// The runs as jobs of the scheduler, one resource for each limit.
    #[must_use]
    pub fn instance(&self) -> Instance {
        let job = |run: &Expected| Job {
            duration: run.cost.milliseconds(),
            demand: self.capacity.limits().map(|(resource, _)| run.cost.resources.get(resource)).collect(),
            after: run.after.clone(),
            release: 0,
        };
        Instance {
            jobs: self.runs.iter().map(job).collect(),
            capacities: self.capacity.limits().map(|(_, amount)| amount).collect(),
        }
    }

    /// The most runs that are alive at once.
    #[must_use]
    pub fn at_once(&self) -> usize {
        // At one moment ends come before starts.
        let starts = self.runs.iter().map(|run| (run.start, 1_i64));
        let mut changes: Vec<(u64, i64)> =
            starts.chain(self.runs.iter().map(|run| (run.end(), -1))).collect();
        changes.sort_unstable();
        let alive = changes.iter().scan(0, |alive, (_, change)| {
            *alive += change;
            Some(*alive)
        });
        usize::try_from(alive.max().unwrap_or(0)).unwrap_or(0)
    }

    /// How much longer than the bound it is, in per cent, rounded up: 0 means that nothing shorter exists.
    #[must_use]
    pub fn gap(&self) -> u64 {
        let over = u128::from(self.makespan.saturating_sub(self.bound)) * 100;
        u64::try_from(over.div_ceil(u128::from(self.bound.max(1)))).unwrap_or(u64::MAX)
    }

    /// `expected 12m30s for 12 clusters, at most 4 at once; bound 12m01s (cores), gap 4 %`
    #[must_use]
    pub fn summary(&self) -> String {
        let show = |ms: u64| show_duration(Duration::from_millis(ms));
        let (makespan, bound, by) = (show(self.makespan), show(self.bound), &self.bound_by);
        let (count, at_once) = (self.runs.len(), self.at_once());
        let clusters = if count == 1 { "cluster" } else { "clusters" };
        let gap = match self.gap() {
            0 => "optimal".to_owned(),
            gap => format!("gap {gap} %"),
        };
        format!(
            "expected {makespan} for {count} {clusters}, at most {at_once} at once; bound {bound} ({by}), {gap}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::cost::{History, Table};
    use crate::plan::test_runs::run;

    fn timetable(capacity: &str, runs: &[PlannedRun]) -> Result<Timetable, TimetableError> {
        let table = Table::of(crate::types::ProviderKind::Openstack);
        let expect = |run: &PlannedRun| Expected {
            id: run.id.clone(),
            start: 0,
            cost: Cost::of(run, &table, &History::default()),
            after: Vec::new(),
        };
        Timetable::of(runs.iter().map(expect).collect(), runs, capacity.parse().unwrap())
    }

    fn runs() -> Vec<PlannedRun> {
        let one = |n: usize| {
            run(&[("n", &n.to_string())], if n.is_multiple_of(2) { 1 } else { 3 }, 2, n.is_multiple_of(3))
        };
        (0..12).map(one).collect()
    }

    #[test]
    fn the_last_line_says_how_long_and_what_binds() {
        let runs = runs();
        let said = ["clusters=12", "clusters=4", "cores=30,clusters=12", "loadBalancers=2"]
            .map(|capacity| format!("{capacity}: {}", timetable(capacity, &runs).unwrap().summary()));
        insta::assert_snapshot!(said.join("\n"));
    }

    #[test]
    fn a_scenario_prices_its_clusters_itself() {
        use crate::scenario::{CostOverrides, RESOURCES};
        assert_eq!(RESOURCES, Resource::ALL.map(Resource::name), "files name what the planner knows");
        let own = CostOverrides {
            durations: [("provision", Duration::from_secs(60)), ("upgradeWorker", Duration::from_secs(1))]
                .into(),
            cluster: [("floatingIPs", 7)].into(),
            machine: [("volumes", 2)].into(),
            flavor: Some("SCS-8V-32".into()),
        };
        let table = Table::of(crate::types::ProviderKind::Openstack);
        let changed = table.clone().with(&own);
        assert_eq!((changed.provision, changed.upgrade_worker, changed.check), (60_000, 1_000, table.check));
        let run = &runs()[1];
        let (before, after) = (table.resources(run), changed.resources(run));
        assert!(after.get(Resource::FloatingIps) >= before.get(Resource::FloatingIps) + 7);
        assert!(after.get(Resource::Volumes) > before.get(Resource::Volumes));
        assert!(after.get(Resource::Cores) > before.get(Resource::Cores));
        // Every key of the file does something.
        for key in [
            "provision",
            "controlPlane",
            "worker",
            "check",
            "scale",
            "upgrade",
            "upgradeWorker",
            "tearDown",
            "proveClean",
        ] {
            let one = CostOverrides {
                durations: [(key, Duration::from_secs(86_399))].into(),
                ..Default::default()
            };
            assert_ne!(table.clone().with(&one), table, "{key}");
        }
    }

    #[test]
    fn what_does_not_fit_at_all_is_said_in_numbers() {
        let error = timetable("cores=13", &runs()[2..4]).unwrap_err();
        assert_eq!(error.to_string(), "`n=3` needs cores=14, there are 13: 1 short");
    }

    #[test]
    fn it_is_data_and_comes_back() {
        let made = timetable("cores=30", &runs()).unwrap();
        let json = serde_json::to_string(&made).unwrap();
        assert_eq!(serde_json::from_str::<Timetable>(&json).unwrap(), made);
    }
}
