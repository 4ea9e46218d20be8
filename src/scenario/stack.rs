//! `spec.stack`: which Cluster Stack, and where it is.

use super::decode::{Decoder, Fields};
use super::document::keys;
use super::problem::{Span, name_hint, one_of, quote};
use super::tree::{Kind, Node};
use super::{BuildWith, Positions, Published, StackSelector, Via};
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
        let hint = "write `source: {directory: path/to/stack}`, relative to this file, or \
                    `source: {release: openstack-scs-1-34-v1, from: oci://host/repository}`";
        let node = self.required(&stack, "source", "`stack`", hint);
        let source = node.and_then(|node| {
            let at = stack.entry("source").map_or(node.span, |e| e.key_span);
            self.source(node, at, &mut positions.directory)
        });
        let next = match stack.entry("next") {
            None => Some(None),
            Some(entry) => self.source(&entry.value, entry.key_span, &mut positions.next).map(Some),
        };
        let other = match stack.entry("other") {
            None => Some(None),
            Some(entry) => self.other(&entry.value, entry.key_span, name.as_ref(), positions).map(Some),
        };
        let via = self.via(&stack)?;
        let (provider, name, root) = (provider?, name?, self.known.root.clone());
        let of = |name: StackName, source: Source| {
            let (root, Source { directory, build, published }) = (root.clone(), source);
            StackSelector { provider, name, directory, root, build, published, via, next: None, other: None }
        };
        let next = next?.map(|source| Box::new(of(name.clone(), source)));
        let other = other?.map(|(name, source)| Box::new(of(name, source)));
        Some(StackSelector { next, other, ..of(name, source?) })
    }

    /// Another stack of the same provider.
    fn other(
        &mut self,
        node: &Node,
        at: Span,
        name: Option<&StackName>,
        positions: &mut Positions,
    ) -> Option<(StackName, Source)> {
        let other = self.map(node, at, "`other`", keys::OTHER)?;
        let own = self.required(&other, "name", "`other`", "the name of another stack, e.g. `scs2`");
        let own = own.and_then(|node| {
            let own = self.name(node, "the stack name", StackName::new)?;
            if Some(&own) == name {
                self.problem(node.span, "this is the stack itself", "name another stack");
                return None;
            }
            Some(own)
        });
        let hint = "write `source: {directory: path/to/stack}`, relative to this file";
        let node = self.required(&other, "source", "`other`", hint)?;
        let at = other.entry("source").map_or(node.span, |e| e.key_span);
        let source = self.source(node, at, &mut positions.other);
        Some((own?, source?))
    }

    /// Who brings the release into being.
    fn via(&mut self, stack: &Fields<'_>) -> Option<Via> {
        let Some(node) = stack.get("via") else { return Some(Via::default()) };
        let words = ["harness", "operator"];
        match self.string(node, "`via`")? {
            "harness" => Some(Via::Harness),
            "operator" => Some(Via::Operator),
            other => {
                let message = format!("a release comes via `harness` or `operator`, not {}", quote(other));
                self.problem(node.span, message, name_hint(other, words));
                None
            }
        }
    }

    /// Where a stack is; `place` becomes that of the directory, or of the release.
    fn source(&mut self, node: &Node, at: Span, place: &mut Span) -> Option<Source> {
        let hint = "write `source: {directory: path/to/stack}`, relative to this file, or \
                    `source: {release: openstack-scs-1-34-v1, from: oci://host/repository}`";
        *place = at;
        let source = self.map(node, at, "`source`", keys::SOURCE)?;
        let Some(release) = source.entry("release") else {
            if let Some(entry) = source.entry("from") {
                let message = "`from` says where a release is, and there is no `release`";
                self.problem(entry.key_span, message, hint);
                return None;
            }
            let node = self.required(&source, "directory", "`source`", hint)?;
            *place = node.span;
            let text = self.string(node, "`directory`")?.to_owned();
            let directory = self.directory(&text, node.span, "`directory`")?;
            let build = match source.entry("build").map(|entry| &entry.value) {
                None => None,
                Some(node) => Some(match self.string(node, "`build`")? {
                    "own" => BuildWith::Own,
                    "csctl" => BuildWith::Csctl,
                    other => {
                        let message = format!("nobody called {} builds releases", quote(other));
                        self.problem(node.span, message, "use `own` or `csctl`");
                        return None;
                    }
                }),
            };
            return Some(Source { directory, build, published: None });
        };
        *place = release.value.span;
        for key in ["directory", "build"] {
            if let Some(entry) = source.entry(key) {
                let message = format!("`{key}` cannot stand beside `release`, which is built already");
                self.problem(entry.key_span, message, hint);
                return None;
            }
        }
        let nodes: Vec<&Node> = match &release.value.kind {
            Kind::List(_) => {
                self.list(&release.value, "`release`", 16, "name a release for each minor")?.iter().collect()
            }
            _ => vec![&release.value],
        };
        let mut releases = Vec::new();
        for node in &nodes {
            let name = self.string(node, "`release`")?;
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
            if name.is_empty()
                || name.len() > 128
                || !name.bytes().all(plain)
                || releases.iter().any(|r| r == name)
            {
                let message = format!("{} is not the name of a release, or stands there twice", quote(name));
                self.problem(node.span, message, "releases are named as openstack-scs-1-34-v1");
                return None;
            }
            releases.push(name.to_owned());
        }
        let node = self.required(&source, "from", "`source`", hint)?;
        let text = self.string(node, "`from`")?.to_owned();
        let remote = text.starts_with("oci://") || text.starts_with("github:");
        let directory = if remote { PathBuf::new() } else { self.directory(&text, node.span, "`from`")? };
        if remote
            && self.known.root.is_some()
            && !self.known.places.iter().any(|start| text.starts_with(start))
        {
            let message =
                format!("{} is on another machine, which this command does not allow", quote(&text));
            self.problem(node.span, message, "whoever runs it can allow it with `--allow-from START`");
            return None;
        }
        let from = if remote { text } else { directory.display().to_string() };
        let positions = nodes.iter().map(|node| node.span).collect();
        Some(Source { directory, build: None, published: Some(Published { releases, positions, from }) })
    }

    /// A path, resolved against the folder of the file.
    fn directory(&mut self, text: &str, span: Span, what: &str) -> Option<PathBuf> {
        if text.is_empty() || text.len() > 1024 || text.chars().any(super::problem::is_hostile) {
            let message = format!("{what} is a path of 1 to 1024 visible characters");
            self.problem(span, message, "write `source: {directory: path/to/stack}`, relative to this file");
            return None;
        }
        if text.contains("${") {
            let message = format!("{what} cannot refer to the environment; only variables can");
            self.problem(span, message, "write the path, relative to this file");
            return None;
        }
        let folder = self.source.file().parent().unwrap_or(Path::new(""));
        let directory = folder.join(text);
        if let Some(root) = &self.known.root
            && lexically_outside(&directory, root)
        {
            let message = format!("the directory {} leads out of the allowed one", quote(text));
            let hint = format!("stacks of this command must be inside {}", quote(&root.to_string_lossy()));
            self.problem(span, message, hint);
            return None;
        }
        Some(directory)
    }
}

/// Where a stack is, checked.
struct Source {
    directory: PathBuf,
    build: Option<BuildWith>,
    published: Option<Published>,
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
