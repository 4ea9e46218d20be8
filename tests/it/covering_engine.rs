//! Covering arrays, judged by oracles that share no code with what they judge: plain enumeration of all rows, and another
//! solver.

use std::collections::BTreeSet;

use batsat::{BasicSolver, Lit, SolverInterface, Var, lbool};
use proptest::prelude::*;
use stack_e2e::matrix::cover::blame::{discriminate, suspects};
use stack_e2e::matrix::cover::{
    Clause, CoverError, Literal, Model, OPEN, Request, Requirement, Row, Solver, cover, coverage, product,
};

/// A model as the oracles read it.
#[derive(Debug, Clone)]
struct Case {
    levels: Vec<u8>,
    /// Each constraint is one clause.
    clauses: Vec<Vec<(usize, u8, bool)>>,
}

impl Case {
    fn model(&self) -> Model {
        let literal = |&(parameter, value, equal): &(usize, u8, bool)| Literal { parameter, value, equal };
        let clause = |(origin, literals): (usize, &Vec<(usize, u8, bool)>)| Clause {
            literals: literals.iter().map(literal).collect(),
            origin,
        };
        Model::new(self.levels.clone(), self.clauses.iter().enumerate().map(clause).collect()).unwrap()
    }

    fn allows(&self, row: &[u8]) -> bool {
        let holds = |&(parameter, value, equal): &(usize, u8, bool)| (row[parameter] == value) == equal;
        self.clauses.iter().all(|clause| clause.iter().any(holds))
    }

    /// All rows, by counting through all combinations.
    fn rows(&self) -> Vec<Row> {
        let number: usize = self.levels.iter().map(|levels| usize::from(*levels)).product();
        let row = |mut number: usize| {
            let mut row = vec![0; self.levels.len()];
            for (cell, levels) in row.iter_mut().zip(&self.levels).rev() {
                *cell = (number % usize::from(*levels)) as u8;
                number /= usize::from(*levels);
            }
            row
        };
        (0..number).map(row).filter(|row| self.allows(row)).collect()
    }

    /// Whether the other solver finds a row with these values, by the given constraints only.
    fn feasible(&self, partial: &[Option<u8>], constraints: &[usize]) -> bool {
        let mut solver = BasicSolver::default();
        let variables: Vec<Vec<Var>> = self
            .levels
            .iter()
            .map(|&levels| (0..levels).map(|_| solver.new_var_default()).collect())
            .collect();
        let mut add = |literals: Vec<Lit>| solver.add_clause_reuse(&mut literals.clone());
        for (values, fixed) in variables.iter().zip(partial) {
            add(values.iter().map(|&value| Lit::new(value, true)).collect());
            for (at, &one) in values.iter().enumerate() {
                for &other in &values[at + 1..] {
                    add(vec![Lit::new(one, false), Lit::new(other, false)]);
                }
            }
            if let Some(value) = fixed {
                add(vec![Lit::new(values[usize::from(*value)], true)]);
            }
        }
        for &constraint in constraints {
            let literal = |&(parameter, value, equal): &(usize, u8, bool)| {
                Lit::new(variables[parameter][usize::from(value)], equal)
            };
            add(self.clauses[constraint].iter().map(literal).collect());
        }
        solver.solve_limited(&[]) == lbool::TRUE
    }

    fn every(&self) -> Vec<usize> {
        (0..self.clauses.len()).collect()
    }
}

fn cases() -> impl Strategy<Value = Case> {
    prop::collection::vec(1_u8..5, 2..6).prop_flat_map(|levels| {
        let literal = (0..levels.len(), 0_u8..4, prop::bool::weighted(0.3));
        let clause = prop::collection::vec(literal, 1..4);
        let clauses = prop::collection::vec(clause, 0..7);
        (Just(levels), clauses).prop_map(|(levels, mut clauses)| {
            for (parameter, value, _) in clauses.iter_mut().flatten() {
                *value %= levels[*parameter];
            }
            Case { levels, clauses }
        })
    })
}

type Tuple = Vec<(usize, u8)>;

/// All tuples of `strength` of these parameters that occur in rows.
fn tuples(rows: &[Row], parameters: &[usize], strength: usize) -> BTreeSet<Tuple> {
    let mut sets: Vec<Vec<usize>> = vec![Vec::new()];
    for &parameter in parameters {
        let longer: Vec<_> = sets.iter().map(|set| [set.clone(), vec![parameter]].concat()).collect();
        sets.extend(longer);
    }
    let sets = sets.into_iter().filter(|set| set.len() == strength.min(parameters.len()));
    sets.flat_map(|set| {
        rows.iter()
            .map(move |row| set.iter().map(|&parameter| (parameter, row[parameter])).collect::<Tuple>())
    })
    .collect()
}

fn requirement(parameters: &[usize], strength: usize) -> Requirement {
    Requirement { parameters: parameters.to_vec(), strength }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_feasible_tuple_is_covered_and_nothing_forbidden_is_there(case in cases(), strength in 1_usize..5, seed: u64) {
        let model = case.model();
        let all: Vec<usize> = (0..case.levels.len()).collect();
        let rows = case.rows();
        let request = Request { seed, steps: 300, ..Request::of_strength(&model, strength) };
        match cover(&model, &request) {
            Ok(cover) => {
                prop_assert!(cover.rows.iter().all(|row| case.allows(row)));
                let wanted = tuples(&rows, &all, strength);
                prop_assert_eq!(&tuples(&cover.rows, &all, strength), &wanted);
                prop_assert_eq!(cover.required, wanted.len() as u64);
                prop_assert!(cover.lower_bound <= cover.rows.len());
                prop_assert!(!cover.optimal || cover.lower_bound == cover.rows.len());
                for infeasible in &cover.infeasible {
                    let contains = |row: &&Row| infeasible.tuple.iter().all(|&(at, value)| row[at] == value);
                    prop_assert!(!rows.iter().any(|row| contains(&row)));
                    prop_assert!(!infeasible.origins.is_empty());
                }
            }
            Err(CoverError::Contradiction { .. }) => prop_assert!(rows.is_empty()),
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn groups_are_covered_with_their_own_strength(case in cases(), seed: u64) {
        let model = case.model();
        let all: Vec<usize> = (0..case.levels.len()).collect();
        let group: Vec<usize> = all.iter().copied().take(4).collect();
        let requirements = vec![requirement(&all, 1), requirement(&group, 3), requirement(&all[1..], 2)];
        if let Ok(cover) = cover(&model, &Request { requirements, seed, steps: 200, ..Request::default() }) {
            let rows = case.rows();
            prop_assert_eq!(tuples(&cover.rows, &all, 1), tuples(&rows, &all, 1));
            prop_assert_eq!(tuples(&cover.rows, &group, 3), tuples(&rows, &group, 3));
            prop_assert_eq!(tuples(&cover.rows, &all[1..], 2), tuples(&rows, &all[1..], 2));
        }
    }

    #[test]
    fn the_result_depends_on_seed_and_steps_only(case in cases(), seed: u64) {
        let model = case.model();
        let of = |threads| {
            let request = Request { seed, steps: 200, searches: 5, threads, ..Request::of_strength(&model, 2) };
            cover(&model, &request)
        };
        let one = of(1);
        prop_assert_eq!(&one, &of(2));
        prop_assert_eq!(&one, &of(4));
    }

    #[test]
    fn a_forbidden_row_is_explained_by_constraints_none_of_which_could_be_spared(
        case in cases(),
        cells in prop::collection::vec(prop::option::of(0_u8..4), 6),
    ) {
        let partial: Vec<Option<u8>> =
            case.levels.iter().zip(cells).map(|(levels, cell)| cell.map(|value| value % levels)).collect();
        let mut solver = Solver::new(&case.model());
        match solver.forbidden_by(&partial) {
            None => prop_assert!(case.feasible(&partial, &case.every())),
            Some(origins) => {
                prop_assert!(!case.feasible(&partial, &origins));
                for spared in &origins {
                    let others: Vec<usize> = origins.iter().copied().filter(|origin| origin != spared).collect();
                    prop_assert!(case.feasible(&partial, &others));
                }
            }
        }
    }

    #[test]
    fn the_product_is_what_counting_finds(case in cases()) {
        prop_assert_eq!(product(&case.model()).collect::<Vec<_>>(), case.rows());
    }

    #[test]
    fn seeds_and_old_rows_stay(case in cases(), picks in prop::collection::vec(any::<prop::sample::Index>(), 1..5), seed: u64) {
        let (model, rows) = (case.model(), case.rows());
        prop_assume!(!rows.is_empty());
        let picked: Vec<Row> = picks.iter().map(|pick| pick.get(&rows).clone()).collect();
        let mut first: Vec<Option<u8>> = picked[0].iter().copied().map(Some).collect();
        first[0] = None;
        let mut keep = picked.clone();
        keep[0][0] = OPEN;
        let request = Request { seeds: vec![first.clone()], keep: keep.clone(), seed, steps: 200, ..Request::of_strength(&model, 2) };
        let cover = cover(&model, &request).unwrap();
        let is = |row: &Row, old: &Row| row.iter().zip(old).all(|(new, old)| new == old || *old == OPEN);
        prop_assert!(cover.rows[0].iter().zip(&first).all(|(value, cell)| cell.is_none_or(|cell| cell == *value)));
        for (at, &kept) in cover.kept.iter().enumerate() {
            prop_assert!(is(&cover.rows[cover.seeds + at], &keep[kept]));
        }
        let all: Vec<usize> = (0..case.levels.len()).collect();
        prop_assert_eq!(tuples(&cover.rows, &all, 2), tuples(&rows, &all, 2));
        // What is not kept was redundant: the others cover its tuples.
        prop_assert!(cover.kept.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn a_row_has_one_negative_value_at_most(case in cases(), seed: u64) {
        let model = case.model();
        let invalid: Vec<Vec<bool>> =
            case.levels.iter().map(|&levels| (0..levels).map(|value| value > 0 && value == levels - 1).collect()).collect();
        let negatives = |row: &Row| row.iter().zip(&invalid).filter(|(value, of)| of[usize::from(**value)]).count();
        let rows: Vec<Row> = case.rows().into_iter().filter(|row| negatives(row) < 2).collect();
        let request = Request { invalid: invalid.clone(), seed, steps: 200, ..Request::of_strength(&model, 2) };
        match cover(&model, &request) {
            Ok(cover) => {
                let all: Vec<usize> = (0..case.levels.len()).collect();
                prop_assert!(cover.rows.iter().all(|row| negatives(row) < 2));
                prop_assert_eq!(tuples(&cover.rows, &all, 2), tuples(&rows, &all, 2));
            }
            Err(_) => prop_assert!(rows.is_empty()),
        }
    }

    #[test]
    fn costs_and_weights_change_rows_but_not_what_they_cover(case in cases(), seed: u64) {
        let model = case.model();
        let weights: Vec<Vec<u32>> = case.levels.iter().map(|&levels| (0..u32::from(levels)).collect()).collect();
        let cost = |rows: &[Row]| rows.iter().flatten().map(|&value| u64::from(value)).sum::<u64>();
        let plain = Request { seed, steps: 300, ..Request::of_strength(&model, 2) };
        let Ok(before) = cover(&model, &plain) else { return Ok(()) };
        let cheap = cover(&model, &Request { cost: Some(&cost), slack: 1, ..plain.clone() }).unwrap();
        let heavy = cover(&model, &Request { weights, ..plain }).unwrap();
        let all: Vec<usize> = (0..case.levels.len()).collect();
        prop_assert_eq!(cheap.smallest_before_cost, before.rows.len());
        prop_assert!(cheap.rows.len() <= before.rows.len() + 1);
        prop_assert!(cost(&cheap.rows) <= cost(&before.rows));
        prop_assert!(cost(&heavy.rows) >= cost(&before.rows));
        for cover in [cheap, heavy] {
            prop_assert_eq!(tuples(&cover.rows, &all, 2), tuples(&before.rows, &all, 2));
            prop_assert!(cover.rows.iter().all(|row| case.allows(row)));
        }
    }

    #[test]
    fn a_planted_cause_is_found_and_can_be_isolated(
        levels in prop::collection::vec(2_u8..4, 4..7),
        size in 1_usize..4,
        seed: u64,
    ) {
        let model = Model::new(levels, Vec::new()).unwrap();
        let rows = cover(&model, &Request { seed, ..Request::of_strength(&model, 3) }).unwrap().rows;
        let cause: Tuple = (0..size).map(|parameter| (parameter, rows[0][parameter])).collect();
        let fails = |row: &Row| cause.iter().all(|&(parameter, value)| row[parameter] == value);
        let mut results: Vec<(Row, bool)> = rows.into_iter().map(|row| (row.clone(), !fails(&row))).collect();
        for _ in 0..20 {
            let found = suspects(&model, &results, 3);
            // The cause explains every failure, so nothing that explains fewer stands before it.
            let failures = results.iter().filter(|(_, passed)| !passed).count();
            prop_assert!(found.iter().any(|suspect| suspect.tuple == cause && suspect.explains.len() == failures));
            let further = discriminate(&model, &found, 4);
            if further.is_empty() {
                break;
            }
            results.extend(further.into_iter().map(|row| (row.clone(), !fails(&row))));
        }
        prop_assert_eq!(&suspects(&model, &results, 3)[0].tuple, &cause);
    }
}

fn forbid(levels: &[u8], tuples: &[&[(usize, u8)]]) -> Case {
    let clauses = tuples
        .iter()
        .map(|tuple| tuple.iter().map(|&(parameter, value)| (parameter, value, false)).collect());
    Case { levels: levels.to_vec(), clauses: clauses.collect() }
}

#[test]
fn sizes_do_not_grow() {
    let uniform = |parameters: usize, levels: u8| forbid(&vec![levels; parameters], &[]);
    let mixed = forbid(
        &[6, 5, 4, 4, 3, 3, 3, 2, 2, 2, 2, 2],
        &[&[(0, 0), (1, 0)], &[(2, 1), (7, 0)], &[(3, 3), (4, 2)]],
    );
    let big = forbid(&[&[10; 20][..], &[3, 2, 2]].concat(), &[&[(20, 0), (21, 0)]]);
    let cases: [(Case, usize, usize, bool); 11] = [
        (uniform(4, 3), 2, 9, true),
        (uniform(13, 3), 2, 15, false),
        (uniform(30, 2), 2, 8, true),
        (uniform(6, 4), 2, 19, false),
        (uniform(4, 3), 3, 27, true),
        (uniform(20, 10), 2, 155, false),
        (uniform(24, 4), 2, 28, false),
        (uniform(21, 4), 3, 127, false),
        (big, 2, 175, false),
        (mixed.clone(), 2, 30, false),
        (mixed, 3, 120, false),
    ];
    for (case, strength, size, optimal) in cases {
        let model = case.model();
        let cover =
            cover(&model, &Request { steps: 60_000, ..Request::of_strength(&model, strength) }).unwrap();
        assert!(
            cover.rows.len() <= size,
            "{:?}, strength {strength}: {} rows",
            case.levels,
            cover.rows.len()
        );
        assert!(cover.optimal || !optimal, "{:?}, strength {strength}: not shown to be optimal", case.levels);
        let all: Vec<usize> = (0..case.levels.len()).collect();
        let coverage = coverage(&model, &cover.rows, &all, strength);
        assert_eq!(coverage.covered, coverage.feasible);
        assert_eq!(coverage.covered, cover.required);
    }
}

#[test]
fn what_is_left_open_is_named() {
    let case = forbid(&[2, 2, 2], &[&[(0, 0), (1, 0)]]);
    let coverage = coverage(&case.model(), &[vec![0, 1, 0], vec![1, 0, 0], vec![0, 0, 0]], &[0, 1, 2], 2);
    assert_eq!((coverage.covered, coverage.feasible, coverage.infeasible), (6, 11, 1));
    assert!(coverage.uncovered.contains(&vec![(0, 1), (1, 1)]));
}

#[test]
fn many_overlapping_clauses_do_not_blow_up() {
    // Each of 69 clauses forbids one combination of several of 14 parameters; together they leave little.
    let clauses: Vec<Vec<(usize, u8, bool)>> = (0..69_usize)
        .map(|at| {
            (0..4 + at % 3).map(|i| ((at * 5 + i * (1 + at % 4)) % 14, ((at + i) % 3) as u8, false)).collect()
        })
        .collect();
    let case = Case { levels: vec![3; 14], clauses };
    let model = case.model();
    let cover = cover(&model, &Request { steps: 10_000, ..Request::of_strength(&model, 2) }).unwrap();
    assert!(cover.rows.iter().all(|row| case.allows(row)));
    let every = case.every();
    for infeasible in &cover.infeasible {
        let mut partial = vec![None; 14];
        infeasible.tuple.iter().for_each(|&(parameter, value)| partial[parameter] = Some(value));
        assert!(!case.feasible(&partial, &every));
    }
}

#[test]
fn a_contradiction_is_told_by_its_core() {
    let mut case = forbid(&[2, 2, 2], &[&[(2, 1)], &[(0, 0)], &[(0, 1), (1, 0)], &[(1, 1)]]);
    let model = case.model();
    let error = cover(&model, &Request::of_strength(&model, 2)).unwrap_err();
    assert_eq!(error, CoverError::Contradiction { origins: vec![1, 2, 3] });
    case.clauses.pop();
    let model = case.model();
    let seeds = vec![vec![None, Some(0), None]];
    let error = cover(&model, &Request { seeds, ..Request::of_strength(&model, 2) }).unwrap_err();
    assert_eq!(error, CoverError::Seed { seed: 0, origins: vec![1, 2] });
}

#[test]
fn a_new_value_adds_rows_and_leaves_the_old_ones() {
    let old = forbid(&[3, 3, 2, 2, 2], &[&[(0, 0), (1, 0)]]);
    let before =
        cover(&old.model(), &Request { steps: 5000, ..Request::of_strength(&old.model(), 2) }).unwrap();
    let new = forbid(&[4, 3, 2, 2, 2], &[&[(0, 0), (1, 0)]]);
    let request = Request { keep: before.rows.clone(), steps: 5000, ..Request::of_strength(&new.model(), 2) };
    let after = cover(&new.model(), &request).unwrap();
    assert_eq!(after.kept, (0..before.rows.len()).collect::<Vec<_>>());
    assert_eq!(after.rows[..before.rows.len()], before.rows);
    assert_eq!(after.rows.len(), before.rows.len() + 3);
}
