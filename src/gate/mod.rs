//! The release gate: a policy and the results of runs -> yes, no, or undecidable, each demand with what meets it or would.
//! Pure. What is missing never counts as a yes: a demand is met by results that are there.

mod judge;
mod statement;
pub mod statistics;

pub use judge::{Surroundings, judge};
pub use statement::{confidence, notes, statement};

use crate::results::Verdict;
use crate::types::{CombinationId, KubernetesMinor, RunId, SwitchValues};
use jiff::Timestamp;
use serde::Serialize;

/// The release in question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name: `<provider>-<stack>-1-NN-<version>`.
    pub release: String,
    /// The hash of its content, `sha256:...`; results of another content are none of this release.
    pub digest: String,
    /// Its Kubernetes minor.
    pub minor: KubernetesMinor,
}

/// What one run says of one combination.
#[derive(Debug, Clone, PartialEq)]
pub struct TestResult {
    /// The run.
    pub run: RunId,
    /// When it ended.
    pub at: Timestamp,
    /// The scenario.
    pub scenario: String,
    /// The combination.
    pub id: CombinationId,
    /// Its values.
    pub values: SwitchValues,
    /// The release that was tested.
    pub release: String,
    /// The hash of its content.
    pub digest: String,
    /// The verdict over all cases.
    pub verdict: Verdict,
    /// Whether it was proven that nothing is left.
    pub clean: bool,
    /// Every case, with its verdict.
    pub cases: Vec<(String, Verdict)>,
    /// Failures that were expected, with their reasons.
    pub known: Vec<(String, String)>,
}

/// What the gate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Every demand is met.
    Yes,
    /// Evidence is missing.
    Undecidable,
    /// The evidence is against it.
    No,
}

/// One demand of the policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Demand {
    /// What is demanded.
    pub what: String,
    /// Whether it is met.
    pub answer: Answer,
    /// What the results say about it.
    pub why: String,
    /// What would meet it.
    pub remedy: Option<String>,
}

/// The decision, with all that it rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judgement {
    /// The policy.
    pub policy: String,
    /// The release.
    pub release: String,
    /// The hash of its content.
    pub digest: String,
    /// When it was judged.
    pub at: Timestamp,
    /// The decision.
    pub answer: Answer,
    /// Every demand.
    pub demands: Vec<Demand>,
    /// The combinations that count, with what they came to.
    pub combinations: Vec<Tested>,
    /// Results that do not count: why, and how many.
    pub ignored: Vec<(String, usize)>,
    /// Results that count, and those of them that failed.
    pub results: u64,
    /// Results that failed.
    pub failures: u64,
    /// The highest failure rate that these results do not exclude with a confidence of 95 %.
    pub highest_failure_rate: f64,
}

/// What is known of one combination.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tested {
    /// Its id.
    pub id: CombinationId,
    /// Its values.
    pub name: String,
    /// Green results.
    pub green: u32,
    /// Red results.
    pub red: u32,
    /// Results that were green only when tried again.
    pub flaky: u32,
    /// The newest result.
    pub last: Timestamp,
    /// The runs, oldest first.
    pub runs: Vec<RunId>,
    /// Failures that were expected: check and reason.
    pub known: Vec<(String, String)>,
}
