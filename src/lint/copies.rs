//! Files that are kept several times.

use super::{Finding, Subject, Texts};
use crate::stack::At;
use std::collections::{BTreeMap, BTreeSet};

/// Fewer are chance: an empty file, a licence.
const FEW: usize = 3;

/// Files of one stack that are the same in several of its minors' folders.
pub(super) fn of_minors(subject: &Subject) -> Vec<Finding> {
    let folders = subject.folders();
    if folders.len() < 2 {
        return Vec::new();
    }
    let mut known: BTreeMap<(&str, &[u8; 32]), Vec<String>> = BTreeMap::new();
    let mut all = BTreeSet::new();
    for (folder, minors) in &folders {
        let label =
            minors.iter().map(|minor| minor.kubernetes.minor().to_string()).collect::<Vec<_>>().join("/");
        for (path, digest) in subject.files.get(*folder).into_iter().flat_map(|files| &files.digest) {
            all.insert(path.as_str());
            known.entry((path, digest)).or_default().push(label.clone());
        }
    }
    let same: BTreeMap<&str, &Vec<String>> = known
        .iter()
        .filter(|(_, minors)| minors.len() > 1)
        .map(|((path, _), minors)| (*path, minors))
        .collect();
    if same.len() < FEW {
        return Vec::new();
    }
    let everywhere: Vec<&str> =
        same.iter().filter(|(_, minors)| minors.len() == folders.len()).map(|(path, _)| *path).collect();
    let first: Vec<&str> = same.keys().copied().take(3).collect();
    let why = format!(
        "{} of {} files are the same in two or more of its minors, {} of them in all: {}, …",
        same.len(),
        all.len(),
        everywhere.len(),
        first.join(", ")
    );
    let at = At { file: subject.source.directory.clone(), ..At::default() };
    vec![Finding::new("same-copy", at, subject.name(), why)]
}

/// Files that two stacks of a provider both have.
pub(super) fn of_siblings(one: &Subject, other: &Subject) -> Vec<Finding> {
    let files = |subject: &Subject| -> BTreeSet<(String, [u8; 32])> {
        let all = subject.files.values().flat_map(|files: &Texts| &files.digest);
        all.map(|(path, digest)| (path.clone(), *digest)).collect()
    };
    let (ours, theirs) = (files(one), files(other));
    let same: Vec<&String> = ours.intersection(&theirs).map(|(path, _)| path).collect();
    if same.len() < FEW {
        return Vec::new();
    }
    let first: Vec<&str> = same.iter().take(3).map(|path| path.as_str()).collect();
    let why = format!("{} files are the same as in {}: {}, …", same.len(), other.name(), first.join(", "));
    let at = At { file: one.source.directory.clone(), ..At::default() };
    vec![Finding::new("same-copy", at, format!("{} {}", one.name(), other.name()), why)]
}
