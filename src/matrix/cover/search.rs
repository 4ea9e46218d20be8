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
            return (self.terms.stop)();
        }
        false
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
            self.tabu();
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
                let tabu = changed + 4 + (self.random.next() & 7) > self.now;
                if tabu && uncovered + delta > 0 {
                    continue;
                }
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
