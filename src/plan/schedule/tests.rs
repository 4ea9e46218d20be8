//! What holds for every schedule, and a second, simple scheduler that is never beaten and often met.

use super::*;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

/// Instances of up to `jobs` jobs, 1 to 3 resources, with and without predecessors and releases.
pub(super) fn any_instance(jobs: usize) -> impl Strategy<Value = Instance> {
    let capacities = prop::collection::vec(1_u64..12, 1..4);
    (capacities, 0_usize..=jobs, any::<u64>(), any::<bool>(), any::<bool>()).prop_map(
        |(capacities, jobs, seed, ordered, released)| {
            let mut rng = rng::Rng::new(seed);
            let job = |number: usize| Job {
                duration: rng.next() % 9,
                demand: capacities.iter().map(|&capacity| rng.next() % (capacity + 1)).collect(),
                after: (0..number).filter(|_| ordered && rng.once_in(4)).collect(),
                release: if released && rng.once_in(3) { rng.next() % 10 } else { 0 },
            };
            Instance { jobs: (0..jobs).map(job).collect(), capacities: capacities.clone() }
        },
    )
}

/// Fails unless the starts keep every capacity at every moment, every precedence and every release. Gives the end.
pub(super) fn check(instance: &Instance, start: &[u64]) -> u64 {
    assert_eq!(instance.jobs.len(), start.len());
    let end = |job: usize| start[job] + instance.jobs[job].duration;
    for (number, job) in instance.jobs.iter().enumerate() {
        assert!(start[number] >= job.release, "job {number} starts before its release");
        for &other in &job.after {
            assert!(end(other) <= start[number], "job {number} starts before {other} has ended");
        }
    }
    // What is taken rises at starts only.
    for &moment in start {
        for (resource, &capacity) in instance.capacities.iter().enumerate() {
            let alive = (0..start.len()).filter(|&job| start[job] <= moment && moment < end(job));
            let taken: u64 = alive.map(|job| instance.jobs[job].demand[resource]).sum();
            assert!(taken <= capacity, "{taken} of resource {resource} at {moment}, there are {capacity}");
        }
    }
    (0..start.len()).map(end).max().unwrap_or(0)
}

/// The least makespan, by trying every list: an active schedule is optimal, and every active schedule has a list.
fn optimum(instance: &Instance) -> u64 {
    fn earliest(instance: &Instance, start: &[Option<u64>], job: usize) -> u64 {
        let me = &instance.jobs[job];
        let ends = me.after.iter().map(|&other| start[other].unwrap_or(0) + instance.jobs[other].duration);
        let mut at = ends.max().unwrap_or(0).max(me.release);
        loop {
            let fits = (at..at + me.duration).all(|moment| {
                (0..instance.capacities.len()).all(|resource| {
                    let alive = (0..start.len()).filter(|&other| {
                        start[other]
                            .is_some_and(|s| s <= moment && moment < s + instance.jobs[other].duration)
                    });
                    let taken: u64 = alive.map(|other| instance.jobs[other].demand[resource]).sum();
                    taken + me.demand[resource] <= instance.capacities[resource]
                })
            });
            if fits {
                return at;
            }
            at += 1;
        }
    }
    fn go(instance: &Instance, start: &mut Vec<Option<u64>>, end: u64, best: &mut u64) {
        if end >= *best {
            return;
        }
        if start.iter().all(Option::is_some) {
            *best = end;
            return;
        }
        for job in 0..start.len() {
            let ready = instance.jobs[job].after.iter().all(|&other| start[other].is_some());
            if start[job].is_none() && ready {
                let at = earliest(instance, start, job);
                start[job] = Some(at);
                go(instance, start, end.max(at + instance.jobs[job].duration), best);
                start[job] = None;
            }
        }
    }
    let mut best = u64::MAX;
    go(instance, &mut vec![None; instance.jobs.len()], 0, &mut best);
    best
}

fn made(instance: &Instance, seed: u64, schedules: u64) -> Schedule {
    schedule(instance, &Options { seed, schedules, stop: None }).unwrap()
}

proptest! {
    #[test]
    fn every_schedule_keeps_all_limits_and_none_is_below_its_bound(
        instance in any_instance(30), seed: u64,
    ) {
        let schedule = made(&instance, seed, 300);
        prop_assert_eq!(check(&instance, &schedule.start), schedule.makespan);
        prop_assert!(schedule.bound <= schedule.makespan);
    }

    #[test]
    fn equal_seeds_give_equal_schedules(instance in any_instance(20), seed: u64) {
        prop_assert_eq!(made(&instance, seed, 500), made(&instance, seed, 500));
    }

    #[test]
    fn more_of_everything_is_never_worse_than_the_bound_of_less(instance in any_instance(15)) {
        let mut wider = instance.clone();
        wider.capacities.iter_mut().for_each(|capacity| *capacity *= 2);
        prop_assert!(made(&wider, 1, 1).bound <= made(&instance, 1, 1).bound.max(made(&wider, 1, 1).makespan));
    }

    #[test]
    fn large_numbers_are_scheduled_as_well(instance in any_instance(12)) {
        let scaled = |by: u64, demand: u64| {
            let mut other = instance.clone();
            other.capacities.iter_mut().for_each(|capacity| *capacity *= demand);
            for job in &mut other.jobs {
                job.duration *= by;
                job.release *= by;
                job.demand.iter_mut().for_each(|amount| *amount *= demand);
            }
            other
        };
        let scaled = scaled(60_000, 1 << 50);
        let (small, large) = (made(&instance, 1, 300), made(&scaled, 1, 300));
        prop_assert_eq!(check(&scaled, &large.start), large.makespan);
        // The search may go another way; a bound is rounded up less where the unit is finer.
        prop_assert!(large.bound <= small.bound * 60_000);
        prop_assert!(large.bound <= large.makespan);
    }
}

#[test]
fn trying_everything_is_never_beaten_and_nearly_always_met() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut met, mut proven, cases) = (0, 0, 400);
    for _ in 0..cases {
        let instance = any_instance(6).new_tree(&mut runner).unwrap().current();
        let best = optimum(&instance);
        let schedule = made(&instance, 7, 3_000);
        assert!(schedule.makespan >= best, "{instance:?}: {} beats {best}", schedule.makespan);
        assert!(schedule.bound <= best, "{instance:?}: the bound {} is above {best}", schedule.bound);
        met += usize::from(schedule.makespan == best);
        proven += usize::from(schedule.bound == best);
    }
    assert_eq!(met, cases, "every optimum of such small instances is found");
    assert!(proven * 10 >= cases * 8, "{proven} of {cases} are proven by a bound");
}

fn job(duration: u64, demand: u64, after: &[usize]) -> Job {
    Job { duration, demand: vec![demand], after: after.to_vec(), release: 0 }
}

#[test]
fn what_cannot_be_scheduled_is_said() {
    let error = |jobs: Vec<Job>| {
        let instance = Instance { jobs, capacities: vec![10] };
        schedule(&instance, &Options::default()).unwrap_err()
    };
    let circle = error(vec![job(1, 1, &[2]), job(1, 1, &[0]), job(1, 1, &[1]), job(1, 1, &[0])]);
    assert_eq!(circle.to_string(), "the jobs 1, 2, 0 wait for each other in a circle");
    assert_eq!(error(vec![job(1, 1, &[0])]), ScheduleError::Cycle(vec![0]));
    let large = error(vec![job(1, 4, &[]), job(1, 14, &[])]);
    assert_eq!(large.to_string(), "job 1 takes 14 of resource 0, there are 10: 4 short");
    assert_eq!(error(vec![job(1, 1, &[7])]).to_string(), "job 0 waits for job 7, which does not exist");
    assert_eq!(error(vec![job(u64::MAX, 1, &[])]), ScheduleError::OutOfRange);
    let demands = error(vec![Job { demand: vec![1, 1], ..Job::default() }]);
    assert_eq!(demands.to_string(), "job 0 has 2 demands, but there are 1 resources");
}

#[test]
fn bounds_name_what_binds() {
    let bound = |jobs: &[(u64, u64)], chain: bool| {
        let after = |n: usize| if chain && n > 0 { vec![n - 1] } else { vec![] };
        let jobs = jobs.iter().enumerate().map(|(n, &(d, r))| job(d, r, &after(n))).collect();
        let schedule = made(&Instance { jobs, capacities: vec![10] }, 1, 1_000);
        assert_eq!(schedule.makespan, schedule.bound);
        schedule.bound_by
    };
    assert_eq!(bound(&[(5, 1), (6, 1)], true), Bound::Chain);
    assert_eq!(bound(&[(9, 1), (1, 1)], false), Bound::Chain);
    assert_eq!(bound(&[(5, 5), (5, 5), (5, 5), (5, 5)], false), Bound::Resource(0));
    assert_eq!(bound(&[], false), Bound::Chain);
    // Three fit beside each other; the fourth needs a second round.
    assert_eq!(bound(&[(5, 3), (5, 3), (5, 3), (5, 3)], false), Bound::Resource(0));
}

#[test]
fn jobs_that_exclude_each_other_are_a_bound() {
    // Two of them never fit beside each other, each pair for another reason, so that no single resource sees it.
    let demand = |a, b, c| Job { duration: 7, demand: vec![a, b, c], ..Job::default() };
    let jobs = vec![demand(6, 6, 0), demand(6, 0, 6), demand(0, 6, 6)];
    let schedule = made(&Instance { jobs, capacities: vec![10; 3] }, 1, 100);
    assert_eq!((schedule.bound, schedule.makespan), (21, 21));
    assert_eq!(schedule.bound_by, Bound::Clique(vec![0, 1, 2]));
}

#[test]
fn unlimited_and_unused_resources_cost_nothing() {
    let jobs = (0..40).map(|n| Job { duration: n, demand: vec![1; 70], ..Job::default() }).collect();
    let schedule = made(&Instance { jobs, capacities: vec![u64::MAX; 70] }, 1, 100);
    assert_eq!(schedule.makespan, 39);
}

/// The runs of a recorded command, in its order, under the quota of a small project.
fn recorded() -> Instance {
    let file = include_str!("../../../fixtures/schedule/recorded.tsv");
    let jobs = file.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let numbers: Vec<u64> = line.split('\t').skip(1).map(|word| word.parse().unwrap()).collect();
        Job { duration: numbers[0], demand: numbers[1..].to_vec(), ..Job::default() }
    });
    Instance { jobs: jobs.collect(), capacities: vec![80, 30, 10, 10] }
}

/// First come, first served: the next of the list starts when it fits; nobody overtakes.
fn in_order_of_the_list(instance: &Instance) -> Vec<u64> {
    let mut start: Vec<u64> = Vec::new();
    let mut now = 0;
    for (number, job) in instance.jobs.iter().enumerate() {
        let end = |other: &usize| start[*other] + instance.jobs[*other].duration;
        let mut ends: Vec<u64> = (0..number).map(|other| end(&other)).filter(|end| *end > now).collect();
        ends.sort_unstable();
        let fits = |moment: u64| {
            (0..instance.capacities.len()).all(|resource| {
                let alive = (0..number).filter(|other| end(other) > moment);
                let taken: u64 = alive.map(|other| instance.jobs[other].demand[resource]).sum();
                taken + job.demand[resource] <= instance.capacities[resource]
            })
        };
        now = [now].into_iter().chain(ends).find(|moment| fits(*moment)).unwrap();
        start.push(now);
    }
    start
}

#[test]
fn recorded_runs_end_earlier_than_first_come_first_served_and_near_their_bound() {
    let instance = recorded();
    let first_come = check(&instance, &in_order_of_the_list(&instance));
    let schedule = made(&instance, 1, 8_000);
    assert_eq!(check(&instance, &schedule.start), schedule.makespan);
    let (makespan, bound) = (schedule.makespan, schedule.bound);
    assert!(makespan * 100 <= first_come * 85, "{makespan}, first come first served {first_come}");
    assert!(makespan * 100 <= bound * 105, "{makespan}, bound {bound}");
}
