//! Scheduling under limited resources: jobs with durations, demands and predecessors -> when each starts, so that all
//! are done early, and a bound below which nobody can get.
//!
//! This is the resource-constrained project scheduling problem with any number of renewable resources; without
//! predecessors, the scheduling of rigid jobs under several quotas. The module stands alone: plain numbers in, plain
//! numbers out, no clock, no threads. What it gives depends on the instance, the seed and the number of schedules
//! that may be generated, and on nothing else.
//!
//! ```text
//! Instance -> compact (order, packed demands) -> bound, search (profile) -> Schedule
//! Schedule x what really happens -> replan -> what may start now
//! ```

mod bound;
mod compact;
mod profile;
pub mod psplib;
mod replan;
mod rng;
mod search;
mod shard;
#[cfg(test)]
mod tests;

pub use compact::MAX_JOBS;
pub use replan::Replanner;
pub use shard::{Item, shards};

use compact::{Compact, Lanes, Network};

/// What is to be scheduled. Times are whole numbers in any unit, all in the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Instance {
    /// The jobs, known by their index.
    pub jobs: Vec<Job>,
    /// How much of each resource there is at every moment.
    pub capacities: Vec<u64>,
}

/// One job. Once started it runs to its end and holds its demand until then.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Job {
    /// How long it takes. A job of duration 0 takes nothing of any resource.
    pub duration: u64,
    /// How much it takes of each resource, in the order of the capacities.
    pub demand: Vec<u64>,
    /// The jobs that must have ended before it starts.
    pub after: Vec<usize>,
    /// The earliest moment at which it may start.
    pub release: u64,
}

/// How hard to try.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// Equal seeds give equal schedules.
    pub seed: u64,
    /// How many schedules may be generated; at least a few are in any case.
    pub schedules: u64,
    /// Asked every few schedules; the search ends when it says yes. A caller that looks at a clock here gets what the
    /// machine has time for instead of what the seed says.
    pub stop: Option<&'a dyn Fn() -> bool>,
}

/// When everything starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// The start of every job of the instance.
    pub start: Vec<u64>,
    /// When the last job ends.
    pub makespan: u64,
    /// No schedule ends before this. Equal to the makespan: the schedule is optimal.
    pub bound: u64,
    /// What the bound comes from.
    pub bound_by: Bound,
    /// How many schedules were generated.
    pub schedules: u64,
}

/// What keeps a schedule from being shorter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// The longest chain of jobs that wait for each other; without predecessors the longest job.
    Chain,
    /// The resource of this index is used up.
    Resource(usize),
    /// No two of these jobs can run at once.
    Clique(Vec<usize>),
}

/// A demand above the capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortfall {
    /// The job.
    pub job: usize,
    /// The resource.
    pub resource: usize,
    /// What the job takes.
    pub demand: u64,
    /// What there is.
    pub capacity: u64,
}

/// Why there is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Jobs that do not even fit alone.
    #[error("{}", too_large(.0))]
    TooLarge(Vec<Shortfall>),
    /// Each of these jobs waits for the one before it, and the first for the last.
    #[error("the jobs {} wait for each other in a circle", list(.0))]
    Cycle(Vec<usize>),
    /// A job waits for one that is not there.
    #[error("job {job} waits for job {after}, which does not exist")]
    UnknownJob {
        /// The job that waits.
        job: usize,
        /// The one that is not there.
        after: usize,
    },
    /// A job has more or fewer demands than there are resources.
    #[error("job {job} has {found} demands, but there are {expected} resources")]
    Demands {
        /// The job.
        job: usize,
        /// Its demands.
        found: usize,
        /// The resources.
        expected: usize,
    },
    /// More than [`MAX_JOBS`].
    #[error("{jobs} jobs are more than {MAX_JOBS}")]
    TooManyJobs {
        /// How many.
        jobs: usize,
    },
    /// The durations add up to 2^47 or more, or the capacities that can bind are too many or too large.
    #[error("durations of 2^47 units in sum, or more capacities than fit into 16 words, cannot be scheduled")]
    OutOfRange,
}

fn too_large(short: &[Shortfall]) -> String {
    let words = short.iter().map(|s| {
        let (job, resource, demand, capacity) = (s.job, s.resource, s.demand, s.capacity);
        let missing = demand - capacity;
        format!("job {job} takes {demand} of resource {resource}, there are {capacity}: {missing} short")
    });
    words.collect::<Vec<_>>().join("; ")
}

fn list(jobs: &[usize]) -> String {
    jobs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// A short schedule of all jobs, and a bound for how short it could be.
///
/// # Errors
/// No schedule exists, or the instance is out of range: see [`ScheduleError`].
pub fn schedule(instance: &Instance, options: &Options<'_>) -> Result<Schedule, ScheduleError> {
    let network = Network::new(instance)?;
    let lanes = Lanes::new(instance)?;
    let (bound, bound_by) = bound::lower_bound(instance, &network);
    let found = with_words(instance, &network, &lanes, bound, options);
    let mut start = vec![0; instance.jobs.len()];
    for (job, &original) in network.original.iter().enumerate() {
        start[original] = found.start[job];
    }
    Ok(Schedule { start, makespan: found.makespan, bound, bound_by, schedules: found.schedules })
}

/// The search, compiled for as many words as the instance needs.
fn with_words(
    instance: &Instance,
    network: &Network,
    lanes: &Lanes,
    bound: u64,
    options: &Options<'_>,
) -> search::Found {
    fn go<const W: usize>(
        instance: &Instance,
        network: &Network,
        lanes: &Lanes,
        bound: u64,
        options: &Options<'_>,
    ) -> search::Found {
        search::search(&Compact::<W>::new(instance, network, lanes), bound, options)
    }
    match lanes.words {
        1 => go::<1>(instance, network, lanes, bound, options),
        2 => go::<2>(instance, network, lanes, bound, options),
        3 | 4 => go::<4>(instance, network, lanes, bound, options),
        _ => go::<{ compact::MAX_WORDS }>(instance, network, lanes, bound, options),
    }
}
