//! From results to blame: which values, together, explain the rows that failed.

use super::Row;
use super::model::Model;

/// Values that occur together in failing rows and in no passing one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// Parameters and values, in the order of the parameters. No part of it is a suspect by itself.
    pub tuple: Vec<(usize, u8)>,
    /// The failing rows that contain it, by index among the rows given.
    pub explains: Vec<usize>,
}

/// The smallest combinations, of up to `size` (1 to 3) values, that occur in failing rows and in no passing one.
#[must_use]
pub fn suspects(model: &Model, results: &[(Row, bool)], size: usize) -> Vec<Suspect> {
    let _ = (model, results, size);
    Vec::new()
}

/// Up to `number` further rows that tell suspects apart.
#[must_use]
pub fn discriminate(model: &Model, suspects: &[Suspect], number: usize) -> Vec<Row> {
    let _ = (model, suspects, number);
    Vec::new()
}
