//! `report --replay`: the screen of a run again, from its journal.

use crate::cli::exit::Exit;
use crate::cli::{inputs, screen};
use crate::event::Event;
use crate::report::terminal::{Detail, Lines, Live};
use crate::results::each_event;
use indicatif::ProgressDrawTarget;
use jiff::Timestamp;
use std::io::IsTerminal as _;
use std::path::Path;
use std::time::Duration;

/// A wait of a night is shown as a short one, however slowly the rest goes.
const LONGEST: Duration = Duration::from_secs(5);
const FRAME: Duration = Duration::from_millis(100);

pub(super) fn parse_speed(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(speed) if (0.01..=1e6).contains(&speed) => Ok(speed),
        Ok(_) | Err(_) => Err("a number from 0.01 to 1000000, e.g. 60 for a minute in a second".into()),
    }
}

pub(super) fn replay(directory: &Path, speed: Option<f64>) -> Result<(), Exit> {
    let runtime = inputs::run_runtime()?;
    let mut shown = if std::io::stderr().is_terminal() {
        Ok(Live::new(ProgressDrawTarget::stderr(), screen::width()))
    } else {
        Err(Lines::new(Detail::All, screen::PLAIN_WIDTH))
    };
    let mut last: Option<Timestamp> = None;
    let mut show = |event: Event| {
        if let (Some(before), Some(speed)) = (last, speed) {
            let passed = Duration::try_from(event.at.duration_since(before)).unwrap_or_default();
            let wait = Duration::try_from_secs_f64(passed.as_secs_f64() / speed).unwrap_or(LONGEST);
            runtime.block_on(pass(wait.min(LONGEST), before, passed, &mut shown));
        }
        last = Some(event.at);
        match &mut shown {
            Ok(live) => live.apply(&event),
            Err(lines) => lines.lines(&event).iter().for_each(|line| screen::note(line)),
        }
    };
    let read = each_event(directory, &mut show);
    if let Ok(live) = shown {
        live.finish();
    }
    read.map(drop).map_err(|error| {
        screen::error(&error, Some("`--replay` names the directory of a run, or its journal"));
        Exit::BadInput
    })
}

/// Lets time pass, and the clock on the screen with it.
async fn pass(wait: Duration, from: Timestamp, passed: Duration, shown: &mut Result<Live, Lines>) {
    let mut gone = Duration::ZERO;
    while gone < wait {
        let step = FRAME.min(wait - gone);
        tokio::time::sleep(step).await;
        gone += step;
        if let Ok(live) = shown {
            live.tick(from + passed.mul_f64(gone.as_secs_f64() / wait.as_secs_f64()));
        }
    }
}
