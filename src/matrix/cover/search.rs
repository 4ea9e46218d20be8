//! Fewer rows by local search.

use super::Row;
use super::model::Model;
use super::random::Random;
use super::solver::Solver;
use super::state::State;

/// Work that makes up one step of the budget.
const STEP: u64 = 1000;

/// What one search has to go by.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) model: &'a Model,
    /// For each of the first rows, which of its cells may not change; all others may.
    pub(super) frozen: &'a [Vec<bool>],
    /// No cover has fewer rows.
    pub(super) bound: usize,
    pub(super) steps: u64,
    pub(super) mode: u32,
    pub(super) stop: &'a (dyn Fn() -> bool + Sync),
}

/// A search at work.
pub(super) struct Search<'a> {
    terms: Terms<'a>,
    state: State<'a>,
    solver: Solver,
    random: Random,
    /// For each cell, when it was changed last.
    changed: Vec<u64>,
    now: u64,
    work: u64,
    asked: u64,
    over: bool, ta: u64, tb: u64, tie: u64,
    pub(super) best: Vec<Row>,
}

impl<'a> Search<'a> {
    pub(super) fn new(terms: Terms<'a>, state: State<'a>, seed: u64) -> Search<'a> {
        let best = state.rows();
        Search {
            terms,
            solver: Solver::new(terms.model),
            random: Random::new(seed),
            changed: vec![0; state.number() * terms.model.levels().len()],
            state,
            now: 1 << 20,
            work: 0,
            asked: 0,
            over: false,
            ta: std::env::var("TA").ok().map_or(4, |v| v.parse().unwrap()),
            tb: std::env::var("TB").ok().map_or(8, |v| v.parse().unwrap()),
            tie: std::env::var("TIE").ok().map_or(0, |v| v.parse().unwrap()),
            best,
        }
    }

    pub(super) fn steps(&self) -> u64 {
        self.work / STEP
    }

    fn is_over(&mut self) -> bool {
        if self.work >= self.terms.steps.saturating_mul(STEP) {
            return true;
        }
        if self.work >= self.asked {
            self.asked = self.work + 1000 * STEP;
            self.over = (self.terms.stop)();
        }
        self.over
    }

    fn is_frozen(&self, row: usize, parameter: usize) -> bool {
        self.terms.frozen.get(row).is_some_and(|cells| cells[parameter])
    }

    /// Searches until the bound is met or the budget is used up.
    pub(super) fn run(&mut self) {
        loop {
            if self.state.uncovered() == 0 {
                self.best = self.state.rows();
                if !self.drop_row() {
                    return;
                }
                continue;
            }
            if self.is_over() {
                return;
            }
            match self.terms.mode { 0 => self.tabu(), _ => self.anneal() }
        }
    }

    fn anneal(&mut self) {
        let bound = self.state.number();
        let mut length = 200_000u64;
        let cells = self.terms.model.levels().len() * bound;
        length = length.max(cells as u64 * 20);
        let ev = |n: &str, d: f64| std::env::var(n).ok().and_then(|v| v.parse().ok()).unwrap_or(d);
        let (t0, t1, targeted, grow) = (ev("T0", 0.55), ev("T1", 0.2), ev("TG", 0.5), ev("GR", 1.5));
        let tg = (targeted * 4294967295.0) as u32;
        loop {
            let mut t = t0; let mut accept = [0u32; 32];
            let batches = 64;
            for b in 0..batches {
                t = t0 * f64::powf(t1 / t0, b as f64 / (batches - 1) as f64);
                for (d, a) in accept.iter_mut().enumerate() { *a = (f64::exp(-(d as f64) / t) * 4294967295.0) as u32; }
                for _ in 0..length / batches {
                    if self.state.uncovered() == 0 { return; }
                    self.now += 1;
                    self.work += 15;
                    let (row, parameter, value) = if self.random.chance(tg) {
                        let open = self.state.open(self.random.below(self.state.uncovered()));
                        let row = self.random.below(self.state.number());
                        let mut missing = 0; let mut place = (0, 0);
                        for &(parameter, value) in open.cells() {
                            if self.state.row(row)[usize::from(parameter)] != value { missing += 1; place = (usize::from(parameter), value); }
                        }
                        if missing != 1 { continue; }
                        (row, place.0, place.1)
                    } else {
                        let row = self.random.below(self.state.number());
                        let parameter = self.random.below(self.terms.model.levels().len());
                        let l = self.terms.model.levels()[parameter];
                        if l < 2 { continue; }
                        let v = self.random.below(l as usize - 1) as u8;
                        let v = if v >= self.state.row(row)[parameter] { v + 1 } else { v };
                        (row, parameter, v)
                    };
                    if self.is_frozen(row, parameter) { continue; }
                    let delta = i64::from(self.state.loss(row, parameter)) - i64::from(self.state.gain(row, parameter, value));
                    if delta > 0 && (delta > 31 || !self.random.chance(accept[delta as usize])) { continue; }
                    if self.terms.model.allows_change(self.state.row_mut(row), parameter, value) { self.change(row, parameter, value); }
                }
                if self.is_over() { return; }
            }
            if std::env::var("DBG").is_ok() { eprintln!("n {} stage {} left {} t {}", self.state.number(), length, self.state.uncovered(), t); }
            length = (length as f64 * grow) as u64;
        }
    }

    /// Drops the row that fewest tuples depend on; false if no row may go.
    fn drop_row(&mut self) -> bool {
        let number = self.state.number();
        let frozen = self.terms.frozen.len();
        if number <= self.terms.bound || number <= frozen {
            return false;
        }
        let fewest = (frozen..number).map(|row| self.state.alone(row)).min().unwrap_or(0);
        let rows: Vec<usize> = (frozen..number).filter(|&row| self.state.alone(row) == fewest).collect();
        let row = rows[self.random.below(rows.len())];
        self.state.remove(row);
        let parameters = self.terms.model.levels().len();
        self.changed.copy_within((number - 1) * parameters.., row * parameters);
        self.changed.truncate((number - 1) * parameters);
        true
    }

    fn tabu(&mut self) {
        self.now += 1;
        let open = *self.state.open(self.random.below(self.state.uncovered()));
        let number = self.state.number();
        self.work += 20 + number as u64 * 2;
        if !self.random.chance(4_294_967) {
            let parameters = self.terms.model.levels().len();
            let cells = open.cells();
            let mut best: Option<(i64, u64, usize, usize, u8)> = None;
            let uncovered = self.state.uncovered() as i64;
            for row in 0..number {
                let mut missing = 0;
                let mut place = (0, 0);
                for &(parameter, value) in cells {
                    if self.state.column(usize::from(parameter))[row] != value {
                        missing += 1;
                        place = (usize::from(parameter), value);
                    }
                }
                if missing != 1 {
                    continue;
                }
                let (parameter, value) = place;
                if self.is_frozen(row, parameter) {
                    continue;
                }
                let delta = i64::from(self.state.loss(row, parameter))
                    - i64::from(self.state.gain(row, parameter, value));
                let changed = self.changed[row * parameters + parameter];
                let tabu = changed + self.ta + self.random.below(self.tb as usize) as u64 > self.now;
                if tabu && uncovered + delta > 0 {
                    continue;
                }
                let changed = if self.tie > 0 { self.random.next() >> 2 } else { changed };
                if best.is_some_and(|(least, oldest, ..)| (least, oldest) <= (delta, changed)) {
                    continue;
                }
                if self.terms.model.allows_change(self.state.row_mut(row), parameter, value) {
                    best = Some((delta, changed, row, parameter, value));
                }
            }
            if let Some((_, _, row, parameter, value)) = best {
                self.change(row, parameter, value);
                return;
            }
        }
        self.walk(open.cells());
    }

    fn change(&mut self, row: usize, parameter: usize, value: u8) {
        self.state.change(row, parameter, value);
        self.changed[row * self.terms.model.levels().len() + parameter] = self.now;
        self.work += 4 * self.state.fan(parameter);
    }

    /// Puts a tuple into some row, with as few other changes as the clauses ask for.
    fn walk(&mut self, cells: &[(u16, u8)]) {
        let row = self.random.below(self.state.number());
        let parameters = self.terms.model.levels().len();
        let mut partial: Vec<Option<u8>> = vec![None; parameters];
        for &(parameter, value) in cells {
            partial[usize::from(parameter)] = Some(value);
        }
        for parameter in 0..parameters {
            if self.is_frozen(row, parameter) {
                let known = self.state.row(row)[parameter];
                if partial[parameter].is_some_and(|value| value != known) {
                    return;
                }
                partial[parameter] = Some(known);
            }
        }
        let preferred: Vec<Option<u8>> = self.state.row(row).iter().map(|&value| Some(value)).collect();
        self.work += 20 * parameters as u64;
        let Some(new) = self.solver.complete(&partial, &preferred) else { return };
        for (parameter, &value) in new.iter().enumerate() {
            if self.state.row(row)[parameter] != value {
                self.change(row, parameter, value);
            }
        }
    }
}
