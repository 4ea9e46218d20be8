//! One JUnit file as a stream of cases. Lenient about what tools write differently (one suite or many, nested
//! suites, times with commas, any timestamp), strict about what could hide a failure. Entities are not expanded.

use super::{Limits, MAX_TEXT};
use crate::types::Gathered;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use std::io::{self, BufRead, Read};

/// Why a file cannot be taken for JUnit.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file system refused, or a limit is exceeded.
    #[error("it cannot be read at byte {at}")]
    Io {
        /// Where.
        at: u64,
        /// Why.
        source: io::Error,
    },
    /// Not well-formed, or cut short.
    #[error("it is not well-formed XML at byte {at}: {why}")]
    Xml {
        /// Where.
        at: u64,
        /// Why.
        why: String,
    },
    /// Something that only hostile files have.
    #[error("it is refused at byte {at}: {why}")]
    Refused {
        /// Where.
        at: u64,
        /// Why.
        why: &'static str,
    },
    /// Another kind of file.
    #[error("it is no JUnit file: its root is `{root}`, not `testsuites` or `testsuite`")]
    Root {
        /// What it begins with.
        root: String,
    },
    /// Nothing but white space.
    #[error("it is empty")]
    Empty,
    /// More cases than can be told apart in bounded memory.
    #[error("there are more than {0} cases")]
    TooMany(u64),
}

/// How a case ended; the order is the severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Not looked at.
    Skipped,
    /// As it should be.
    Passed,
    /// Not as it should be.
    Failed,
    /// It could not be told.
    Errored,
}

/// The children of a case that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tag {
    /// `skipped`
    Skipped,
    /// `error`
    Error,
    /// `failure`
    Failure,
    /// `rerunFailure`
    RerunFailure,
    /// `rerunError`
    RerunError,
    /// `flakyFailure`
    FlakyFailure,
    /// `flakyError`
    FlakyError,
    /// `system-out`
    SystemOut,
    /// `system-err`
    SystemErr,
}

const TAGS: [(Tag, &str); 9] = [
    (Tag::Skipped, "skipped"),
    (Tag::Error, "error"),
    (Tag::Failure, "failure"),
    (Tag::RerunFailure, "rerunFailure"),
    (Tag::RerunError, "rerunError"),
    (Tag::FlakyFailure, "flakyFailure"),
    (Tag::FlakyError, "flakyError"),
    (Tag::SystemOut, "system-out"),
    (Tag::SystemErr, "system-err"),
];

impl Tag {
    /// The name of the element.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        TAGS.iter().find(|(tag, _)| *tag == self).map_or("", |(_, name)| name)
    }

    fn of(name: &[u8]) -> Option<Self> {
        TAGS.iter().find(|(_, known)| known.as_bytes() == name).map(|(tag, _)| *tag)
    }

    fn status(self) -> Status {
        match self {
            Self::Skipped => Status::Skipped,
            Self::Failure | Self::RerunFailure => Status::Failed,
            Self::Error | Self::RerunError => Status::Errored,
            Self::FlakyFailure | Self::FlakyError | Self::SystemOut | Self::SystemErr => Status::Passed,
        }
    }
}

/// A child of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Which element.
    pub tag: Tag,
    /// Its attribute `type`.
    pub kind: String,
    /// Its attribute `message`.
    pub message: String,
    /// Its text.
    pub text: Gathered,
}

/// A case of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Its attribute `classname`.
    pub class: String,
    /// Its name.
    pub name: String,
    /// Seconds.
    pub time: Option<f64>,
    /// How it ended.
    pub status: Status,
    /// Its children.
    pub parts: Vec<Part>,
}

/// A suite of a file; nested ones have the names of those around them in theirs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Suite {
    /// Its name.
    pub name: String,
    /// Its place in the file, from 0.
    pub number: u32,
    /// When it began, as the file says.
    pub timestamp: String,
    /// Seconds.
    pub time: Option<f64>,
    /// What the file says about it before its first case.
    pub properties: Vec<(String, String)>,
    declared: u64,
    bad: u64,
}

const MAX_NAME: usize = 1000;
const MAX_MESSAGE: usize = 4000;
const MAX_ATTRIBUTES: usize = 64;
const MAX_PARTS: usize = 64;
const MAX_PROPERTIES: usize = 200;

/// Counts what is read, and ends what is too long.
struct Limited<R> {
    inner: R,
    file: u64,
    piece: u64,
    limits: Limits,
}

impl<R: BufRead> BufRead for Limited<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let too_long = |what: &str, limit: u64| {
            Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("{what} of more than {limit} bytes")))
        };
        let bytes = self.inner.fill_buf()?;
        if bytes.is_empty() {
            return Ok(bytes);
        }
        let (file, piece) = (self.limits.file - self.file, self.limits.piece - self.piece);
        match (file, piece) {
            (0, _) => too_long("a file", self.limits.file),
            (_, 0) => too_long("a text or tag", self.limits.piece),
            (_, _) => {
                let room = usize::try_from(file.min(piece)).unwrap_or(usize::MAX);
                Ok(&bytes[..room.min(bytes.len())])
            }
        }
    }

    fn consume(&mut self, bytes: usize) {
        let count = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.file = self.file.saturating_add(count);
        self.piece = self.piece.saturating_add(count);
        self.inner.consume(bytes);
    }
}

impl<R: BufRead> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?.read(buffer)?;
        self.consume(bytes);
        Ok(bytes)
    }
}

/// An element that has begun.
enum Open {
    Suite(Suite),
    Case(Case),
    Part(Part),
    Other,
}

struct Walk<'a> {
    open: Vec<Open>,
    suites: u32,
    cases: u64,
    rooted: bool,
    limits: Limits,
    tell: &'a mut dyn FnMut(&Suite, Case) -> Result<(), ReadError>,
}

/// Reads a file, and tells each case with the suite that it belongs to.
///
/// # Errors
/// It is no JUnit, it exceeds a limit, or `tell` gives up.
pub fn read(
    input: impl BufRead,
    limits: &Limits,
    tell: &mut dyn FnMut(&Suite, Case) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let mut reader = Reader::from_reader(Limited { inner: input, file: 0, piece: 0, limits: *limits });
    let mut walk = Walk { open: Vec::new(), suites: 0, cases: 0, rooted: false, limits: *limits, tell };
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        reader.get_mut().piece = 0;
        let at = reader.buffer_position();
        let refused = |why| Err(ReadError::Refused { at, why });
        match reader.read_event_into(&mut buffer) {
            Ok(Event::Start(tag)) => walk.start(&tag, at)?,
            Ok(Event::Empty(tag)) => {
                walk.start(&tag, at)?;
                walk.end()?;
            }
            Ok(Event::End(_)) => walk.end()?,
            Ok(Event::Text(text)) => walk.text(&String::from_utf8_lossy(&text)),
            Ok(Event::CData(text)) => walk.text(&String::from_utf8_lossy(&text)),
            Ok(Event::GeneralRef(name)) => match reference(&name) {
                Some(c) => walk.text(c.encode_utf8(&mut [0; 4])),
                None => return refused("an entity of its own, which is not expanded"),
            },
            Ok(Event::DocType(_)) => return refused("a document type, which no JUnit file needs"),
            Ok(Event::Decl(decl)) => {
                let encoding = decl.encoding().and_then(Result::ok).unwrap_or_default();
                if !encoding.is_empty() && !is_unicode(&encoding) {
                    return refused("an encoding other than UTF-8");
                }
            }
            Ok(Event::Comment(_) | Event::PI(_)) => {}
            Ok(Event::Eof) if !walk.rooted => return Err(ReadError::Empty),
            Ok(Event::Eof) if walk.open.is_empty() => return walk.finish(),
            Ok(Event::Eof) => {
                return Err(ReadError::Xml { at, why: "it ends before its last element does".into() });
            }
            Err(quick_xml::Error::Io(error)) => {
                let source = io::Error::new(error.kind(), error.to_string());
                return Err(ReadError::Io { at, source });
            }
            Err(error) => return Err(ReadError::Xml { at, why: error.to_string() }),
        }
    }
}

fn is_unicode(encoding: &[u8]) -> bool {
    [&b"utf-8"[..], b"utf8", b"us-ascii", b"ascii"].iter().any(|known| encoding.eq_ignore_ascii_case(known))
}

/// The five that XML knows, and characters by number.
fn reference(name: &quick_xml::events::BytesRef<'_>) -> Option<char> {
    if name.is_char_ref() {
        // A number that is no character is dropped as `printable` drops what XML cannot hold.
        return Some(name.resolve_char_ref().ok().flatten().unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    match &**name {
        b"lt" => Some('<'),
        b"gt" => Some('>'),
        b"amp" => Some('&'),
        b"apos" => Some('\''),
        b"quot" => Some('"'),
        _ => None,
    }
}

fn cut(text: String, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text,
        Some((end, _)) => text[..end].to_owned(),
    }
}

/// The wanted attributes, unescaped.
fn attributes<const N: usize>(tag: &BytesStart<'_>, wanted: [&str; N]) -> [String; N] {
    let mut found = [const { String::new() }; N];
    // Checking for duplicates would compare each with each.
    for attribute in tag.attributes().with_checks(false).take(MAX_ATTRIBUTES).flatten() {
        let name = attribute.key.local_name();
        if let Some(index) = wanted.iter().position(|wanted| wanted.as_bytes() == name.as_ref()) {
            let raw = String::from_utf8_lossy(&attribute.value);
            let text = quick_xml::escape::unescape(&raw).map_or_else(|_| raw.to_string(), Into::into);
            found[index] = cut(text, MAX_MESSAGE);
        }
    }
    found
}

fn seconds(text: &str) -> Option<f64> {
    let time: f64 = text.replace(',', "").trim().parse().ok()?;
    (time.is_finite() && time >= 0.0).then_some(time)
}

fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or(0)
}

/// Words of an attribute `status` that mean that it went badly, whatever the children say.
fn is_bad_word(status: &str) -> bool {
    const WORDS: [&str; 9] = [
        "failed",
        "failure",
        "error",
        "errored",
        "panicked",
        "aborted",
        "interrupted",
        "timedout",
        "timeout",
    ];
    WORDS.iter().any(|word| status.eq_ignore_ascii_case(word))
}

impl Walk<'_> {
    fn start(&mut self, tag: &BytesStart<'_>, at: u64) -> Result<(), ReadError> {
        if self.open.len() >= self.limits.depth {
            return Err(ReadError::Refused { at, why: "too many elements within each other" });
        }
        let name = tag.local_name();
        if !self.rooted && !matches!(name.as_ref(), b"testsuites" | b"testsuite") {
            let root = cut(String::from_utf8_lossy(name.as_ref()).into_owned(), 40);
            return Err(ReadError::Root { root });
        }
        if self.rooted && self.open.is_empty() {
            return Err(ReadError::Xml { at, why: "it has a second root".into() });
        }
        self.rooted = true;
        let around = self.open.last();
        let opened = match (name.as_ref(), around) {
            (b"testsuite", None | Some(Open::Suite(_) | Open::Other)) => Open::Suite(self.suite(tag)),
            (b"testcase", Some(Open::Suite(_) | Open::Other)) => Open::Case(case(tag)),
            (b"property", _) => {
                self.property(tag);
                Open::Other
            }
            // What stands within a failure is part of it; anywhere else a failure counts, however odd the place.
            (_, Some(Open::Part(_)) | None) => Open::Other,
            (other, Some(Open::Case(_) | Open::Suite(_) | Open::Other)) => match Tag::of(other) {
                Some(known) if !self.is_within_part() => {
                    let [kind, message] = attributes(tag, ["type", "message"]);
                    Open::Part(Part { tag: known, kind, message, text: Gathered::default() })
                }
                Some(_) | None => Open::Other,
            },
        };
        self.open.push(opened);
        Ok(())
    }

    fn is_within_part(&self) -> bool {
        self.open.iter().any(|open| matches!(open, Open::Part(_)))
    }

    fn suite(&mut self, tag: &BytesStart<'_>) -> Suite {
        let [name, timestamp, time, failures, errors] =
            attributes(tag, ["name", "timestamp", "time", "failures", "errors"]);
        let around = self.open.iter().rev().find_map(|open| match open {
            Open::Suite(suite) => Some(suite.name.as_str()),
            Open::Case(_) | Open::Part(_) | Open::Other => None,
        });
        let name = match around {
            Some(around) if !around.is_empty() => format!("{around} / {name}"),
            Some(_) | None => name,
        };
        let number_of_suite = self.suites;
        self.suites += 1;
        Suite {
            name: cut(name, MAX_NAME),
            number: number_of_suite,
            timestamp: cut(timestamp, 40),
            time: seconds(&time),
            properties: Vec::new(),
            declared: number(&failures).saturating_add(number(&errors)),
            bad: 0,
        }
    }

    fn property(&mut self, tag: &BytesStart<'_>) {
        // Only those of a suite; those of a case stand within it.
        if self.open.iter().any(|open| matches!(open, Open::Case(_))) {
            return;
        }
        let [name, value] = attributes(tag, ["name", "value"]);
        if let Some(Open::Suite(suite)) = self.open.iter_mut().rev().find(|o| matches!(o, Open::Suite(_)))
            && suite.properties.len() < MAX_PROPERTIES
        {
            suite.properties.push((cut(name, MAX_NAME), cut(value, MAX_NAME)));
        }
    }

    fn text(&mut self, text: &str) {
        // A stack trace within a failure is part of its text.
        let part = self.open.iter_mut().rev().find_map(|open| match open {
            Open::Part(part) => Some(part),
            Open::Suite(_) | Open::Case(_) | Open::Other => None,
        });
        if let Some(part) = part {
            part.text.push(text, MAX_TEXT[0]);
        }
    }

    fn end(&mut self) -> Result<(), ReadError> {
        match self.open.pop() {
            Some(Open::Part(part)) => {
                if let Some(Open::Case(case)) =
                    self.open.iter_mut().find(|open| matches!(open, Open::Case(_)))
                {
                    add(case, part);
                    return Ok(());
                }
                if part.tag.status() <= Status::Passed {
                    return Ok(());
                }
                // A failure of a suite itself is one of nobody's cases.
                self.case(Case {
                    class: String::new(),
                    name: "(the suite itself)".into(),
                    time: None,
                    status: part.tag.status(),
                    parts: vec![part],
                })
            }
            Some(Open::Case(case)) => self.case(case),
            Some(Open::Suite(suite)) => self.end_of_suite(suite),
            Some(Open::Other) | None => Ok(()),
        }
    }

    fn case(&mut self, case: Case) -> Result<(), ReadError> {
        self.cases += 1;
        if self.cases > self.limits.cases {
            return Err(ReadError::TooMany(self.limits.cases));
        }
        let bad = case.status > Status::Passed;
        for open in &mut self.open {
            if let Open::Suite(suite) = open {
                suite.bad += u64::from(bad);
            }
        }
        let suite = self.open.iter().rev().find_map(|open| match open {
            Open::Suite(suite) => Some(suite),
            Open::Case(_) | Open::Part(_) | Open::Other => None,
        });
        match suite {
            Some(suite) => (self.tell)(suite, case),
            None => (self.tell)(&Suite::default(), case),
        }
    }

    fn end_of_suite(&mut self, suite: Suite) -> Result<(), ReadError> {
        // What follows in the suite around it is a further part of that one, with a number of its own.
        if let Some(Open::Suite(around)) = self.open.iter_mut().rev().find(|o| matches!(o, Open::Suite(_))) {
            around.number = self.suites;
            self.suites += 1;
        }
        if suite.declared <= suite.bad {
            return Ok(());
        }
        let message = format!(
            "the suite declares {} failures and errors, but lists {}: results are missing",
            suite.declared, suite.bad
        );
        // The suites around it declare the same ones.
        let missing = suite.declared - suite.bad;
        for open in &mut self.open {
            if let Open::Suite(around) = open {
                around.bad = around.bad.saturating_add(missing);
            }
        }
        (self.tell)(&suite, own("(results that are not listed)", message))
    }

    fn finish(self) -> Result<(), ReadError> {
        if self.cases > 0 {
            return Ok(());
        }
        (self.tell)(&Suite::default(), own("(no case)", "the file holds no test case".into()))
    }
}

fn case(tag: &BytesStart<'_>) -> Case {
    let [class, name, time, status] = attributes(tag, ["classname", "name", "time", "status"]);
    let mut case = Case {
        class: cut(class, MAX_NAME),
        name: cut(name, MAX_NAME),
        time: seconds(&time),
        status: Status::Passed,
        parts: Vec::new(),
    };
    if is_bad_word(&status) {
        case.status = Status::Failed;
    }
    case
}

fn add(case: &mut Case, part: Part) {
    case.status = match (case.status, part.tag.status()) {
        // A part that says nothing about the outcome changes nothing.
        (known, Status::Passed) => known,
        (Status::Passed, Status::Skipped) => Status::Skipped,
        (known, other) => known.max(other),
    };
    if case.parts.len() < MAX_PARTS {
        case.parts.push(part);
    }
}

/// What this reader has to say itself.
fn own(name: &str, message: String) -> Case {
    let part = Part { tag: Tag::Error, kind: "harness".into(), message, text: Gathered::default() };
    Case { class: String::new(), name: name.into(), time: None, status: Status::Errored, parts: vec![part] }
}
