//! What went wrong, to which object, why, and who is to blame.

use crate::types::ObjectRef;
use serde::{Deserialize, Serialize};

/// A failure of one case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The kind of failure; decides between `failed` and `errored`.
    pub class: FailureClass,
    /// One line: what happened and why.
    pub summary: String,
    /// The object at the root of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectRef>,
    /// Evidence, any number of lines.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Failure {
    /// A failure with its one line.
    #[must_use]
    pub fn new(class: FailureClass, summary: impl Into<String>) -> Self {
        Self { class, summary: summary.into(), object: None, detail: String::new(), hint: None }
    }

    /// Names the object at the root.
    #[must_use]
    pub fn about(mut self, object: Option<ObjectRef>) -> Self {
        self.object = object;
        self
    }

    /// Adds evidence.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The whole space of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureClass {
    /// A check looked and found something wrong.
    CheckFailed,
    /// The cluster did not get into the wanted state, and said so: a terminal condition.
    Terminal,
    /// The cluster did not get into the wanted state in time.
    TimedOut,
    /// The API server or a webhook refused an object of the stack.
    Refused,
    /// A delete did not finish in time, or was refused.
    TearDown,
    /// Objects of ours outlived the run, or nothing is known about them.
    Leftover,
    /// The management cluster, the network or the machine.
    Infrastructure,
    /// A defect of the harness.
    Harness,
    /// The run was stopped before this case could end.
    Cancelled,
}

/// Who is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The Cluster Stack: verdict `failed`.
    Product,
    /// Anything else: verdict `errored`.
    Infrastructure,
}

impl FailureClass {
    /// Who is at fault. Exhaustive on purpose: a new class must decide.
    #[must_use]
    pub const fn blame(self) -> Blame {
        match self {
            Self::CheckFailed | Self::Terminal | Self::TimedOut | Self::Refused => Blame::Product,
            Self::TearDown | Self::Leftover | Self::Infrastructure | Self::Harness | Self::Cancelled => {
                Blame::Infrastructure
            }
        }
    }

    /// The name in reports; JUnit's `type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CheckFailed => "check-failed",
            Self::Terminal => "terminal",
            Self::TimedOut => "timed-out",
            Self::Refused => "refused",
            Self::TearDown => "tear-down",
            Self::Leftover => "leftover",
            Self::Infrastructure => "infrastructure",
            Self::Harness => "harness",
            Self::Cancelled => "cancelled",
        }
    }
}
