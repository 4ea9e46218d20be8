//! Models as other tools write them: text -> [`Document`], or every problem with its line and column. Pure.
//!
//! - [`casa`]: the `.model` and `.constraints` files of CASA, which most published constrained models come in;
//! - [`pict`]: the input language of PICT;
//! - [`medici`]: the format of Medici and of the IBM models.

mod expression;
mod medici;
mod pict;
mod pict_constraint;
mod plain;

pub use medici::medici;
pub use pict::pict;
pub use plain::{casa, levels};

use std::fmt;

use super::cover::{Clause, Model, ModelError, Requirement};

/// A model as written: names for what [`Model`] numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document {
    /// The parameters, in the order of the text.
    pub parameters: Vec<Parameter>,
    /// The constraints. Their origin is the number of the constraint in the text, from 0.
    pub clauses: Vec<Clause>,
    /// Where each constraint begins, by its number.
    pub places: Vec<Place>,
    /// Groups with a strength of their own.
    pub groups: Vec<Requirement>,
    /// The strength, if the text says one.
    pub strength: Option<usize>,
}

/// A parameter and its values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameter {
    /// As written, or its number if the format has no names.
    pub name: String,
    /// The values, at most 64.
    pub values: Vec<Value>,
}

/// A value of a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// The names of the value, the first one being the one to show.
    pub names: Vec<String>,
    /// How much it is preferred; 1 unless the text says otherwise.
    pub weight: u32,
    /// Whether it is a negative one, of which a row has at most one.
    pub invalid: bool,
}

impl Document {
    /// Parameters that have numbers for names, and for values.
    fn of_levels(levels: &[u8]) -> Document {
        let value = |value: u8| Value { names: vec![value.to_string()], weight: 1, invalid: false };
        let parameter = |(number, &levels): (usize, &u8)| Parameter {
            name: number.to_string(),
            values: (0..levels).map(value).collect(),
        };
        Document { parameters: levels.iter().enumerate().map(parameter).collect(), ..Document::default() }
    }

    /// The model to cover.
    ///
    /// # Errors
    ///
    /// None for documents that a parser of this module has returned.
    pub fn model(&self) -> Result<Model, ModelError> {
        let levels =
            self.parameters.iter().map(|parameter| u8::try_from(parameter.values.len()).unwrap_or(u8::MAX));
        Model::new(levels.collect(), self.clauses.clone())
    }

    /// What is to be covered: a strength over all parameters, and the groups.
    #[must_use]
    pub fn requirements(&self, strength: usize) -> Vec<Requirement> {
        let all = Requirement { parameters: (0..self.parameters.len()).collect(), strength };
        std::iter::once(all).chain(self.groups.iter().cloned()).collect()
    }

    /// The weights of all values; empty if they are all alike.
    #[must_use]
    pub fn weights(&self) -> Vec<Vec<u32>> {
        self.table(|value| value.weight, &1)
    }

    /// Which values are negative; empty if none are.
    #[must_use]
    pub fn invalid(&self) -> Vec<Vec<bool>> {
        self.table(|value| value.invalid, &false)
    }

    fn table<T: PartialEq>(&self, of: impl Fn(&Value) -> T, usual: &T) -> Vec<Vec<T>> {
        let table: Vec<Vec<T>> =
            self.parameters.iter().map(|parameter| parameter.values.iter().map(&of).collect()).collect();
        if table.iter().flatten().all(|entry| entry == usual) { Vec::new() } else { table }
    }
}

/// A place in a text, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl Place {
    /// Where a part of a line begins, which must be a slice of it.
    fn of(line: usize, text: &str, part: &str) -> Place {
        let offset = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
        Place { line, column: text.get(..offset).map_or(1, |before| before.chars().count() + 1) }
    }
}

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it is.
    pub place: Place,
    /// What is wrong, in lower case, without a full stop.
    pub message: String,
}

impl Problem {
    fn new(place: Place, message: impl Into<String>) -> Problem {
        Problem { place, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.place.line, self.place.column, self.message)
    }
}

#[cfg(test)]
mod tests;
