//! Boolean expressions over "the parameter has one of these values", and their clauses.

use crate::matrix::cover::{Clause, Literal};

/// More clauses than this come from no constraint that a person has written.
const MOST_CLAUSES: usize = 20_000;
/// Deeper nesting than this neither.
const MOST_DEPTH: usize = 200;

/// In negation normal form: negation is applied where it is made.
#[derive(Debug, Clone)]
pub(super) enum Expression {
    /// The parameter has one of the values of the mask.
    Within(usize, u64),
    All(Vec<Expression>, usize),
    Any(Vec<Expression>, usize),
}

/// The constraint has too many clauses, or is nested too deeply.
#[derive(Debug, Clone, Copy)]
pub(super) struct TooComplex;

impl Expression {
    fn depth(&self) -> usize {
        match self {
            Expression::Within(..) => 0,
            Expression::All(_, depth) | Expression::Any(_, depth) => *depth,
        }
    }

    pub(super) fn and(self, other: Expression) -> Result<Expression, TooComplex> {
        let mut parts = match self {
            Expression::All(parts, _) => parts,
            single => vec![single],
        };
        parts.push(other);
        let depth = parts.iter().map(|part| part.depth() + 1).max().unwrap_or(1);
        if depth > MOST_DEPTH { Err(TooComplex) } else { Ok(Expression::All(parts, depth)) }
    }

    pub(super) fn or(self, other: Expression) -> Result<Expression, TooComplex> {
        let mut parts = match self {
            Expression::Any(parts, _) => parts,
            single => vec![single],
        };
        parts.push(other);
        let depth = parts.iter().map(|part| part.depth() + 1).max().unwrap_or(1);
        if depth > MOST_DEPTH { Err(TooComplex) } else { Ok(Expression::Any(parts, depth)) }
    }

    /// `full` tells all values of a parameter.
    pub(super) fn not(self, full: &dyn Fn(usize) -> u64) -> Expression {
        match self {
            Expression::Within(parameter, mask) => Expression::Within(parameter, full(parameter) & !mask),
            Expression::All(parts, depth) => {
                Expression::Any(parts.into_iter().map(|part| part.not(full)).collect(), depth)
            }
            Expression::Any(parts, depth) => {
                Expression::All(parts.into_iter().map(|part| part.not(full)).collect(), depth)
            }
        }
    }

    /// Clauses that hold together exactly when the expression does.
    pub(super) fn clauses(
        &self,
        origin: usize,
        full: &dyn Fn(usize) -> u64,
    ) -> Result<Vec<Clause>, TooComplex> {
        let disjunctions = self.disjunctions(full)?;
        let literals = |(parameter, mask): (usize, u64)| {
            // The shorter way to say it: `one of these`, or, for a single value that is left out, `not that`.
            let others = full(parameter) & !mask;
            let (values, equal) = if others.count_ones() == 1 { (others, false) } else { (mask, true) };
            (0..64).filter(move |value| values >> value & 1 == 1).map(move |value| Literal {
                parameter,
                value,
                equal,
            })
        };
        let clause = |masks: Vec<(usize, u64)>| Clause {
            literals: masks.into_iter().flat_map(literals).collect(),
            origin,
        };
        Ok(disjunctions.into_iter().map(clause).collect())
    }

    /// Disjunctions, each with a mask per parameter, ascending.
    fn disjunctions(&self, full: &dyn Fn(usize) -> u64) -> Result<Vec<Vec<(usize, u64)>>, TooComplex> {
        match self {
            Expression::Within(parameter, mask) if *mask == full(*parameter) => Ok(Vec::new()),
            Expression::Within(_, 0) => Ok(vec![Vec::new()]),
            Expression::Within(parameter, mask) => Ok(vec![vec![(*parameter, *mask)]]),
            Expression::All(parts, _) => {
                let mut all = Vec::new();
                for part in parts {
                    all.extend(part.disjunctions(full)?);
                    if all.len() > MOST_CLAUSES {
                        return Err(TooComplex);
                    }
                }
                Ok(all)
            }
            Expression::Any(parts, _) => {
                let mut any: Vec<Vec<(usize, u64)>> = vec![Vec::new()];
                for part in parts {
                    let more = part.disjunctions(full)?;
                    if any.len() * more.len() > MOST_CLAUSES {
                        return Err(TooComplex);
                    }
                    let pairs = any.iter().flat_map(|one| more.iter().map(move |other| (one, other)));
                    let mut joined: Vec<_> =
                        pairs.filter_map(|(one, other)| join(one, other, full)).collect();
                    joined.sort_unstable();
                    joined.dedup();
                    any = joined;
                }
                Ok(any)
            }
        }
    }
}

/// One disjunction or the other; `None` if that always holds.
fn join(
    one: &[(usize, u64)],
    other: &[(usize, u64)],
    full: &dyn Fn(usize) -> u64,
) -> Option<Vec<(usize, u64)>> {
    let mut joined = one.to_vec();
    for &(parameter, mask) in other {
        match joined.binary_search_by_key(&parameter, |(known, _)| *known) {
            Ok(at) => {
                joined[at].1 |= mask;
                if joined[at].1 == full(parameter) {
                    return None;
                }
            }
            Err(at) => joined.insert(at, (parameter, mask)),
        }
    }
    Some(joined)
}
