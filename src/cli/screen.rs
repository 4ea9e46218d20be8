//! What people see: data on stdout; on stderr the live table or plain lines, and messages.

use super::commands::Commands;
use crate::event::Event;
use crate::report::terminal::{Detail, Lines, Live};
use crate::report::{Facts, html, json, junit};
use crate::results::history::History;
use crate::results::timeline::Timeline;
use crate::results::{RunReport, UnitReport, write_atomically};
use crate::run::Sink;
use indicatif::ProgressDrawTarget;
use jiff::Timestamp;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Instant;

/// The page about a run, in its directory.
pub(super) const PAGE_FILE: &str = "report.html";

/// Wide enough for CI logs, narrow enough to read.
pub(super) const PLAIN_WIDTH: usize = 160;

/// Data for stdout, ending in one newline. A reader that went away is no reason to fail.
pub(super) fn data(text: &str) {
    let _ = writeln!(anstream::stdout(), "{}", text.trim_end());
}

/// Where the data of `zuul_return` goes, when it is asked for: a file, or stdout.
static ZUUL: OnceLock<Option<PathBuf>> = OnceLock::new();

/// From now on problems of input are also given as data for `zuul_return`.
pub(super) fn for_zuul(file: Option<PathBuf>) {
    let _ = ZUUL.set(file);
}

/// Data for `zuul_return`, if somebody has asked for it. Zuul may mix what a task says on stdout and on stderr, so its
/// jobs ask for a file.
pub(super) fn zuul(text: &str) {
    match ZUUL.get() {
        None => {}
        Some(None) => data(text),
        Some(Some(file)) => {
            if let Err(error) = write_atomically(file, text.as_bytes()) {
                complain(&format!("`{}` cannot be written: {error}", file.display()), "choose another place");
            }
        }
    }
}

/// A message for stderr.
pub(super) fn note(text: &str) {
    let _ = writeln!(anstream::stderr(), "{}", text.trim_end());
}

/// An error with its causes and what to do next.
pub(super) fn error(error: &dyn std::error::Error, hint: Option<&str>) {
    let mut text = format!("error: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!("\n  because: {inner}"));
        cause = inner.source();
    }
    if let Some(hint) = hint {
        text.push_str(&format!("\n\nhint: {hint}"));
    }
    note(&text);
}

/// A message that is an error in itself.
pub(super) fn complain(text: &str, hint: &str) {
    note(&format!("error: {text}\n\nhint: {hint}"));
}

/// A word of a command line, as a shell takes it.
pub(super) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Columns begin where the line begins, and stand apart by two blanks.
pub(super) fn flush_left(table: &mut comfy_table::Table) {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
}

/// Whether stderr takes colours.
pub(super) fn colour() -> bool {
    anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
}

/// The width of the terminal, or of plain lines.
pub(super) fn width() -> usize {
    match terminal_size::terminal_size_of(std::io::stderr()) {
        Some((width, _)) => usize::from(width.0).clamp(40, 200),
        None => PLAIN_WIDTH,
    }
}

/// Logs of the libraries go to stderr when `STACK_E2E_LOG` asks for them.
pub(super) fn init_tracing() {
    let filter = tracing_subscriber::EnvFilter::builder()
        .with_env_var("STACK_E2E_LOG")
        .with_default_directive(tracing_subscriber::filter::LevelFilter::OFF.into())
        .from_env_lossy();
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

/// Shows a run, and writes its reports after every unit.
pub(super) struct RunScreen {
    shown: Shown,
    junit: Vec<PathBuf>,
    json: PathBuf,
    page: Page,
    events: bool,
    trouble: Option<String>,
}

/// The page about the run. It takes longer to write than the other reports, so that it is not written after every unit
/// of a large run.
struct Page {
    file: PathBuf,
    commands: Commands,
    timeline: Timeline,
    next: Instant,
    /// What has not been written yet.
    waiting: Option<RunReport>,
}

impl Page {
    /// The share of the time that may be spent on it.
    const SHARE: u32 = 20;

    fn report(&mut self, report: &RunReport) -> std::io::Result<()> {
        let began = Instant::now();
        if began < self.next {
            self.waiting = Some(report.clone());
            return Ok(());
        }
        self.waiting = None;
        let wrote = self.write(report);
        self.next = Instant::now() + began.elapsed() * Self::SHARE;
        wrote
    }

    fn write(&self, report: &RunReport) -> std::io::Result<()> {
        let again = |unit: &UnitReport| self.commands.again(unit.info.id.as_str());
        let facts = Facts {
            report: Some(report),
            timeline: &self.timeline,
            foreign: super::report::no_foreign(),
            history: None,
            again: &again,
            resume: &self.commands.resume,
            sweep: &self.commands.sweep,
            files: Some(""),
        };
        write_atomically(&self.file, &html(&facts))
    }

    fn finish(mut self) -> std::io::Result<()> {
        match self.waiting.take() {
            Some(report) => self.write(&report),
            None => Ok(()),
        }
    }
}

enum Shown {
    Live(Box<Live>),
    Lines(Lines),
}

impl RunScreen {
    /// Reports go into `directory`, JUnit to `junit` as well. `recent` gives earlier runs to guess from.
    pub(super) fn new(
        directory: &Path,
        junit: Option<PathBuf>,
        commands: Commands,
        events: bool,
        recent: impl FnOnce() -> History,
    ) -> Self {
        let shown = if std::io::stderr().is_terminal() {
            let mut live = Live::new(ProgressDrawTarget::stderr(), width());
            live.expect(recent().expected());
            Shown::Live(Box::new(live))
        } else {
            Shown::Lines(Lines::new(Detail::All, PLAIN_WIDTH))
        };
        let page = Page {
            file: directory.join(PAGE_FILE),
            commands,
            timeline: Timeline::default(),
            next: Instant::now(),
            waiting: None,
        };
        let junit = std::iter::once(directory.join("junit.xml")).chain(junit).collect();
        Self { shown, junit, json: directory.join("report.json"), page, events, trouble: None }
    }

    /// Takes the table off the screen; says what could not be written.
    pub(super) fn finish(self) -> Option<String> {
        if let Shown::Live(live) = self.shown {
            live.finish();
        }
        let page = self.page.finish().err();
        self.trouble.or(page.map(|error| unwritten(&error)))
    }
}

impl Sink for RunScreen {
    fn earlier(&mut self, event: &Event) {
        self.page.timeline.apply(event);
        match &mut self.shown {
            Shown::Live(live) => live.apply(event),
            Shown::Lines(lines) => drop(lines.lines(event)),
        }
    }

    fn event(&mut self, event: &Event) {
        self.page.timeline.apply(event);
        if self.events
            && let Ok(line) = serde_json::to_string(event)
        {
            data(&line);
        }
        match &mut self.shown {
            Shown::Live(live) => live.apply(event),
            Shown::Lines(lines) => {
                for line in lines.lines(event) {
                    note(&line);
                }
            }
        }
    }

    fn tick(&mut self, now: Timestamp) {
        if let Shown::Live(live) = &mut self.shown {
            live.tick(now);
        }
    }

    fn report(&mut self, report: &RunReport) {
        let xml = junit(report);
        let mut wrote: Vec<std::io::Result<()>> =
            self.junit.iter().map(|file| write_atomically(file, &xml)).collect();
        wrote.push(
            json(report).map_err(Into::into).and_then(|text| write_atomically(&self.json, text.as_bytes())),
        );
        wrote.push(self.page.report(report));
        for error in wrote.into_iter().filter_map(Result::err) {
            self.trouble.get_or_insert_with(|| unwritten(&error));
        }
    }
}

fn unwritten(error: &std::io::Error) -> String {
    format!("a report could not be written: {error}")
}

#[cfg(test)]
mod tests {
    use super::word;

    #[test]
    fn a_word_is_quoted_when_a_shell_would_take_it_apart() {
        for (text, quoted) in [
            ("runs/01k:a=b,c", "runs/01k:a=b,c"),
            ("", "''"),
            ("two words", "'two words'"),
            ("it's $HOME", r"'it'\''s $HOME'"),
            ("~", "'~'"),
            ("ä", "'ä'"),
        ] {
            assert_eq!(word(text), quoted);
        }
    }
}
