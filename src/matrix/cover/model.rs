//! What is to be covered: parameters with small finite domains, and clauses that every row must satisfy.

use thiserror::Error;

/// The largest number of values that a parameter may have: a domain is one machine word.
pub const MAX_LEVELS: u8 = 64;

/// `parameter = value`, or `parameter != value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Literal {
    /// Index of the parameter.
    pub parameter: usize,
    /// Index of the value among those of the parameter.
    pub value: u8,
    /// Whether the parameter must have the value, or must not.
    pub equal: bool,
}

/// A disjunction of literals; the empty one cannot be satisfied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// At least one of them holds in every row.
    pub literals: Vec<Literal>,
    /// The caller's number of the constraint that the clause is part of. Several clauses may share it.
    pub origin: usize,
}

/// A clause as masks of allowed values, one per parameter that occurs in it.
#[derive(Debug, Clone)]
pub(super) struct Compiled {
    pub(super) literals: Vec<(u32, u64)>,
    pub(super) origin: usize,
}

/// The origin of clauses that the module itself adds; it is never reported.
pub(super) const OWN: usize = usize::MAX;

/// Parameters, their numbers of values, and the clauses between them.
#[derive(Debug, Clone)]
pub struct Model {
    levels: Vec<u8>,
    clauses: Vec<Compiled>,
    /// Indexes of the clauses in which a parameter occurs.
    occurrences: Vec<Vec<u32>>,
}

/// Why parameters and clauses make no model.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ModelError {
    /// A parameter without values, or with more than [`MAX_LEVELS`].
    #[error("parameter {parameter} has {levels} values; 1 to {MAX_LEVELS} are possible")]
    Levels {
        /// Index of the parameter.
        parameter: usize,
        /// How many values it was given.
        levels: u8,
    },
    /// A literal names a parameter or value that does not exist.
    #[error("constraint {origin} names value {value} of parameter {parameter}, which does not exist")]
    Literal {
        /// The origin of the clause.
        origin: usize,
        /// Index of the parameter.
        parameter: usize,
        /// Index of the value.
        value: u8,
    },
}

impl Model {
    /// A model of parameters with the given numbers of values. Rows satisfy all clauses.
    ///
    /// # Errors
    ///
    /// When a number of values is not in 1..=64, or a literal names what does not exist.
    pub fn new(levels: Vec<u8>, clauses: Vec<Clause>) -> Result<Model, ModelError> {
        for (parameter, &levels) in levels.iter().enumerate() {
            if levels == 0 || levels > MAX_LEVELS {
                return Err(ModelError::Levels { parameter, levels });
            }
        }
        let occurrences = vec![Vec::new(); levels.len()];
        let mut model = Model { levels, clauses: Vec::new(), occurrences };
        for Clause { literals, origin } in clauses {
            let mut masks: Vec<(u32, u64)> = Vec::with_capacity(literals.len());
            for Literal { parameter, value, equal } in literals {
                if model.levels.get(parameter).is_none_or(|levels| value >= *levels) {
                    return Err(ModelError::Literal { origin, parameter, value });
                }
                let mask = if equal { 1 << value } else { model.domain(parameter) & !(1 << value) };
                match masks.iter_mut().find(|(other, _)| *other == parameter as u32) {
                    Some((_, allowed)) => *allowed |= mask,
                    None => masks.push((parameter as u32, mask)),
                }
            }
            model.add(masks, origin);
        }
        Ok(model)
    }

    pub(super) fn add(&mut self, mut literals: Vec<(u32, u64)>, origin: usize) {
        literals.retain(|(_, mask)| *mask != 0);
        if literals.iter().any(|&(parameter, mask)| mask == self.domain(parameter as usize)) {
            return;
        }
        for &(parameter, _) in &literals {
            self.occurrences[parameter as usize].push(self.clauses.len() as u32);
        }
        self.clauses.push(Compiled { literals, origin });
    }

    /// How many values each parameter has.
    #[must_use]
    pub fn levels(&self) -> &[u8] {
        &self.levels
    }

    /// Whether a row has one value of each parameter and satisfies all clauses.
    #[must_use]
    pub fn allows(&self, row: &[u8]) -> bool {
        row.len() == self.levels.len()
            && row.iter().zip(&self.levels).all(|(value, levels)| value < levels)
            && self.clauses.iter().all(|clause| clause.holds(row))
    }

    /// Whether a row that satisfies all clauses still does so when one value changes.
    #[inline]
    pub(super) fn allows_change(&self, row: &mut [u8], parameter: usize, value: u8) -> bool {
        let old = std::mem::replace(&mut row[parameter], value);
        let allowed =
            self.occurrences[parameter].iter().all(|&clause| self.clauses[clause as usize].holds(row));
        row[parameter] = old;
        allowed
    }

    pub(super) fn domain(&self, parameter: usize) -> u64 {
        u64::MAX >> (64 - u32::from(self.levels[parameter]))
    }

    pub(super) fn clauses(&self) -> &[Compiled] {
        &self.clauses
    }

    pub(super) fn is_free(&self) -> bool {
        self.clauses.is_empty()
    }

    /// Whether no clause mentions the parameter.
    pub(super) fn is_free_of(&self, parameter: usize) -> bool {
        self.occurrences[parameter].is_empty()
    }
}

impl Compiled {
    #[inline]
    pub(super) fn holds(&self, row: &[u8]) -> bool {
        self.literals.iter().any(|&(parameter, mask)| mask >> row[parameter as usize] & 1 == 1)
    }
}
