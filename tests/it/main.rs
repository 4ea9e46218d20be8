//! Tests of the library's faces, one module for each.

mod expression;
mod hostile;
mod load;
mod matrix;
mod scenario;
mod schema;
