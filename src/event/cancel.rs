//! Why a run stops early, ordered by urgency.

use serde::{Deserialize, Serialize};

/// Why and how urgently a run stops. The order matters: a later reason overrides an earlier one, never the other
/// way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CancelReason {
    /// The run's own deadline (`--deadline`) is over: start nothing new, tear down.
    Deadline,
    /// First SIGINT: start nothing new, tear down within a budget.
    Interrupt,
    /// SIGTERM or SIGHUP: hand over durably within 2 seconds; `--resume` or `sweep` finishes.
    Terminate,
    /// Second signal: ask for the deletes without waiting for them, say what is left.
    Abort,
}

impl CancelReason {
    /// For people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deadline => "the run's deadline is over",
            Self::Interrupt => "interrupted (SIGINT)",
            Self::Terminate => "terminated (SIGTERM)",
            Self::Abort => "aborted by a second signal",
        }
    }
}
