//! What can be said about a file before any YAML is read: its size, its lines, its characters.

use super::problem::{Problem, SourceText, Span};
use std::sync::Arc;

/// The largest file, in bytes.
pub const MAX_FILE: usize = 1 << 20;
/// The longest line, in characters.
pub const MAX_LINE: usize = 8192;

/// What can be said before any YAML is read.
pub(super) fn check(source: &Arc<SourceText>) -> Result<(), Problem> {
    if source.text().len() > MAX_FILE {
        return Err(too_large(source));
    }
    for number in 1..=source.lines() {
        for (i, c) in source.line(number).chars().enumerate() {
            if i >= MAX_LINE {
                let span = Span::new(number, i + 1, 1);
                return Err(Problem::at(
                    source,
                    span,
                    format!("the line is longer than {MAX_LINE} characters"),
                )
                .hint("break it; a list or mapping can stand on several lines"));
            }
            if is_forbidden(c) {
                let message =
                    format!("the character U+{:04X} is not allowed in a scenario file", u32::from(c));
                let hint = match c {
                    '\0' => "is this a text file? Save it as UTF-8",
                    _ if c.is_control() => {
                        "remove it; in a quoted string, write an escape such as \"\\u001B\""
                    }
                    _ => "remove it; it is invisible and can make the file look different from what it says",
                };
                return Err(Problem::at(source, Span::new(number, i + 1, 1), message).hint(hint));
            }
        }
    }
    Ok(())
}

/// Said of a file that is larger than the limit.
pub(super) fn too_large(source: &Arc<SourceText>) -> Problem {
    let message = format!("the file is larger than {} KiB", MAX_FILE / 1024);
    Problem::at(source, Span::default(), message).hint("is it a scenario? Split it into several files")
}

fn is_forbidden(c: char) -> bool {
    (c.is_control() && c != '\t')
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
                | '\u{fffe}' | '\u{ffff}'
        )
}
