//! An instance as the search wants it: jobs numbered in topological order, the demands of a job packed into a few
//! words, so that all resources are compared at once.

use super::{Instance, ScheduleError, Shortfall};
use std::collections::BinaryHeap;

/// The most jobs of an instance.
pub const MAX_JOBS: usize = 1 << 16;
/// Times stay below this: a key of time and job fits into one word.
const MAX_TIME: u64 = 1 << 47;

/// Words for the demands of one job: enough for 16 resources of any size, or a hundred of usual size.
pub(super) const MAX_WORDS: usize = 16;

/// Demands, or what is free, of all resources: one lane of bits for each, with a guard bit on top of each lane.
pub(super) type Pack<const W: usize> = [u64; W];

/// Neighbours of all jobs in one array.
#[derive(Debug, Clone, Default)]
pub(super) struct Neighbours {
    from: Vec<u32>,
    all: Vec<u32>,
}

impl Neighbours {
    fn new(lists: &[Vec<u32>]) -> Self {
        let mut made = Self { from: vec![0], all: Vec::new() };
        for list in lists {
            made.all.extend(list);
            made.from.push(u32::try_from(made.all.len()).unwrap_or(u32::MAX));
        }
        made
    }

    #[inline]
    pub(super) fn of(&self, job: usize) -> &[u32] {
        &self.all[self.from[job] as usize..self.from[job + 1] as usize]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

/// The order and the paths of an instance; what does not depend on how demands are packed.
#[derive(Debug, Clone)]
pub(super) struct Network {
    /// The job of the instance for every job here.
    pub(super) original: Vec<usize>,
    pub(super) duration: Vec<u64>,
    pub(super) release: Vec<u64>,
    pub(super) before: Neighbours,
    pub(super) after: Neighbours,
    /// The earliest start of a job, as far as releases and predecessors say.
    pub(super) head: Vec<u64>,
    /// The least time from the end of a job to the end of all.
    pub(super) tail: Vec<u64>,
}

impl Network {
    pub(super) fn jobs(&self) -> usize {
        self.original.len()
    }

    /// Checks the instance and puts its jobs into topological order; among jobs that may come next, the lowest number
    /// comes first.
    pub(super) fn new(instance: &Instance) -> Result<Self, ScheduleError> {
        let jobs = &instance.jobs;
        if jobs.len() > MAX_JOBS {
            return Err(ScheduleError::TooManyJobs { jobs: jobs.len() });
        }
        let mut short = Vec::new();
        for (number, job) in jobs.iter().enumerate() {
            if job.demand.len() != instance.capacities.len() {
                let (found, expected) = (job.demand.len(), instance.capacities.len());
                return Err(ScheduleError::Demands { job: number, found, expected });
            }
            if let Some(&unknown) = job.after.iter().find(|&&other| other >= jobs.len()) {
                return Err(ScheduleError::UnknownJob { job: number, after: unknown });
            }
            for (resource, (&demand, &capacity)) in job.demand.iter().zip(&instance.capacities).enumerate() {
                if demand > capacity {
                    short.push(Shortfall { job: number, resource, demand, capacity });
                }
            }
        }
        if !short.is_empty() {
            return Err(ScheduleError::TooLarge(short));
        }
        let latest = jobs.iter().map(|job| job.release).max().unwrap_or(0);
        let horizon = jobs.iter().try_fold(latest, |sum, job| sum.checked_add(job.duration));
        if horizon.is_none_or(|horizon| horizon >= MAX_TIME) {
            return Err(ScheduleError::OutOfRange);
        }
        let original = topological(instance)?;
        let mut place = vec![0_u32; jobs.len()];
        for (new, &old) in (0..).zip(&original) {
            place[old] = new;
        }
        let mut before = vec![Vec::new(); jobs.len()];
        let mut after = vec![Vec::new(); jobs.len()];
        for (new, &old) in original.iter().enumerate() {
            let mut list: Vec<u32> = jobs[old].after.iter().map(|&job| place[job]).collect();
            list.sort_unstable();
            list.dedup();
            for &job in &list {
                after[job as usize].push(place[old]);
            }
            before[new] = list;
        }
        let duration: Vec<u64> = original.iter().map(|&old| jobs[old].duration).collect();
        let release: Vec<u64> = original.iter().map(|&old| jobs[old].release).collect();
        let mut head = release.clone();
        for job in 0..jobs.len() {
            for &other in &before[job] {
                head[job] = head[job].max(head[other as usize] + duration[other as usize]);
            }
        }
        let mut tail = vec![0; jobs.len()];
        for job in (0..jobs.len()).rev() {
            for &other in &after[job] {
                tail[job] = tail[job].max(tail[other as usize] + duration[other as usize]);
            }
        }
        let (before, after) = (Neighbours::new(&before), Neighbours::new(&after));
        Ok(Self { original, duration, release, before, after, head, tail })
    }
}

/// Jobs in an order in which each comes after those that it waits for.
fn topological(instance: &Instance) -> Result<Vec<usize>, ScheduleError> {
    let jobs = &instance.jobs;
    let mut waits: Vec<usize> = jobs.iter().map(|job| job.after.len()).collect();
    let mut next = vec![Vec::new(); jobs.len()];
    for (number, job) in jobs.iter().enumerate() {
        for &other in &job.after {
            next[other].push(number);
        }
    }
    let ready = (0..jobs.len()).filter(|&job| waits[job] == 0);
    let mut ready: BinaryHeap<std::cmp::Reverse<usize>> = ready.map(std::cmp::Reverse).collect();
    let mut order = Vec::with_capacity(jobs.len());
    while let Some(std::cmp::Reverse(job)) = ready.pop() {
        order.push(job);
        for &other in &next[job] {
            waits[other] -= 1;
            if waits[other] == 0 {
                ready.push(std::cmp::Reverse(other));
            }
        }
    }
    let Some(start) = waits.iter().position(|&waits| waits > 0) else { return Ok(order) };
    // Everything that still waits, waits for something that still waits: going back from any of them finds a circle.
    let mut path = vec![start];
    loop {
        let last = path[path.len() - 1];
        let waiting = jobs[last].after.iter().copied().find(|&other| waits[other] > 0);
        let Some(back) = waiting else { return Err(ScheduleError::Cycle(path)) };
        if let Some(place) = path.iter().position(|&job| job == back) {
            let mut circle = path.split_off(place);
            circle.reverse();
            return Err(ScheduleError::Cycle(circle));
        }
        path.push(back);
    }
}

/// A resource that may bind, and where its lane is.
#[derive(Debug, Clone, Copy)]
struct Lane {
    resource: usize,
    divisor: u64,
    word: usize,
    shift: u32,
    bits: u32,
}

/// The lanes of those resources that can bind at all, and the number of words that they take.
#[derive(Debug, Clone, Default)]
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    pub(super) words: usize,
}

impl Lanes {
    /// Resources that all jobs together cannot use up are left out: they never bind.
    pub(super) fn new(instance: &Instance) -> Result<Self, ScheduleError> {
        let mut made = Self { lanes: Vec::new(), words: 1 };
        let mut used = 0;
        for (resource, &capacity) in instance.capacities.iter().enumerate() {
            let demands = instance.jobs.iter().filter(|job| job.duration > 0).map(|job| job.demand[resource]);
            let sum = demands.clone().fold(0_u64, u64::saturating_add);
            if sum <= capacity {
                continue;
            }
            // Only multiples of it are ever taken, so that a rest of the capacity below it is of no use.
            let divisor = demands.fold(0, gcd).max(1);
            let bits = 64 - (capacity / divisor).leading_zeros() + 1;
            if bits > 64 {
                return Err(ScheduleError::OutOfRange);
            }
            if used + bits > 64 {
                (made.words, used) = (made.words + 1, 0);
            }
            made.lanes.push(Lane { resource, divisor, word: made.words - 1, shift: used, bits });
            used += bits;
        }
        if made.words > MAX_WORDS {
            return Err(ScheduleError::OutOfRange);
        }
        Ok(made)
    }

    fn pack<const W: usize>(&self, amounts: &[u64], guard: bool) -> Pack<W> {
        let mut pack = [0; W];
        for lane in &self.lanes {
            let guard = u64::from(guard) << (lane.bits - 1);
            pack[lane.word] |= ((amounts[lane.resource] / lane.divisor) | guard) << lane.shift;
        }
        pack
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// A network with packed demands.
#[derive(Debug, Clone)]
pub(super) struct Compact<'n, const W: usize> {
    pub(super) network: &'n Network,
    pub(super) demand: Vec<Pack<W>>,
    /// What a job takes of all resources that can bind, in thousandths of their capacities; at least 1.
    pub(super) load: Vec<u64>,
    /// Everything free, guard bits set.
    pub(super) free: Pack<W>,
    /// The guard bits alone.
    pub(super) guard: Pack<W>,
}

impl<'n, const W: usize> Compact<'n, W> {
    pub(super) fn new(instance: &Instance, network: &'n Network, lanes: &Lanes) -> Self {
        let demand = network.original.iter().map(|&old| lanes.pack(&instance.jobs[old].demand, false));
        let nothing = vec![0; instance.capacities.len()];
        let load = network.original.iter().map(|&old| {
            let shares = lanes.lanes.iter().map(|lane| {
                let of = u128::from(instance.capacities[lane.resource]).max(1);
                u64::try_from(u128::from(instance.jobs[old].demand[lane.resource]) * 1000 / of)
                    .unwrap_or(1000)
            });
            shares.sum::<u64>().max(1)
        });
        Self {
            network,
            demand: demand.collect(),
            load: load.collect(),
            free: lanes.pack(&instance.capacities, true),
            guard: lanes.pack(&nothing, true),
        }
    }
}
