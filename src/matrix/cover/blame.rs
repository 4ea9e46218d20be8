//! From results to blame: which values, together, explain the rows that failed, and which rows would tell more.
//!
//! The combinations are those of Nie and Leung, "The minimal failure-causing schema of combinatorial testing" (2011): they
//! occur in failing rows only, and no part of them does.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::Row;
use super::coverage::named;
use super::model::Model;
use super::solver::Solver;
use super::tuples::Table;

/// The largest combination that is looked for.
pub const MOST_VALUES: usize = 3;

/// Values that occur together in failing rows and in no passing one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// Parameters and values, in the order of the parameters. No part of it is a suspect by itself.
    pub tuple: Vec<(usize, u8)>,
    /// The failing rows that contain it, by index among the rows given.
    pub explains: Vec<usize>,
}

impl Suspect {
    /// Whether a row contains all the values.
    #[must_use]
    pub fn is_in(&self, row: &[u8]) -> bool {
        self.tuple.iter().all(|&(parameter, value)| row.get(parameter) == Some(&value))
    }
}

/// The smallest combinations, of up to `size` values and at most [`MOST_VALUES`], that occur in failing rows and in no passing
/// one. `results` are rows and whether they passed; rows that do not fit the model are left out. The first suspects explain
/// the most failing rows; then come fewer values before more, then the order of the parameters.
#[must_use]
pub fn suspects(model: &Model, results: &[(Row, bool)], size: usize) -> Vec<Suspect> {
    let levels = model.levels();
    let fits =
        |row: &Row| row.len() == levels.len() && row.iter().zip(levels).all(|(value, levels)| value < levels);
    let all: Vec<usize> = (0..levels.len()).collect();
    let mut found: Vec<Suspect> = Vec::new();
    for size in 1..=size.min(MOST_VALUES).min(levels.len()) {
        let Ok(table) = Table::new(levels, &all, size) else { break };
        let mut failing: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (at, (row, passed)) in results.iter().enumerate() {
            if !passed && fits(row) {
                table.within(&table.symbols_of(row), |rank| failing.entry(rank).or_default().push(at));
            }
        }
        for (row, _) in results.iter().filter(|(row, passed)| *passed && fits(row)) {
            table.within(&table.symbols_of(row), |rank| drop(failing.remove(&rank)));
        }
        let smaller = found.len();
        for (rank, explains) in failing {
            let tuple = named(&table, rank);
            let part = |suspect: &Suspect| suspect.tuple.iter().all(|cell| tuple.contains(cell));
            if !found[..smaller].iter().any(part) {
                found.push(Suspect { tuple, explains });
            }
        }
    }
    found.sort_by(|one, other| {
        let key = |suspect: &Suspect| (Reverse(suspect.explains.len()), suspect.tuple.len());
        key(one).cmp(&key(other)).then_with(|| one.tuple.cmp(&other.tuple))
    });
    found
}

/// Up to `number` further rows that tell suspects apart: each contains about half of the suspects that no row so far has told
/// from each other, where that is possible. Fewer rows are returned when no row would tell any more.
#[must_use]
pub fn discriminate(model: &Model, suspects: &[Suspect], number: usize) -> Vec<Row> {
    let mut solver = Solver::new(model);
    let mut rows: Vec<Row> = Vec::new();
    // Suspects that all rows so far treat alike. The last one of all is none of them: the cause lies elsewhere.
    let mut alike: Vec<Vec<usize>> = vec![(0..=suspects.len()).collect()];
    while rows.len() < number {
        let halves = halves(model, &mut solver, suspects, &alike);
        let Some(row) = halves.filter(|row| tells(suspects, &alike, row)).or_else(|| {
            // Whether any row tells two suspects apart can be decided; this is for when halves do not.
            let pairs = alike
                .iter()
                .flat_map(|class| class.iter().flat_map(|&one| class.iter().map(move |&other| (one, other))));
            pairs
                .filter(|(one, other)| one != other)
                .find_map(|(one, other)| apart(model, &mut solver, suspects, one, other))
        }) else {
            break;
        };
        alike = alike
            .into_iter()
            .flat_map(|class| {
                let (inside, outside): (Vec<_>, Vec<_>) = class
                    .into_iter()
                    .partition(|&at| suspects.get(at).is_some_and(|suspect| suspect.is_in(&row)));
                [inside, outside]
            })
            .filter(|class| class.len() > 1)
            .collect();
        rows.push(row);
    }
    rows
}

fn tells(suspects: &[Suspect], alike: &[Vec<usize>], row: &[u8]) -> bool {
    alike.iter().any(|class| {
        let inside =
            class.iter().filter(|&&at| suspects.get(at).is_some_and(|suspect| suspect.is_in(row))).count();
        inside > 0 && inside < class.len()
    })
}

/// A row with about half of the suspects of each class.
fn halves(model: &Model, solver: &mut Solver, suspects: &[Suspect], alike: &[Vec<usize>]) -> Option<Row> {
    let mut partial: Vec<Option<u8>> = vec![None; model.levels().len()];
    let mut taken = vec![false; suspects.len()];
    for class in alike {
        let mut wanted = class.len() / 2;
        for &at in class {
            let Some(suspect) = suspects.get(at).filter(|_| wanted > 0) else { continue };
            let with = with(&partial, suspect);
            if let Some(with) = with.filter(|with| solver.complete(with, &[]).is_some()) {
                partial = with;
                taken[at] = true;
                wanted -= 1;
            }
        }
    }
    // Elsewhere the value that the fewest of the others have.
    let left = || alike.iter().flatten().filter_map(|&at| suspects.get(at).filter(|_| !taken[at]));
    let preferred: Vec<Option<u8>> = model
        .levels()
        .iter()
        .enumerate()
        .map(|(parameter, &levels)| {
            let with =
                |value: &u8| left().filter(|suspect| suspect.tuple.contains(&(parameter, *value))).count();
            (0..levels).min_by_key(with)
        })
        .collect();
    solver.complete(&partial, &preferred)
}

fn with(partial: &[Option<u8>], suspect: &Suspect) -> Option<Vec<Option<u8>>> {
    let mut partial = partial.to_vec();
    for &(parameter, value) in &suspect.tuple {
        if partial[parameter].is_some_and(|known| known != value) {
            return None;
        }
        partial[parameter] = Some(value);
    }
    Some(partial)
}

/// A row with one suspect and without another one, if there is any.
fn apart(model: &Model, solver: &mut Solver, suspects: &[Suspect], one: usize, other: usize) -> Option<Row> {
    let levels = model.levels();
    let partial = with(&vec![None; levels.len()], suspects.get(one)?)?;
    let Some(other) = suspects.get(other) else { return solver.complete(&partial, &[]) };
    other.tuple.iter().find_map(|&(parameter, value)| {
        (0..levels[parameter]).filter(|different| *different != value).find_map(|different| {
            let mut partial = partial.clone();
            if partial[parameter].is_some_and(|known| known != different) {
                return None;
            }
            partial[parameter] = Some(different);
            solver.complete(&partial, &[])
        })
    })
}
