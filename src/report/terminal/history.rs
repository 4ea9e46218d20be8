//! A history of runs in words, for the end of a screen.

use super::{count, elapsed};
use crate::results::history::{FlakeRate, History};
use crate::types::one_line;
use crate::types::show_duration;
use jiff::Timestamp;
use std::fmt::Write as _;

const MAX_LIST: usize = 10;

/// What the history says about its last run, in lines of at most `width` characters.
#[must_use]
pub fn history(history: &History, width: usize) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        let _ = writeln!(out, "{}", one_line(&text, width));
    };
    let Some((last, before)) = history.runs().split_last() else {
        return "history: no run is known\n".to_owned();
    };
    let good = history.runs().iter().filter(|past| !past.verdict.is_bad()).count();
    line(format!("history: {} of {} were good", good, count(history.runs().len(), "run")));
    match (before.is_empty(), history.difference()) {
        (true, _) => {}
        (false, None) => line("there is no green run before this one".into()),
        (false, Some(difference)) => line(format!(
            "since the last green run {} ({} before): {} broken, {} added, {} gone",
            difference.green,
            elapsed(difference.at, last.started),
            count(difference.broken.len(), "case"),
            count(difference.added.len(), "combination"),
            difference.gone.len(),
        )),
    }
    let red = history.red();
    for one in red.iter().take(MAX_LIST) {
        line(format!(
            "RED    {} {}: since run {} of {} ({}), {}",
            one.unit,
            one.case,
            one.since,
            day(one.at),
            count(one.runs, "run"),
            match &one.green {
                Some(run) => format!("last green in {run}"),
                None => "never green".into(),
            }
        ));
    }
    more(red.len(), &mut line);
    let (cases, values) = (history.flaky_cases(), history.flaky_values());
    for rate in cases.iter().take(MAX_LIST) {
        line(flaky(rate));
    }
    more(cases.len(), &mut line);
    for rate in values.iter().take(3) {
        line(flaky(rate));
    }
    for trend in history.trends().iter().filter(|trend| trend.is_slower()).take(MAX_LIST) {
        line(format!(
            "SLOWER {}: {} instead of {} ({})",
            trend.case,
            show_duration(trend.now),
            show_duration(trend.before),
            count(trend.runs, "run"),
        ));
    }
    out
}

fn flaky(rate: &FlakeRate) -> String {
    format!(
        "FLAKY  {}: {:.1} % ({} on a retry, {} alone, of {})",
        rate.what,
        rate.rate() * 100.0,
        rate.retried,
        rate.alone,
        rate.looked
    )
}

fn more(number: usize, line: &mut impl FnMut(String)) {
    if number > MAX_LIST {
        line(format!("… and {} more", number - MAX_LIST));
    }
}

fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}
