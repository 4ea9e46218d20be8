//! All rows there are, one after the other.

use super::Row;
use super::model::Model;
use super::solver::Solver;

/// All rows that satisfy the clauses, in lexicographic order. Needs memory for one row only, and leaves out what
/// propagation shows to be impossible without looking at it.
pub fn product(model: &Model) -> impl Iterator<Item = Row> + use<> {
    let mut solver = Solver::new(model);
    let parameters = model.levels().len();
    let mut row = vec![0_u8; parameters];
    // What is left to try of each parameter that has a value in the row, and the level of the solver below it.
    let mut left: Vec<(u64, usize)> = Vec::with_capacity(parameters);
    let mut over = solver.is_contradictory();
    std::iter::from_fn(move || {
        if over {
            return None;
        }
        if left.is_empty() && parameters > 0 {
            left.push((solver.domain(0), solver.level()));
        }
        while let Some((values, level)) = left.last_mut() {
            solver.backjump(*level);
            if *values == 0 {
                left.pop();
                continue;
            }
            let at = left.len() - 1;
            let (values, level) = &mut left[at];
            let value = values.trailing_zeros() as u8;
            let alone = solver.domain(at).count_ones() == 1;
            *values &= *values - 1;
            let _ = level;
            if !alone && !solver.push(at, value) {
                continue;
            }
            row[at] = value;
            if at + 1 == parameters {
                return Some(row.clone());
            }
            left.push((solver.domain(at + 1), solver.level()));
        }
        over = true;
        (parameters == 0).then(|| row.clone())
    })
}
