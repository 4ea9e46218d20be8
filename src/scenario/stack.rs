//! `spec.stack`: which Cluster Stack, and where it is.

use super::decode::{Decoder, Fields};
use super::document::keys;
use super::problem::{name_hint, one_of, quote};
use super::{Positions, StackSelector};
use crate::types::{ProviderKind, StackName};
use std::path::{Component, Path, PathBuf};

impl Decoder<'_> {
    pub(super) fn stack(&mut self, spec: &Fields<'_>, positions: &mut Positions) -> Option<StackSelector> {
        let hint = "write `stack: {provider: ..., name: ..., source: {directory: ...}}`";
        let node = self.required(spec, "stack", "`spec`", hint)?;
        let at = spec.entry("stack").map_or(node.span, |e| e.key_span);
        let stack = self.map(node, at, "`stack`", keys::STACK)?;
        let names = ProviderKind::ALL.map(ProviderKind::as_str);
        let hint = format!("use {}", one_of(names));
        let provider = self.required(&stack, "provider", "`stack`", &hint).and_then(|node| {
            positions.provider = node.span;
            let text = self.string(node, "`provider`")?;
            let kind = ProviderKind::ALL.into_iter().find(|kind| kind.as_str() == text);
            if kind.is_none() {
                self.problem(
                    node.span,
                    format!("there is no provider {}", quote(text)),
                    name_hint(text, names),
                );
            }
            kind
        });
        let hint = "the name without provider and minor, e.g. `scs`";
        let name = self.required(&stack, "name", "`stack`", hint).and_then(|node| {
            positions.stack = node.span;
            self.name(node, "the stack name", StackName::new)
        });
        let directory = self.source(&stack, positions);
        let root = self.known.root.clone();
        Some(StackSelector { provider: provider?, name: name?, directory: directory?, root })
    }

    fn source(&mut self, stack: &Fields<'_>, positions: &mut Positions) -> Option<PathBuf> {
        let hint = "write `source: {directory: path/to/stack}`, relative to this file";
        let node = self.required(stack, "source", "`stack`", hint)?;
        let at = stack.entry("source").map_or(node.span, |e| e.key_span);
        let source = self.map(node, at, "`source`", keys::SOURCE)?;
        if let Some(entry) = source.entry("release").or(source.entry("from")) {
            let message = "this version reads stacks from directories only, not from releases";
            self.problem(entry.key_span, message, hint);
            return None;
        }
        let node = self.required(&source, "directory", "`source`", hint)?;
        positions.directory = node.span;
        let text = self.string(node, "`directory`")?;
        if text.is_empty() || text.len() > 1024 || text.chars().any(super::problem::is_hostile) {
            self.problem(node.span, "`directory` is a path of 1 to 1024 visible characters", hint);
            return None;
        }
        if text.contains("${") {
            let message = "`directory` cannot refer to the environment; only variables can";
            self.problem(node.span, message, "write the path, relative to this file");
            return None;
        }
        let folder = self.source.file().parent().unwrap_or(Path::new(""));
        let directory = folder.join(text);
        if let Some(root) = &self.known.root
            && lexically_outside(&directory, root)
        {
            let message = format!("the directory {} leads out of the allowed one", quote(text));
            let hint = format!("stacks of this command must be inside {}", quote(&root.to_string_lossy()));
            self.problem(node.span, message, hint);
            return None;
        }
        Some(directory)
    }
}

/// Whether a path leaves `root`, as far as its text tells. Links are followed by [`super::load`].
fn lexically_outside(path: &Path, root: &Path) -> bool {
    let (path, root) = (normal(path), normal(root));
    if path.is_absolute() != root.is_absolute() {
        return false;
    }
    let below = path.strip_prefix(&root);
    below.map_or(true, |rest| rest.components().next() == Some(Component::ParentDir))
}

/// Without `.`, and without `..` where the text allows.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::RootDir)) => {}
            part => out.push(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside_or_not() {
        for (path, root, outside) in [
            ("scenarios/../stack", ".", false),
            ("scenarios/../../stack", ".", true),
            ("a/b", "a", false),
            ("ab", "a", true),
            ("/etc", "/srv", true),
            ("/srv/../etc", "/srv", true),
            ("/../srv/x", "/srv", false),
        ] {
            assert_eq!(lexically_outside(Path::new(path), Path::new(root)), outside, "{path} in {root}");
        }
    }
}
