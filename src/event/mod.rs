//! The contract between running and reporting: what happened, as plain data. Times travel inside the events, so
//! a report from a replayed journal is the same as from a live run.

mod availability;
mod cancel;
mod failure;

pub use availability::{Availability, Seen};
pub use cancel::CancelReason;
pub use failure::{Blame, Failure, FailureClass};

use crate::types::{CaseId, CombinationId, ObjectRef, RunId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One thing that happened in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When it happened.
    pub at: Timestamp,
    /// The unit that it happened to; `None` for the run as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<CombinationId>,
    /// What happened.
    pub kind: EventKind,
}

/// What can happen in a run. Reporters match it without `_`, so that a new kind does not compile until each of
/// them has decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum EventKind {
    /// The run began; what it is going to do.
    RunStarted {
        /// The run.
        run: RunId,
        /// The units, in the order of the plan.
        units: Vec<UnitInfo>,
        /// What the selection left out, each with its reason.
        left_out: Vec<LeftOutInfo>,
        /// Version of the harness.
        harness: String,
    },
    /// A killed run is being finished by `--resume`.
    RunResumed {
        /// What was known to be unfinished.
        unfinished: Vec<CombinationId>,
    },
    /// Shared preparation (namespace, ClusterClasses, credentials) ended.
    Prepared {
        /// `None` when it went well.
        failure: Option<Failure>,
    },
    /// A unit got its slot and starts.
    UnitStarted,
    /// A phase of the unit's life began.
    PhaseStarted {
        /// Which one.
        phase: Phase,
    },
    /// About to create or delete something; on disk before the call is made.
    Intent {
        /// The act.
        act: Act,
        /// The object acted on.
        object: ObjectRef,
    },
    /// Why a wait still waits; at most one for each change of the reason.
    Waiting {
        /// The phase that waits.
        phase: Phase,
        /// The reason, one line.
        why: String,
    },
    /// A case (a phase's outcome, a check, a change) ended.
    CaseFinished {
        /// The case.
        case: CaseId,
        /// How many tries came before this one.
        attempt: u32,
        /// When it began.
        started: Timestamp,
        /// How it ended.
        outcome: Outcome,
        /// How services of the cluster could be reached meanwhile; of changes.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        availability: Vec<Availability>,
    },
    /// Evidence was written.
    Collected {
        /// Paths relative to the run's directory.
        files: Vec<String>,
        /// What could not be had, one line each.
        trouble: Vec<String>,
    },
    /// A cluster was kept on request; how to go on with it.
    Kept {
        /// Commands for people.
        commands: Vec<String>,
    },
    /// A unit reached its end; `clean` is the proof, not a hope.
    UnitFinished {
        /// What is known of the objects that the unit made.
        clean: Cleanliness,
    },
    /// The run was asked to stop.
    Cancelled {
        /// How urgently.
        reason: CancelReason,
    },
    /// The run reached its end.
    RunFinished {
        /// What is known of the objects that the whole run made.
        clean: Cleanliness,
    },
}

/// The phases of a unit's life, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Create the cluster and wait until it is available.
    Provision,
    /// Look.
    Check,
    /// Change something and wait for its end state.
    Change,
    /// Gather evidence.
    Collect,
    /// Delete, and wait until it is gone.
    TearDown,
    /// List what carries our labels.
    ProveClean,
}

impl Phase {
    /// The phase in case ids and on screens.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provision => "provision",
            Self::Check => "check",
            Self::Change => "change",
            Self::Collect => "collect",
            Self::TearDown => "tear-down",
            Self::ProveClean => "prove-clean",
        }
    }
}

/// What an intent announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// A create call follows.
    Create,
    /// A patch or update call follows.
    Change,
    /// A delete call follows.
    Delete,
}

/// How one case ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// As it should be; with facts worth keeping (`"5 nodes Ready, v1.34.7"`).
    Passed {
        /// One line; may be empty.
        note: String,
    },
    /// Not as it should be. Whether this is `failed` or `errored` follows from the class.
    Failed {
        /// What, where, why.
        failure: Failure,
        /// The reason of an `expect` entry that allows it, if one does; then the case counts as skipped.
        expected: Option<String>,
    },
    /// Not looked at, and why.
    Skipped {
        /// One line.
        reason: String,
    },
}

/// What is known about leftovers. Only a listing that was proven to work can say `Clean`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Cleanliness {
    /// Listed with a sentinel in sight; nothing of ours is left.
    Clean,
    /// These objects are left.
    Left {
        /// The objects.
        objects: Vec<ObjectRef>,
    },
    /// The listing failed or missed its sentinel; nothing is known.
    Unknown {
        /// Why.
        why: String,
    },
    /// Kept on request (`--keep-on-failure`); not a leak, but not clean either.
    Kept,
}

/// A unit as reports need it; the plan itself stays above this layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnitInfo {
    /// The combination.
    pub id: CombinationId,
    /// Readable name: `kubernetes=1.34 controlPlanes=3 yawol=on`.
    pub name: String,
    /// The scenario.
    pub scenario: String,
    /// The stack, e.g. `embedded-scs`.
    pub stack: String,
    /// The name of the Cluster object.
    pub cluster: String,
    /// One per switch, plus stack release, Kubernetes version and so on; for JUnit properties.
    pub properties: BTreeMap<String, String>,
    /// The cases that will be reported, in order; a case that never ran is reported as such.
    pub cases: Vec<CaseId>,
}

/// A combination that was left out, with its reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeftOutInfo {
    /// Readable name of the combination.
    pub name: String,
    /// The scenario.
    pub scenario: String,
    /// The stack.
    pub stack: String,
    /// Why it was left out.
    pub reason: String,
}
