//! Which runs of a plan may start now: the schedule, told what really happens.

use super::Plan;
use super::cost::Resource;
use super::schedule::{Instance, Job, Replanner};

/// The one who is asked. Looks at no clock: times are milliseconds since any moment, the same for all calls.
#[derive(Debug, Clone)]
pub struct Admission {
    /// `None` when the plan cannot be scheduled, which no plan that was made can be: then by count alone.
    replanner: Option<Replanner>,
    concurrency: usize,
    waiting: Vec<usize>,
    running: Vec<usize>,
}

impl Admission {
    /// For a plan of which nothing has started. A plan without timetable, of an earlier version, is carried out in
    /// its order.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let concurrency = plan.concurrency.max(1);
        let timetable = plan.timetable.as_ref().filter(|timetable| timetable.runs.len() == plan.runs.len());
        let limit = concurrency as u64;
        let (instance, starts) = match timetable {
            Some(timetable) => {
                let mut instance = timetable.instance();
                if timetable.capacity.get(Resource::Clusters) != Some(limit) {
                    instance.capacities.push(limit);
                    instance.jobs.iter_mut().for_each(|job| job.demand.push(1));
                }
                (instance, timetable.runs.iter().map(|run| run.start).collect())
            }
            None => {
                let job = Job { duration: 1, demand: vec![1], ..Job::default() };
                let instance = Instance { jobs: vec![job; plan.runs.len()], capacities: vec![limit] };
                (instance, vec![0; plan.runs.len()])
            }
        };
        Self {
            replanner: Replanner::new(instance, &starts).ok(),
            concurrency,
            waiting: (0..plan.runs.len()).collect(),
            running: Vec::new(),
        }
    }

    /// The runs that wait, in the order of the plan.
    #[must_use]
    pub fn waiting(&self) -> &[usize] {
        &self.waiting
    }

    /// Whether one more run is within the number of clusters.
    #[must_use]
    pub fn has_slot(&self) -> bool {
        self.running.len() < self.concurrency
    }

    /// The runs that are to start now; the caller starts each of them and says so.
    pub fn admit(&mut self, now: u64) -> Vec<usize> {
        match &mut self.replanner {
            Some(replanner) => replanner.admit(now),
            None => {
                let free = self.concurrency.saturating_sub(self.running.len());
                self.waiting.iter().copied().take(free).collect()
            }
        }
    }

    /// The run has started.
    pub fn started(&mut self, run: usize, now: u64) {
        self.waiting.retain(|&other| other != run);
        self.running.push(run);
        if let Some(replanner) = &mut self.replanner {
            replanner.started(run, now);
        }
    }

    /// The run has ended, or is not to be done at all.
    pub fn ended(&mut self, run: usize) {
        self.waiting.retain(|&other| other != run);
        self.running.retain(|&other| other != run);
        if let Some(replanner) = &mut self.replanner {
            replanner.ended(run);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::cost::{Capacity, History};
    use super::super::test_runs::{plan, run};
    use super::*;

    fn runs(count: usize) -> Vec<crate::plan::PlannedRun> {
        let planes = |n: usize| if n.is_multiple_of(2) { 1 } else { 3 };
        (0..count).map(|n| run(&[("n", &n.to_string())], planes(n), 2, true)).collect()
    }

    /// Carries a plan out, each run in its expected time; gives who ran at once.
    fn carried_out(plan: &Plan, minutes: impl Fn(usize) -> u64) -> Vec<Vec<usize>> {
        let mut admission = Admission::new(plan);
        let (mut now, mut together) = (0, Vec::new());
        let mut alive: Vec<(u64, usize)> = Vec::new();
        while !admission.waiting().is_empty() || !alive.is_empty() {
            for run in admission.admit(now) {
                admission.started(run, now);
                alive.push((now + minutes(run) * 60_000, run));
            }
            assert!(!alive.is_empty(), "something runs while something waits");
            alive.sort_unstable();
            together.push(alive.iter().map(|(_, run)| *run).collect());
            let (end, run) = alive.remove(0);
            now = end;
            admission.ended(run);
        }
        together
    }

    #[test]
    fn a_plan_of_an_earlier_version_runs_in_its_order() {
        let together = carried_out(&plan(runs(5), 2), |_| 10);
        assert_eq!(together[..3], [vec![0, 1], vec![1, 2], vec![2, 3]]);
    }

    #[test]
    fn runs_start_while_their_quota_lasts() {
        let limits: Capacity = "cores=36".parse().unwrap();
        let plan = plan(runs(9), 9).scheduled(&limits, &History::default()).unwrap();
        let timetable = plan.timetable.clone().unwrap();
        let cores = |run: &usize| timetable.runs[*run].cost.resources.get(Resource::Cores);
        for together in carried_out(&plan, |run| 20 + run as u64) {
            assert!(together.iter().map(cores).sum::<u64>() <= 36, "{together:?}");
        }
    }

    #[test]
    fn what_ended_in_an_earlier_life_is_not_done_again() {
        let mut admission = Admission::new(&plan(runs(3), 1));
        admission.ended(0);
        assert_eq!((admission.admit(5), admission.waiting()), (vec![1], &[1, 2][..]));
    }
}
