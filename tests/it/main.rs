//! The one integration test binary. Each module tests one face of the program.

mod run;
mod support;
mod tidy;
