//! What a Zuul job returns by `zuul_return`: comments on lines of files, warnings, artifacts, and which child jobs
//! run. Zuul shows a comment only on files that the change touches, so the same is said in the warnings.

use super::suspects::sentence;
use crate::event::{Cleanliness, Failure};
use crate::results::suspects::suspects_by_scenario;
use crate::results::{RunReport, UnitReport, Verdict};
use crate::scenario::{Places, Problem, Problems, Span};
use crate::types::CaseId;
use crate::types::{one_line, printable};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

/// More failures of one cause are counted, not told.
const MAX_TOLD: usize = 5;
/// Longer sentences are cut.
const MAX_LINE: usize = 300;

/// A file that a job leaves behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Artifact {
    /// What people read on the page of the build.
    pub name: String,
    /// Where it is; relative to the logs of the build.
    pub url: String,
}

/// What is at fault.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Error,
}

/// A comment on a line of a file of the tested change.
#[derive(Debug, Serialize)]
struct Comment {
    line: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<Range>,
    message: String,
    level: Level,
}

/// Lines count from 1, characters from 0.
#[derive(Debug, Serialize)]
struct Range {
    start_line: usize,
    start_character: usize,
    end_line: usize,
    end_character: usize,
}

/// One child job and what it runs.
#[derive(Debug, Serialize)]
struct Shard {
    job: String,
    shard: u32,
    only: Vec<String>,
}

/// The data of `zuul_return`.
#[derive(Debug, Default, Serialize)]
struct Returned {
    zuul: Own,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stack_e2e_shards: Vec<Shard>,
}

/// What Zuul itself reads of it.
#[derive(Debug, Default, Serialize)]
struct Own {
    #[serde(skip_serializing_if = "Option::is_none")]
    child_jobs: Option<Vec<String>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    file_comments: BTreeMap<String, Vec<Comment>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    artifacts: Vec<Artifact>,
}

impl Returned {
    fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// A comment, where the file is one of the project; Zuul knows no others.
    fn comment(&mut self, file: &Path, span: Span, message: String) {
        let Some(file) = within_project(file) else { return };
        let character = span.column.saturating_sub(1);
        let range = (span.line > 0).then(|| Range {
            start_line: span.line,
            start_character: character,
            end_line: span.line,
            end_character: character.saturating_add(span.length),
        });
        let comment = Comment { line: span.line.max(1), range, message, level: Level::Error };
        self.zuul.file_comments.entry(file).or_default().push(comment);
    }

    fn warn(&mut self, text: &str) {
        self.zuul.warnings.push(one_line(text, MAX_LINE));
    }
}

/// `./scenarios/a.yaml` -> `scenarios/a.yaml`; nothing for what may lie elsewhere.
fn within_project(file: &Path) -> Option<String> {
    let mut parts = Vec::new();
    for part in file.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(name) => parts.push(name.to_str()?),
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.join("/")).filter(|path| !path.is_empty())
}

/// What the release gate says: a warning for each line, and its files.
#[must_use]
pub fn answer(lines: &[String], artifacts: Vec<Artifact>) -> String {
    let mut returned = Returned::default();
    lines.iter().for_each(|line| returned.warn(line));
    returned.zuul.artifacts = artifacts;
    returned.json()
}

/// Problems of scenario files.
#[must_use]
pub fn problems(problems: &Problems) -> String {
    let mut returned = Returned::default();
    for problem in &problems.0 {
        returned.comment(problem.file(), problem.span(), explained(problem));
        returned.warn(&problem.to_string());
    }
    returned.json()
}

fn explained(problem: &Problem) -> String {
    let mut text = problem.message().to_owned();
    if let Some(hint) = problem.hint_text() {
        text.push_str(&format!("\n\nhint: {hint}"));
    }
    for (file, span, what) in problem.related_places() {
        text.push_str(&format!("\n\n{}:{}: {what}", file.display(), span.line));
    }
    text
}

/// Nothing is wrong.
#[must_use]
pub fn nothing() -> String {
    Returned::default().json()
}

/// The child jobs that have something to do, and what. `runs` are ids of combinations with the numbers, from 1, of
/// their shards; the job of shard 2 is `PREFIX-2`.
#[must_use]
pub fn shards<'a>(prefix: &str, runs: impl IntoIterator<Item = (u32, &'a str)>) -> String {
    let mut by_number: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for (shard, id) in runs {
        by_number.entry(shard).or_default().push(id.to_owned());
    }
    let shard = |(shard, only): (u32, Vec<String>)| Shard { job: format!("{prefix}-{shard}"), shard, only };
    let shards: Vec<Shard> = by_number.into_iter().map(shard).collect();
    let jobs = shards.iter().map(|shard| shard.job.clone()).collect();
    let own = Own { child_jobs: Some(jobs), ..Own::default() };
    Returned { zuul: own, stack_e2e_shards: shards }.json()
}

/// What a run came to. `places` are those of its scenarios, by name.
#[must_use]
pub fn results(report: &RunReport, places: &BTreeMap<String, Places>, artifacts: Vec<Artifact>) -> String {
    let mut returned = Returned::default();
    returned.zuul.artifacts = artifacts;
    failures(report, places, &mut returned);
    troubles(report, &mut returned);
    returned.json()
}

/// What the product is at fault for: by the values that explain it, else the stack.
fn failures(report: &RunReport, places: &BTreeMap<String, Places>, returned: &mut Returned) {
    let failed: Vec<&UnitReport> = report.units.iter().filter(|u| u.verdict() == Verdict::Failed).collect();
    let suspects = suspects_by_scenario(report);
    let scenarios: BTreeSet<&str> = failed.iter().map(|unit| unit.info.scenario.as_str()).collect();
    for scenario in scenarios {
        let mut rest: Vec<&UnitReport> =
            failed.iter().copied().filter(|unit| unit.info.scenario == scenario).collect();
        let known = places.get(scenario);
        let suspects = suspects.get(scenario).cloned().unwrap_or_default();
        for suspect in &suspects {
            let has = |unit: &&UnitReport| suspect.values.iter().all(|(s, v)| has_value(unit, s, v));
            let (explained, others): (Vec<&UnitReport>, Vec<&UnitReport>) = rest.into_iter().partition(has);
            rest = others;
            if explained.is_empty() {
                continue;
            }
            let span = known.and_then(|places| {
                let (switch, value) = suspect.values.first()?;
                places.values.get(switch)?.get(value).copied()
            });
            say(scenario, &sentence(suspect), &explained, known, span, returned);
        }
        if let Some(first) = rest.first() {
            let all = report.units.iter().filter(|unit| unit.info.scenario == scenario).count();
            let title = format!("{}: {} of {all} combinations failed", first.info.stack, rest.len());
            say(scenario, &title, &rest, known, known.map(|places| places.stack), returned);
        }
    }
}

fn has_value(unit: &UnitReport, switch: &str, value: &str) -> bool {
    pairs(unit).any(|pair| pair == (switch, value))
}

fn pairs(unit: &UnitReport) -> impl Iterator<Item = (&str, &str)> {
    unit.info.name.split(' ').filter_map(|pair| pair.split_once('='))
}

/// One cause: a comment where it stands, and a warning.
fn say(
    scenario: &str,
    title: &str,
    units: &[&UnitReport],
    places: Option<&Places>,
    span: Option<Span>,
    returned: &mut Returned,
) {
    let told: Vec<String> = units.iter().take(MAX_TOLD).map(|unit| told(unit)).collect();
    let mut message = format!("{title}\n\n{}", told.join("\n"));
    if units.len() > MAX_TOLD {
        message.push_str(&format!("\nand {} more", units.len() - MAX_TOLD));
    }
    returned.warn(&format!("{scenario}: {title}; {}", told.first().map_or("", String::as_str)));
    if let Some((places, span)) = places.zip(span) {
        returned.comment(&places.file, span, printable(&message));
    }
}

/// `kubernetes=1.34 yawol=on (h3bw9zey): check/kubeconfig: another cluster answers`
fn told(unit: &UnitReport) -> String {
    let what = first_failure(unit).map_or_else(String::new, |(case, failure)| {
        format!(": {}: {}", case.0, one_line(&failure.summary, MAX_LINE))
    });
    format!("{} ({}){what}", unit.info.name, unit.info.id)
}

fn first_failure(unit: &UnitReport) -> Option<(&CaseId, &Failure)> {
    unit.cases.iter().find_map(|case| Some((&case.case, case.failure()?)))
}

/// What the product is not at fault for, and what people must know all the same.
fn troubles(report: &RunReport, returned: &mut Returned) {
    if let Some(failure) = &report.prepare_failure {
        returned.warn(&format!("nothing was tested: {}", failure.summary));
    }
    if let Some(reason) = report.cancelled {
        returned.warn(&format!("stopped early: {}", reason.as_str()));
    }
    let of = |verdict| report.units.iter().filter(move |unit| unit.verdict() == verdict);
    if let Some(first) = of(Verdict::Errored).next() {
        let number = of(Verdict::Errored).count();
        returned.warn(&format!("{number} combinations are inconclusive; the first: {}", told(first)));
    }
    if let Some(first) = of(Verdict::Flaky).next() {
        let number = of(Verdict::Flaky).count();
        returned.warn(&format!(
            "{number} combinations passed only when repeated; the first: {}",
            first.info.name
        ));
    }
    match &report.clean {
        Cleanliness::Left { objects } => {
            let first = objects.first().map(ToString::to_string).unwrap_or_default();
            returned.warn(&format!("not proven clean: {} objects are left, first {first}", objects.len()));
        }
        Cleanliness::Unknown { why } => returned.warn(&format!("not proven clean: {why}")),
        Cleanliness::Kept => returned.warn("clusters of failed combinations were kept"),
        Cleanliness::Clean => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{CancelReason, FailureClass};
    use crate::results::script::{self, Script};
    use crate::scenario::SourceText;

    fn places() -> BTreeMap<String, Places> {
        let kubernetes = [("1.31", 9), ("1.32", 10)].map(|(v, line)| (v.to_owned(), Span::new(line, 9, 11)));
        let values = BTreeMap::from([("kubernetes".to_owned(), BTreeMap::from(kubernetes))]);
        let places = Places { file: "./scenarios/big.yaml".into(), stack: Span::new(6, 11, 3), values };
        BTreeMap::from([("big-switches".to_owned(), places)])
    }

    #[test]
    fn a_failure_is_told_where_the_value_stands_that_explains_it() {
        let artifact = Artifact { name: "JUnit".into(), url: "e2e/junit.xml".into() };
        insta::assert_snapshot!(results(&script::one_failure().report(), &places(), vec![artifact]));
    }

    #[test]
    fn when_everything_fails_the_stack_is_at_fault() {
        let units = ["a", "b", "c", "d", "e", "f"];
        let script = units.iter().fold(Script::at(0), |script, unit| script.unit(unit, &["provision"]));
        let fail = |script: Script, unit: &&str| {
            script.fails(unit, "provision", "no\u{1b}[2J\nnode").unit_clean(unit)
        };
        let script = units.iter().fold(script.started(), fail);
        insta::assert_snapshot!(results(&script.clean().report(), &places(), vec![]));
    }

    #[test]
    fn infrastructure_and_leftovers_are_warnings_and_never_comments() {
        let cases = &["provision"];
        let script = Script::at(0).unit("a", cases).started().cancelled(CancelReason::Deadline);
        insta::assert_snapshot!(results(&script.left(&["Machine/x"]).report(), &places(), vec![]));
        let never =
            Script::at(0).unit("a", cases).prepare_fails(FailureClass::Infrastructure, "no route").clean();
        let said: serde_json::Value =
            serde_json::from_str(&results(&never.report(), &places(), vec![])).unwrap();
        assert_eq!(said["zuul"]["warnings"][0], "nothing was tested: no route");
        assert!(said["zuul"]["file_comments"].is_null());
    }

    #[test]
    fn a_problem_is_a_comment_on_its_line_and_a_warning() {
        let source = SourceText::new("./a/b.yaml", "one: 1\ntwo: 2\n");
        let problem = Problem::at(&source, Span::new(2, 6, 1), "`2` is too much").hint("write 1");
        let problem = problem.related(&source, Span::new(1, 1, 3), "as here");
        let far = Problem::of_file(Path::new("../elsewhere.yaml"), "no such file");
        insta::assert_snapshot!(problems(&Problems(vec![problem, far])));
    }

    #[test]
    fn only_shards_with_something_to_do_run() {
        let dealt = [(1, "aaaaaaaa"), (3, "bbbbbbbb"), (1, "cccccccc")];
        insta::assert_snapshot!(shards("stack-e2e-embedded", dealt));
        let none: serde_json::Value = serde_json::from_str(&shards("x", [])).unwrap();
        assert_eq!(none["zuul"]["child_jobs"], serde_json::json!([]));
    }

    #[test]
    fn files_outside_of_the_project_are_not_commented() {
        for (file, expected) in
            [("./a/./b.yaml", Some("a/b.yaml")), ("../a", None), ("/a", None), (".", None)]
        {
            assert_eq!(within_project(Path::new(file)).as_deref(), expected, "{file}");
        }
    }
}
