//! What is free over time, and the schedule-generation scheme that fills it.

use super::compact::{Compact, Neighbours, Pack};

/// What is free over time, as steps. The time does not show in the size, so that milliseconds cost no more than
/// minutes.
#[derive(Debug, Clone)]
pub(super) struct Profile<const W: usize> {
    /// The beginnings of the steps, from 0, and the end of time.
    time: Vec<u64>,
    free: Vec<Pack<W>>,
    all: Pack<W>,
    guard: Pack<W>,
}

#[inline]
fn fits<const W: usize>(free: &Pack<W>, demand: &Pack<W>, guard: &Pack<W>) -> bool {
    // A lane that is too small borrows from its guard bit. No lane borrows from the next one: its guard is set.
    (0..W).all(|word| free[word].wrapping_sub(demand[word]) & guard[word] == guard[word])
}

impl<const W: usize> Profile<W> {
    pub(super) fn new(compact: &Compact<'_, W>) -> Self {
        let mut made = Self { time: Vec::new(), free: Vec::new(), all: compact.free, guard: compact.guard };
        made.clear();
        made
    }

    pub(super) fn clear(&mut self) {
        self.time.clear();
        self.time.extend([0, u64::MAX]);
        self.free.clear();
        self.free.push(self.all);
    }

    /// Takes `demand` for `duration` from the earliest moment at or after `earliest` at which it fits throughout;
    /// gives that moment. The demand fits when everything is free, and the duration is not 0.
    #[inline]
    pub(super) fn place(&mut self, earliest: u64, duration: u64, demand: &Pack<W>) -> u64 {
        let mut first = self.time.partition_point(|&time| time <= earliest) - 1;
        let mut start = earliest;
        let mut last = first;
        loop {
            if !fits(&self.free[last], demand, &self.guard) {
                last += 1;
                (first, start) = (last, self.time[last]);
                continue;
            }
            if self.time[last + 1] - start >= duration {
                break;
            }
            last += 1;
        }
        self.take(first, last, start, start + duration, demand);
        start
    }

    /// Takes `demand` in the steps from `first`, which holds `start`, to `last`, in which `finish` lies or ends.
    #[inline]
    fn take(&mut self, mut first: usize, mut last: usize, start: u64, finish: u64, demand: &Pack<W>) {
        if self.time[first] != start {
            first += 1;
            last += 1;
            self.time.insert(first, start);
            self.free.insert(first, self.free[first - 1]);
        }
        if self.time[last + 1] != finish {
            self.time.insert(last + 1, finish);
            self.free.insert(last + 1, self.free[last]);
        }
        for free in &mut self.free[first..=last] {
            for word in 0..W {
                free[word] = free[word].wrapping_sub(demand[word]);
            }
        }
    }
}

/// The serial schedule-generation scheme (Kelley 1963; Kolisch 1996): the jobs of `order`, one after the other, each
/// at the earliest moment that its predecessors, its release and what is left of the resources allow. Every schedule
/// that it makes is active, and some order makes an optimal one.
///
/// `order` holds every job after its predecessors; `start` is written; the result is the makespan.
pub(super) fn serial<const W: usize>(
    compact: &Compact<'_, W>,
    profile: &mut Profile<W>,
    order: &[u32],
    start: &mut [u64],
) -> u64 {
    let network = compact.network;
    generate(compact, profile, order, &network.before, &network.release, start)
}

/// The same in reversed time: `start[job]` is the time from the end of the job to the end of all; releases do not
/// count.
pub(super) fn serial_backward<const W: usize>(
    compact: &Compact<'_, W>,
    profile: &mut Profile<W>,
    order: &[u32],
    start: &mut [u64],
) -> u64 {
    generate(compact, profile, order, &compact.network.after, &[], start)
}

#[inline]
fn generate<const W: usize>(
    compact: &Compact<'_, W>,
    profile: &mut Profile<W>,
    order: &[u32],
    wait: &Neighbours,
    release: &[u64],
    start: &mut [u64],
) -> u64 {
    profile.clear();
    let duration = &compact.network.duration;
    let mut makespan = 0;
    for &job in order {
        let job = job as usize;
        let mut earliest = release.get(job).copied().unwrap_or(0);
        for &other in wait.of(job) {
            let other = other as usize;
            earliest = earliest.max(start[other] + duration[other]);
        }
        let at = if duration[job] == 0 {
            earliest
        } else {
            profile.place(earliest, duration[job], &compact.demand[job])
        };
        start[job] = at;
        makespan = makespan.max(at + duration[job]);
    }
    makespan
}
