//! What is wrong in a file, where, and what to do: one [`Problem`] for each mistake, all of them at once.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The most problems that are kept for one file; what comes after them is rarely news.
pub const MAX_PROBLEMS: usize = 100;
/// Longer texts in messages are cut.
const MAX_SHOWN: usize = 60;
/// Longer messages and hints are cut.
const MAX_MESSAGE: usize = 600;
/// The width that long source lines are trimmed to, around the caret.
const WIDTH: usize = 120;

/// The text of a file, with its name as the user wrote it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SourceText {
    file: PathBuf,
    text: String,
    /// Byte offset of the start of each line.
    starts: Vec<usize>,
}

impl fmt::Debug for SourceText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceText({:?}, {} lines)", self.file, self.starts.len())
    }
}

impl SourceText {
    /// Keeps `text` as the content of `file`. Lines end as YAML's do: with LF, CRLF or a lone CR.
    #[must_use]
    pub fn new(file: impl Into<PathBuf>, text: impl Into<String>) -> Arc<Self> {
        let text = text.into();
        let bytes = text.as_bytes();
        let mut starts = vec![0];
        for (i, byte) in bytes.iter().enumerate() {
            if *byte == b'\n' || (*byte == b'\r' && bytes.get(i + 1) != Some(&b'\n')) {
                starts.push(i + 1);
            }
        }
        let file = file.into();
        Arc::new(Self { file, text, starts })
    }

    /// The file, as the user named it.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The number of lines, at least one.
    #[must_use]
    pub fn lines(&self) -> usize {
        self.starts.len()
    }

    /// The line with this number, from 1, without its end; empty when there is no such line.
    #[must_use]
    pub fn line(&self, number: usize) -> &str {
        let Some(start) = number.checked_sub(1).and_then(|i| self.starts.get(i)) else {
            return "";
        };
        let end = self.starts.get(number).copied().unwrap_or(self.text.len());
        self.text.get(*start..end).unwrap_or("").trim_end_matches(['\n', '\r'])
    }
}

/// A place in a file: some characters of one line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Span {
    /// The line, from 1; 0 stands for the file as a whole.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// How many characters.
    pub length: usize,
}

impl Span {
    /// The place of `length` characters from `column` on.
    #[must_use]
    pub const fn new(line: usize, column: usize, length: usize) -> Self {
        Self { line, column, length }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}+{}", self.line, self.column, self.length)
    }
}

/// One mistake of the user, with its place and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    source: Arc<SourceText>,
    span: Span,
    message: String,
    hint: Option<String>,
    /// Another place that explains the first: where it is, and what stands there.
    related: Vec<(Arc<SourceText>, Span, String)>,
}

impl Problem {
    /// A problem at a place of a file.
    #[must_use]
    pub fn at(source: &Arc<SourceText>, span: Span, message: impl AsRef<str>) -> Self {
        let message = clean(message.as_ref());
        Self { source: source.clone(), span, message, hint: None, related: Vec::new() }
    }

    /// A problem of a whole file, e.g. one that cannot be read.
    #[must_use]
    pub fn of_file(file: &Path, message: impl AsRef<str>) -> Self {
        Self::at(&SourceText::new(file, ""), Span::default(), message)
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl AsRef<str>) -> Self {
        self.hint = Some(clean(hint.as_ref()));
        self
    }

    /// Adds a hint if there is one.
    #[must_use]
    pub fn maybe_hint(self, hint: Option<impl AsRef<str>>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    /// Adds a second place that explains the first, e.g. where a name was used before.
    #[must_use]
    pub fn related(mut self, source: &Arc<SourceText>, span: Span, what: impl AsRef<str>) -> Self {
        self.related.push((source.clone(), span, clean(what.as_ref())));
        self
    }

    /// The file, as the user named it.
    #[must_use]
    pub fn file(&self) -> &Path {
        self.source.file()
    }

    /// The place; line 0 stands for the whole file.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span
    }

    /// What is wrong, in one line.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it.
    #[must_use]
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Other places that explain the first, each with what stands there.
    pub fn related_places(&self) -> impl Iterator<Item = (&Path, Span, &str)> {
        self.related.iter().map(|(source, span, what)| (source.file(), *span, what.as_str()))
    }

    /// A screen for people: message, place, the line itself with a caret below, hint.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        self.screen(Level::ERROR, colour)
    }

    /// The same for something that need not be wrong.
    #[must_use]
    pub fn render_warning(&self, colour: bool) -> String {
        self.screen(Level::WARNING, colour)
    }

    fn screen(&self, level: Level<'_>, colour: bool) -> String {
        let mut first = Group::with_title(level.primary_title(self.message.as_str()));
        let path = clean(&self.source.file().to_string_lossy());
        if self.span.line == 0 {
            first = first.element(annotate_snippets::Origin::path(path));
        } else {
            first = first.element(snippet(&self.source, self.span, path, AnnotationKind::Primary));
        }
        if let Some(hint) = &self.hint {
            first = first.element(Level::HELP.with_name("hint").message(hint.as_str()));
        }
        let mut groups = vec![first];
        for (source, span, what) in &self.related {
            let path = clean(&source.file().to_string_lossy());
            groups.push(Group::with_title(Level::NOTE.secondary_title(what.as_str())).element(snippet(
                source,
                *span,
                path,
                AnnotationKind::Primary,
            )));
        }
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        renderer.term_width(WIDTH).render(&groups)
    }
}

impl fmt::Display for Problem {
    /// One line: `file:line:column: message`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = clean(&self.source.file().to_string_lossy());
        match self.span {
            Span { line: 0, .. } => write!(f, "{file}: {}", self.message),
            Span { line, column, .. } => write!(f, "{file}:{line}:{column}: {}", self.message),
        }
    }
}

fn snippet<'a>(
    source: &SourceText,
    span: Span,
    path: String,
    kind: AnnotationKind,
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let line: String = source.line(span.line).chars().map(visible).collect();
    let offset = |chars: usize| line.char_indices().nth(chars).map_or(line.len(), |(i, _)| i);
    let start = offset(span.column.saturating_sub(1));
    let end = offset(span.column.saturating_sub(1).saturating_add(span.length));
    Snippet::source(line).line_start(span.line).path(path).annotation(kind.span(start..end.max(start)))
}

/// Every problem of a set of files, in the order of files and lines. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// All screens, one after another, and their number.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let mut text = String::new();
        for problem in &self.0 {
            text.push_str(problem.render(colour).trim_end());
            text.push_str("\n\n");
        }
        text.push_str(&match self.0.len() {
            1 => "1 problem".to_owned(),
            n => format!("{n} problems"),
        });
        text.push('\n');
        text
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Problems {}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

/// Characters that change how a terminal shows the text around them, or that cannot be seen at all.
pub(super) fn is_hostile(c: char) -> bool {
    let control = c.is_control() && c != '\t';
    let invisible = matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e007f}'
    );
    control || invisible
}

/// Replaces a hostile character by one that can be seen; one for one, so that columns stay right.
fn visible(c: char) -> char {
    match c {
        '\0'..='\u{1f}' if c != '\t' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
        '\u{7f}' => '\u{2421}',
        _ if is_hostile(c) => '\u{fffd}',
        _ => c,
    }
}

fn clean(text: &str) -> String {
    let mut shown: String =
        text.chars().take(MAX_MESSAGE).map(|c| if c == '\n' { c } else { visible(c) }).collect();
    if text.chars().nth(MAX_MESSAGE).is_some() {
        shown.push('…');
    }
    shown
}

/// A text of the user as part of a message: in backticks, and cut when it is long.
pub(super) fn quote(text: &str) -> String {
    if text.is_empty() {
        return "`\"\"`".to_owned();
    }
    let line = text.replace(['\n', '\r'], " ");
    let mut shown: String = line.chars().take(MAX_SHOWN).collect();
    if line.chars().nth(MAX_SHOWN).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// `a`, `b` or `c`
pub(super) fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    joined(names, "or")
}

/// `a`, `b` and `c`
pub(super) fn all_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    joined(names, "and")
}

fn joined<'a>(names: impl IntoIterator<Item = &'a str>, word: &str) -> String {
    let names: Vec<String> = names.into_iter().map(quote).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] if names.len() <= 12 => format!("{} {word} {last}", first.join(", ")),
        _ => format!("{}, …", names[..12].join(", ")),
    }
}

/// The known name that `text` was probably meant to be.
#[must_use]
pub fn did_you_mean<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if text.chars().count() > 80 {
        return None;
    }
    let fold = |s: &str| s.to_lowercase().replace(['-', '_', ' '], "");
    let folded = fold(text);
    known
        .into_iter()
        .filter_map(|name| {
            let distance = strsim::damerau_levenshtein(&folded, &fold(name));
            // One slip in short words, one for every three letters in longer ones.
            let allowed = (name.chars().count() / 3).max(1);
            (distance <= allowed && distance < name.chars().count()).then_some((distance, name))
        })
        .min()
        .map(|(_, name)| name)
}

/// The hint for a name that does not exist.
pub(super) fn name_hint<'a>(text: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match did_you_mean(text, known.clone()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("use {}", one_of(known)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_as_in_yaml() {
        let source = SourceText::new("f", "a\r\nb\rc\n\nd");
        let lines: Vec<&str> = (0..=6).map(|n| source.line(n)).collect();
        assert_eq!(lines, ["", "a", "b", "c", "", "d", ""]);
        assert_eq!(source.lines(), 5);
    }

    #[test]
    fn a_screen_never_carries_control_characters() {
        let source = SourceText::new("a\u{1b}[2Jb.yaml", "name: \u{1b}]0;title\u{7}\u{202e}x");
        let problem = Problem::at(&source, Span::new(1, 7, 5), "bad \u{1b}[31m name").hint("\u{9b}no");
        let screen = problem.render(false);
        assert!(screen.chars().all(|c| c == '\n' || !is_hostile(c)), "{screen:?}");
        assert!(!problem.to_string().contains('\u{1b}'));
    }

    #[test]
    fn colour_is_only_for_those_who_ask() {
        let problem = Problem::at(&SourceText::new("f", "a: b"), Span::new(1, 4, 1), "message").hint("hint");
        assert!(problem.render(true).contains('\u{1b}'));
        assert!(!problem.render(false).contains('\u{1b}'));
    }

    #[test]
    fn a_place_beside_the_text_is_shown_as_well_as_it_can_be() {
        let source = SourceText::new("f", "é\n");
        for span in
            [Span::new(1, 9, 9), Span::new(7, 1, 1), Span::new(1, 0, 0), Span::new(1, usize::MAX, usize::MAX)]
        {
            assert!(Problem::at(&source, span, "message").render(false).contains("message"));
        }
    }

    #[test]
    fn slips_are_recognised() {
        for (text, meant) in [
            ("controlplanes", Some("controlPlanes")),
            ("control_planes", Some("controlPlanes")),
            ("kuberentes", Some("kubernetes")),
            ("zzz", None),
            ("", None),
        ] {
            assert_eq!(did_you_mean(text, ["kubernetes", "controlPlanes", "on"]), meant, "{text}");
        }
    }
}
