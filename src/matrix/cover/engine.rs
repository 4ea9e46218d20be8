//! From a request to a cover: the steps in order.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::algebra::Recipe;
use super::bound::bound;
use super::choice::{cheapest, prefer};
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
        &tables(model.levels(), &request.requirements).map_err(|tuples| CoverError::TooLarge { tuples })?;
    if let Some(origins) = Solver::new(model).forbidden_by(&vec![None; model.levels().len()]) {
        return Err(CoverError::Contradiction { origins });
    }
    let stop: &(dyn Fn() -> bool + Sync) = stop.unwrap_or(&|| false);
    let start = start(model, tables, request)?;
    let lower_bound = bound(model, tables, &start.states);
    let terms = Terms {
        model,
        frozen: &start.frozen,
        other: &start.other,
        bound: lower_bound,
        steps: request.steps,
        remember: if request.cost.is_some() { request.slack + 1 } else { 1 },
        stop,
    };
    let room = tables.iter().map(Table::size).sum::<usize>() <= MOST_TUPLES && start.rows.len() <= MOST_ROWS;
    let (mut covers, steps) =
        if room && request.steps > 0 { race(terms, tables, &start, request) } else { (Vec::new(), 0) };
    let smallest_before_cost = covers.last().map_or(start.rows.len(), Vec::len);
    let mut rows = covers.pop().unwrap_or_else(|| start.rows.clone());
    if room {
        rows = prefer(terms, tables, &start.states, &rows, &request.weights);
        if let Some(cost) = request.cost {
            let covers: Vec<_> = covers
                .iter()
                .map(|rows| prefer(terms, tables, &start.states, rows, &request.weights))
                .collect();
            rows = cheapest(terms, tables, &start.states, rows, &covers, cost, request);
        }
    }
    let seeds = request.seeds.len();
    let kept = start.kept;
    let fixed = seeds + kept.len();
    rows[fixed..].sort_unstable();
    Ok(Cover {
        seeds,
        lower_bound,
        optimal: rows.len() <= lower_bound.max(seeds),
        required: start.states.iter().flatten().filter(|&&state| Greedy::counts(state)).count() as u64,
        infeasible: infeasible(model, tables, &rows, &request.invalid),
        smallest_before_cost,
        steps,
        kept,
        rows,
    })
}

/// The largest number of ranks for which a search keeps books.
const MOST_TUPLES: usize = 1 << 25;

/// A first cover, and what no search may touch.
struct Start {
    /// What is known about each tuple of each table.
    states: Vec<Vec<u8>>,
    /// Seeds, rows that are kept, further rows.
    rows: Vec<Row>,
    /// Other rows, not constructed, if the rows are.
    other: Vec<Row>,
    /// The rows to keep that are among them.
    kept: Vec<usize>,
    /// Which cells of the first rows may not change.
    frozen: Vec<Vec<bool>>,
}

fn start(model: &Model, tables: &[Table], request: &Request<'_>) -> Result<Start, CoverError> {
    let mut greedy = Greedy::new(model, tables, request.seed);
    let mut frozen = Vec::new();
    for (seed, partial) in request.seeds.iter().enumerate() {
        if !greedy.complete(partial) {
            let origins = Solver::new(model).forbidden_by(partial).unwrap_or_default();
            return Err(CoverError::Seed { seed, origins });
        }
        frozen.push(partial.iter().map(Option::is_some).collect());
    }
    let mut kept = Vec::new();
    let mut illegal = Vec::new();
    for (at, row) in request.keep.iter().enumerate() {
        let partial: Vec<Option<u8>> = row.iter().map(|&value| (value != OPEN).then_some(value)).collect();
        if greedy.complete(&partial) {
            kept.push(at);
            frozen.push(partial.iter().map(Option::is_some).collect());
        } else {
            illegal.push(partial);
        }
    }
    drop_redundant(model, tables, &mut greedy, request.seeds.len(), &mut kept, &mut frozen);
    // An old row that is no longer allowed becomes the nearest one that is; if it is of use, search may change it.
    for partial in illegal {
        let open = vec![None; partial.len()];
        if let Some(row) = greedy.solver.complete(&open, &partial) {
            greedy.add_if_useful(row);
        }
    }
    greedy.finish();
    let mut searched = Vec::new();
    if frozen.is_empty()
        && let Some(rows) = known(model, tables, greedy.rows.len())
    {
        let mut other = Greedy::new(model, tables, request.seed);
        // What no row may contain need not be found out again.
        other.forget(&greedy);
        for row in &rows {
            // Rows that cannot be completed are made up for below.
            let _ = other.complete(row);
        }
        other.finish();
        if other.rows.len() < greedy.rows.len() {
            searched = std::mem::replace(&mut greedy, other).rows;
        }
    }
    Ok(Start { states: greedy.states, rows: greedy.rows, other: searched, kept, frozen })
}

/// Rows that cover the columns that need most, if a construction is known for them that makes fewer rows; the other cells
/// are open.
fn known(model: &Model, tables: &[Table], fewer_than: usize) -> Option<Vec<Vec<Option<u8>>>> {
    let mut best: Option<(Recipe, usize, Vec<usize>)> = None;
    for table in tables.iter().filter(|table| table.strength > 1) {
        let free = |at: &&usize| model.is_free_of(**at) && model.levels()[**at] > 1;
        let free: Vec<usize> = table.columns.iter().filter(free).copied().collect();
        let mut levels: Vec<u8> = free.iter().map(|&at| model.levels()[at]).collect();
        levels.sort_unstable();
        levels.dedup();
        for level in levels {
            let columns: Vec<usize> =
                free.iter().filter(|&&at| model.levels()[at] >= level).copied().collect();
            // Fewer values are worth a look only where the columns with more are few.
            let most = columns.iter().map(|&at| model.levels()[at]).max()?;
            for values in [level, most] {
                let columns: Vec<usize> =
                    columns.iter().filter(|&&at| model.levels()[at] <= values).copied().collect();
                if columns.len() <= table.strength {
                    continue;
                }
                if tuples(model, &columns, table.strength) * WORTH
                    < tuples(model, &table.columns, table.strength)
                {
                    continue;
                }
                let Some(recipe) = Recipe::best(columns.len(), usize::from(values), table.strength) else {
                    continue;
                };
                let more = |(known, _, among): &(Recipe, usize, Vec<usize>)| {
                    (recipe.size, columns.len()) > (known.size, among.len())
                };
                if recipe.size < fewer_than && best.as_ref().is_none_or(more) {
                    best = Some((recipe, table.strength, columns));
                }
            }
        }
    }
    let (recipe, strength, columns) = best?;
    let spread = |row: Row| {
        let mut partial = vec![None; model.levels().len()];
        for (&at, value) in columns.iter().zip(row) {
            partial[at] = Some(value % model.levels()[at]);
        }
        partial
    };
    Some(recipe.rows(strength).into_iter().map(spread).collect())
}

/// A construction that covers less than a fourth of the tuples is not worth a second first cover: what the other columns need
/// decides, and the time is missing at the search.
const WORTH: f64 = 4.0;

/// How many tuples of these columns there are, forbidden ones too.
fn tuples(model: &Model, columns: &[usize], strength: usize) -> f64 {
    let mut of_size = vec![0.0; strength + 1];
    of_size[0] = 1.0;
    for &at in columns {
        for size in (1..=strength).rev() {
            of_size[size] += of_size[size - 1] * f64::from(model.levels()[at]);
        }
    }
    of_size[strength]
}

/// Independent searches; the covers of the best one, the smallest last, and its steps. The smallest cover wins, and among
/// equal ones that of the first search, so that it does not matter how many run at once.
fn race<'a>(
    terms: Terms<'a>,
    tables: &'a [Table],
    start: &'a Start,
    request: &Request<'_>,
) -> (Vec<Vec<Row>>, u64) {
    let searches = request.searches.max(1);
    let next = AtomicUsize::new(0);
    // The first search that has met the bound: none after it can do better.
    let met = AtomicUsize::new(usize::MAX);
    let results = Mutex::new(Vec::new());
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= searches {
                return;
            }
            let stop = || met.load(Ordering::Relaxed) < number || (terms.stop)();
            let terms = Terms { stop: &stop, ..terms };
            let seed = request.seed ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut search = Search::new(terms, tables, &start.states, &start.rows, seed);
            search.run();
            let size = search.covers.last().map_or(usize::MAX, Vec::len);
            if size <= terms.bound.max(terms.frozen.len()) {
                met.fetch_min(number, Ordering::Relaxed);
            }
            let steps = search.steps();
            let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
            results.push((size, number, search.covers, steps));
        }
    };
    std::thread::scope(|scope| {
        let others = request.threads.max(1).min(searches) - 1;
        (0..others).for_each(|_| drop(scope.spawn(work)));
        work();
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    let best = results.into_iter().min_by_key(|(size, number, ..)| (*size, *number));
    best.map_or((Vec::new(), 0), |(_, _, covers, steps)| (covers, steps))
}

/// Drops old rows without which the others cover as much, the latest first: those of a parameter that is gone. What new
/// rows will cover does not count, or an old row would be changed for a new one.
fn drop_redundant(
    model: &Model,
    tables: &[Table],
    greedy: &mut Greedy<'_>,
    seeds: usize,
    kept: &mut Vec<usize>,
    frozen: &mut Vec<Vec<bool>>,
) {
    let room = tables.iter().map(Table::size).sum::<usize>() <= MOST_TUPLES && greedy.rows.len() <= MOST_ROWS;
    if kept.is_empty() || !room {
        return;
    }
    let mut state = State::new(model, tables, &greedy.states, &greedy.rows);
    // The state numbers rows anew when one is removed, so it is kept beside what each number stands for.
    let mut numbers: Vec<usize> = (0..greedy.rows.len()).collect();
    let mut gone = vec![false; greedy.rows.len()];
    for row in (seeds..seeds + kept.len()).rev() {
        let Some(number) = numbers.iter().position(|&known| known == row) else { continue };
        if state.alone(number) == 0 {
            state.remove(number);
            numbers.swap_remove(number);
            gone[row] = true;
        }
    }
    let left = |offset: usize| {
        let mut row = offset;
        let gone = &gone;
        move || {
            row += 1;
            !gone[row - 1]
        }
    };
    let (mut rows, mut cells, mut old) = (left(0), left(0), left(seeds));
    greedy.rows.retain(|_| rows());
    frozen.retain(|_| cells());
    kept.retain(|_| old());
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
