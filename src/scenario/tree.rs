//! YAML text -> a tree of nodes that know their places. Limits hold before anything is allocated for what exceeds
//! them, and what scenario files have no use for (anchors, aliases, tags, merge keys, several documents) is
//! refused: every construct that is left means one thing to every reader.

use super::problem::{MAX_PROBLEMS, Problem, SourceText, Span, quote};
use super::text;
use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError};
use std::collections::HashMap;
use std::sync::Arc;

/// How deep lists and mappings may stand in each other.
pub const MAX_DEPTH: usize = 32;
/// The most nodes: scalars, lists and mappings.
pub const MAX_NODES: usize = 20_000;

/// A value in the file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub kind: Kind,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// Already reported; whoever meets it says nothing more.
    Bad,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scalar {
    pub text: String,
    /// Without quotes, so that the text decides the type.
    pub plain: bool,
    /// Nothing is written at all, as in `key:`.
    pub missing: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub key: String,
    pub key_span: Span,
    pub value: Node,
}

/// Reads the one document of a file. `None` comes with at least one problem.
pub(super) fn read(source: &Arc<SourceText>, problems: &mut Vec<Problem>) -> Option<Node> {
    if let Err(problem) = text::check(source) {
        problems.push(problem);
        return None;
    }
    let mut builder =
        Builder { source, problems, stack: Vec::new(), root: None, nodes: 0, refused: Refused::default() };
    match builder.run() {
        Ok(()) => {}
        Err(problem) => {
            builder.problems.push(*problem);
            return None;
        }
    }
    let root = builder.root;
    match root {
        Some(Node { kind: Kind::Scalar(Scalar { missing: true, .. }), .. }) | None => {
            problems.push(Problem::at(source, Span::new(1, 1, 1), "the file is empty").hint(
                "a scenario starts with `apiVersion: e2e.clusterstack.x-k8s.io/v1alpha1` and `kind: Scenario`",
            ));
            None
        }
        root => root,
    }
}

struct Builder<'a> {
    source: &'a Arc<SourceText>,
    problems: &'a mut Vec<Problem>,
    stack: Vec<Frame>,
    root: Option<Node>,
    nodes: usize,
    /// Constructs that are reported once for the whole file, not for each of what may be thousands.
    refused: Refused,
}

#[derive(Default)]
struct Refused {
    anchors: bool,
    aliases: bool,
    tags: bool,
}

/// A list or mapping that is not at its end yet.
enum Frame {
    List { items: Vec<Node>, span: Span },
    Map { entries: Vec<Entry>, span: Span, seen: HashMap<String, Span>, key: Key, spoilt: bool },
}

/// What a mapping waits for.
enum Key {
    Wanted,
    /// The value of this key.
    Given(String, Span),
    /// The value of a key that was reported: read and dropped.
    Dropped,
    /// The value of a key that leaves the whole mapping without a meaning.
    Spoilt,
}

type Fatal = Box<Problem>;

impl Builder<'_> {
    fn run(&mut self) -> Result<(), Fatal> {
        let options = granit_parser::options! {
            disallow_directives: true,
            emit_unresolved_aliases: true,
            emit_anchor_events: true,
            emit_comments: false,
            flow_nesting_limit: MAX_DEPTH + 8,
            block_nesting_limit: MAX_DEPTH + 8,
        };
        let mut documents = 0;
        for event in Parser::new_from_str_with_options(self.source.text(), options) {
            let (event, place) = event.map_err(|error| Box::new(self.syntax(&error)))?;
            let span = self.span(&place);
            let tagged = place.tag_span().map(|tag| self.span(&tag));
            if let Some(tag) = tagged
                && !std::mem::replace(&mut self.refused.tags, true)
            {
                self.report(
                    tag,
                    "tags are not read in scenario files",
                    "remove all of them; quotes make a string",
                );
            }
            match event {
                Event::DocumentStart(..) => {
                    documents += 1;
                    if documents > 1 {
                        let message = "a second document starts here; a scenario file has one";
                        self.report(span, message, "write one file for each scenario");
                        return Ok(());
                    }
                }
                Event::Anchor(..) if !std::mem::replace(&mut self.refused.anchors, true) => {
                    let message = "anchors are not read in scenario files";
                    self.report(
                        span,
                        message,
                        "remove all of them, and write the value out where it is needed",
                    );
                }
                Event::Alias(_) | Event::UnresolvedAlias(_) => {
                    if !std::mem::replace(&mut self.refused.aliases, true) {
                        let message = "aliases are not read in scenario files";
                        self.report(span, message, "write the value out, here and wherever an alias stands");
                    }
                    self.node(Node { kind: Kind::Bad, span })?;
                }
                Event::Scalar(text, style, ..) => {
                    let plain = style == ScalarStyle::Plain;
                    let missing = plain && place.start.index() == place.end.index();
                    let text = if missing { String::new() } else { text.into_owned() };
                    let scalar = Scalar { text, plain, missing };
                    let kind = if tagged.is_some() { Kind::Bad } else { Kind::Scalar(scalar) };
                    self.node(Node { kind, span })?;
                }
                Event::SequenceStart(..) => {
                    self.open(Frame::List { items: Vec::new(), span })?;
                }
                Event::MappingStart(..) => {
                    let (entries, seen) = (Vec::new(), HashMap::new());
                    self.open(Frame::Map { entries, span, seen, key: Key::Wanted, spoilt: false })?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(&place)?,
                // What is left carries nothing, or was reported before.
                _ => {}
            }
        }
        Ok(())
    }

    fn open(&mut self, frame: Frame) -> Result<(), Fatal> {
        let (Frame::List { span, .. } | Frame::Map { span, .. }) = &frame;
        if self.stack.len() >= MAX_DEPTH {
            return Err(Box::new(self.too_deep(*span)));
        }
        self.stack.push(frame);
        Ok(())
    }

    fn too_deep(&self, span: Span) -> Problem {
        Problem::at(
            self.source,
            span,
            format!("more than {MAX_DEPTH} lists and mappings stand in each other"),
        )
        .hint("a scenario is flat; does a bracket lack its end?")
    }

    fn close(&mut self, end: &granit_parser::Span) -> Result<(), Fatal> {
        let last = |span: Span| {
            let same_line = end.end.line() == span.line;
            let length = if same_line { (end.end.col() + 1).saturating_sub(span.column) } else { 1 };
            Span { length: length.max(1), ..span }
        };
        match self.stack.pop() {
            Some(Frame::List { items, span }) => {
                self.node(Node { kind: Kind::List(items), span: last(span) })
            }
            Some(Frame::Map { span, spoilt: true, .. }) => self.node(Node { kind: Kind::Bad, span }),
            Some(Frame::Map { entries, span, .. }) => {
                let flow = self.source.line(span.line).chars().nth(span.column - 1) == Some('{');
                let first = entries.first().map(|e| e.key_span);
                let span = if flow { last(span) } else { first.unwrap_or(span) };
                self.node(Node { kind: Kind::Map(entries), span })
            }
            None => Ok(()),
        }
    }

    fn node(&mut self, node: Node) -> Result<(), Fatal> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            let message = format!("the file has more than {MAX_NODES} values");
            return Err(Box::new(
                Problem::at(self.source, node.span, message).hint("split it into several files"),
            ));
        }
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Frame::List { items, .. }) => items.push(node),
            Some(Frame::Map { entries, seen, key, spoilt, .. }) => {
                match std::mem::replace(key, Key::Wanted) {
                    Key::Dropped => {}
                    Key::Spoilt => *spoilt = true,
                    Key::Given(key, key_span) => {
                        let mut value = node;
                        if matches!(value.kind, Kind::Scalar(Scalar { missing: true, .. })) {
                            value.span = key_span;
                        }
                        entries.push(Entry { key, key_span, value });
                    }
                    Key::Wanted => {
                        let (wanted, problem) = read_key(self.source, seen, node);
                        *key = wanted;
                        self.push(problem);
                    }
                }
            }
        }
        Ok(())
    }

    fn report(&mut self, span: Span, message: &str, hint: &str) {
        self.push(Some(Problem::at(self.source, span, message).hint(hint)));
    }

    fn push(&mut self, problem: Option<Problem>) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.extend(problem);
        }
    }

    fn span(&self, span: &granit_parser::Span) -> Span {
        let (start, end) = (span.start, span.end);
        let length = if end.line() == start.line() {
            end.col().saturating_sub(start.col())
        } else {
            self.source.line(start.line()).trim_end().chars().count().saturating_sub(start.col())
        };
        Span::new(start.line(), start.col() + 1, length.max(1))
    }

    fn syntax(&self, error: &ScanError) -> Problem {
        let mark = error.marker();
        // At the end of the file the parser stands on a line of its own; the last one with text says more.
        let mut line = mark.line().clamp(1, self.source.lines());
        let mut column = mark.col() + 1;
        while line > 1 && self.source.line(line).trim().is_empty() {
            line -= 1;
            column = self.source.line(line).trim_end().chars().count() + 1;
        }
        let span = Span::new(line, column, 1);
        if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) {
            return self.too_deep(span);
        }
        let text = self.source.line(line);
        let indent: String = text.chars().take_while(|c| c.is_whitespace()).collect();
        if indent.contains('\t') {
            let column = indent.chars().position(|c| c == '\t').unwrap_or(0) + 1;
            return Problem::at(self.source, Span::new(line, column, 1), "the line is indented with a tab")
                .hint("indent with spaces; YAML does not allow tabs there");
        }
        let (message, hint) = explain(error.kind());
        let open = self.open_bracket(line);
        let message = message.map_or_else(|| format!("this is not YAML: {}", error.info()), str::to_owned);
        let problem = Problem::at(self.source, span, message).hint(hint);
        match open {
            Some(open) => problem.related(self.source, open, "this bracket is still open"),
            None => problem,
        }
    }

    /// The innermost `[` or `{` of a line above that has no end yet: often the true cause.
    fn open_bracket(&self, line: usize) -> Option<Span> {
        let span = match self.stack.last()? {
            Frame::List { span, .. } | Frame::Map { span, .. } => *span,
        };
        let opens = |c: char| matches!(c, '[' | '{');
        let bracket = self.source.line(span.line).chars().nth(span.column - 1).is_some_and(opens);
        (bracket && span.line < line).then_some(Span { length: 1, ..span })
    }
}

fn read_key(
    source: &Arc<SourceText>,
    seen: &mut HashMap<String, Span>,
    node: Node,
) -> (Key, Option<Problem>) {
    let Kind::Scalar(scalar) = node.kind else {
        if node.kind == Kind::Bad {
            return (Key::Dropped, None);
        }
        let problem = Problem::at(source, node.span, "a list or mapping cannot be a key").hint(
            "is it a template such as `{{ name }}`? Scenario files have none; quote it if it is a string",
        );
        return (Key::Spoilt, Some(problem));
    };
    if scalar.missing {
        let problem =
            Problem::at(source, node.span, "a key is missing before `:`").hint("write `key: value`");
        return (Key::Dropped, Some(problem));
    }
    if scalar.plain && scalar.text == "<<" {
        let problem = Problem::at(source, node.span, "merge keys are not read in scenario files")
            .hint("write the values out here");
        return (Key::Dropped, Some(problem));
    }
    if let Some(first) = seen.get(&scalar.text) {
        let problem = Problem::at(source, node.span, format!("{} is given twice", quote(&scalar.text)))
            .hint("keep one of the two")
            .related(source, *first, "first given here");
        return (Key::Dropped, Some(problem));
    }
    seen.insert(scalar.text.clone(), node.span);
    (Key::Given(scalar.text, node.span), None)
}

/// What a syntax error of the YAML parser means to somebody who writes a scenario.
fn explain(kind: &ErrorKind) -> (Option<&'static str>, &'static str) {
    use ErrorKind as E;
    match kind {
        E::TabInIndentation | E::TabInBlockIndentation | E::TabNotAllowed | E::TabInPlainScalar => {
            (Some("a tab is not allowed here"), "use spaces")
        }
        E::InvalidIndentation | E::ExpectedBlockMappingKey | E::ExpectedBlockSequenceEntry => (
            Some("the indentation does not fit the lines above"),
            "keys of one mapping and items of one list start in the same column",
        ),
        E::SimpleKeyExpected | E::InvalidSimpleKey => {
            (Some("a key without `:`"), "write `key: value`, with a space after the colon")
        }
        E::MappingValueNotAllowed | E::InvalidColonPlacement => (
            Some("a `:` is not allowed here"),
            "quote a text that contains `: `; otherwise compare the indentation with the lines above",
        ),
        E::UnclosedQuotedScalar | E::DocumentIndicatorInQuotedScalar => {
            (Some("a quoted text does not end"), "add the closing quote")
        }
        E::InvalidTrailingSingleQuotedScalar | E::InvalidTrailingDoubleQuotedScalar => (
            Some("text follows the closing quote"),
            "quote the whole text; inside '…' a quote is written ''; or the closing quote of a line above is missing",
        ),
        E::UnknownQuotedScalarEscape => (
            Some("an unknown escape in a quoted text"),
            "write \\\\ for a backslash, or use single quotes, which have no escapes",
        ),
        E::UnclosedFlowCollection { .. }
        | E::ExpectedFlowMappingSeparator
        | E::ExpectedFlowSequenceSeparator
        | E::UnexpectedEofFlowMapping
        | E::UnexpectedEofFlowSequence
        | E::MisplacedFlowCollectionEnd
        | E::MismatchedFlowCollectionEnd { .. } => (
            Some("a list or mapping in brackets is not well-formed"),
            "separate by `,` and close every `[` and `{`",
        ),
        E::UnexpectedCharacter { .. } => (None, "quote a text that starts with `@`, `` ` `` or `%`"),
        E::DirectiveDisallowed => (Some("directives are not read in scenario files"), "remove the line"),
        _ => (None, "compare the line with the example in docs/SCENARIOS.md"),
    }
}
