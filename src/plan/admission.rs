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
