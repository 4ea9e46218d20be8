//! What any rows cover.

use super::Row;
use super::model::Model;
use super::solver::Solver;
use super::tuples::Table;

/// How many uncovered tuples are named.
pub const NAMED: usize = 1000;

/// Which tuples of values occur in rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Coverage {
    /// Tuples that some row may contain, and one of the rows does.
    pub covered: u64,
    /// Tuples that some row may contain.
    pub feasible: u64,
    /// Tuples that no row may contain.
    pub infeasible: u64,
    /// The first [`NAMED`] that are feasible and not covered, as parameters and values.
    pub uncovered: Vec<Vec<(usize, u8)>>,
}

/// How much rows cover of the tuples of `strength` values of some parameters. Rows that the model does not allow, or
/// that have another length, do not count. Nothing is covered, nor feasible, if there are more than 2^28 tuples, or if
/// the strength is not in 1..=6.
#[must_use]
pub fn coverage(model: &Model, rows: &[Row], parameters: &[usize], strength: usize) -> Coverage {
    let mut coverage = Coverage::default();
    let known = parameters.iter().all(|&parameter| parameter < model.levels().len());
    if strength == 0 || strength > super::tuples::MAX_STRENGTH || !known || parameters.is_empty() {
        return coverage;
    }
    let Ok(table) = Table::new(model.levels(), parameters, strength) else { return coverage };
    let mut seen = vec![false; table.size()];
    for row in rows.iter().filter(|row| model.allows(row)) {
        table.within(&table.symbols_of(row), |rank| seen[rank as usize] = true);
    }
    let mut solver = Solver::new(model);
    let mut partial = vec![None; model.levels().len()];
    for set in table.sets() {
        table.of_set(&set, &mut |rank| {
            if seen[rank as usize] {
                coverage.covered += 1;
                coverage.feasible += 1;
                return;
            }
            let tuple = named(&table, rank);
            partial.fill(None);
            tuple.iter().for_each(|&(parameter, value)| partial[parameter] = Some(value));
            if solver.complete(&partial, &[]).is_none() {
                coverage.infeasible += 1;
                return;
            }
            coverage.feasible += 1;
            if coverage.uncovered.len() < NAMED {
                coverage.uncovered.push(tuple);
            }
        });
    }
    coverage
}

/// A tuple as parameters and values.
pub(super) fn named(table: &Table, rank: u32) -> Vec<(usize, u8)> {
    let symbols = table.unrank(rank);
    let meanings = symbols[..table.strength].iter().map(|&symbol| table.meaning(symbol));
    meanings.map(|(column, value)| (table.columns[column], value)).collect()
}
