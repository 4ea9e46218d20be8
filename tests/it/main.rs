//! Tests of the library from outside, and of the program.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // Helpers of tests are tests.

mod stack;
