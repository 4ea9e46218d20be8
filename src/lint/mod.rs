//! Whether the stacks of a repository are consistent: each over its minors, and with its siblings. What is rendered is
//! compared, not text, but where the text itself is the finding.
//!
//! ```text
//! folders -> gather (Subjects: source, rendered minors, files) -> rules -> findings -> baseline -> report
//! ```
//!
//! Pure but for `gather`.

mod addons;
pub mod baseline;
mod copies;
mod gather;
mod names;
mod rendered;
pub mod report;
mod shadow;

pub use gather::{Gathered, gather};

use crate::stack::{At, MinorSource, StackRelease, StackSource};
use crate::types::KubernetesMinor;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It could be tidier.
    Info,
    /// It is likely to surprise somebody.
    Warning,
    /// Something does not work, or is not what its name says.
    Error,
}

impl Severity {
    /// As in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A rule. Its id never changes: baselines refer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The id.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong where it fires, in one sentence.
    pub what: &'static str,
    /// What to do about it.
    pub hint: &'static str,
}

const fn rule(id: &'static str, severity: Severity, what: &'static str, hint: &'static str) -> Rule {
    Rule { id, severity, what, hint }
}

/// All rules, in the order of the documentation.
pub const RULES: &[Rule] = &[
    rule(
        "name-split",
        Severity::Error,
        "A provider's or stack's name has a `-`, at which the operator splits the names of releases.",
        "use lower-case letters and digits only",
    ),
    rule(
        "csctl-version",
        Severity::Error,
        "`kubernetesVersion` in csctl.yaml is not `v1.NN.P`, which csctl demands.",
        "write major, minor and patch, with a `v`: v1.34.7",
    ),
    rule(
        "version-sources",
        Severity::Warning,
        "csctl.yaml is of another Kubernetes version than the stack is.",
        "write the same version in both, or drop the file that nobody reads",
    ),
    rule(
        "chart-name",
        Severity::Error,
        "The name of a chart is not that of its folder; csctl names the archives after it.",
        "call it <provider>-<stack>-1-NN-cluster-class (or -cluster-addon)",
    ),
    rule(
        "chart-version",
        Severity::Error,
        "The version of a chart cannot be the version of a release.",
        "write v1, or `<< .ClusterClassVersion >>`; csctl puts the version of the release there",
    ),
    rule(
        "node-image",
        Severity::Error,
        "The node image is of another Kubernetes version than the stack.",
        "name the image of the version that the stack installs",
    ),
    rule(
        "addon-lock",
        Severity::Error,
        "Chart.lock has another version of an add-on than Chart.yaml.",
        "run `helm dependency update` in the folder of the chart",
    ),
    rule(
        "addon-vendored",
        Severity::Error,
        "The archive in charts/ is of another version than Chart.yaml wants; Helm packs what lies there, and says nothing.",
        "run `helm dependency update` in the folder of the chart, and commit the archive",
    ),
    rule(
        "addon-backwards",
        Severity::Warning,
        "An add-on is older in a newer minor: an upgrade of the cluster downgrades it.",
        "raise it there, or lower it in the older minor",
    ),
    rule(
        "addon-minor",
        Severity::Warning,
        "An add-on that is released with Kubernetes is of another minor.",
        "take the chart 2.NN for Kubernetes 1.NN",
    ),
    rule(
        "component-unused",
        Severity::Warning,
        "A version is given for an add-on that the stack does not have.",
        "correct the key, or remove it",
    ),
    rule(
        "variable-gone",
        Severity::Warning,
        "A variable of a minor is missing in the next one: Cluster API refuses the upgrade of a cluster that sets it.",
        "keep it, even without effect, or say in the release notes what to remove before the upgrade",
    ),
    rule(
        "variable-required",
        Severity::Error,
        "The next minor has a required variable without default that this one does not have: no cluster can be upgraded \
         without changing its variables.",
        "give it a default, or make it optional",
    ),
    rule(
        "variable-type",
        Severity::Error,
        "A variable has another type in the next minor: a cluster that sets it cannot be upgraded.",
        "keep the type, or give the variable another name",
    ),
    rule(
        "variable-default",
        Severity::Warning,
        "A variable has another default in the next minor: an upgrade changes clusters that do not set it.",
        "use the same default, or say it in the release notes",
    ),
    rule(
        "patch-differs",
        Severity::Warning,
        "A patch differs between two minors, and the Kubernetes version does not explain it.",
        "carry the change to the other minor, or accept the difference in a baseline, with the reason",
    ),
    rule(
        "patch-order",
        Severity::Warning,
        "Two minors have the same patches in another order; the last one that sets a field wins.",
        "use one order",
    ),
    rule(
        "template-differs",
        Severity::Warning,
        "An object of the class differs between two minors, and the Kubernetes version does not explain it.",
        "carry the change to the other minor, or accept the difference in a baseline, with the reason",
    ),
    rule(
        "sibling-variable",
        Severity::Warning,
        "Two stacks of a provider have a variable of the same name with different types.",
        "use one type, or two names",
    ),
    rule(
        "variable-unused",
        Severity::Warning,
        "A variable is read by no patch and no add-on: setting it does nothing.",
        "remove it, or write the patch",
    ),
    rule(
        "variable-no-enum",
        Severity::Warning,
        "Patches compare a variable with certain texts, but its schema allows any: a typing error passes and does nothing.",
        "list the texts as `enum` in the schema of the variable",
    ),
    rule(
        "values-shadowed",
        Severity::Warning,
        "A value in values.yaml is always replaced: it looks as if it counted.",
        "remove it from values.yaml, or from the template that replaces it",
    ),
    rule(
        "override-same",
        Severity::Info,
        "A value is set twice to the same.",
        "remove it from the template of values: values.yaml is enough",
    ),
    rule(
        "chart-value-unused",
        Severity::Warning,
        "No template of the chart reads a value of values.yaml.",
        "remove it",
    ),
    rule(
        "same-copy",
        Severity::Info,
        "Files are the same in several folders: a change has to be made in each.",
        "keep one in a folder `common` and link to it",
    ),
    rule(
        "baseline-expired",
        Severity::Warning,
        "A finding was accepted until a date that is over.",
        "correct it, or accept it anew, with the reason",
    ),
    rule(
        "baseline-unused",
        Severity::Warning,
        "The baseline accepts something that is not found any more.",
        "remove the entry",
    ),
];

/// One inconsistency.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The file, as the user would write it.
    pub file: PathBuf,
    /// The line, from 1; 0 stands for the whole file.
    pub line: u64,
    /// The rule.
    pub rule: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about: the same as long as it is the same finding, wherever lines move.
    pub about: String,
    /// What is wrong.
    pub why: String,
    /// What to do about it.
    pub hint: String,
}

impl Finding {
    fn new(rule: &'static str, at: At, about: impl Into<String>, why: impl Into<String>) -> Self {
        let known = RULES.iter().find(|known| known.id == rule);
        Self {
            file: at.file,
            line: at.line,
            rule,
            severity: known.map_or(Severity::Error, |known| known.severity),
            about: about.into(),
            why: why.into(),
            hint: known.map_or("", |known| known.hint).into(),
        }
    }
}

/// The text files of a folder, by their paths in it; and of all others the digest.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    /// Text.
    pub text: BTreeMap<String, String>,
    /// The SHA-256 of every file that is no link.
    pub digest: BTreeMap<String, [u8; 32]>,
}

/// A stack with everything that rules look at.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The stack on disk.
    pub source: StackSource,
    /// Its minors, rendered, oldest first.
    pub rendered: Vec<StackRelease>,
    /// The files of each folder of a minor.
    pub files: BTreeMap<PathBuf, Texts>,
}

impl Subject {
    /// `<provider>-<stack>`
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}-{}", self.source.provider, self.source.name)
    }

    /// The folders, each with the minors that share it.
    fn folders(&self) -> Vec<(&Path, Vec<&MinorSource>)> {
        let mut folders: Vec<(&Path, Vec<&MinorSource>)> = Vec::new();
        for minor in &self.source.minors {
            match folders.iter_mut().find(|(folder, _)| *folder == minor.folder) {
                Some((_, minors)) => minors.push(minor),
                None => folders.push((&minor.folder, vec![minor])),
            }
        }
        folders
    }

    fn text(&self, folder: &Path, file: &str) -> Option<&str> {
        self.files.get(folder)?.text.get(file).map(String::as_str)
    }

    /// Where a line of a chart's templates names something: `name: <wanted>`. The chart itself if none does.
    fn located(&self, minor: KubernetesMinor, wanted: &str) -> At {
        let Some(minor) = self.source.minor(minor) else { return At::default() };
        let named = |line: &str| {
            let line = line.trim().trim_start_matches("- ");
            let value = line.strip_prefix("name:").map(|rest| rest.trim().trim_matches(['"', '\'']));
            value == Some(wanted)
        };
        let files = self.files.get(&minor.folder).into_iter().flat_map(|files| &files.text);
        for (path, text) in files.filter(|(path, _)| path.starts_with("cluster-class/templates/")) {
            if let Some(at) = text.lines().position(named) {
                return At { file: minor.folder.join(path), line: at as u64 + 1, column: 0 };
            }
        }
        At { file: minor.chart.clone(), ..At::default() }
    }
}

/// Everything that the rules find, in the order of files and lines.
#[must_use]
pub fn lint(gathered: &Gathered) -> Vec<Finding> {
    let subjects = &gathered.subjects;
    let mut findings = gathered.findings.clone();
    for subject in subjects {
        findings.extend(names::check(subject));
        findings.extend(addons::check(subject));
        findings.extend(rendered::check(subject));
        findings.extend(shadow::check(subject));
        findings.extend(copies::of_minors(subject));
    }
    for (at, one) in subjects.iter().enumerate() {
        for other in subjects[at + 1..].iter().filter(|other| other.source.provider == one.source.provider) {
            findings.extend(rendered::siblings(one, other));
            findings.extend(copies::of_siblings(one, other));
        }
    }
    for finding in &mut findings {
        // As the user would write it.
        let root = gathered
            .roots
            .iter()
            .find_map(|(real, named)| Some(named.join(finding.file.strip_prefix(real).ok()?)));
        if let Some(root) = root {
            finding.file = root;
        }
    }
    findings.sort();
    findings.dedup();
    findings
}

/// The line of a text that has this key, from 1; 0 if none has.
fn line_of(text: &str, key: &str) -> u64 {
    let is = |line: &str| {
        line.trim_start().trim_start_matches("- ").strip_prefix(key).is_some_and(|r| r.starts_with(':'))
    };
    text.lines().position(is).map_or(0, |at| at as u64 + 1)
}
