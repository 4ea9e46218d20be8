//! The search for a short schedule: a population of lists, crossed, justified, and begun anew when nothing improves.
//!
//! The parts are well known. Which of them, and how much of each, was tried out on the 480 instances J30 of PSPLIB,
//! with and without their precedence; `.ci/bench-schedule` shows what became of it.

use super::Options;
use super::compact::{Compact, MAX_JOBS};
use super::profile::{Profile, serial, serial_backward};
use super::rng::Rng;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Members of the population, and after how many children without a better one it is made anew: where jobs wait for
/// each other, and where they do not and lists mean less.
const ORDERED: (usize, u32) = (60, 600);
const FREE: (usize, u32) = (120, 3_000);
/// A neighbouring pair of a child's list is swapped once in this many.
const SWAP_ONCE_IN: usize = 20;
/// How often a schedule is justified at most, as long as it gets shorter.
const JUSTIFY: u32 = 4;
/// First lists: weights are multiplied by up to 1 + this.
const NOISE: u64 = 3;
/// A key holds a time and a job; the job takes the lower bits.
const JOB_BITS: u32 = MAX_JOBS.trailing_zeros();

/// The best schedule that was found, in the numbering of the network.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    pub(super) start: Vec<u64>,
    pub(super) makespan: u64,
    pub(super) schedules: u64,
}

/// One member of the population: the jobs in the order of their starts.
#[derive(Debug, Clone, Default)]
struct Member {
    order: Vec<u32>,
    makespan: u64,
    /// How much of what it takes lies beyond the end that is wanted. Tells schedules apart that are equally long: few
    /// shorter ones are found by chance, most from one that nearly is.
    beyond: u64,
    /// Tells schedules apart, all but surely.
    print: u64,
}

impl Member {
    /// The lower the better.
    fn rank(&self) -> (u64, u64) {
        (self.makespan, self.beyond)
    }
}

struct Engine<'c, const W: usize> {
    compact: &'c Compact<'c, W>,
    profile: Profile<W>,
    start: Vec<u64>,
    back: Vec<u64>,
    keys: Vec<u64>,
    order: Vec<u32>,
    /// Which jobs a child has already: those marked with the number of the child.
    taken: Vec<u64>,
    child: u64,
    best: Found,
}

impl<'c, const W: usize> Engine<'c, W> {
    fn new(compact: &'c Compact<'c, W>) -> Self {
        let jobs = compact.network.jobs();
        Self {
            compact,
            profile: Profile::new(compact),
            start: vec![0; jobs],
            back: vec![0; jobs],
            keys: Vec::with_capacity(jobs),
            order: Vec::with_capacity(jobs),
            taken: vec![0; jobs],
            child: 0,
            best: Found { start: vec![0; jobs], makespan: u64::MAX, schedules: 0 },
        }
    }

    /// Sorts the keys; their jobs become the order.
    fn order_by_keys(&mut self) {
        self.keys.sort_unstable();
        self.order.clear();
        self.order.extend(self.keys.iter().map(|key| job_of(*key)));
    }

    /// Makes the schedule of `self.order` into `self.start`; the best one is kept.
    fn forward(&mut self) -> u64 {
        self.best.schedules += 1;
        let makespan = serial(self.compact, &mut self.profile, &self.order, &mut self.start);
        if makespan < self.best.makespan {
            self.best.makespan = makespan;
            self.best.start.clone_from(&self.start);
        }
        makespan
    }

    /// Double justification of the schedule in `self.start`: everything as late as possible, the last first; then as
    /// early as possible, the first first (Li, Willis 1992; Valls, Ballestín, Quintanilla 2005). Never longer than
    /// before.
    fn justify(&mut self) -> u64 {
        let duration = &self.compact.network.duration;
        self.keys.clear();
        let ends = self.start.iter().zip(duration).zip(0_u64..);
        self.keys.extend(ends.map(|((start, duration), job)| ((start + duration) << JOB_BITS) | job));
        self.order_by_keys();
        self.order.reverse();
        self.best.schedules += 1;
        let length = serial_backward(self.compact, &mut self.profile, &self.order, &mut self.back);
        self.keys.clear();
        let starts = self.back.iter().zip(&self.compact.network.duration).zip(0_u64..);
        self.keys.extend(starts.map(|((back, took), job)| ((length - back - took) << JOB_BITS) | job));
        self.order_by_keys();
        self.forward()
    }

    /// Makes a member of the list in `self.order`.
    fn member(&mut self) -> Member {
        let mut last = self.forward();
        let mut makespan = self.justify();
        for _ in 1..JUSTIFY {
            if makespan >= last {
                break;
            }
            last = makespan;
            makespan = self.justify();
        }
        let mix = |print: u64, start: &u64| (print ^ start).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
        let print = self.start.iter().fold(0xcbf2_9ce4_8422_2325, mix);
        self.keys.clear();
        self.keys.extend(self.start.iter().zip(0_u64..).map(|(start, job)| (start << JOB_BITS) | job));
        self.order_by_keys();
        let wanted = self.best.makespan.saturating_sub(1);
        let ends = self.start.iter().zip(&self.compact.network.duration).map(|(start, took)| start + took);
        let beyond = ends
            .zip(&self.compact.load)
            .map(|(end, load)| end.saturating_sub(wanted).saturating_mul(*load))
            .fold(0, u64::saturating_add);
        Member { order: self.order.clone(), makespan, beyond, print }
    }

    /// Two-point crossover of lists (Hartmann 1998) into `self.order`: beginning and end of one, between them what
    /// comes first in the other. Every job stays after its predecessors.
    fn cross(&mut self, mother: &[u32], father: &[u32], from: usize, to: usize) {
        self.child += 1;
        self.order.clear();
        for &job in &mother[..from] {
            self.taken[job as usize] = self.child;
            self.order.push(job);
        }
        for &job in father {
            if self.order.len() >= to {
                break;
            }
            if self.taken[job as usize] != self.child {
                self.taken[job as usize] = self.child;
                self.order.push(job);
            }
        }
        let child = self.child;
        self.order.extend(mother.iter().filter(|&&job| self.taken[job as usize] != child));
    }

    /// Swaps neighbours in `self.order` now and then, unless one waits for the other; where nothing waits, moves jobs
    /// to any other place instead.
    fn mutate(&mut self, rng: &mut Rng) {
        if self.compact.network.before.is_empty() {
            while rng.once_in(2) && self.order.len() > 1 {
                let (from, to) = (rng.below(self.order.len()), rng.below(self.order.len()));
                if from < to {
                    self.order[from..=to].rotate_left(1);
                } else {
                    self.order[to..=from].rotate_right(1);
                }
            }
            return;
        }
        for at in 1..self.order.len() {
            let (left, right) = (self.order[at - 1], self.order[at]);
            if rng.once_in(SWAP_ONCE_IN) && !self.compact.network.before.of(right as usize).contains(&left) {
                self.order.swap(at - 1, at);
            }
        }
    }

    /// The list by priorities into `self.order`: of the jobs whose predecessors are listed, the one with the largest
    /// weight comes next.
    fn by_weight(&mut self, weight: &[u64]) {
        let network = self.compact.network;
        self.order.clear();
        let mut waits: Vec<usize> = (0..network.jobs()).map(|job| network.before.of(job).len()).collect();
        let entry = |job: usize| (weight[job], Reverse(job));
        let mut ready: BinaryHeap<(u64, Reverse<usize>)> =
            (0..network.jobs()).filter(|&job| waits[job] == 0).map(entry).collect();
        while let Some((_, Reverse(job))) = ready.pop() {
            // There are fewer than 2^32 jobs.
            self.order.extend(u32::try_from(job));
            for &next in network.after.of(job) {
                let next = next as usize;
                waits[next] -= 1;
                if waits[next] == 0 {
                    ready.push(entry(next));
                }
            }
        }
    }
}

fn job_of(key: u64) -> u32 {
    u32::try_from(key & ((1 << JOB_BITS) - 1)).unwrap_or(u32::MAX)
}

/// What jobs come first by: the longest way to the end, the largest area, both, the longest, the largest.
fn rules<const W: usize>(compact: &Compact<'_, W>) -> [Vec<u64>; 5] {
    let network = compact.network;
    let of = |weight: &dyn Fn(usize) -> u64| (0..network.jobs()).map(weight).collect::<Vec<u64>>();
    let way = |job: usize| network.tail[job] + network.duration[job];
    [
        of(&way),
        of(&|job| network.duration[job].saturating_mul(compact.load[job])),
        of(&|job| way(job).saturating_mul(compact.load[job])),
        of(&|job| network.duration[job]),
        of(&|job| compact.load[job]),
    ]
}

/// Searches until the bound is met, the schedules are used up, or somebody says stop; makes one schedule at least.
pub(super) fn search<const W: usize>(compact: &Compact<'_, W>, bound: u64, options: &Options<'_>) -> Found {
    let mut engine = Engine::new(compact);
    let mut rng = Rng::new(options.seed);
    let rules = rules(compact);
    for rule in &rules {
        engine.by_weight(rule);
        engine.member();
        if is_over(&engine.best, bound, options) {
            return engine.best;
        }
    }
    // What was not found by small populations may need larger ones.
    let mut round = 0;
    while !generation(&mut engine, &mut rng, &rules, bound, (options, round)) {
        round = u16::saturating_add(round, 1);
    }
    engine.best
}

fn is_over(best: &Found, bound: u64, options: &Options<'_>) -> bool {
    let stopped = || options.stop.is_some_and(|stop| stop());
    best.makespan <= bound || best.schedules >= options.schedules || stopped()
}

/// One population from its beginning until it is stale. Whether everything is over.
fn generation<const W: usize>(
    engine: &mut Engine<'_, W>,
    rng: &mut Rng,
    rules: &[Vec<u64>],
    bound: u64,
    (options, round): (&Options<'_>, u16),
) -> bool {
    let jobs = engine.order.len();
    let (size, patience) = if engine.compact.network.before.is_empty() { FREE } else { ORDERED };
    let times = 1 + round.min(35) / 4;
    let (size, patience) = (size * usize::from(times), patience * u32::from(times));
    let mut population: Vec<Member> = Vec::with_capacity(size);
    let mut weight = Vec::with_capacity(jobs);
    for _ in 0..size {
        let rule = &rules[rng.below(3)];
        weight.clear();
        weight.extend(rule.iter().map(|&w| {
            let factor = 1_000 + rng.next() % (NOISE * 1_000 + 1);
            w.saturating_mul(factor).saturating_add(rng.next() % 1_000)
        }));
        engine.by_weight(&weight);
        let member = engine.member();
        if is_over(&engine.best, bound, options) {
            return true;
        }
        if population.iter().all(|other| other.print != member.print) {
            population.push(member);
        }
    }
    let mut best = population.iter().map(|member| member.makespan).min().unwrap_or(u64::MAX);
    let mut stale = 0;
    while stale < patience {
        let (mother, father) = (parent(&population, rng), parent(&population, rng));
        let (one, other) = (rng.below(jobs + 1), rng.below(jobs + 1));
        engine.cross(&population[mother].order, &population[father].order, one.min(other), one.max(other));
        engine.mutate(rng);
        let member = engine.member();
        if is_over(&engine.best, bound, options) {
            return true;
        }
        stale += 1;
        if member.makespan < best {
            (best, stale) = (member.makespan, 0);
        }
        if population.iter().any(|other| other.print == member.print) {
            continue;
        }
        if population.len() < size {
            population.push(member);
            continue;
        }
        let worst = population.iter().map(Member::rank).max().unwrap_or_default();
        if member.rank() <= worst {
            let are = || population.iter().enumerate().filter(|(_, other)| other.rank() == worst);
            let which = rng.below(are().count());
            if let Some((place, _)) = are().nth(which) {
                population[place] = member;
            }
        }
    }
    false
}

/// The better of two.
fn parent(population: &[Member], rng: &mut Rng) -> usize {
    let (one, other) = (rng.below(population.len()), rng.below(population.len()));
    if population[one].rank() <= population[other].rank() { one } else { other }
}
