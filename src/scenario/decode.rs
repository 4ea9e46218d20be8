//! Helpers that take values out of the node tree, report what does not fit and go on.

use super::Known;
use super::problem::{MAX_PROBLEMS, Problem, SourceText, Span, all_of, did_you_mean, name_hint, quote};
use super::scalar::{Plain, resolve};
use super::tree::{Entry, Kind, Node, Scalar};
use std::sync::Arc;

/// Collects the problems of one file.
pub(super) struct Decoder<'a> {
    pub source: Arc<SourceText>,
    pub known: &'a Known<'a>,
    pub problems: Vec<Problem>,
}

/// A mapping whose keys are known to be allowed.
#[derive(Clone, Copy)]
pub(super) struct Fields<'n> {
    entries: &'n [Entry],
    keys: &'n [&'n str],
    /// Where the mapping belongs: the place for what is missing in it.
    pub span: Span,
}

impl<'n> Fields<'n> {
    pub fn entry(&self, key: &str) -> Option<&'n Entry> {
        self.entries.iter().find(|e| e.key == key)
    }

    /// Whether a key was reported as unknown.
    pub fn has_unknown(&self) -> bool {
        self.entries.iter().any(|e| !self.keys.contains(&e.key.as_str()))
    }

    pub fn get(&self, key: &str) -> Option<&'n Node> {
        self.entry(key).map(|e| &e.value)
    }
}

/// What stands at a node, for "expected a list, found ...".
pub(super) fn describe(node: &Node) -> String {
    match &node.kind {
        Kind::Bad => "something unreadable".into(),
        Kind::List(_) => "a list".into(),
        Kind::Map(_) => "a mapping".into(),
        Kind::Scalar(Scalar { missing: true, .. }) => "nothing".into(),
        Kind::Scalar(Scalar { text, plain: false, .. }) => format!("the string {}", quote(text)),
        Kind::Scalar(Scalar { text, .. }) => match resolve(text) {
            Plain::Null => "null".into(),
            Plain::Bool(b) => format!("the boolean `{b}`"),
            Plain::Number(n) => format!("the number `{n}`"),
            Plain::Unfit(_) | Plain::Ambiguous(_) | Plain::String => quote(text),
        },
    }
}

impl<'a> Decoder<'a> {
    pub fn push(&mut self, problem: Problem) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        }
    }

    pub fn problem(&mut self, span: Span, message: impl AsRef<str>, hint: impl AsRef<str>) {
        let problem = Problem::at(&self.source, span, message).hint(hint);
        self.push(problem);
    }

    /// Reports a node of the wrong type.
    pub fn wrong(&mut self, node: &Node, what: &str, wanted: &str, hint: impl AsRef<str>) {
        if node.kind != Kind::Bad {
            let message = match &node.kind {
                Kind::Scalar(Scalar { missing: true, .. }) => format!("{what} has no value"),
                _ => format!("{what} must be {wanted}, not {}", describe(node)),
            };
            self.problem(node.span, message, hint);
        }
    }

    /// A mapping with these keys at most; `span` is where it is named.
    pub fn map<'n>(
        &mut self,
        node: &'n Node,
        span: Span,
        what: &str,
        keys: &'n [&'n str],
    ) -> Option<Fields<'n>> {
        let entries = self.free_map(node, what, &format!("its keys: {}", all_of(keys.iter().copied())))?;
        for entry in entries {
            if !keys.contains(&entry.key.as_str()) {
                let message = format!("{what} has no key {}", quote(&entry.key));
                self.problem(entry.key_span, message, name_hint(&entry.key, keys.iter().copied()));
            }
        }
        Some(Fields { entries, keys, span })
    }

    /// A mapping with any keys.
    pub fn free_map<'n>(&mut self, node: &'n Node, what: &str, hint: &str) -> Option<&'n [Entry]> {
        let Kind::Map(entries) = &node.kind else {
            self.wrong(node, what, "a mapping", hint);
            return None;
        };
        Some(entries)
    }

    /// The value of a key that must be there.
    pub fn required<'n>(
        &mut self,
        fields: &Fields<'n>,
        key: &str,
        what: &str,
        hint: &str,
    ) -> Option<&'n Node> {
        let node = fields.get(key);
        // A slip in the key is reported already.
        let slip =
            |e: &Entry| !fields.keys.contains(&e.key.as_str()) && did_you_mean(&e.key, [key]).is_some();
        if node.is_none() && !fields.entries.iter().any(slip) {
            self.problem(fields.span, format!("{what} lacks `{key}`"), hint);
        }
        node
    }

    /// A list with at most `max` items.
    pub fn list<'n>(&mut self, node: &'n Node, what: &str, max: usize, hint: &str) -> Option<&'n [Node]> {
        let Kind::List(items) = &node.kind else {
            self.wrong(node, what, "a list", hint);
            return None;
        };
        if let Some(extra) = items.get(max) {
            let message = format!("{what} has {} items, {max} are allowed", items.len());
            self.problem(extra.span, message, "split the scenario into several files");
        }
        Some(&items[..items.len().min(max)])
    }

    /// A string that every reader of YAML takes for one.
    pub fn string<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        let Kind::Scalar(scalar) = &node.kind else {
            self.wrong(node, what, "a string", "write a text here");
            return None;
        };
        let text = scalar.text.as_str();
        if !scalar.plain {
            return Some(text);
        }
        let quoted = format!("write \"{text}\"");
        match resolve(text) {
            Plain::String => Some(text),
            Plain::Null => {
                let message =
                    if scalar.missing { format!("{what} has no value") } else { format!("{what} is null") };
                let hint = if scalar.missing { "write a text here".to_owned() } else { quoted };
                self.problem(node.span, message, hint);
                None
            }
            Plain::Bool(_) => {
                self.wrong(node, what, "a string", quoted);
                None
            }
            Plain::Number(_) | Plain::Unfit(_) => {
                let meant = match resolve(text) {
                    Plain::Number(n) => format!("the number {n}"),
                    _ => "a number".into(),
                };
                self.problem(
                    node.span,
                    format!("unquoted {text} is {meant}, but {what} is a string"),
                    quoted,
                );
                None
            }
            Plain::Ambiguous(meant) => {
                let message =
                    format!("unquoted `{text}` is a string here and {meant} to readers of YAML 1.1");
                self.problem(node.span, message, quoted);
                None
            }
        }
    }

    /// A whole number in a range.
    pub fn integer(&mut self, node: &Node, what: &str, min: u32, max: u32) -> Option<u32> {
        let wanted = format!("a whole number from {min} to {max}");
        let Kind::Scalar(scalar) = &node.kind else {
            self.wrong(node, what, &wanted, "write the number alone");
            return None;
        };
        let number = match resolve(&scalar.text) {
            Plain::Number(n) if scalar.plain => n.as_u64(),
            Plain::Number(_) => {
                self.wrong(node, what, &wanted, format!("write {} without quotes", scalar.text));
                return None;
            }
            _ => None,
        };
        let number = number.and_then(|n| u32::try_from(n).ok()).filter(|n| (min..=max).contains(n));
        if number.is_none() {
            self.wrong(node, what, &wanted, "write a number in this range, in digits and without quotes");
        }
        number
    }

    /// The number of control plane Machines: odd, because etcd needs a majority.
    pub fn control_planes(&mut self, node: &Node, what: &str) -> Option<u32> {
        let number = self.integer(node, what, 1, 7)?;
        if number % 2 == 0 {
            let message = format!("{what} must be odd, not {number}");
            self.problem(
                node.span,
                message,
                "write 1, 3, 5 or 7; etcd gains nothing from an even number of members",
            );
            return None;
        }
        Some(number)
    }

    /// A name of a type that knows its limits.
    pub fn name<T>(
        &mut self,
        node: &Node,
        what: &str,
        new: impl Fn(String) -> Result<T, crate::types::NameError>,
    ) -> Option<T> {
        let text = self.string(node, what)?.to_owned();
        self.named(text, node.span, new)
    }

    /// A name that has been read already, e.g. a key.
    pub fn named<T>(
        &mut self,
        text: String,
        span: Span,
        new: impl Fn(String) -> Result<T, crate::types::NameError>,
    ) -> Option<T> {
        use crate::types::NameError as E;
        let error = match new(text) {
            Ok(name) => return Some(name),
            Err(error) => error,
        };
        match error {
            E::Empty { what } => self.problem(span, format!("the {what} is empty"), "write a name"),
            E::TooLong { what, text, len, max } => self.problem(
                span,
                format!("the {what} {} has {len} characters, {max} are allowed", quote(&text)),
                "it becomes part of labels and paths; choose a shorter one",
            ),
            E::Shape { what, text, rule } => {
                self.problem(span, format!("{} cannot be a {what}", quote(&text)), rule);
            }
        }
        None
    }

    /// A reason, for people.
    pub fn reason(&mut self, node: &Node, what: &str) -> Option<String> {
        let text = self.string(node, what)?;
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if text.is_empty() || text.chars().count() > 500 || text.chars().any(super::problem::is_hostile) {
            let message = format!("{what} is a text of 1 to 500 visible characters");
            self.problem(node.span, message, "say why, in one sentence, with a link if there is one");
            return None;
        }
        Some(text)
    }
}
