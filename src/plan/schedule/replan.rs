//! Which jobs may start now, asked again whenever something has ended.
//!
//! What really happens differs from what was planned. At every question the jobs that wait are laid out anew around
//! those that run, in the order of the last answer and in others, and those start whose turn is now. While everything
//! takes as long as planned, the end never gets later than planned.
//!
//! Of the jobs that wait, the one that was planned first has a reservation: the moment at which it was to start when
//! it became first. The others may fill around it, but not push it (backfilling: Lifka 1995; Mu'alem, Feitelson
//! 2001). A reservation is a guess as well; when it is over by more than the longest job takes, nothing else starts
//! until the job has. So no job is passed over for ever, whatever the durations turn out to be: once it is first, it
//! starts at the latest when all those have ended that ran when its patience ended.

use super::compact::{Compact, Lanes, MAX_WORDS, Network};
use super::profile::Profile;
use super::rng::Rng;
use super::{Instance, ScheduleError};

/// How many orders of the waiting jobs are tried at every question.
const ORDERS: usize = 96;

/// How many of the waiting jobs are laid out: those further back cannot start now, or nothing would be gained.
const WINDOW: usize = 200;

/// What is known of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Running { since: u64 },
    Ended,
}

/// The jobs of an instance while they are carried out. Owned by whoever carries them out; it looks at no clock, but
/// is told the time with every question.
#[derive(Debug, Clone)]
pub struct Replanner {
    network: Network,
    lanes: Lanes,
    instance: Instance,
    state: Vec<State>,
    /// All jobs in the planned order, as the network numbers them: who is first.
    order: Vec<usize>,
    /// All jobs in the order of the last answer, each after those that it waits for.
    list: Vec<usize>,
    /// The network's number for every job of the instance.
    place: Vec<usize>,
    /// The first waiting job, and when it was first promised to start.
    promise: Option<(usize, u64)>,
    patience: u64,
}

impl Replanner {
    /// Jobs of which none has started. `planned` are their planned starts; of jobs planned for the same moment the
    /// lower index comes first.
    ///
    /// # Errors
    /// As [`super::schedule`]: no schedule exists.
    pub fn new(instance: Instance, planned: &[u64]) -> Result<Self, ScheduleError> {
        let network = Network::new(&instance)?;
        let lanes = Lanes::new(&instance)?;
        let mut order: Vec<usize> = (0..network.jobs()).collect();
        let planned_at = |job: usize| planned.get(network.original[job]).copied().unwrap_or(u64::MAX);
        order.sort_by_key(|&job| (planned_at(job), network.original[job]));
        let list = in_topological_order(&network, &order);
        let mut place = vec![0; network.jobs()];
        for (job, &original) in network.original.iter().enumerate() {
            place[original] = job;
        }
        let state = vec![State::Waiting; network.jobs()];
        let patience = network.duration.iter().copied().max().unwrap_or(0);
        Ok(Self { network, lanes, instance, state, order, list, place, promise: None, patience })
    }

    /// The job has started, by an answer of [`Self::admit`] or for reasons of the caller's.
    pub fn started(&mut self, job: usize, now: u64) {
        self.state[self.place[job]] = State::Running { since: now };
    }

    /// The job has ended, or will never start; it holds nothing any more.
    pub fn ended(&mut self, job: usize) {
        self.state[self.place[job]] = State::Ended;
    }

    /// The jobs that should start at `now`, in planned order. The caller starts them all and says so; times must not
    /// run backwards. Something always runs, or is answered, or everything has ended.
    pub fn admit(&mut self, now: u64) -> Vec<usize> {
        let jobs = match self.lanes.words {
            1 => self.admit_packed::<1>(now),
            2 => self.admit_packed::<2>(now),
            3 | 4 => self.admit_packed::<4>(now),
            _ => self.admit_packed::<MAX_WORDS>(now),
        };
        jobs.into_iter().map(|job| self.network.original[job]).collect()
    }

    /// How long a running job will still take, as far as anybody knows: one that is overdue, a tenth of its time.
    fn remaining(&self, job: usize, since: u64, now: u64) -> u64 {
        let duration = self.network.duration[job];
        let end = since.saturating_add(duration);
        if end > now { end - now } else { (duration / 10).max(1) }
    }

    /// Times below are counted from `now`.
    fn admit_packed<const W: usize>(&mut self, now: u64) -> Vec<usize> {
        let compact = Compact::<W>::new(&self.instance, &self.network, &self.lanes);
        let mut base = Profile::new(&compact);
        let mut finish = vec![0; self.network.jobs()];
        for (job, finish) in finish.iter_mut().enumerate() {
            if let State::Running { since } = self.state[job]
                && self.network.duration[job] > 0
            {
                *finish = self.remaining(job, since, now);
                base.place(0, *finish, &compact.demand[job]);
            }
        }
        let around = Around { compact, base, finish, now };
        let waits = |job: &usize| self.state[*job] == State::Waiting;
        let mut waiting: Vec<usize> = self.list.iter().copied().filter(waits).take(WINDOW).collect();
        let may_be_next = |job: &usize| {
            let earlier = self.network.before.of(*job);
            waits(job) && !earlier.iter().any(|&other| waits(&(other as usize)))
        };
        let Some(first) = self.order.iter().copied().find(may_be_next) else { return Vec::new() };
        if !waiting.contains(&first) {
            waiting.push(first);
        }
        let mut laid_out = self.lay_out(&around, &waiting);
        let promised = match self.promise {
            Some((job, at)) if job == first => at,
            _ => now.saturating_add(laid_out.start[first]),
        };
        self.promise = Some((first, promised));
        let mut list = waiting;
        if now.saturating_add(laid_out.start[first]) > promised {
            list.retain(|&job| job != first);
            list.insert(0, first);
            laid_out = self.lay_out(&around, &list);
        }
        if now > promised.saturating_add(self.patience) {
            return if laid_out.start[first] == 0 { vec![first] } else { Vec::new() };
        }
        let latest = promised.saturating_sub(now).max(laid_out.start[first]);
        let best = self.improve(&around, list, laid_out, (first, latest));
        self.list.sort_by_key(|&job| (best.start[job], job));
        let ready = |job: &usize| {
            let over = |&other: &u32| self.state[other as usize] == State::Ended;
            best.start[*job] == 0 && self.network.before.of(*job).iter().all(over)
        };
        self.order.iter().copied().filter(|&job| self.state[job] == State::Waiting).filter(ready).collect()
    }

    fn lay_out<const W: usize>(&self, around: &Around<'_, W>, list: &[usize]) -> LaidOut {
        let mut profile = around.base.clone();
        let mut finish = around.finish.clone();
        let mut start = vec![u64::MAX; finish.len()];
        let mut made = (0, 0_u128);
        for &job in list {
            let waits_for = self.network.before.of(job).iter().map(|&other| finish[other as usize]);
            let release = self.network.release[job].saturating_sub(around.now);
            let earliest = waits_for.max().unwrap_or(0).max(release);
            let duration = self.network.duration[job];
            let at = if duration == 0 {
                earliest
            } else {
                profile.place(earliest, duration, &around.compact.demand[job])
            };
            (start[job], finish[job]) = (at, at + duration);
            made = (made.0.max(at + duration), made.1 + u128::from(at + duration));
        }
        LaidOut { start, makespan: made.0, ends: made.1 }
    }

    /// Tries other orders: those that put large jobs first, and small steps from the best. The first job must not
    /// start later than its latest moment.
    fn improve<const W: usize>(
        &self,
        around: &Around<'_, W>,
        mut list: Vec<usize>,
        known: LaidOut,
        (first, latest): (usize, u64),
    ) -> LaidOut {
        let mut best = known;
        if list.len() < 2 {
            return best;
        }
        // The same question has the same answer.
        let mut rng = Rng::new(around.now ^ (list.len() as u64));
        for round in 0..ORDERS {
            let mut other = list.clone();
            if round < 2 && self.network.before.is_empty() {
                let area = |job: usize| self.network.duration[job].saturating_mul(around.compact.load[job]);
                let size = |job: usize| if round == 0 { area(job) } else { self.network.duration[job] };
                other.sort_by_key(|&job| std::cmp::Reverse(size(job)));
            } else {
                let from = rng.below(other.len());
                let job = other.remove(from);
                let (least, most) = self.room(&other, job);
                other.insert(least + rng.below(most - least + 1), job);
            }
            let tried = self.lay_out(around, &other);
            let is_shorter = (tried.makespan, tried.ends) < (best.makespan, best.ends);
            if is_shorter && tried.start[first] <= latest {
                (best, list) = (tried, other);
            }
        }
        best
    }

    /// Between which places of `list` the job may be put: after those that it waits for, before those that wait for
    /// it.
    fn room(&self, list: &[usize], job: usize) -> (usize, usize) {
        let is_in = |other: usize, neighbours: &[u32]| neighbours.iter().any(|&n| n as usize == other);
        let before = self.network.before.of(job);
        let after = self.network.after.of(job);
        let least = list.iter().rposition(|&other| is_in(other, before)).map_or(0, |place| place + 1);
        let most = list.iter().position(|&other| is_in(other, after)).unwrap_or(list.len());
        (least, most.max(least))
    }
}

/// What the waiting jobs are laid out around. Times are counted from `now`.
struct Around<'n, const W: usize> {
    compact: Compact<'n, W>,
    /// With the running jobs in it.
    base: Profile<W>,
    /// When the running jobs end; of others nothing is known yet.
    finish: Vec<u64>,
    now: u64,
}

/// The order with every job moved behind those that it waits for.
fn in_topological_order(network: &Network, order: &[usize]) -> Vec<usize> {
    let mut listed = vec![false; network.jobs()];
    let mut list = Vec::with_capacity(order.len());
    let mut open = order.to_vec();
    while !open.is_empty() {
        open.retain(|&job| {
            let may = network.before.of(job).iter().all(|&other| listed[other as usize]);
            if may {
                listed[job] = true;
                list.push(job);
            }
            !may
        });
    }
    list
}

/// When the waiting jobs start, counted from now, when the last ends, and the sum of all ends.
struct LaidOut {
    start: Vec<u64>,
    makespan: u64,
    ends: u128,
}

#[cfg(test)]
mod tests {
    use super::super::tests::{any_instance, check};
    use super::super::{Job, Options, schedule};
    use super::*;
    use proptest::prelude::*;

    /// Carries an instance out: each job takes `factor` per cent of its duration. Gives the starts.
    fn carry_out(instance: &Instance, planned: &[u64], factor: impl Fn(usize) -> u64) -> Vec<u64> {
        let mut replanner = Replanner::new(instance.clone(), planned).unwrap();
        let mut running: Vec<(u64, usize)> = Vec::new();
        let mut start = vec![u64::MAX; instance.jobs.len()];
        let mut now = 0;
        loop {
            // What takes no time ends at once and makes way for more at the same moment.
            loop {
                let admitted = replanner.admit(now);
                for &job in &admitted {
                    assert_eq!(start[job], u64::MAX, "job {job} has started already");
                    start[job] = now;
                    replanner.started(job, now);
                    running.push((now + instance.jobs[job].duration * factor(job) / 100, job));
                }
                running.sort_unstable();
                while running.first().is_some_and(|(end, _)| *end <= now) {
                    replanner.ended(running.remove(0).1);
                }
                if admitted.is_empty() {
                    break;
                }
            }
            let release = (0..start.len()).filter(|&job| start[job] == u64::MAX);
            let release = release.map(|job| instance.jobs[job].release).filter(|&at| at > now).min();
            let Some(next) = running.first().map(|(end, _)| *end).into_iter().chain(release).min() else {
                break;
            };
            now = next;
            while running.first().is_some_and(|(end, _)| *end <= now) {
                replanner.ended(running.remove(0).1);
            }
        }
        start
    }

    fn with_factors(instance: &Instance, factor: impl Fn(usize) -> u64) -> Instance {
        let mut real = instance.clone();
        for (number, job) in real.jobs.iter_mut().enumerate() {
            job.duration = job.duration * factor(number) / 100;
        }
        real
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn whatever_the_durations_turn_out_to_be_everything_runs_within_the_capacities(
            instance in any_instance(12), seed in any::<u64>(),
        ) {
            let planned = schedule(&instance, &Options { seed, schedules: 50, stop: None }).unwrap();
            let factor = |job: usize| 50 + (seed >> (job % 8 * 8)) % 200;
            let start = carry_out(&instance, &planned.start, factor);
            prop_assert!(start.iter().all(|&start| start < u64::MAX));
            check(&with_factors(&instance, factor), &start);
        }

        #[test]
        fn when_everything_takes_as_long_as_planned_nothing_gets_worse(
            instance in any_instance(10),
        ) {
            let planned = schedule(&instance, &Options { seed: 1, schedules: 200, stop: None }).unwrap();
            let start = carry_out(&instance, &planned.start, |_| 100);
            let end = |at: &[u64]| at.iter().zip(&instance.jobs).map(|(at, job)| at + job.duration).max();
            prop_assert!(end(&start) <= end(&planned.start));
        }
    }

    /// One job needs everything; an endless stream of small ones fits beside each other.
    fn giant_and_dwarfs(dwarfs: usize) -> Instance {
        let job = |duration, demand| Job { duration, demand: vec![demand], ..Job::default() };
        let mut jobs = vec![job(100, 10)];
        jobs.extend((0..dwarfs).map(|n| job(10 + (n as u64 * 7) % 23, 3)));
        Instance { jobs, capacities: vec![10] }
    }

    #[test]
    fn a_large_job_is_not_passed_over_for_ever_by_small_ones() {
        let instance = giant_and_dwarfs(60);
        // Two dwarfs run already when the giant, planned first, is asked for.
        let mut planned = vec![5; 61];
        (planned[0], planned[1], planned[2]) = (1, 0, 0);
        let longest = instance.jobs.iter().map(|job| job.duration).max().unwrap();
        // Everything takes three times as long as anybody thought.
        for (factor, least) in [(100, 0), (300, 0), (20, 0)] {
            let start = carry_out(&instance, &planned, |_| factor);
            // Bound: promise, patience, and what then ran to its end.
            let most = 33 + longest + 33 * factor / 100 * 2;
            assert!((least..=most).contains(&start[0]), "factor {factor}: {}", start[0]);
        }
    }

    #[test]
    fn an_overdue_promise_stops_the_others() {
        let instance = giant_and_dwarfs(20);
        let mut planned = vec![5; 21];
        (planned[0], planned[1]) = (1, 0);
        let mut replanner = Replanner::new(instance, &planned).unwrap();
        let first = replanner.admit(0);
        assert!(first.contains(&1) && !first.contains(&0), "{first:?}");
        for &job in &first {
            replanner.started(job, 0);
        }
        // Nobody ends. Far beyond promise and patience a dwarf ends, and its place stays empty.
        replanner.admit(50);
        replanner.ended(first[0]);
        assert_eq!(replanner.admit(1_000), [0_usize; 0]);
        first[1..].iter().for_each(|&job| replanner.ended(job));
        assert_eq!(replanner.admit(1_010), [0]);
    }

    #[test]
    fn equal_questions_have_equal_answers() {
        let instance = giant_and_dwarfs(50);
        let mut one = Replanner::new(instance.clone(), &[0; 51]).unwrap();
        let mut other = Replanner::new(instance, &[0; 51]).unwrap();
        assert_eq!(one.admit(7), other.admit(7));
    }
}
