//! Files of JUnit merged into one, written as a stream.

use super::{one_line, printable};
use crate::results::foreign::{Case, Counts, Kept, KeptSuite, Merged, ReadError, Source, Status, Tag};
use crate::types::head_and_tail;
use std::io::{self, Write};

/// All texts together are not larger than this.
const TEXT_BUDGET: u64 = 5 << 20;
const MAX_MESSAGE: usize = 500;

/// Writes what counts of `sources` as one JUnit file; `own` is a whole file of this harness that goes first.
///
/// # Errors
/// A source that cannot be read any more, by its name, or the output that cannot be written, by no name.
pub fn merged(
    merged: &Merged,
    sources: &[Source<'_>],
    own: Option<&[u8]>,
    out: &mut dyn Write,
) -> Result<(), (String, ReadError)> {
    let here = |source: io::Error| (String::new(), ReadError::Io { at: 0, source });
    let own = own.map(|xml| String::from_utf8_lossy(xml));
    let (own_counts, own_body) = own.as_deref().and_then(body).unwrap_or_default();
    let totals = merged.totals();
    writeln!(
        out,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"stack-e2e report\" tests=\"{}\" failures=\"{}\" errors=\"{}\">",
        own_counts.tests + totals.tests,
        own_counts.failures + totals.failures,
        own_counts.errors + totals.errors,
    )
    .map_err(here)?;
    out.write_all(own_body.as_bytes()).map_err(here)?;
    let mut writer = Writer { out, max_text: merged.text_limit(TEXT_BUDGET), open: false };
    merged.each(sources, &mut |kept| match kept {
        Kept::Suite(suite) => writer.suite(&suite),
        Kept::Case(case) => writer.case(case),
    })?;
    writer.end_suite().and_then(|()| writer.out.write_all(b"</testsuites>\n")).map_err(here)
}

/// What stands within the root of a file that `junit` has written, and the totals that the root says.
fn body(xml: &str) -> Option<(Counts, &str)> {
    let root = xml.find("<testsuites")?;
    let inside = root + xml[root..].find('>')? + 1;
    let end = xml.rfind("</testsuites>")?;
    let total = |name: &str| {
        let tag = &xml[root..inside];
        let value = tag.split_once(&format!(" {name}=\""))?.1;
        value.split('"').next()?.parse().ok()
    };
    let counts =
        Counts { tests: total("tests")?, failures: total("failures")?, errors: total("errors")?, skipped: 0 };
    Some((counts, xml[inside..end].trim_start_matches('\n')))
}

struct Writer<'a> {
    out: &'a mut dyn Write,
    max_text: usize,
    open: bool,
}

/// Text as the value of an attribute, or between tags.
fn escaped(text: &str) -> String {
    quick_xml::escape::escape(text).replace('\n', "&#10;").replace('\t', "    ")
}

fn body_text(text: &str) -> String {
    quick_xml::escape::partial_escape(printable(text)).replace('\t', "    ")
}

fn attribute(name: &str, value: &str) -> String {
    format!(" {name}=\"{}\"", escaped(&one_line(value, MAX_MESSAGE)))
}

fn time(seconds: Option<f64>) -> String {
    seconds.map_or(String::new(), |seconds| format!(" time=\"{:.3}\"", seconds.min(1e9)))
}

impl Writer<'_> {
    fn end_suite(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.open) {
            self.out.write_all(b"    </testsuite>\n")?;
        }
        Ok(())
    }

    fn suite(&mut self, kept: &KeptSuite<'_>) -> io::Result<()> {
        self.end_suite()?;
        self.open = true;
        let KeptSuite { suite, counts } = kept;
        let name = if suite.name.is_empty() { "(no name)" } else { &suite.name };
        write!(
            self.out,
            "    <testsuite{} tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\"{}",
            attribute("name", name),
            counts.tests,
            counts.failures,
            counts.errors,
            counts.skipped,
            time(suite.time),
        )?;
        if !suite.timestamp.is_empty() {
            self.out.write_all(attribute("timestamp", &suite.timestamp).as_bytes())?;
        }
        self.out.write_all(b">\n")?;
        if suite.properties.is_empty() {
            return Ok(());
        }
        self.out.write_all(b"        <properties>\n")?;
        for (name, value) in &suite.properties {
            let (name, value) = (attribute("name", name), attribute("value", value));
            writeln!(self.out, "            <property{name}{value}/>")?;
        }
        self.out.write_all(b"        </properties>\n")
    }

    fn case(&mut self, case: &Case) -> io::Result<()> {
        let name = if case.name.is_empty() { "(no name)" } else { &case.name };
        write!(self.out, "        <testcase{}", attribute("name", name))?;
        if !case.class.is_empty() {
            self.out.write_all(attribute("classname", &case.class).as_bytes())?;
        }
        self.out.write_all(time(case.time).as_bytes())?;
        let bad = case.status > Status::Passed;
        let mut parts = case.parts.iter().filter(|part| match part.tag {
            Tag::SystemOut | Tag::SystemErr => bad,
            Tag::Skipped => !bad,
            Tag::Error
            | Tag::Failure
            | Tag::RerunFailure
            | Tag::RerunError
            | Tag::FlakyFailure
            | Tag::FlakyError => true,
        });
        // What makes it bad may be an attribute, or a repetition that has no failure before it.
        let named = case.parts.iter().any(|part| matches!(part.tag, Tag::Error | Tag::Failure));
        let mut children = String::new();
        if bad && !named {
            let tag = if case.status == Status::Errored { "error" } else { "failure" };
            children.push_str(&format!("            <{tag} message=\"it is marked as failed\"/>\n"));
        }
        for part in parts.by_ref() {
            let tag = part.tag.as_str();
            let text = body_text(&head_and_tail(&part.text.text(), self.max_text));
            let text = if self.max_text == 0 { "" } else { text.trim() };
            let mut words = String::new();
            match part.tag {
                Tag::SystemOut | Tag::SystemErr if text.is_empty() => continue,
                Tag::SystemOut | Tag::SystemErr => {}
                Tag::Skipped | Tag::Error | Tag::Failure => {
                    if !part.kind.is_empty() {
                        words.push_str(&attribute("type", &part.kind));
                    }
                    words.push_str(&attribute("message", &part.message));
                }
                Tag::RerunFailure | Tag::RerunError | Tag::FlakyFailure | Tag::FlakyError => {
                    words.push_str(&attribute("type", &part.kind));
                    words.push_str(&attribute("message", &part.message));
                }
            }
            match text {
                "" => children.push_str(&format!("            <{tag}{words}/>\n")),
                text => children.push_str(&format!("            <{tag}{words}>{text}</{tag}>\n")),
            }
        }
        match children.as_str() {
            "" => self.out.write_all(b"/>\n"),
            children => write!(self.out, ">\n{children}        </testcase>\n"),
        }
    }
}
