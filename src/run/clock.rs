//! The clock of a run: wall time at its start, then tokio's time, so that a test can pause it.

use jiff::Timestamp;
use tokio::time::Instant;

/// Tells the time of events.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    base: Timestamp,
    start: Instant,
}

impl Clock {
    /// A clock that shows `base` now.
    #[must_use]
    pub fn starting_at(base: Timestamp) -> Self {
        Self { base, start: Instant::now() }
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        // A year of saturation is better than a panic: the sum overflows in the year 9999.
        self.base.checked_add(self.start.elapsed()).unwrap_or(Timestamp::MAX)
    }
}
