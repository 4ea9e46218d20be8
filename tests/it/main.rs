#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]
//! The one integration test binary. Each module tests one face of the program.

mod run;
mod support;
mod tidy;
