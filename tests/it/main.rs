//! Tests of the library's faces, one module for each.

mod matrix;
mod scenario;
