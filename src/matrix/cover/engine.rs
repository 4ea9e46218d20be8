//! From a request to a cover: the steps in order.

use std::collections::HashSet;

use super::coverage::named;
use super::greedy::Greedy;
use super::model::{Model, OWN};
use super::search::{Search, Terms};
use super::solver::Solver;
use super::state::{MOST_ROWS, State};
use super::tuples::{MAX_STRENGTH, Table, combinations, tables};
use super::{Cover, CoverError, EXPLAINED, Infeasible, OPEN, Request, Row};

/// Covers what is asked for with few rows.
///
/// # Errors
///
/// When constraints contradict each other or forbid a seed, when the request does not fit the model, or when it is too
/// large.
pub fn cover(model: &Model, request: &Request<'_>) -> Result<Cover, CoverError> {
    cover_until(model, request, None)
}

/// As [`cover`], but the search also ends when `stop` says so. It is asked every millisecond or so, so that the caller can
/// limit the time; then the result depends on the machine.
///
/// # Errors
///
/// As [`cover`].
pub fn cover_until(
    model: &Model,
    request: &Request<'_>,
    stop: Option<&(dyn Fn() -> bool + Sync)>,
) -> Result<Cover, CoverError> {
    check(model, request)?;
    let model = &with_negatives(model, &request.invalid);
    let tables =
        tables(model.levels(), &request.requirements).map_err(|tuples| CoverError::TooLarge { tuples })?;
    if let Some(origins) = Solver::new(model).forbidden_by(&vec![None; model.levels().len()]) {
        return Err(CoverError::Contradiction { origins });
    }
    let stop: &(dyn Fn() -> bool + Sync) = stop.unwrap_or(&|| false);
    let mut greedy = Greedy::new(model, &tables, request.seed);
    for (seed, partial) in request.seeds.iter().enumerate() {
        if !greedy.complete(partial) {
            let origins = Solver::new(model).forbidden_by(partial).unwrap_or_default();
            return Err(CoverError::Seed { seed, origins });
        }
    }
    let mut kept = Vec::new();
    for (at, row) in request.keep.iter().enumerate() {
        let partial: Vec<Option<u8>> = row.iter().map(|&value| (value != OPEN).then_some(value)).collect();
        if greedy.complete(&partial) {
            kept.push(at);
        }
    }
    greedy.finish(&|| false);
    let lower_bound = bound(&tables, &greedy.states);
    let frozen: Vec<Vec<bool>> =
        greedy.rows[..request.seeds.len() + kept.len()].iter().map(|row| vec![true; row.len()]).collect();
    let mut steps = 0;
    if request.steps > 0 && greedy.rows.len() <= MOST_ROWS {
        let state = State::new(model, &tables, &greedy.states, &greedy.rows);
        let terms =
            Terms { model, frozen: &frozen, bound: lower_bound, steps: request.steps, remember: 1, stop };
        let mut search = Search::new(terms, state, request.seed);
        search.run();
        steps = search.steps();
        greedy.rows = search.covers.pop().unwrap_or_default();
    }
    let fixed = request.seeds.len() + kept.len();
    let mut rows = std::mem::take(&mut greedy.rows);
    rows[fixed..].sort_unstable();
    Ok(Cover {
        seeds: request.seeds.len(),
        kept,
        lower_bound,
        optimal: rows.len() <= lower_bound,
        required: greedy.required(),
        infeasible: infeasible(model, &tables, &rows, &request.invalid),
        smallest_before_cost: rows.len(),
        steps,
        rows,
    })
}

fn check(model: &Model, request: &Request<'_>) -> Result<(), CoverError> {
    let levels = model.levels();
    let shape = |fits: bool, what| if fits { Ok(()) } else { Err(CoverError::Shape { what }) };
    for requirement in &request.requirements {
        if requirement.strength == 0 || requirement.strength > MAX_STRENGTH {
            return Err(CoverError::Strength(requirement.strength));
        }
        shape(requirement.parameters.iter().all(|&at| at < levels.len()), "a requirement")?;
    }
    let value_fits = |(value, levels): (&u8, &u8)| value < levels;
    shape(
        request.seeds.iter().all(|seed| {
            let cells = || seed.iter().zip(levels);
            seed.len() == levels.len() && cells().all(|(v, l)| v.as_ref().is_none_or(|v| value_fits((v, l))))
        }),
        "a seed",
    )?;
    shape(
        request.keep.iter().all(|row| {
            row.len() == levels.len() && row.iter().zip(levels).all(|(v, l)| *v == OPEN || value_fits((v, l)))
        }),
        "a row to keep",
    )?;
    let fits = |lengths: &mut dyn Iterator<Item = usize>, number: usize| {
        number == 0 || number == levels.len() && lengths.zip(levels).all(|(n, &l)| n == usize::from(l))
    };
    shape(fits(&mut request.weights.iter().map(Vec::len), request.weights.len()), "the list of weights")?;
    shape(
        fits(&mut request.invalid.iter().map(Vec::len), request.invalid.len()),
        "the list of negative values",
    )
}

/// The model in which no row has two negative values.
fn with_negatives(model: &Model, invalid: &[Vec<bool>]) -> Model {
    let mut model = model.clone();
    let valid: Vec<u64> = (0..invalid.len())
        .map(|parameter| {
            let values = invalid[parameter].iter().enumerate().filter(|(_, invalid)| !**invalid);
            values.fold(0, |mask, (value, _)| mask | 1 << value)
        })
        .collect();
    let with = |at: &usize| valid[*at] != model.domain(*at);
    let negative: Vec<usize> = (0..valid.len()).filter(with).collect();
    for (at, &one) in negative.iter().enumerate() {
        for &other in &negative[at + 1..] {
            model.add(vec![(one as u32, valid[one]), (other as u32, valid[other])], OWN);
        }
    }
    model
}

/// Any set of columns needs as many rows as it has feasible tuples.
fn bound(tables: &[Table], states: &[Vec<u8>]) -> usize {
    let mut most = 0;
    for (table, states) in tables.iter().zip(states) {
        for set in table.sets() {
            let mut number = 0;
            table.of_set(&set, &mut |rank| number += usize::from(Greedy::counts(states[rank as usize])));
            most = most.max(number);
        }
    }
    most
}

/// What no row may contain, seen from rows that cover all that some row may contain: a tuple that is missing is
/// infeasible. Tuples are named from small to large, and only if no part of them is infeasible.
fn infeasible(model: &Model, tables: &[Table], rows: &[Row], invalid: &[Vec<bool>]) -> Vec<Infeasible> {
    let negative = |&&(parameter, value): &&(usize, u8)| {
        invalid.get(parameter).is_some_and(|values| values[usize::from(value)])
    };
    if model.is_free() {
        return Vec::new();
    }
    let mut found: Vec<Vec<(usize, u8)>> = Vec::new();
    let mut known: HashSet<Vec<(usize, u8)>> = HashSet::new();
    for strength in 1..=tables.iter().map(|table| table.strength).max().unwrap_or(0) {
        for table in tables.iter().filter(|table| table.strength >= strength) {
            let Ok(small) = Table::new(model.levels(), &table.columns, strength) else { continue };
            let mut seen = vec![false; small.size()];
            for row in rows {
                small.within(&small.symbols_of(row), |rank| seen[rank as usize] = true);
            }
            for set in small.sets() {
                small.of_set(&set, &mut |rank| {
                    if seen[rank as usize] {
                        return;
                    }
                    let tuple = named(&small, rank);
                    let part = |size| combinations(tuple.len(), size);
                    let is_known = |places: Vec<usize>| {
                        known.contains(&places.iter().map(|&place| tuple[place]).collect::<Vec<_>>())
                    };
                    if !(1..=strength).flat_map(part).any(is_known) {
                        known.insert(tuple.clone());
                        // Two negative values are never asked for together.
                        if tuple.iter().filter(negative).count() < 2 {
                            found.push(tuple);
                        }
                    }
                });
            }
        }
    }
    let mut solver = Solver::new(model);
    let mut partial = vec![None; model.levels().len()];
    let mut list = Vec::with_capacity(found.len());
    for tuple in found {
        partial.fill(None);
        tuple.iter().for_each(|&(parameter, value)| partial[parameter] = Some(value));
        let explained = list.len() < EXPLAINED;
        let origins = if explained { solver.forbidden_by(&partial).unwrap_or_default() } else { Vec::new() };
        list.push(Infeasible { tuple, origins });
    }
    list
}
