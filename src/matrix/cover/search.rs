//! Fewer rows by local search: whenever all is covered a row is dropped, and cells change until all is covered again.
//!
//! Phases take turns, each until it has found nothing for a while:
//!
//! - Tabu search as in Galinier, Kpodjedo and Antoniol, "An efficient Tabu search for t-way constrained combinatorial
//!   interaction testing" (TCA; Lin, Luo, Cai, Su, Hao and Zhang, ASE 2015): a random uncovered tuple, and of all the rows
//!   that miss it in one cell the best change that is legal and not too recent; rarely a random row takes the tuple, repaired
//!   by the solver.
//! - Annealing (Cohen, Colbourn and Ling, "Augmenting simulated annealing to build interaction test suites", 2003) at a
//!   steady temperature, most moves aimed at an uncovered tuple. It wins on large models with few constraints.
//! - For pairs of many columns with the same, large number of values, a cover starter (see `starter`).

use super::Row;
use super::model::Model;
use super::random::{Random, acceptance};
use super::solver::Solver;
use super::starter::{self, Starter};
use super::state::State;
use super::tuples::Table;
use super::{Request, engine};

/// Work that makes up one step of the budget; a unit of work is about a nanosecond.
const STEP: u64 = 1000;
/// Steps without success after which the first phase ends; each round of phases is longer than the one before.
const PATIENCE: u64 = 150_000;
/// After so many moves another vector has better chances.
const STARTER_MOVES: u64 = 1_000_000;
/// The budget for the cover of its fixed points.
const CORE_STEPS: u64 = 500_000;
/// How often tabu search takes a random row, in 2^-32.
const WALK: u32 = 4_294_967;

#[derive(Debug, Clone, Copy)]
enum Phase {
    Tabu,
    /// The temperature, in uncovered tuples, and the share of moves that are aimed at an uncovered tuple.
    Anneal(f64, f64),
    Starter,
}

/// The phases, and how patient each is, in units of [`PATIENCE`]: without clauses, and with them.
const PHASES: [(Phase, u64, u64); 5] = [
    (Phase::Tabu, 1, 1),
    (Phase::Starter, 1, 0),
    (Phase::Anneal(0.36, 0.9), 3, 1),
    (Phase::Anneal(0.25, 1.0), 1, 1),
    (Phase::Anneal(0.5, 1.0), 1, 1),
];

/// What one search has to go by.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) model: &'a Model,
    /// For each of the first rows, which of its cells may not change; all others may.
    pub(super) frozen: &'a [Vec<bool>],
    /// No cover has fewer rows.
    pub(super) bound: usize,
    pub(super) steps: u64,
    /// Rows that were not constructed, to go on from where a construction leads no further; none otherwise.
    pub(super) other: &'a [Row],
    /// How many covers to remember, the smallest ones, one of each size.
    pub(super) remember: usize,
    pub(super) stop: &'a (dyn Fn() -> bool + Sync),
}

/// A search at work.
pub(super) struct Search<'a> {
    terms: Terms<'a>,
    tables: &'a [Table],
    states: &'a [Vec<u8>],
    state: State<'a>,
    solver: Solver,
    random: Random,
    /// For each cell, when it was changed last.
    changed: Vec<u64>,
    now: u64,
    work: u64,
    asked: u64,
    over: bool,
    starter: Option<Starter>,
    /// How many fixed points the next starter has.
    fixed: usize,
    /// The rows come from a starter, which annealing would only scramble.
    structured: bool,
    /// The likelihood, in 2^-32, with which annealing accepts more uncovered tuples, by their number.
    accept: [u32; 32],
    /// Covers, the smallest last.
    pub(super) covers: Vec<Vec<Row>>,
}

impl<'a> Search<'a> {
    pub(super) fn new(
        terms: Terms<'a>,
        tables: &'a [Table],
        states: &'a [Vec<u8>],
        rows: &[Row],
        seed: u64,
    ) -> Search<'a> {
        let state = State::new(terms.model, tables, states, rows);
        Search {
            terms,
            tables,
            states,
            starter: None,
            fixed: 1,
            structured: false,
            accept: [0; 32],
            solver: Solver::new(terms.model),
            random: Random::new(seed),
            changed: vec![0; state.number() * terms.model.levels().len()],
            state,
            now: 64,
            work: 0,
            asked: 0,
            over: false,
            covers: Vec::new(),
        }
    }

    pub(super) fn steps(&self) -> u64 {
        self.work / STEP
    }

    fn is_over(&mut self) -> bool {
        if self.work >= self.asked {
            self.asked = self.work + 1000 * STEP;
            self.over |= (self.terms.stop)();
        }
        self.over |= self.work >= self.terms.steps.saturating_mul(STEP);
        self.over
    }

    fn is_frozen(&self, row: usize, parameter: usize) -> bool {
        self.terms.frozen.get(row).is_some_and(|cells| cells[parameter])
    }

    /// Searches until the bound is met or the budget is used up.
    pub(super) fn run(&mut self) {
        if !self.next_size() {
            return;
        }
        let mut patience = PATIENCE * STEP;
        loop {
            for (phase, free, bound) in PHASES {
                let patience = patience * if self.terms.model.is_free() { free } else { bound };
                let temperature = match phase {
                    Phase::Tabu => 1.0,
                    Phase::Anneal(..) if self.structured => continue,
                    Phase::Anneal(temperature, _) => temperature,
                    Phase::Starter if !self.starter_fits() => continue,
                    Phase::Starter => starter::TEMPERATURE,
                };
                self.accept = acceptance(temperature);
                let mut until = self.work + patience;
                while self.work < until {
                    match phase {
                        Phase::Tabu => self.tabu(),
                        Phase::Anneal(_, aimed) => self.anneal((aimed * f64::from(u32::MAX)) as u32),
                        Phase::Starter => self.start_anew(),
                    }
                    if self.state.uncovered() == 0 {
                        if !self.next_size() {
                            return;
                        }
                        until = self.work + patience;
                    }
                    if self.is_over() {
                        return;
                    }
                }
            }
            patience += patience / 2;
            if !self.leave_construction() {
                return;
            }
        }
    }

    /// Goes on from the rows that were not constructed, as many as a better cover may have; false if the bound is met.
    fn leave_construction(&mut self) -> bool {
        let best = self.covers.last().map_or(0, Vec::len);
        let rows = std::mem::take(&mut self.terms.other);
        let Some(rows) = rows.get(..best.saturating_sub(1)).filter(|rows| !rows.is_empty()) else {
            return true;
        };
        self.changed = vec![0; rows.len() * self.terms.model.levels().len()];
        self.state = State::new(self.terms.model, self.tables, self.states, rows);
        self.structured = false;
        self.next_size()
    }

    /// Notes a cover, and drops rows until something is uncovered; false if no more may go.
    fn next_size(&mut self) -> bool {
        while self.state.uncovered() == 0 {
            self.covers.push(self.state.rows());
            if self.covers.len() > self.terms.remember.max(1) {
                self.covers.remove(0);
            }
            if !self.drop_row() {
                return false;
            }
        }
        true
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
        self.work += number as u64 * 100;
        true
    }

    /// The cell in which a row misses a tuple, if it is only one.
    #[inline]
    fn only_miss(&self, row: usize, cells: &[(u16, u8)]) -> Option<(usize, u8)> {
        let mut missing = None;
        for &(parameter, value) in cells {
            if self.state.column(usize::from(parameter))[row] != value {
                if missing.is_some() {
                    return None;
                }
                missing = Some((usize::from(parameter), value));
            }
        }
        missing
    }

    fn tabu(&mut self) {
        self.now += 1;
        let open = *self.state.open(self.random.below(self.state.uncovered()));
        let number = self.state.number();
        self.work += 60 + number as u64 * 8;
        if !self.random.chance(WALK) {
            let parameters = self.terms.model.levels().len();
            let cells = open.cells();
            let uncovered = self.state.uncovered() as i64;
            // The least change for the worse, then the cell that has rested longest.
            let mut best: Option<(i64, u64, usize, usize, u8)> = None;
            for row in 0..number {
                let Some((parameter, value)) = self.only_miss(row, cells) else { continue };
                if self.is_frozen(row, parameter) {
                    continue;
                }
                let delta = i64::from(self.state.loss(row, parameter))
                    - i64::from(self.state.gain(row, parameter, value));
                let changed = self.changed[row * parameters + parameter];
                let tabu = changed + 2 + (self.random.next() & 3) > self.now;
                if tabu && uncovered + delta > 0
                    || best.is_some_and(|(least, oldest, ..)| (least, oldest) <= (delta, changed))
                {
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

    /// Whether there may be a starter that beats the best cover.
    fn starter_fits(&self) -> bool {
        let levels = self.terms.model.levels();
        let (columns, values) = (levels.len(), levels.first().map_or(0, |&values| usize::from(values)));
        let [table] = self.tables else { return false };
        table.strength == 2
            && table.columns.len() == columns
            && self.terms.model.is_free()
            && self.terms.frozen.is_empty()
            && values >= 5
            && levels.iter().all(|&levels| usize::from(levels) == values)
            // Each distance has as many pairs as there are columns, for that many conditions.
            && self.fixed + 2 <= values
            && values + self.fixed <= columns
    }

    /// Some moves of the search for a starter; its rows, if they are fewer than the best ones.
    fn start_anew(&mut self) {
        if !self.starter_fits() {
            self.work += STEP;
            return;
        }
        let levels = self.terms.model.levels();
        let (columns, values) = (levels.len(), usize::from(levels[0]));
        let best = self.covers.last().map_or(usize::MAX, Vec::len);
        while columns * (values - self.fixed) + self.fixed * self.fixed >= best {
            self.fixed += 1;
            self.starter = None;
            if !self.starter_fits() {
                return;
            }
        }
        let (fixed, seed) = (self.fixed, self.random.next());
        let starter =
            self.starter.get_or_insert_with(|| Starter::new(columns, values, values - fixed, 1, seed));
        self.work += 1000 * starter.effort();
        if !starter.search(1000, &self.accept) {
            if starter.moves >= STARTER_MOVES {
                self.starter = None;
            }
            return;
        }
        self.fixed += 1;
        let Some(starter) = self.starter.take() else { return };
        let Ok(inner) = Model::new(vec![fixed as u8; columns], Vec::new()) else { return };
        let request = Request { steps: CORE_STEPS, seed, ..Request::of_strength(&inner, 2) };
        let core = engine::cover_until(&inner, &request, Some(self.terms.stop));
        self.work += core.as_ref().map_or(0, |core| core.steps * STEP);
        let rows = starter.rows(&core.map(|core| core.rows).unwrap_or_default());
        let state = State::new(self.terms.model, self.tables, self.states, &rows);
        if rows.len() < best && state.uncovered() == 0 {
            self.changed = vec![0; rows.len() * columns];
            self.state = state;
            self.structured = true;
        }
    }

    /// One move.
    fn anneal(&mut self, aimed: u32) {
        self.now += 1;
        self.work += 35;
        let row = self.random.below(self.state.number());
        let (parameter, value) = if self.random.chance(aimed) {
            let open = self.state.open(self.random.below(self.state.uncovered()));
            let Some(place) = self.only_miss(row, open.cells()) else { return };
            place
        } else {
            let parameter = self.random.below(self.terms.model.levels().len());
            let levels = usize::from(self.terms.model.levels()[parameter]);
            if levels < 2 {
                return;
            }
            let value = self.random.below(levels - 1) as u8;
            (parameter, value + u8::from(value >= self.state.row(row)[parameter]))
        };
        let loss = self.state.loss(row, parameter);
        if self.is_frozen(row, parameter) {
            return;
        }
        let worse = loss.saturating_sub(self.state.gain(row, parameter, value)) as usize;
        if worse > 0 && !self.accept.get(worse).copied().is_some_and(|share| self.random.chance(share)) {
            return;
        }
        if self.terms.model.allows_change(self.state.row_mut(row), parameter, value) {
            self.change(row, parameter, value);
        }
    }

    fn change(&mut self, row: usize, parameter: usize, value: u8) {
        self.state.change(row, parameter, value);
        self.changed[row * self.terms.model.levels().len() + parameter] = self.now;
        self.work += 8 * self.state.fan(parameter);
    }

    /// Puts a tuple into some row, with as few other changes as the clauses ask for.
    fn walk(&mut self, cells: &[(u16, u8)]) {
        let row = self.random.below(self.state.number());
        let parameters = self.terms.model.levels().len();
        let mut partial: Vec<Option<u8>> = vec![None; parameters];
        for &(parameter, value) in cells {
            partial[usize::from(parameter)] = Some(value);
        }
        for (parameter, cell) in partial.iter_mut().enumerate() {
            if self.is_frozen(row, parameter) {
                let known = self.state.row(row)[parameter];
                if cell.is_some_and(|value| value != known) {
                    return;
                }
                *cell = Some(known);
            }
        }
        let preferred: Vec<Option<u8>> = self.state.row(row).iter().map(|&value| Some(value)).collect();
        self.work += 50 * parameters as u64;
        let Some(new) = self.solver.complete(&partial, &preferred) else { return };
        for (parameter, &value) in new.iter().enumerate() {
            if self.state.row(row)[parameter] != value {
                self.change(row, parameter, value);
            }
        }
    }
}
