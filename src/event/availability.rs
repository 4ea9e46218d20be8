//! What a probe of a service saw while something was changed.

use serde::{Deserialize, Serialize};

/// How a service could be reached during a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Availability {
    /// The service, e.g. `api-server`.
    pub service: String,
    /// What the probe saw of it.
    #[serde(flatten)]
    pub seen: Seen,
}

/// What a probe saw. Not to know is none of its numbers: it is said as such.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Seen {
    /// The service was asked all the time.
    Measured {
        /// Milliseconds for which it did not answer: each outage from when the first probe that failed was sent until
        /// the next good answer, or until the change ended.
        downtime_ms: u64,
        /// Milliseconds of the longest time without a good answer, also when no probe failed: no outage that nobody
        /// saw was longer.
        longest_gap_ms: u64,
        /// How many probes ended.
        probes: u64,
        /// How many of them failed.
        failed: u64,
        /// Why the first one failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        first_failure: Option<String>,
    },
    /// Nothing is known, and why.
    Unknown {
        /// One line.
        why: String,
    },
}

impl Availability {
    /// Whether there is something to tell people: an outage, or that nobody knows.
    #[must_use]
    pub const fn is_notable(&self) -> bool {
        match &self.seen {
            Seen::Measured { downtime_ms, failed, .. } => *downtime_ms > 0 || *failed > 0,
            Seen::Unknown { .. } => true,
        }
    }

    /// `api-server: down for 350 ms, longest 350 ms without an answer, 4 of 120 probes failed (connection refused)`
    #[must_use]
    pub fn words(&self) -> String {
        match &self.seen {
            Seen::Measured { downtime_ms, longest_gap_ms, probes, failed, first_failure } => {
                let down = match (downtime_ms, failed) {
                    (0, 0) => "never down".to_owned(),
                    (ms, _) => format!("down for {ms} ms"),
                };
                let why = first_failure.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
                format!(
                    "{}: {down}, longest {longest_gap_ms} ms without an answer, {failed} of {probes} probes failed{why}",
                    self.service
                )
            }
            Seen::Unknown { why } => format!("{}: downtime unknown: {why}", self.service),
        }
    }
}
