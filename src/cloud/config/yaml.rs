//! YAML as PyYAML reads it, with places: anchors, aliases and merge keys are resolved, and unquoted words are booleans
//! and numbers by YAML 1.1. That is how every OpenStack client reads its files.

use crate::scenario::{MAX_DEPTH, MAX_NODES, Problem, SourceText, Span};
use granit_parser::{Event, Parser, ScalarStyle};
use std::collections::HashMap;
use std::sync::Arc;

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub value: Value,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Span, Node)>),
}

impl Node {
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(name, ..)| name == key).map(|(.., node)| node),
            Value::Null | Value::Bool(_) | Value::Text(_) | Value::List(_) => None,
        }
    }

    /// What it is, for a message.
    pub(super) fn what(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// The text of a file as it may be shown: the keys, and nothing of their values, which may be secrets.
pub(super) fn shown(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let content = line.trim_start();
        let indent = &line[..line.len() - content.len()];
        let key = content.split_once(':').filter(|(key, _)| {
            let name = key.strip_prefix("- ").unwrap_or(key);
            !name.is_empty()
                && name.len() <= 40
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
        });
        lines.push(match key {
            Some((key, rest)) if rest.trim().is_empty() => format!("{indent}{key}:"),
            Some((key, _)) => format!("{indent}{key}: …"),
            None if content.is_empty() => String::new(),
            None => format!("{indent}…"),
        });
    }
    lines.join("\n")
}

enum Frame {
    List(Vec<Node>, Span, Option<usize>),
    Map { entries: Vec<(String, Span, Node)>, key: Option<(String, Span)>, span: Span, anchor: Option<usize> },
}

/// Reads the one document. `None` comes with a problem.
pub(super) fn read(text: &str, source: &Arc<SourceText>, problems: &mut Vec<Problem>) -> Option<Node> {
    match (Builder { source, problems, stack: Vec::new(), anchors: HashMap::new(), nodes: 0, root: None })
        .run(text)
    {
        Ok(root) => root,
        Err(problem) => {
            problems.push(*problem);
            None
        }
    }
}

struct Builder<'a> {
    source: &'a Arc<SourceText>,
    problems: &'a mut Vec<Problem>,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
}

type Fatal = Box<Problem>;

impl Builder<'_> {
    fn run(mut self, text: &str) -> Result<Option<Node>, Fatal> {
        let options = granit_parser::options! {
            disallow_directives: false,
            emit_unresolved_aliases: true,
            emit_comments: false,
            flow_nesting_limit: MAX_DEPTH + 8,
            block_nesting_limit: MAX_DEPTH + 8,
        };
        let mut documents = 0;
        for event in Parser::new_from_str_with_options(text, options) {
            let (event, place) = event.map_err(|error| {
                let mark = error.marker();
                let line = mark.line().clamp(1, self.source.lines());
                // What the parser says may quote the text, and with it a secret.
                self.fatal(Span::new(line, mark.col() + 1, 1), "this is not YAML")
            })?;
            let span = Span::new(place.start.line(), place.start.col() + 1, 1);
            match event {
                Event::DocumentStart(..) => {
                    documents += 1;
                    if documents > 1 {
                        return Err(self.fatal(span, "a second document starts here"));
                    }
                }
                Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                    Some(node) => self.node(Node { span, ..node }, None)?,
                    None => return Err(self.fatal(span, "an alias stands inside of what it names")),
                },
                Event::UnresolvedAlias(_) => {
                    return Err(self.fatal(span, "an alias of an anchor that is not there"));
                }
                Event::Scalar(text, style, anchor, tag) => {
                    let quoted = style != ScalarStyle::Plain || tag.is_some();
                    let value = if quoted { Value::Text(text.into_owned()) } else { plain(&text) };
                    self.node(Node { value, span }, (anchor > 0).then_some(anchor))?;
                }
                Event::SequenceStart(_, anchor, _) => {
                    self.open(Frame::List(Vec::new(), span, (anchor > 0).then_some(anchor)))?;
                }
                Event::MappingStart(_, anchor, _) => {
                    let anchor = (anchor > 0).then_some(anchor);
                    self.open(Frame::Map { entries: Vec::new(), key: None, span, anchor })?;
                }
                Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                    Some(Frame::List(items, span, anchor)) => {
                        self.node(Node { value: Value::List(items), span }, anchor)?;
                    }
                    Some(Frame::Map { entries, span, anchor, .. }) => {
                        let merged = self.merged(entries);
                        self.node(Node { value: Value::Map(merged), span }, anchor)?;
                    }
                    None => {}
                },
                _ => {}
            }
        }
        Ok(self.root)
    }

    fn fatal(&self, span: Span, message: &str) -> Fatal {
        Box::new(
            Problem::at(self.source, span, message)
                .hint("`openstack configuration show` reads the same file"),
        )
    }

    fn open(&mut self, frame: Frame) -> Result<(), Fatal> {
        if self.stack.len() >= MAX_DEPTH {
            let (Frame::List(_, span, _) | Frame::Map { span, .. }) = &frame;
            return Err(
                self.fatal(*span, &format!("more than {MAX_DEPTH} lists and mappings stand in each other"))
            );
        }
        self.stack.push(frame);
        Ok(())
    }

    fn node(&mut self, node: Node, anchor: Option<usize>) -> Result<(), Fatal> {
        // An alias counts as all that it stands for, so that a small file cannot become a large tree.
        self.nodes += size(&node);
        if self.nodes > MAX_NODES {
            return Err(self.fatal(node.span, &format!("the file has more than {MAX_NODES} values")));
        }
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Frame::List(items, ..)) => items.push(node),
            Some(Frame::Map { entries, key, .. }) => match key.take() {
                Some((name, span)) => {
                    let twice = name != "<<" && entries.iter().any(|(other, ..)| *other == name);
                    if twice {
                        let message = format!("`{name}` is given twice");
                        self.problems
                            .push(Problem::at(self.source, span, message).hint("keep one of the two"));
                    } else {
                        entries.push((name, span, node));
                    }
                }
                None => match node.value {
                    Value::Text(name) => *key = Some((name, node.span)),
                    Value::Bool(value) => *key = Some((value.to_string(), node.span)),
                    Value::Null | Value::List(_) | Value::Map(_) => {
                        return Err(self.fatal(node.span, "this cannot be a key"));
                    }
                },
            },
        }
        Ok(())
    }

    /// Merge keys put in: what stands in the mapping itself wins, then the first of several merged ones.
    fn merged(&mut self, entries: Vec<(String, Span, Node)>) -> Vec<(String, Span, Node)> {
        let (merges, mut own): (Vec<_>, Vec<_>) = entries.into_iter().partition(|(name, ..)| name == "<<");
        for (_, span, node) in merges {
            let sources = match node.value {
                Value::List(items) => items,
                value => vec![Node { value, span: node.span }],
            };
            for source in sources {
                let Value::Map(entries) = source.value else {
                    let message = format!("`<<` merges mappings, and this is {}", source.what());
                    self.problems
                        .push(Problem::at(self.source, span, message).hint("name an anchor of a mapping"));
                    continue;
                };
                for entry in entries {
                    if own.iter().all(|(name, ..)| *name != entry.0) {
                        own.push(entry);
                    }
                }
            }
        }
        own
    }
}

fn size(node: &Node) -> usize {
    match &node.value {
        Value::Null | Value::Bool(_) | Value::Text(_) => 1,
        Value::List(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Map(entries) => 1 + entries.iter().map(|(.., node)| 1 + size(node)).sum::<usize>(),
    }
}

/// An unquoted word by YAML 1.1. Numbers stay as they are written: what is read here is text to OpenStack.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Value::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Value::Bool(false),
        text => Value::Text(text.to_owned()),
    }
}
