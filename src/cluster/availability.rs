//! Asks a service many times a second while something else is done, and says for how long it did not answer.

use crate::event::Seen;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// From one question to the next: more than ten in a second.
const SPACING: Duration = Duration::from_millis(90);
/// An answer that takes longer is none. A second is what the kubelet gives its probes.
const PATIENCE: Duration = Duration::from_secs(1);

/// Carries out `work` and asks meanwhile. The service must answer once before the work begins: what could not be
/// reached before says nothing about the change. Questions do not wait for each other, so that one that hangs
/// does not hide what follows. `ask` gives why there was no answer.
pub async fn during<T, A, F>(work: impl Future<Output = T>, ask: A) -> (T, Seen)
where
    A: Fn() -> F,
    F: Future<Output = Result<(), String>>,
{
    if let Err(why) = one(&ask).await {
        return (work.await, Seen::Unknown { why: format!("it did not answer before the change: {why}") });
    }
    let start = Instant::now();
    let mut meter = Meter::default();
    let mut ticks = interval(SPACING);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut asked = FuturesUnordered::new();
    tokio::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return (done, meter.end(start.elapsed())),
            Some((sent, answer)) = asked.next(), if !asked.is_empty() => match answer {
                Ok(()) => meter.good(start.elapsed()),
                Err(why) => meter.bad(sent, start.elapsed(), why),
            },
            _ = ticks.tick() => {
                let (sent, question) = (start.elapsed(), one(&ask));
                asked.push(async move { (sent, question.await) });
            }
        }
    }
}

async fn one<A, F>(ask: &A) -> Result<(), String>
where
    A: Fn() -> F,
    F: Future<Output = Result<(), String>>,
{
    let late = |_| Err(format!("no answer within {}", crate::types::show_duration(PATIENCE)));
    timeout(PATIENCE, ask()).await.unwrap_or_else(late)
}

/// Answers and failures -> downtime. All times count from the good answer before the first question.
#[derive(Debug, Default)]
struct Meter {
    probes: u64,
    failed: u64,
    last_good: Duration,
    down_since: Option<Duration>,
    downtime: Duration,
    longest_gap: Duration,
    first_failure: Option<String>,
}

impl Meter {
    fn good(&mut self, at: Duration) {
        self.probes += 1;
        if let Some(since) = self.down_since.take() {
            self.downtime += at.saturating_sub(since);
        }
        self.longest_gap = self.longest_gap.max(at.saturating_sub(self.last_good));
        self.last_good = self.last_good.max(at);
    }

    /// A question that was sent at `sent` came to nothing at `at`. Where a later one was answered meanwhile, the
    /// service is down from that answer on at most.
    fn bad(&mut self, sent: Duration, at: Duration, why: String) {
        self.probes += 1;
        self.failed += 1;
        self.first_failure.get_or_insert(why);
        let since = sent.max(self.last_good).min(at);
        let earlier = self.down_since.unwrap_or(since);
        self.down_since = Some(earlier.min(since));
    }

    fn end(mut self, at: Duration) -> Seen {
        if let Some(since) = self.down_since.take() {
            self.downtime += at.saturating_sub(since);
        }
        self.longest_gap = self.longest_gap.max(at.saturating_sub(self.last_good));
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Seen::Measured {
            downtime_ms: milliseconds(self.downtime),
            longest_gap_ms: milliseconds(self.longest_gap),
            probes: self.probes,
            failed: self.failed,
            first_failure: self.first_failure,
        }
    }
}

#[cfg(test)]
mod tests;
