//! The one driver of waits: a pure condition over what is observed, and a deadline.

use super::observe::ViewReceiver;
use super::view::ClusterView;
use crate::event::{Failure, FailureClass};
use crate::types::{ObjectRef, show_duration};
use std::time::Duration;
use tokio::time::Instant;

/// How long a broken watch is borne before the wait gives up: an API server restarts within that time.
pub const BLIND_LIMIT: Duration = Duration::from_secs(120);
/// A watch that is broken for that long when the time is over has hidden what the wait was for.
const BLIND_AT_END: Duration = Duration::from_secs(10);

/// Why a condition does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// One line.
    pub text: String,
    /// The object at the root of it.
    pub object: Option<ObjectRef>,
}

impl Why {
    /// A reason that names an object.
    #[must_use]
    pub fn of(object: ObjectRef, text: impl Into<String>) -> Self {
        Self { text: text.into(), object: Some(object) }
    }

    /// A reason without an object.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), object: None }
    }
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.object {
            Some(object) => write!(f, "{}/{}: {}", object.kind, object.name, self.text),
            None => f.write_str(&self.text),
        }
    }
}

/// What a condition says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress<T> {
    /// It holds.
    Ready(T),
    /// It does not hold yet.
    NotYet(Why),
    /// It will not hold, however long one waits.
    Never(Why),
}

/// How a wait ends badly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WaitError {
    /// A terminal condition.
    #[error("{0}")]
    Never(Why),
    /// The deadline passed.
    #[error("not within {}; last: {last}{}", show_duration(*limit), stalled(*unchanged))]
    TimedOut {
        /// The time that was given.
        limit: Duration,
        /// The last reason.
        last: Why,
        /// For how long no object had changed when the time was over.
        unchanged: Duration,
    },
    /// The API server could not be watched.
    #[error("the API server could not be watched for {}: {why}", show_duration(*unseen))]
    Blind {
        /// For how long.
        unseen: Duration,
        /// The last error.
        why: String,
    },
}

fn stalled(unchanged: Duration) -> String {
    if unchanged < Duration::from_secs(10) {
        String::new()
    } else {
        format!(" (no object has changed for {})", show_duration(unchanged))
    }
}

impl WaitError {
    /// The failure for a report.
    #[must_use]
    pub fn failure(&self, what: &str) -> Failure {
        let (class, object) = match self {
            Self::Never(why) => (FailureClass::Terminal, why.object.clone()),
            Self::TimedOut { last, .. } => (FailureClass::TimedOut, last.object.clone()),
            Self::Blind { .. } => (FailureClass::Infrastructure, None),
        };
        Failure::new(class, format!("{what}: {self}")).about(object)
    }
}

/// Waits until `condition` is [`Progress::Ready`], looking again after every change of the view. `on_why` hears
/// every new reason once.
///
/// # Errors
/// The condition says never, the time is over, or the API server cannot be watched.
pub async fn wait<T>(
    views: &mut ViewReceiver,
    limit: Duration,
    mut on_why: impl FnMut(&Why),
    mut condition: impl FnMut(&ClusterView) -> Progress<T>,
) -> Result<T, WaitError> {
    let deadline = Instant::now() + limit;
    let mut last = Why::new("nothing has been observed yet");
    loop {
        let view = views.borrow_and_update().clone();
        if view.synced {
            match condition(&view) {
                Progress::Ready(value) => return Ok(value),
                Progress::Never(why) => return Err(WaitError::Never(why)),
                Progress::NotYet(why) => {
                    if why != last {
                        on_why(&why);
                        last = why;
                    }
                }
            }
        }
        let blind = view.trouble.as_ref().map_or(deadline, |(since, _)| *since + BLIND_LIMIT);
        tokio::select! {
            changed = views.changed() => if changed.is_err() {
                let why = "the observer has ended".into();
                return Err(WaitError::Blind { unseen: Duration::ZERO, why });
            },
            () = tokio::time::sleep_until(deadline.min(blind)) => {
                return Err(match &view.trouble {
                    Some((since, why)) if since.elapsed() >= BLIND_AT_END => {
                        WaitError::Blind { unseen: since.elapsed(), why: why.clone() }
                    }
                    _ => WaitError::TimedOut { limit, last, unchanged: view.changed.elapsed() },
                });
            }
        }
    }
}
