//! What pages about results are made of, and the sentence that stands first on each of them.

use crate::event::Cleanliness;
use crate::report::terminal::{count, elapsed};
use crate::results::foreign::Foreign;
use crate::results::history::History;
use crate::results::timeline::Timeline;
use crate::results::{ExitStatus, RunReport, UnitReport, Verdict};

/// Everything that is known, and how to go on.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// The run, or several as one.
    pub report: Option<&'a RunReport>,
    /// When what was done.
    pub timeline: &'a Timeline,
    /// Results of other tools.
    pub foreign: &'a Foreign,
    /// Earlier runs; the last one is this run.
    pub history: Option<&'a History>,
    /// The command that runs one unit again.
    pub again: &'a dyn Fn(&UnitReport) -> String,
    /// The command that finishes a run that was stopped.
    pub resume: &'a str,
    /// The command that removes what is left.
    pub sweep: &'a str,
    /// Where the files of evidence begin, as seen from the page: empty, or a relative path that ends in `/`. `None`
    /// when they cannot be reached from there.
    pub files: Option<&'a str>,
}

/// How the last word is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Bad,
    /// Nothing is known about the product.
    Unsure,
}

/// The word that stands first.
pub(crate) fn word(report: &RunReport) -> &'static str {
    match report.exit_status() {
        ExitStatus::Passed => "PASSED",
        ExitStatus::Failed => "FAILED",
        ExitStatus::Inconclusive if report.verdict() == Verdict::Errored => "ERRORED",
        ExitStatus::Inconclusive => "INCONCLUSIVE",
        ExitStatus::NotProvenClean => match report.clean {
            Cleanliness::Left { .. } => "NOT CLEAN",
            Cleanliness::Unknown { .. } | Cleanliness::Kept | Cleanliness::Clean => "NOT PROVEN CLEAN",
        },
        ExitStatus::NothingSelected => "NOTHING SELECTED",
        ExitStatus::Interrupted => "INTERRUPTED",
        ExitStatus::Terminated => "TERMINATED",
    }
}

/// What the run came to, in a sentence.
pub(crate) fn sentence(report: &RunReport) -> String {
    let total = report.units.len();
    let bad = report.units.iter().filter(|unit| unit.verdict().is_bad()).count();
    let what = match (total, bad) {
        (0, _) => "no combination ran".to_owned(),
        (_, 0) => format!("{} good", count(total, "combination")),
        _ => format!("{bad} of {} bad", count(total, "combination")),
    };
    let time = elapsed(report.started, report.finished);
    // What is left, or why nobody knows, is told elsewhere in full.
    let clean = match &report.clean {
        Cleanliness::Clean => "proven clean".to_owned(),
        Cleanliness::Left { objects } => format!("{} left behind", count(objects.len(), "object")),
        Cleanliness::Unknown { .. } => "it is not known what is left".to_owned(),
        Cleanliness::Kept => "clusters were kept on request".to_owned(),
    };
    format!("in {time}: {what}; {clean}")
}

impl Facts<'_> {
    /// How a process that tells these facts should end.
    #[must_use]
    pub fn exit_status(&self) -> ExitStatus {
        let foreign = match self.foreign.verdict() {
            Verdict::Errored => ExitStatus::Inconclusive,
            Verdict::Failed => ExitStatus::Failed,
            Verdict::Flaky | Verdict::Passed | Verdict::Skipped => ExitStatus::Passed,
        };
        match self.report.map(RunReport::exit_status) {
            Some(own) => own.max(foreign),
            None if self.foreign.cases() == 0 => ExitStatus::NothingSelected,
            None => foreign,
        }
    }

    /// The word that stands first, other results included.
    pub(crate) fn word(&self) -> &'static str {
        match (self.report, self.exit_status()) {
            (Some(report), status) if report.exit_status() == status => word(report),
            (_, ExitStatus::Failed) => "FAILED",
            (_, ExitStatus::Passed) => "PASSED",
            (_, ExitStatus::NothingSelected) => "NOTHING SELECTED",
            (_, _) => "ERRORED",
        }
    }

    pub(crate) fn tone(&self) -> Tone {
        match self.exit_status() {
            ExitStatus::Passed => Tone::Good,
            ExitStatus::Failed => Tone::Bad,
            ExitStatus::Inconclusive => Tone::Unsure,
            ExitStatus::NothingSelected | ExitStatus::Interrupted | ExitStatus::Terminated => Tone::Unsure,
            ExitStatus::NotProvenClean => Tone::Bad,
        }
    }

    /// What everything came to, in a sentence after the word.
    pub(crate) fn sentence(&self) -> String {
        let own = self.report.map(sentence);
        let bad: usize = self.foreign.files.iter().map(|file| file.failed + file.errored).sum();
        let cases = count(self.foreign.cases(), "case");
        let foreign = match (self.foreign.files.len(), bad) {
            (0, _) => None,
            (files, 0) => Some(format!("{cases} of {} good", count(files, "other file"))),
            (files, bad) => Some(format!("{bad} of {cases} of {} bad", count(files, "other file"))),
        };
        match (own, foreign) {
            (Some(own), Some(foreign)) => format!("{own}; {foreign}"),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => "there is nothing to report".to_owned(),
        }
    }
}
