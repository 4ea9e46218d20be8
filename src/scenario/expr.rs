//! The expressions of `exclude`: a subset of CEL over the switches of a scenario.

/// A parsed and type-checked expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr;
