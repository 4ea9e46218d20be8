//! The last screen: the verdict first, then for each bad unit what most likely broke it, where the evidence is and
//! how to run just that again; what is left behind, with the command that removes it; what did not run, and why.

use super::lines::tally_words;
use super::{cause, clean_words, count};
use crate::event::{Cleanliness, Outcome};
use crate::report::facts::{sentence, word};
use crate::report::suspects;
use crate::results::{self, CaseReport, ExitStatus, RunReport, UnitReport, Verdict};
use crate::types::{one_line, shorten, wrap};
use anstyle::{AnsiColor, Style};
use std::collections::BTreeMap;

/// This many bad units are told in full; the rest is counted.
const MAX_UNITS: usize = 10;
/// This many objects or cases are listed one by one.
const MAX_LIST: usize = 10;

/// What the screen needs besides the report.
#[derive(Clone, Copy)]
pub struct SummaryContext<'a> {
    /// The directory of the run, as the user would write it.
    pub run_dir: &'a str,
    /// Where the evidence of units begins; empty when their paths say it themselves.
    pub evidence: &'a str,
    /// The page about the run, if there is one.
    pub page: Option<&'a str>,
    /// The command that runs one unit again.
    pub rerun: &'a dyn Fn(&UnitReport) -> String,
    /// The command that finishes a run that was stopped.
    pub resume: &'a str,
    /// The command that runs what tells possible causes apart.
    pub bisect: &'a str,
    /// The command that removes what is left.
    pub sweep: &'a str,
    /// Whether to use colours.
    pub color: bool,
    /// The longest line, in characters; commands are never cut.
    pub width: usize,
}

/// The last screen of a run.
#[must_use]
pub fn summary(report: &RunReport, context: &SummaryContext<'_>) -> String {
    let mut screen = Screen { context, text: String::new() };
    screen.verdict(report);
    screen.run_trouble(report);
    screen.bad_units(report);
    screen.suspects(report);
    screen.leftovers(report);
    screen.kept(report);
    screen.second_looks(report);
    screen.left_out(report);
    screen.counts(report);
    screen.text
}

struct Screen<'a> {
    context: &'a SummaryContext<'a>,
    text: String,
}

impl Screen<'_> {
    fn line(&mut self, text: &str) {
        self.text.push_str(&shorten(text, self.context.width));
        self.text.push('\n');
    }

    /// A headline: a word that stands out, then the rest.
    fn head(&mut self, word: &str, style: Style, rest: &str) {
        let used = word.chars().count() + 1;
        let lines = wrap(rest, self.context.width.saturating_sub(used).max(20));
        for (number, line) in lines.iter().enumerate() {
            let text = match (number, self.context.color) {
                (0, true) => format!("{style}{word}{style:#} {line}"),
                (0, false) => format!("{word} {line}"),
                _ => format!("{:used$}{line}", ""),
            };
            self.text.push_str(text.trim_end());
            self.text.push('\n');
        }
    }

    /// `  key:      value`; nothing is cut when it is a command, as half a command is worse than a long line.
    fn command(&mut self, key: &str, command: &str) {
        self.text.push_str(&format!("  {key:<10}{}\n", one_line(command, usize::MAX)));
    }

    /// `  key:      value`, over several lines when it is long: a cause that is cut off is no cause.
    fn field(&mut self, key: &str, value: &str) {
        for (number, line) in wrap(value, self.context.width.saturating_sub(12).max(20)).iter().enumerate() {
            let key = if number == 0 { key } else { "" };
            self.text.push_str(&format!("  {key:<10}{line}\n"));
        }
    }

    fn verdict(&mut self, report: &RunReport) {
        let style = if report.exit_status() == ExitStatus::Passed { good() } else { bad_style() };
        self.head(word(report), style, &sentence(report));
    }

    fn run_trouble(&mut self, report: &RunReport) {
        if let Some(failure) = &report.prepare_failure {
            self.text.push('\n');
            self.head(
                loud(Verdict::of_failure(failure)),
                bad_style(),
                "shared preparation of all combinations",
            );
            self.field("cause:", &cause(failure, usize::MAX));
            if let Some(hint) = &failure.hint {
                self.field("hint:", hint);
            }
        }
        match (report.cancelled, report.complete) {
            (Some(reason), _) => {
                self.text.push('\n');
                self.head("STOPPED", bad_style(), &format!("early: {}", reason.as_str()));
                self.command("finish:", self.context.resume);
            }
            (None, false) => {
                self.text.push('\n');
                self.head(
                    "NO END",
                    bad_style(),
                    "of the run is on record: it goes on elsewhere, or was killed",
                );
                self.command("finish:", self.context.resume);
            }
            (None, true) => {}
        }
    }

    fn bad_units(&mut self, report: &RunReport) {
        let (ran, never): (Vec<&UnitReport>, Vec<&UnitReport>) = report
            .units
            .iter()
            .filter(|unit| unit.verdict().is_bad())
            .partition(|unit| unit.started.is_some());
        for unit in ran.iter().take(MAX_UNITS) {
            self.bad_unit(unit);
        }
        if ran.len() > MAX_UNITS {
            let more = count(ran.len() - MAX_UNITS, "more bad combination");
            self.line(&format!("\n{more}: see the report in {}", self.context.run_dir));
        }
        // One reason, many units: the reason once.
        let mut reasons: BTreeMap<&str, Vec<&UnitReport>> = BTreeMap::new();
        for unit in never {
            let why = match &report.prepare_failure {
                // Told above.
                Some(_) => Some("never ran"),
                None => unit.cases.first().and_then(|case| case.missing.as_deref()),
            };
            reasons.entry(why.unwrap_or("never ran")).or_default().push(unit);
        }
        for (why, units) in reasons {
            self.text.push('\n');
            self.head(&count(units.len(), "combination"), bad_style(), why);
            for unit in units.iter().take(3) {
                self.line(&format!("  {}  {}", unit.info.id, title(unit)));
            }
            if units.len() > 3 {
                self.line(&format!("  … and {} more", units.len() - 3));
            }
        }
    }

    fn bad_unit(&mut self, unit: &UnitReport) {
        self.text.push('\n');
        self.head(loud(unit.verdict()), bad_style(), &format!("{}  {}", unit.info.id, title(unit)));
        let troubles: Vec<&CaseReport> = unit.cases.iter().filter(|case| case.verdict.is_bad()).collect();
        match troubles.first() {
            Some(first) => {
                self.field("cause:", &trouble(first));
                if let Some(failure) = first.failure() {
                    if let Some(object) = &failure.object {
                        self.field("object:", &object.to_string());
                    }
                    if let Some(hint) = &failure.hint {
                        self.field("hint:", hint);
                    }
                }
            }
            // All cases are well, so it is the proof that is missing.
            None => self.line(&format!("  {}", one_line(&clean_words(&unit.clean), self.context.width))),
        }
        for case in troubles.iter().skip(1).take(3) {
            self.field("then:", &trouble(case));
        }
        if troubles.len() > 4 {
            self.field("then:", &format!("{} more", troubles.len() - 4));
        }
        if let Some(first) = unit.evidence.first() {
            let more = match unit.evidence.len() {
                1 => String::new(),
                n => format!(" and {} more", n - 1),
            };
            let begin = match self.context.evidence {
                "" => String::new(),
                begin => format!("{begin}/"),
            };
            self.field("evidence:", &format!("{begin}{first}{more}"));
        }
        self.command("again:", &(self.context.rerun)(unit));
    }

    /// What the failures have in common.
    fn suspects(&mut self, report: &RunReport) {
        let found = results::suspects::suspects(report);
        if found.is_empty() {
            return;
        }
        self.text.push('\n');
        self.head("IN COMMON", notice(), "what failed combinations have, and none that passed");
        for suspect in &found {
            self.field("values:", &suspects::sentence(suspect));
        }
        if found.len() > 1 {
            self.command("apart:", self.context.bisect);
        }
    }

    fn leftovers(&mut self, report: &RunReport) {
        match &report.clean {
            Cleanliness::Clean | Cleanliness::Kept => {}
            Cleanliness::Left { objects } => {
                self.text.push('\n');
                let number = count(objects.len(), "object");
                self.head("LEFT BEHIND", bad_style(), &number);
                for object in objects.iter().take(MAX_LIST) {
                    self.line(&format!("  {}", one_line(&object.to_string(), self.context.width)));
                }
                if objects.len() > MAX_LIST {
                    self.line(&format!("  … and {} more", objects.len() - MAX_LIST));
                }
                self.command("remove:", self.context.sweep);
            }
            Cleanliness::Unknown { why } => {
                self.text.push('\n');
                self.head("NOT PROVEN CLEAN", bad_style(), why);
                self.command("look:", self.context.sweep);
            }
        }
    }

    fn kept(&mut self, report: &RunReport) {
        let kept: Vec<&UnitReport> = report
            .units
            .iter()
            .filter(|unit| unit.clean == Cleanliness::Kept || !unit.commands.is_empty())
            .collect();
        if kept.is_empty() {
            return;
        }
        for unit in kept {
            self.text.push('\n');
            self.head("KEPT", notice(), &format!("{}  {}", unit.info.id, title(unit)));
            // What removes it stands once, below.
            for command in unit.commands.iter().filter(|command| *command != self.context.sweep) {
                self.command("", command);
            }
        }
        self.command("remove:", self.context.sweep);
    }

    /// Good by the rules, but worth a second look.
    fn second_looks(&mut self, report: &RunReport) {
        let mut lines: Vec<(&str, String)> = Vec::new();
        for unit in &report.units {
            for case in &unit.cases {
                let id = &unit.info.id;
                match case.deciding().map(|attempt| &attempt.outcome) {
                    Some(Outcome::Passed { .. }) if case.verdict == Verdict::Flaky => {
                        let tries = case.attempts.len();
                        lines.push(("FLAKY", format!("{id}  {} passed on attempt {tries}", case.case)));
                    }
                    Some(Outcome::Passed { note }) if note.starts_with("expected to fail") => {
                        lines.push(("FIXED", format!("{id}  {}: {note}", case.case)));
                    }
                    Some(Outcome::Failed { failure, expected: Some(reason) })
                        if case.verdict == Verdict::Skipped =>
                    {
                        let summary = &failure.summary;
                        lines.push(("KNOWN", format!("{id}  {}: {reason} ({summary})", case.case)));
                    }
                    Some(Outcome::Passed { .. } | Outcome::Failed { .. } | Outcome::Skipped { .. })
                    | None => {}
                }
            }
        }
        if !lines.is_empty() {
            self.text.push('\n');
        }
        let more = lines.len().saturating_sub(MAX_LIST);
        for (word, rest) in lines.into_iter().take(MAX_LIST) {
            self.head(word, notice(), &rest);
        }
        if more > 0 {
            self.line(&format!("… and {more} more: see the report in {}", self.context.run_dir));
        }
    }

    fn left_out(&mut self, report: &RunReport) {
        if report.left_out.is_empty() {
            return;
        }
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for one in &report.left_out {
            *reasons.entry(&one.reason).or_default() += 1;
        }
        self.line(&format!("\nleft out: {}", count(report.left_out.len(), "combination")));
        let more = reasons.len().saturating_sub(MAX_LIST);
        for (reason, number) in reasons.into_iter().take(MAX_LIST) {
            let reason = one_line(reason, self.context.width);
            self.line(&format!("  {number:>4}  {reason}"));
        }
        if more > 0 {
            self.line(&format!("  … for {} more", count(more, "reason")));
        }
    }

    fn counts(&mut self, report: &RunReport) {
        let units: Vec<Verdict> = report.units.iter().map(UnitReport::verdict).collect();
        let cases = report.units.iter().flat_map(|unit| &unit.cases);
        let cases: Vec<Verdict> = cases.map(|case| case.verdict).collect();
        self.text.push('\n');
        if !units.is_empty() {
            self.line(&format!("{}: {}", count(units.len(), "combination"), tally_words(units.iter())));
            self.line(&format!("{}: {}", count(cases.len(), "case"), tally_words(cases.iter())));
        }
        self.line(&format!("everything about this run: {}", self.context.run_dir));
        if let Some(page) = self.context.page {
            // Not cut: it is to be opened.
            self.text.push_str(&format!("as a page: {page}\n"));
        }
    }
}

fn trouble(case: &CaseReport) -> String {
    let why = match (case.failure(), &case.missing) {
        (Some(failure), _) => &failure.summary,
        (None, Some(missing)) => missing,
        (None, None) => case.verdict.as_str(),
    };
    let attempts = match case.attempts.len() {
        0 | 1 => String::new(),
        n => format!(" ({n} attempts)"),
    };
    format!("{}{attempts}: {why}", case.case)
}

fn title(unit: &UnitReport) -> String {
    one_line(&format!("{}: {}", unit.info.scenario, unit.info.name), 200)
}

fn loud(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Skipped => "SKIPPED",
        Verdict::Passed => "PASSED",
        Verdict::Flaky => "FLAKY",
        Verdict::Failed => "FAILED",
        Verdict::Errored => "ERRORED",
    }
}

fn good() -> Style {
    AnsiColor::Green.on_default().bold()
}

fn bad_style() -> Style {
    AnsiColor::Red.on_default().bold()
}

fn notice() -> Style {
    AnsiColor::Yellow.on_default().bold()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{CancelReason, EventKind, Failure, FailureClass as Class};
    use crate::results::script::{self, Script, object};

    const CASES: &[&str] = &["provision", "check/nodes-ready", "tear-down", "prove-clean"];

    fn screen(script: &Script) -> String {
        let again = |unit: &UnitReport| format!("stack-e2e run scenarios/local.yaml --only {}", unit.info.id);
        let context = SummaryContext {
            run_dir: "runs/01kb3v7a9xq4m2te",
            evidence: "runs/01kb3v7a9xq4m2te",
            page: None,
            rerun: &again,
            resume: "stack-e2e run --resume 01kb3v7a9xq4m2te",
            bisect: "stack-e2e run scenarios/local.yaml --bisect RUN",
            sweep: "stack-e2e sweep --run 01kb3v7a9xq4m2te --yes",
            color: false,
            width: 100,
        };
        let report = script.report();
        let plain = summary(&report, &context);
        let styled = summary(&report, &SummaryContext { color: true, ..context });
        assert_eq!(anstream::adapter::strip_str(&styled).to_string(), plain);
        assert_ne!(styled, plain);
        plain
    }

    fn timed_out() -> Script {
        let failure = Failure::new(
            Class::TimedOut,
            "not available after 20m00s: Machine `e2e-a-cp-1` waits for its server: quota exceeded for cores",
        )
        .about(Some(object("OpenStackMachine/e2e/e2e-a-cp-1")))
        .hint("raise the quota, or run with `--concurrency 1`");
        Script::new()
            .unit("a", CASES)
            .started()
            .fails_with("a", "provision", failure)
            .skips("a", "check/nodes-ready", "not run: provision failed")
            .collects("a", &["aaaaaaaa/tree.txt"], &[])
    }

    #[test]
    fn whole_screens() {
        insta::assert_snapshot!("all_passed", screen(&script::all_passed()));
        insta::assert_snapshot!("one_failure", screen(&script::one_failure()));
        let gone = &["tear-down", "prove-clean"];
        insta::assert_snapshot!("timed_out", screen(&timed_out().passes("a", gone).unit_clean("a").clean()));
        insta::assert_snapshot!(
            "kept",
            screen(
                &timed_out()
                    .skips("a", "tear-down", "kept on request")
                    .skips("a", "prove-clean", "kept on request")
                    .event(
                        Some("a"),
                        EventKind::Kept {
                            commands: vec![
                                "export KUBECONFIG=runs/01kb3v7a9xq4m2te/aaaaaaaa/kubeconfig".into()
                            ],
                        }
                    )
                    .unit_ends("a", Cleanliness::Kept)
                    .kept()
            )
        );
        insta::assert_snapshot!(
            "leftovers",
            screen(
                &timed_out()
                    .fails_as(
                        "a",
                        "tear-down",
                        Class::TearDown,
                        "`Cluster/e2e/e2e-a` is not gone after 15m00s"
                    )
                    .fails_as("a", "prove-clean", Class::Leftover, "2 objects are left")
                    .unit_ends("a", script::left(&["Cluster/e2e/e2e-a", "Machine/e2e/e2e-a-cp-1"]))
                    .left(&["Cluster/e2e/e2e-a", "Machine/e2e/e2e-a-cp-1"])
            )
        );
    }

    #[test]
    fn screens_of_runs_that_did_not_end_as_planned() {
        let many = || ["a", "b", "c", "d", "e"].iter().fold(Script::new(), |s, u| s.unit(u, CASES));
        insta::assert_snapshot!(
            "infrastructure",
            screen(
                &many()
                    .prepare_fails(
                        Class::Infrastructure,
                        "the management cluster does not answer: no route to host"
                    )
                    .clean()
            )
        );
        insta::assert_snapshot!(
            "interrupted",
            screen(
                &many()
                    .event(None, EventKind::Prepared { failure: None })
                    .event(Some("a"), EventKind::UnitStarted)
                    .passes("a", &["provision"])
                    .cancelled(CancelReason::Interrupt)
                    .fails_as("a", "check/nodes-ready", Class::Cancelled, "interrupted (SIGINT)")
                    .passes("a", &["tear-down", "prove-clean"])
                    .unit_clean("a")
                    .clean()
            )
        );
        insta::assert_snapshot!("killed", screen(&timed_out()));
        insta::assert_snapshot!("nothing_selected", screen(&Script::new().clean()));
    }

    #[test]
    fn second_looks_and_reasons() {
        let script = Script::new()
            .unit("a", CASES)
            .leaves_out("yawol=on", "yawol does not start on 1.29")
            .leaves_out("yawol=on lb=x", "yawol does not start on 1.29")
            .leaves_out("x=y", "not among the pairs")
            .started()
            .fails("a", "provision", "first try")
            .passes("a", &["provision"])
            .fails_as_expected("a", "check/nodes-ready", Class::CheckFailed, "1.27 is out of support")
            .ends(
                "a",
                "check/dns",
                Outcome::Passed { note: "expected to fail but passed: remove the expect entry".into() },
            )
            .passes("a", &["tear-down", "prove-clean"])
            .unit_clean("a")
            .clean();
        insta::assert_snapshot!(screen(&script));
    }

    #[test]
    fn hostile_texts_move_nothing() {
        let hostile = "x\u{1b}[2J\n::error::y\r\u{202e}z ::error::y".repeat(9);
        let hostile = hostile.as_str();
        let script = Script::new()
            .unit("a", &[hostile])
            .leaves_out(hostile, hostile)
            .started()
            .fails_with(
                "a",
                hostile,
                Failure::new(Class::CheckFailed, hostile).hint(hostile).about(Some(object("a/b"))),
            )
            .collects("a", &[hostile], &[hostile])
            .clean_unknown(hostile);
        let text = screen(&script);
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        assert!(!text.lines().any(|line| line.trim_start().starts_with("::")), "{text}");
    }
}
