//! For people at a terminal: plain lines for CI, a live table, and the last screen. All of it is text made from
//! events and reports; only `Live` draws, to the target it is given.

mod foreign;
mod history;
mod lines;
mod live;
mod summary;

pub use foreign::foreign;
pub use history::history;
pub(crate) use lines::tally_words;
pub use lines::{Detail, Lines};
pub use live::{Live, LiveState, Row};
pub use summary::{SummaryContext, summary};

use crate::event::{Cleanliness, Failure};
use crate::types::one_line;
use crate::types::show_duration;
use jiff::Timestamp;
use std::time::Duration;

/// From one moment to another, for people; a clock that was set back counts as no time.
pub(crate) fn elapsed(from: Timestamp, to: Timestamp) -> String {
    show_duration(Duration::try_from(to.duration_since(from)).unwrap_or_default())
}

/// `1 unit`, `2 units`
pub(crate) fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

/// The one line of a failure; names the object unless the summary does already.
pub(crate) fn cause(failure: &Failure, max: usize) -> String {
    match &failure.object {
        Some(object) if !failure.summary.contains(&object.name) => {
            one_line(&format!("{object}: {}", failure.summary), max)
        }
        Some(_) | None => one_line(&failure.summary, max),
    }
}

pub(crate) fn clean_words(clean: &Cleanliness) -> String {
    match clean {
        Cleanliness::Clean => "proven clean".into(),
        Cleanliness::Left { objects } => format!("NOT clean: {} left", count(objects.len(), "object")),
        Cleanliness::Unknown { why } => format!("NOT proven clean: {why}"),
        Cleanliness::Kept => "kept on request".into(),
    }
}
