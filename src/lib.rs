//! `stack-e2e`: the end-to-end test harness for SCS Cluster Stacks.
//!
//! ```text
//! scenario files -> scenario -> matrix -> plan -> run -> events -> results -> report (terminal, JUnit, JSON)
//!                                                  |-> provider, check, collect -> cluster (kube), cloud (OpenStack)
//! ```
//!
//! The modules below stand in the order of the pipeline, lowest layer first; a module uses lower layers only,
//! which `tests/it/tidy.rs` holds. `docs/ARCHITECTURE.md` tells the contracts between them.

// L0
pub mod types;

// L1
pub mod cloud;
pub mod cluster;
pub mod event;
pub mod scenario;
pub mod stack;

// L2
pub mod addon;
pub mod matrix;
pub mod release;
pub mod results;

// L3
pub mod conformance;
pub mod gate;
pub mod lint;
pub mod plan;
pub mod report;

// L4
pub mod check;
pub mod collect;
pub mod provider;
pub mod testbed;

// L5
pub mod run;

// L6
pub mod cli;
