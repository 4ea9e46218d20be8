//! Lower bounds of the makespan.

use super::compact::Network;
use super::{Bound, Instance};

/// How many ways of looking at one resource are tried.
const VIEWS: u64 = 24;
/// Above this many jobs the pairs are too many to look at.
const MAX_CLIQUE_JOBS: usize = 2_000;

/// The best of all bounds, and what it comes from. Never above the makespan of any schedule.
///
/// - The longest chain: release, jobs that wait for each other, to the end.
/// - The area of a resource: what all jobs take of it, spread evenly; also for only those jobs that cannot start
///   before, or must end a while before, the rest (heads and tails as in Carlier 1982).
/// - The same after a dual feasible function has been applied to demands and capacity, which sees that two jobs of
///   more than half do not fit beside each other (Fekete, Schepers 2001; Carlier, Clautiaux, Moukrim 2007; as
///   redundant resources: Carlier, Néron 2003).
/// - Jobs of which only so many fit beside each other: of one more than `k` times as many, the longest ones, some `k` + 1
///   run one after the other (Dell'Amico, Martello 1995, for machines).
/// - A clique of jobs no two of which can run at once, because of a resource or of their order (Mingozzi et al.
///   1998), found greedily from every job.
pub(super) fn lower_bound(instance: &Instance, network: &Network) -> (u64, Bound) {
    let ends = (0..network.jobs()).map(|job| network.head[job] + network.duration[job] + network.tail[job]);
    let mut best = (ends.max().unwrap_or(0), Bound::Chain);
    let mut by_tail: Vec<usize> = (0..network.jobs()).filter(|&job| network.duration[job] > 0).collect();
    by_tail.sort_by_key(|&job| (std::cmp::Reverse(network.tail[job]), job));
    let mut heads: Vec<u64> = by_tail.iter().map(|&job| network.head[job]).collect();
    heads.sort_unstable();
    heads.dedup();
    for (resource, &capacity) in instance.capacities.iter().enumerate() {
        let demand = |job: usize| instance.jobs[network.original[job]].demand[resource];
        let jobs: Vec<usize> = by_tail.iter().copied().filter(|&job| demand(job) > 0).collect();
        let demands: Vec<u64> = jobs.iter().map(|&job| demand(job)).collect();
        let bound = rounds(network, &jobs, &demands, capacity);
        if bound > best.0 {
            best = (bound, Bound::Resource(resource));
        }
        let mut look = |weights: &[u64], capacity: u64| {
            let bound = area(network, &heads, &jobs, weights, capacity);
            if bound > best.0 {
                best = (bound, Bound::Resource(resource));
            }
        };
        look(&demands, capacity);
        // The functions multiply amounts; those of real quotas are far below this.
        if capacity < 1 << 28 {
            views(&demands, capacity, &mut look);
        }
    }
    if network.jobs() <= MAX_CLIQUE_JOBS {
        let (length, jobs) = clique(instance, network);
        if length > best.0 {
            best = (length, Bound::Clique(jobs));
        }
    }
    best
}

/// The largest head + area / capacity + tail over all sets of jobs with heads and tails of at least some value.
/// `jobs` in the order of falling tails.
fn area(network: &Network, heads: &[u64], jobs: &[usize], weights: &[u64], capacity: u64) -> u64 {
    let mut best = 0;
    for &head in heads {
        let mut area = 0_u128;
        for (&job, &weight) in jobs.iter().zip(weights) {
            if network.head[job] >= head && weight > 0 {
                area += u128::from(weight) * u128::from(network.duration[job]);
                let length = area.div_ceil(u128::from(capacity.max(1)));
                let bound = head + u64::try_from(length).unwrap_or(u64::MAX >> 1) + network.tail[job];
                best = best.max(bound);
            }
        }
    }
    best
}

/// For jobs of at least some demand, of which `width` fit beside each other: the shortest `k` + 1 of the longest
/// `k` * `width` + 1 in sum, with the least head and tail of all jobs that are looked at.
fn rounds(network: &Network, jobs: &[usize], demands: &[u64], capacity: u64) -> u64 {
    let mut longest: Vec<(u64, u64, usize)> =
        jobs.iter().zip(demands).map(|(&job, &demand)| (network.duration[job], demand, job)).collect();
    longest.sort_by_key(|&(duration, _, job)| (std::cmp::Reverse(duration), job));
    let mut sizes = demands.to_vec();
    sizes.sort_unstable();
    sizes.dedup();
    let every = sizes.len().div_ceil(usize::try_from(VIEWS).unwrap_or(1)).max(1);
    let mut best = 0;
    for &least in sizes.iter().step_by(every) {
        let width = usize::try_from(capacity / least).unwrap_or(usize::MAX);
        let large: Vec<&(u64, u64, usize)> =
            longest.iter().filter(|(_, demand, _)| *demand >= least).collect();
        let head = large.iter().map(|(_, _, job)| network.head[*job]).min().unwrap_or(0);
        let tail = large.iter().map(|(_, _, job)| network.tail[*job]).min().unwrap_or(0);
        let mut rounds = 1;
        while let Some(last) = width.checked_mul(rounds).filter(|last| *last < large.len()) {
            let sum: u64 = large[last - rounds..=last].iter().map(|(duration, _, _)| duration).sum();
            best = best.max(head + sum + tail);
            rounds += 1;
        }
    }
    best
}

/// Dual feasible functions of the demands of one resource: whatever fits together still fits together.
fn views(demands: &[u64], capacity: u64, look: &mut impl FnMut(&[u64], u64)) {
    let mut sizes: Vec<u64> = demands.iter().flat_map(|&d| [d, capacity - d]).collect();
    sizes.retain(|&size| size > 0 && size <= capacity / 2);
    sizes.sort_unstable();
    sizes.dedup();
    let every = sizes.len().div_ceil(usize::try_from(VIEWS).unwrap_or(1)).max(1);
    for &least in sizes.iter().step_by(every) {
        // Small ones are nothing, and then large ones are everything.
        let rounded = demands.iter().map(|&d| match d {
            d if d > capacity - least => capacity,
            d if d < least => 0,
            d => d,
        });
        look(&rounded.collect::<Vec<_>>(), capacity);
        // In multiples of the size, what is above half rounded up, the rest down.
        let counted = demands.iter().map(|&d| match (2 * d).cmp(&capacity) {
            std::cmp::Ordering::Greater => 2 * (capacity / least - (capacity - d) / least),
            std::cmp::Ordering::Equal => capacity / least,
            std::cmp::Ordering::Less => 2 * (d / least),
        });
        look(&counted.collect::<Vec<_>>(), 2 * (capacity / least));
    }
    for parts in 1..=VIEWS.min(capacity) {
        let shares = demands.iter().map(|&d| match (d * (parts + 1)) % capacity {
            0 => d * parts,
            _ => (d * (parts + 1) / capacity) * capacity,
        });
        look(&shares.collect::<Vec<_>>(), capacity * parts);
    }
}

/// The longest greedy clique of jobs that exclude each other: its length with the least head and tail of its jobs,
/// and the jobs as the instance numbers them.
fn clique(instance: &Instance, network: &Network) -> (u64, Vec<usize>) {
    let jobs = network.jobs();
    let words = jobs.div_ceil(64);
    let mut excludes = vec![0_u64; jobs * words];
    let set = |excludes: &mut Vec<u64>, a: usize, b: usize| excludes[a * words + b / 64] |= 1 << (b % 64);
    // Paths: in topological order backwards, everything that comes after what comes after.
    for job in (0..jobs).rev() {
        for &next in network.after.of(job) {
            let next = next as usize;
            for word in 0..words {
                excludes[job * words + word] |= excludes[next * words + word];
            }
            set(&mut excludes, job, next);
        }
    }
    let demand = |job: usize| &instance.jobs[network.original[job]].demand;
    for a in 0..jobs {
        for b in a + 1..jobs {
            let ordered = excludes[a * words + b / 64] >> (b % 64) & 1 == 1;
            let both = demand(a).iter().zip(demand(b));
            let full = both.zip(&instance.capacities).any(|((&x, &y), &all)| x.saturating_add(y) > all);
            if ordered || full {
                set(&mut excludes, a, b);
                set(&mut excludes, b, a);
            }
        }
    }
    let mut longest: Vec<usize> = (0..jobs).filter(|&job| network.duration[job] > 0).collect();
    longest.sort_by_key(|&job| (std::cmp::Reverse(network.duration[job]), job));
    let mut best = (0, Vec::new());
    for &seed in &longest {
        let mut open: Vec<u64> = excludes[seed * words..][..words].to_vec();
        let mut members = vec![seed];
        for &job in &longest {
            if open[job / 64] >> (job % 64) & 1 == 1 {
                members.push(job);
                for (word, other) in open.iter_mut().zip(&excludes[job * words..]) {
                    *word &= other;
                }
            }
        }
        let sum: u64 = members.iter().map(|&job| network.duration[job]).sum();
        let least = |of: &[u64]| members.iter().map(|&job| of[job]).min().unwrap_or(0);
        let length = sum + least(&network.head) + least(&network.tail);
        if length > best.0 {
            best = (length, members);
        }
    }
    best.1 = best.1.iter().map(|&job| network.original[job]).collect();
    best.1.sort_unstable();
    best
}
