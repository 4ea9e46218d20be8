//! Evidence of a failed unit, best effort: what could not be had is a note, never a failure.

mod timeline;

use crate::cluster::{ClusterView, ObjectExt};
use crate::types::Redactor;
use kube::api::DynamicObject;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How much of one log is kept: its head and its tail, half each.
const LOG_LIMIT: u64 = 1024 * 1024;

/// A log file and how long it was when the unit began: what came after is the unit's time.
#[derive(Debug, Clone)]
pub struct LogCut {
    /// Whose log.
    pub name: String,
    /// The file.
    pub file: PathBuf,
    /// Its length then.
    pub from: u64,
}

impl LogCut {
    /// Remembers how long the file is now. A file that is not there (yet) is cut from its beginning.
    #[must_use]
    pub fn now(name: &str, file: &Path) -> Self {
        let from = std::fs::metadata(file).map_or(0, |metadata| metadata.len());
        Self { name: name.into(), file: file.into(), from }
    }
}

/// What is to be gathered.
pub struct Request<'a> {
    /// The unit, readable.
    pub unit: &'a str,
    /// One line: the most likely cause.
    pub cause: &'a str,
    /// The last view of the cluster.
    pub view: &'a ClusterView,
    /// Events of Kubernetes about the cluster, from the start.
    pub events: &'a [Arc<DynamicObject>],
    /// Logs of the controllers.
    pub logs: &'a [LogCut],
    /// What is known of the cluster's add-ons, one line each.
    pub addons: &'a [String],
    /// What the cloud knows of it: names of files and their texts.
    pub cloud: &'a [(String, String)],
    /// The operator's objects about releases; none where there is no operator.
    pub releases: &'a [Arc<DynamicObject>],
    /// Everything passes through it.
    pub redactor: &'a Redactor,
}

/// What was gathered.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Files, relative to the given directory.
    pub files: Vec<String>,
    /// What could not be had, one line each.
    pub trouble: Vec<String>,
}

/// Writes the evidence below `directory`, which is made when it is not there.
pub fn gather(directory: &Path, request: &Request<'_>) -> Collected {
    let mut collected = Collected::default();
    if let Err(error) = std::fs::create_dir_all(directory) {
        collected.trouble.push(format!("`{}`: {error}", directory.display()));
        return collected;
    }
    let mut save = |name: &str, text: &str| {
        let text = request.redactor.redact(text);
        match std::fs::write(directory.join(name), text.as_bytes()) {
            Ok(()) => collected.files.push(name.to_owned()),
            Err(error) => collected.trouble.push(format!("`{name}`: {error}")),
        }
    };
    save("summary.txt", &summary(request));
    save("objects.json", &objects(request.view));
    for (name, text) in request.cloud {
        save(name, text);
    }
    if !request.releases.is_empty() {
        let releases: Vec<&DynamicObject> = request.releases.iter().map(AsRef::as_ref).collect();
        save("releases.json", &serde_json::to_string_pretty(&releases).unwrap_or_default());
    }
    let mut trouble = Vec::new();
    for log in request.logs {
        match cut(log, request.view.cluster.as_str()) {
            Ok(text) if text.is_empty() => {}
            Ok(text) => save(&format!("{}.log", log.name), &text),
            Err(error) => trouble.push(format!("log `{}`: {error}", log.file.display())),
        }
    }
    collected.trouble.append(&mut trouble);
    collected
}

/// The cause first, then the tree of objects with what is wrong with each, then everything that happened in order.
fn summary(request: &Request<'_>) -> String {
    let mut text =
        format!("{}\n\nunit: {}\ncluster: {}\n", request.cause, request.unit, request.view.cluster);
    let _ = write!(text, "\nobjects\n{}", timeline::tree(request.view));
    if !request.releases.is_empty() {
        let _ = write!(text, "\nreleases\n");
        for object in request.releases {
            let conditions = object.conditions();
            let bad =
                conditions.iter().filter(|cond| cond.status != "True").map(crate::cluster::condition::say);
            let bad: Vec<String> = bad.collect();
            let state =
                if bad.is_empty() { "nothing is said to be wrong".to_owned() } else { bad.join("; ") };
            let _ = writeln!(text, "{}: {state}", object.reference());
        }
    }
    if !request.addons.is_empty() {
        let _ = write!(text, "\nadd-ons\n{}\n", request.addons.join("\n"));
    }
    let _ = write!(text, "\ntimeline\n{}", timeline::timeline(request.view, request.events));
    text
}

/// All objects as they were last seen. Secrets are not observed, so there are none.
fn objects(view: &ClusterView) -> String {
    let objects: Vec<&DynamicObject> = view
        .objects
        .iter()
        .map(AsRef::as_ref)
        .filter(|object| ObjectExt::kind(*object) != "Secret")
        .collect();
    serde_json::to_string_pretty(&objects).unwrap_or_default()
}

/// The lines of a log since the unit began that name its cluster, or that are errors of nobody in particular.
fn cut(log: &LogCut, cluster: &str) -> std::io::Result<String> {
    let mut file = File::open(&log.file)?;
    let length = file.metadata()?.len();
    // A log that is shorter than it was has been started anew.
    let from = if length < log.from { 0 } else { log.from };
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(64 * LOG_LIMIT).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let about: Vec<&str> = text.lines().filter(|line| line.contains(cluster)).collect();
    Ok(head_and_tail(&about, usize::try_from(LOG_LIMIT).unwrap_or(usize::MAX)))
}

fn head_and_tail(lines: &[&str], limit: usize) -> String {
    let size = |lines: &[&str]| lines.iter().map(|line| line.len() + 1).sum::<usize>();
    if size(lines) <= limit {
        return lines.iter().flat_map(|line| [line, "\n"]).collect();
    }
    let fits = |mut budget: usize, lines: &mut dyn Iterator<Item = &&str>| {
        lines
            .take_while(|line| {
                let fits = line.len() < budget;
                budget = budget.saturating_sub(line.len() + 1);
                fits
            })
            .count()
    };
    let head = fits(limit / 2, &mut lines.iter());
    let tail = fits(limit / 2, &mut lines[head..].iter().rev());
    let left_out = lines.len() - head - tail;
    let mut text: String = lines[..head].iter().flat_map(|line| [line, "\n"]).collect();
    let _ = writeln!(text, "[{left_out} lines left out]");
    text.extend(lines[lines.len() - tail..].iter().flat_map(|line| [line, "\n"]));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ClusterName;
    use std::io::Write as _;

    #[test]
    fn a_log_is_cut_to_the_time_and_the_cluster_of_the_unit() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "early c1").unwrap();
        let log = LogCut::now("core", file.path());
        writeln!(file, "late c1\nlate c2").unwrap();
        assert_eq!(cut(&log, "c1").unwrap(), "late c1\n");
        let restarted = LogCut { from: 10_000, ..log };
        assert_eq!(cut(&restarted, "c1").unwrap(), "early c1\nlate c1\n");
    }

    #[test]
    fn a_long_log_keeps_its_head_and_its_tail() {
        let lines: Vec<String> = (0..100).map(|n| format!("line {n:02}")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(head_and_tail(&lines, 40), "line 00\nline 01\n[96 lines left out]\nline 98\nline 99\n");
    }

    #[test]
    fn what_cannot_be_had_is_a_note() {
        let directory = tempfile::tempdir().unwrap();
        let view = ClusterView::empty(ClusterName::new("c1").unwrap());
        let log = LogCut { name: "core".into(), file: directory.path().join("absent"), from: 0 };
        let release = serde_json::json!({"apiVersion": "clusterstack.x-k8s.io/v1alpha1", "kind": "ClusterStackRelease",
            "metadata": {"name": "r1"}, "status": {"conditions": [{"type": "HelmChartApplied", "status": "False",
            "reason": "Why", "message": "no such chart"}]}});
        let releases = [Arc::new(serde_json::from_value(release).unwrap())];
        let request = Request {
            unit: "yawol=on",
            cause: "the cause",
            view: &view,
            events: &[],
            logs: &[log],
            addons: &["stage cni: FAILED".into()],
            cloud: &[],
            releases: &releases,
            redactor: &Redactor::default(),
        };
        let collected = gather(&directory.path().join("evidence"), &request);
        assert_eq!(collected.files, ["summary.txt", "objects.json", "releases.json"]);
        assert_eq!(collected.trouble.len(), 1);
        let summary = std::fs::read_to_string(directory.path().join("evidence/summary.txt")).unwrap();
        assert!(summary.starts_with("the cause\n"));
        let words = "\nreleases\nClusterStackRelease/r1: HelmChartApplied is False (Why): no such chart\n";
        assert!(summary.contains(words), "{summary}");
        assert!(summary.contains("\nadd-ons\nstage cni: FAILED\n"), "{summary}");
    }
}
