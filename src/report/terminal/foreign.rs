//! Results of other tools in words, for the end of a screen.

use super::count;
use crate::results::foreign::Foreign;
use crate::types::one_line;
use std::fmt::Write as _;

const MAX_LIST: usize = 10;

/// What JUnit files of other tools say, in lines of at most `width` characters; nothing when there are none.
#[must_use]
pub fn foreign(foreign: &Foreign, width: usize) -> String {
    let mut out = String::new();
    if foreign.files.is_empty() {
        return out;
    }
    let sum =
        |of: fn(&crate::results::foreign::ForeignFile) -> usize| foreign.files.iter().map(of).sum::<usize>();
    let _ = writeln!(
        out,
        "\nother results: {} in {}: {} passed, {} failed, {} errored, {} skipped",
        count(foreign.cases(), "case"),
        count(foreign.files.len(), "file"),
        sum(|file| file.passed),
        sum(|file| file.failed),
        sum(|file| file.errored),
        sum(|file| file.skipped),
    );
    for failure in foreign.failures.iter().take(MAX_LIST) {
        let verdict = failure.verdict.as_str().to_uppercase();
        let text = format!("{verdict} {} ({}): {}", failure.name, failure.file, failure.message);
        let _ = writeln!(out, "{}", one_line(&text, width));
    }
    let more = foreign.failures.len().saturating_sub(MAX_LIST) + foreign.more;
    if more > 0 {
        let _ = writeln!(out, "… and {more} more");
    }
    out
}
