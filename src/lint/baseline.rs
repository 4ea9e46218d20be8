//! Findings that are accepted, each with a reason and a date. Pure.

use super::Finding;
use crate::stack::At;
use jiff::civil::Date;
use serde::Deserialize;
use std::path::Path;

/// `apiVersion` of the file.
pub const API_VERSION: &str = "e2e.clusterstack.x-k8s.io/v1alpha1";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    api_version: String,
    kind: String,
    accepted: Vec<serde_saphyr::Spanned<Written>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    rule: String,
    about: String,
    because: String,
    since: String,
    #[serde(default)]
    until: Option<String>,
}

/// One accepted finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The rule.
    pub rule: String,
    /// What it is about, as the finding says.
    pub about: String,
    /// Why it is accepted.
    pub because: String,
    /// Since when.
    pub since: Date,
    /// The last day on which it is.
    pub until: Option<Date>,
    /// The line of the entry.
    pub line: u64,
}

/// The accepted findings of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Baseline(pub Vec<Entry>);

/// Findings, sorted by whether they count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sorted {
    /// Those that count, with what is wrong with the baseline.
    pub findings: Vec<Finding>,
    /// Those that are accepted, each with the reason.
    pub accepted: Vec<(Finding, String)>,
}

impl Baseline {
    /// Reads a baseline.
    ///
    /// # Errors
    /// Everything that is wrong with it, with the line.
    pub fn parse(text: &str) -> Result<Self, Vec<(u64, String)>> {
        let read: Result<Document, _> =
            serde_saphyr::from_str_with_options(text, crate::stack::yaml_options());
        let document = read.map_err(|error| {
            let line = error.location().map_or(0, |at| at.line());
            let told = error.without_snippet().to_string();
            vec![(line, told.lines().next().unwrap_or("is not YAML").to_owned())]
        })?;
        let mut problems = Vec::new();
        if document.api_version != API_VERSION || document.kind != "LintBaseline" {
            problems.push((1, format!("is not `apiVersion: {API_VERSION}` and `kind: LintBaseline`")));
        }
        let mut entries: Vec<Entry> = Vec::new();
        for item in document.accepted {
            let line = item.referenced.line();
            let written = item.value;
            if !super::RULES.iter().any(|rule| rule.id == written.rule) {
                problems.push((line, format!("there is no rule `{}`", written.rule)));
            }
            if written.because.trim().is_empty() {
                problems.push((line, "has no reason: say why with `because`".into()));
            }
            let mut date = |what: &str, text: &str| {
                text.parse::<Date>()
                    .map_err(|_| {
                        problems.push((line, format!("`{what}: {text}` is no date such as 2027-01-31")))
                    })
                    .ok()
            };
            let since = date("since", &written.since);
            let until = written.until.as_deref().map(|text| date("until", text));
            if entries.iter().any(|known| known.rule == written.rule && known.about == written.about) {
                problems.push((line, format!("accepts {} of `{}` twice", written.rule, written.about)));
            }
            if let Some(since) = since {
                let until = until.flatten();
                let Written { rule, about, because, .. } = written;
                entries.push(Entry { rule, about, because, since, until, line });
            }
        }
        if problems.is_empty() { Ok(Self(entries)) } else { Err(problems) }
    }

    /// Takes the accepted findings out. What is accepted no longer counts again; what is accepted for nothing is a
    /// finding itself. `partial`: not everything was read, so that nothing can be called unused.
    #[must_use]
    pub fn sort(&self, findings: Vec<Finding>, file: &Path, today: Date, partial: bool) -> Sorted {
        let mut sorted = Sorted::default();
        let mut used = vec![false; self.0.len()];
        for finding in findings {
            let entry = self.0.iter().position(|e| e.rule == finding.rule && e.about == finding.about);
            let Some(at) = entry else {
                sorted.findings.push(finding);
                continue;
            };
            used[at] = true;
            let entry = &self.0[at];
            match entry.until.filter(|until| *until < today) {
                None => sorted.accepted.push((finding, entry.because.clone())),
                Some(until) => {
                    let why = format!(
                        "{} of `{}` was accepted until {until}: {}",
                        entry.rule, entry.about, entry.because
                    );
                    let place = At { file: file.to_path_buf(), line: entry.line, column: 0 };
                    let about = format!("{} {}", entry.rule, entry.about);
                    // One rule may find several things of one kind; the entry is told once.
                    let told = Finding::new("baseline-expired", place, about, why);
                    if !sorted.findings.contains(&told) {
                        sorted.findings.push(told);
                    }
                    sorted.findings.push(finding);
                }
            }
        }
        for (entry, _) in self.0.iter().zip(used).filter(|(_, used)| !used && !partial) {
            let why = format!("{} of `{}` is accepted, but not found any more", entry.rule, entry.about);
            let place = At { file: file.to_path_buf(), line: entry.line, column: 0 };
            let about = format!("{} {}", entry.rule, entry.about);
            sorted.findings.push(Finding::new("baseline-unused", place, about, why));
        }
        sorted.findings.sort();
        sorted
    }
}
