//! Covering arrays under constraints: few rows such that every possible combination of `t` values occurs in one of them.
//!
//! ```text
//! Model (levels, clauses) + Request (what to cover, rows to keep, budget) -> cover() -> Cover (rows, bound, what cannot be)
//! ```
//!
//! Pure, and of use to others: nothing here reads a clock, a file or the environment, or uses another module of the
//! crate. Equal requests give equal covers, whatever the machine and the number of threads.

mod algebra;
pub mod blame;
mod bound;
mod choice;
mod coverage;
mod engine;
mod field;
mod greedy;
mod model;
mod product;
mod random;
mod search;
mod solver;
mod starter;
mod starters;
mod state;
mod tuples;

pub use coverage::{Coverage, NAMED, coverage};
pub use engine::{cover, cover_until};
pub use model::{Clause, Literal, MAX_LEVELS, Model, ModelError};
pub use product::product;
pub use solver::Solver;
pub use starter::starter;

use thiserror::Error;

/// One value index per parameter.
pub type Row = Vec<u8>;

/// In [`Request::keep`]: a cell that is open, say because its parameter is new.
pub const OPEN: u8 = u8::MAX;

/// Every tuple of `strength` values of these parameters is to be covered, if any row may contain it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// Indexes of the parameters.
    pub parameters: Vec<usize>,
    /// 1 to 6; with fewer parameters than that, all their combinations.
    pub strength: usize,
}

impl Requirement {
    /// The given strength over all parameters of a model.
    #[must_use]
    pub fn all(model: &Model, strength: usize) -> Requirement {
        Requirement { parameters: (0..model.levels().len()).collect(), strength }
    }
}

/// Tells what rows cost together, in any unit.
pub type Cost<'a> = &'a (dyn Fn(&[Row]) -> u64 + Sync);

/// What to cover, what to keep, and how long to search.
#[derive(Clone, Default)]
pub struct Request<'a> {
    /// What is to be covered: say strength 2 over all parameters, and strength 3 over a group.
    pub requirements: Vec<Requirement>,
    /// Rows that must be there, as they are; `None` leaves a cell open. They count for the covering.
    pub seeds: Vec<Vec<Option<u8>>>,
    /// Rows of an earlier cover, to be kept unless illegal or redundant; rows are added for what they miss. Cells that
    /// are [`OPEN`] may take any value.
    pub keep: Vec<Row>,
    /// For each parameter and value, how much it is preferred where any value would do. Empty: all alike.
    pub weights: Vec<Vec<u32>>,
    /// For each parameter and value, whether it is a negative one, of which a row has at most one: each is covered together
    /// with every combination of valid values of `strength - 1` other parameters. Empty: none.
    pub invalid: Vec<Vec<bool>>,
    /// The seed of the random choices.
    pub seed: u64,
    /// The budget of the search. A step is about a microsecond on common hardware, whatever the model; 0 leaves it at the
    /// first cover. What goes before, to find that one, is not counted. 20,000 suit a dozen parameters.
    pub steps: u64,
    /// How many independent searches, with seeds of their own, have `steps` each; the smallest cover wins. 0 is 1.
    pub searches: usize,
    /// How many searches run at once. The result does not depend on it. 0 is 1.
    pub threads: usize,
    /// Among the smallest covers, and those with up to `slack` more rows, one with low cost is chosen.
    pub cost: Option<Cost<'a>>,
    /// How many more rows than the smallest cover found the cheapest one may have.
    pub slack: usize,
}

impl Request<'_> {
    /// A request for a covering of the given strength over all parameters, without search.
    #[must_use]
    pub fn of_strength(model: &Model, strength: usize) -> Self {
        Request { requirements: vec![Requirement::all(model, strength)], ..Request::default() }
    }
}

impl std::fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("requirements", &self.requirements)
            .field("seeds", &self.seeds)
            .field("keep", &self.keep)
            .field("seed", &self.seed)
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}

/// A tuple of values that no row may contain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Infeasible {
    /// Parameters and values, in the order of the parameters. No part of it is infeasible by itself.
    pub tuple: Vec<(usize, u8)>,
    /// The constraints that forbid it together, none of which could be spared. Empty beyond the first
    /// [`EXPLAINED`] tuples; [`Solver::forbidden_by`] tells them.
    pub origins: Vec<usize>,
}

/// For how many infeasible tuples a [`Cover`] names the constraints.
pub const EXPLAINED: usize = 500;

/// Rows that cover what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cover {
    /// The seeds in their order, then what is left of the rows to keep in their order, then further rows in ascending order.
    pub rows: Vec<Row>,
    /// How many of the rows are seeds; they come first.
    pub seeds: usize,
    /// Which of [`Request::keep`] are among the rows, by index; they follow the seeds.
    pub kept: Vec<usize>,
    /// No cover has fewer rows.
    pub lower_bound: usize,
    /// Whether no cover has fewer rows: the bound is met, or there are no rows but the seeds.
    pub optimal: bool,
    /// How many tuples were to be covered, and are.
    pub required: u64,
    /// What cannot be covered because no row may contain it, smallest first.
    pub infeasible: Vec<Infeasible>,
    /// The number of rows of the smallest cover that was found before costs were looked at.
    pub smallest_before_cost: usize,
    /// How many steps were used by the search that won.
    pub steps: u64,
}

/// Why there is no cover.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CoverError {
    /// No row satisfies all constraints.
    #[error("the constraints {origins:?} contradict each other")]
    Contradiction {
        /// Constraints none of which could be spared for the contradiction.
        origins: Vec<usize>,
    },
    /// A seed cannot be a row.
    #[error("seed row {seed} is forbidden by the constraints {origins:?}")]
    Seed {
        /// Index among the seeds.
        seed: usize,
        /// Constraints that forbid it together; empty if it has two negative values.
        origins: Vec<usize>,
    },
    /// Something has not one entry per parameter or value, or names what does not exist.
    #[error("{what} does not fit the parameters")]
    Shape {
        /// What does not fit.
        what: &'static str,
    },
    /// A strength outside of 1..=6.
    #[error("strength {0} is not possible; 1 to 6 are")]
    Strength(usize),
    /// More tuples than fit into memory.
    #[error(
        "there are about {tuples} tuples to cover, too many; choose a lower strength or fewer parameters"
    )]
    TooLarge {
        /// How many tuples, about.
        tuples: u64,
    },
}
