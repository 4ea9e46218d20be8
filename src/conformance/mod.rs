//! Conformance of Kubernetes: what the tests of a version have come to, against the list of what it requires.
//!
//! ```text
//! JUnit files, logs of e2e.test -> Seen, Log --.
//! conformance.yaml of the version -> Required --+--> Union: passed, failed, not run -> text, JSON, JUnit
//! PRODUCT.yaml, README.md -> Submission --------'--> objections that the bot of the certification would have
//! ```
//!
//! A test that did not run is no pass: suites run side by side leave out what is `[Serial]` unless they are told not to,
//! and report success. Pure.

mod log;
mod required;
mod seen;
mod submission;
mod text;
mod union;

pub use log::Log;
pub use required::Required;
pub use seen::{Outcome, Seen};
pub use submission::{FILES, Objection, Product, Submission};
pub use text::{json, junit, text};
pub use union::Union;
