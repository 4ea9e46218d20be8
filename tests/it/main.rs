//! The one integration test binary. Each module tests one face of the program.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests are tests")]

mod addons;
mod broken;
mod changed;
mod cli;
mod cloud;
mod cloud_cli;
mod cloud_run;
mod conformance;
mod covering;
mod covering_engine;
mod expression;
mod gate;
mod hostile;
mod kill;
mod kill_testbed;
mod lint;
mod load;
mod main_job;
mod manifests;
mod matrix;
mod operator;
mod otlp;
mod outage;
mod refused;
mod release;
mod release_read;
mod report;
mod run;
mod scenario;
mod schema;
mod secrets;
mod stack;
mod stacks;
mod stand_in;
mod store;
mod support;
mod tidy;
mod upgrades;
mod zuul;
