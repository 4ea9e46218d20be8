//! A first cover, one row at a time, with one candidate per row; and on the way the decision which tuples no row may
//! contain. After Cohen, Dalal, Fredman and Patton, "The AETG System" (1997), without its many candidates: the search
//! that follows makes up for them in less time.

use super::model::Model;
use super::random::Random;
use super::solver::Solver;
use super::tuples::{Table, is_elsewhere};
use super::{OPEN, Row};

/// What is known about a tuple.
pub(super) const MISSING: u8 = 0;
const COVERED: u8 = 1;
const INFEASIBLE: u8 = 2;
/// Not asked for, or not a tuple.
const IGNORED: u8 = 3;

/// Rows, and what is known about each tuple of each table.
pub(super) struct Greedy<'a> {
    model: &'a Model,
    tables: &'a [Table],
    pub(super) solver: Solver,
    pub(super) states: Vec<Vec<u8>>,
    pub(super) rows: Vec<Row>,
    random: Random,
}

impl<'a> Greedy<'a> {
    pub(super) fn new(model: &'a Model, tables: &'a [Table], seed: u64) -> Greedy<'a> {
        let mut states: Vec<Vec<u8>> = tables.iter().map(|table| vec![IGNORED; table.size()]).collect();
        for (at, table) in tables.iter().enumerate() {
            for set in table.sets().filter(|set| tables.len() == 1 || !is_elsewhere(tables, at, set)) {
                table.of_set(&set, &mut |rank| states[at][rank as usize] = MISSING);
            }
        }
        Greedy {
            model,
            tables,
            solver: Solver::new(model),
            states,
            rows: Vec::new(),
            random: Random::new(seed),
        }
    }

    /// Adds a row as it is.
    pub(super) fn add(&mut self, row: Row) {
        for (table, states) in self.tables.iter().zip(&mut self.states) {
            table.within(&table.symbols_of(&row), |rank| {
                let state = &mut states[rank as usize];
                if *state == MISSING {
                    *state = COVERED;
                }
            });
        }
        self.rows.push(row);
    }

    /// Takes over which tuples no row may contain.
    pub(super) fn forget(&mut self, other: &Greedy<'_>) {
        for (states, others) in self.states.iter_mut().zip(&other.states) {
            for (state, _) in states.iter_mut().zip(others).filter(|(_, other)| **other == INFEASIBLE) {
                *state = INFEASIBLE;
            }
        }
    }

    /// Adds a row as it is, if it covers anything that is missing.
    pub(super) fn add_if_useful(&mut self, row: Row) {
        let mut useful = false;
        for (table, states) in self.tables.iter().zip(&self.states) {
            table.within(&table.symbols_of(&row), |rank| useful |= states[rank as usize] == MISSING);
        }
        if useful {
            self.add(row);
        }
    }

    /// Completes a row so that it covers much, and adds it; false if it cannot be completed.
    pub(super) fn complete(&mut self, partial: &[Option<u8>]) -> bool {
        let mut cells: Vec<Option<u8>> = vec![None; partial.len()];
        self.solver.reset();
        for (at, value) in partial.iter().enumerate() {
            let Some(value) = *value else { continue };
            if !self.model.is_free_of(at) && !self.solver.push(at, value) {
                return false;
            }
            cells[at] = Some(value);
        }
        let mut order: Vec<usize> = (0..cells.len()).filter(|&at| cells[at].is_none()).collect();
        self.random.shuffle(&mut order);
        let mut values: Vec<u8> = Vec::new();
        for at in order {
            let domain = self.solver.domain(at);
            values.clear();
            values.extend((0..64).filter(|value| domain >> value & 1 == 1));
            // Best first; equally good ones in random order.
            if values.len() > 1 {
                self.random.shuffle(&mut values);
                let mut ranked: Vec<(u32, u8)> =
                    values.iter().map(|&v| (self.gain(&cells, at, v), v)).collect();
                ranked.sort_by_key(|(gain, _)| std::cmp::Reverse(*gain));
                values.clear();
                values.extend(ranked.iter().map(|(_, value)| value));
            }
            let free = self.model.is_free_of(at);
            cells[at] = values.iter().copied().find(|&value| free || self.solver.push(at, value));
            if cells[at].is_none() {
                // Propagation has missed that this cannot be completed; search decides.
                self.solver.reset();
                return match self.solver.complete(partial, &cells) {
                    Some(row) => {
                        self.add(row);
                        true
                    }
                    None => false,
                };
            }
        }
        self.solver.reset();
        self.add(cells.into_iter().map(|cell| cell.unwrap_or(OPEN)).collect());
        true
    }

    /// How many missing tuples a value would cover, together with the cells that are filled.
    fn gain(&self, cells: &[Option<u8>], parameter: usize, value: u8) -> u32 {
        let mut gain = 0;
        let mut symbols = Vec::with_capacity(cells.len());
        for (table, states) in self.tables.iter().zip(&self.states) {
            let Ok(column) = table.columns.binary_search(&parameter) else { continue };
            symbols.clear();
            let mut at = 0;
            for (other, &of) in table.columns.iter().enumerate() {
                if other == column {
                    at = symbols.len();
                    symbols.push(table.symbol(column, value));
                } else if let Some(known) = cells[of] {
                    symbols.push(table.symbol(other, known));
                }
            }
            if symbols.len() >= table.strength {
                table.through(&symbols, at, |rank, _, _| gain += u32::from(states[rank as usize] == MISSING));
            }
        }
        gain
    }

    /// Adds rows until each tuple is covered or known to be infeasible.
    pub(super) fn finish(&mut self) {
        let mut partial = vec![None; self.model.levels().len()];
        for at in 0..self.tables.len() {
            let table = &self.tables[at];
            let size = table.size();
            if size == 0 {
                continue;
            }
            loop {
                let start = self.random.below(size);
                let states = &self.states[at];
                let missing = |state: &u8| *state == MISSING;
                let found = states[start..].iter().position(missing).map(|after| start + after);
                let Some(rank) = found.or_else(|| states[..start].iter().position(missing)) else { break };
                partial.fill(None);
                for &symbol in &table.unrank(rank as u32)[..table.strength] {
                    let (column, value) = table.meaning(symbol);
                    partial[table.columns[column]] = Some(value);
                }
                if !self.complete(&partial) {
                    self.states[at][rank] = INFEASIBLE;
                }
            }
        }
    }

    /// The ranks that a search has to keep covered, as a test on state.
    pub(super) fn counts(state: u8) -> bool {
        state == COVERED || state == MISSING
    }
}
