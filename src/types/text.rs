//! Texts from elsewhere (logs, conditions, pod names) made fit to be shown: nothing in them may move the cursor,
//! break a file format or fake a line of ours.

use std::borrow::Cow;

/// Drops ANSI sequences and control characters but for newline and tab; `\r\n` and a lone `\r` become a newline.
/// Also drops what XML 1.0 cannot hold, and what turns the direction of writing around.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_escape(&mut chars),
            '\r' => {
                if chars.peek() != Some(&'\n') {
                    out.push('\n');
                }
            }
            '\n' | '\t' => out.push(c),
            c if c.is_control() || is_unfit(c) => {}
            c => out.push(c),
        }
    }
    out
}

/// Skips what follows an ESC. Only the common form `[ parameters letter` is taken as a sequence: an unfinished one
/// of another form must not swallow the rest of the text.
fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    if chars.peek() != Some(&'[') {
        return;
    }
    let mut ahead = chars.clone();
    ahead.next();
    while ahead.peek().is_some_and(|c| matches!(c, '0'..='9' | ';' | ':' | '?')) {
        ahead.next();
    }
    if ahead.next().is_some_and(|c| ('@'..='~').contains(&c)) {
        *chars = ahead;
    }
}

fn is_unfit(c: char) -> bool {
    matches!(c,
        '\u{fffe}' | '\u{ffff}'
        | '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        | '\u{2028}' | '\u{2029}')
}

/// All words of a text with one blank between them: what is folded over lines as it was meant.
pub(crate) fn on_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// One printable line of at most `max` characters.
pub(crate) fn one_line(text: &str, max: usize) -> String {
    // Of a megabyte in one line only the beginning is looked at.
    let text = printable(&shorten(text, max.saturating_mul(8)));
    shorten(&on_one_line(&text), max).into_owned()
}

/// At most `max` characters, with `…` for what is cut off at the end.
pub(crate) fn shorten(text: &str, max: usize) -> Cow<'_, str> {
    match text.char_indices().nth(max) {
        None => Cow::Borrowed(text),
        Some(_) => {
            let keep: String = text.chars().take(max.saturating_sub(1)).collect();
            Cow::Owned(keep + "…")
        }
    }
}

/// One printable text over as many lines as it takes, at most `MAX_LINES`, each of at most `width` characters unless
/// a word is longer.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    const MAX_LINES: usize = 8;
    let text = one_line(text, width.saturating_mul(MAX_LINES));
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().map_or(0, |line| line.chars().count());
        match lines.last_mut() {
            Some(line) if last == 0 => line.push_str(word),
            Some(line) if last + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            // Some CI systems take a line that begins so as a command, indented or not.
            Some(_) | None if word.starts_with("::") || word.starts_with("##[") => {
                lines.push(format!("> {word}"));
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::head_and_tail;
    use proptest::prelude::*;

    #[test]
    fn hostile_bytes_become_harmless() {
        for (text, shown) in [
            ("plain\ttext\n", "plain\ttext\n"),
            ("\u{1b}[1;31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title without an end", "]0;title without an end"),
            ("\u{1b}[12", "[12"),
            ("a\r\nb\rc", "a\nb\nc"),
            ("a\u{0}\u{7}\u{8}\u{9b}b", "ab"),
            ("\u{fffe}\u{ffff}\u{202e}x", "x"),
        ] {
            assert_eq!(printable(text), shown, "{text:?}");
        }
    }

    #[test]
    fn lines_and_bodies_are_cut() {
        assert_eq!(one_line("a \n b\u{1b}[0m\tc", 80), "a b c");
        assert_eq!(one_line("abcdef", 4), "abc…");
    }

    #[test]
    fn long_texts_are_wrapped_and_none_is_lost() {
        assert_eq!(wrap("", 10), [""]);
        assert_eq!(wrap("one two three four", 9), ["one two", "three", "four"]);
        assert_eq!(wrap("some text ::error::x", 9), ["some text", "> ::error::x"]);
        assert_eq!(wrap("a-word-that-is-too-long b", 9), ["a-word-that-is-too-long", "b"]);
    }

    proptest! {
        #[test]
        fn cutting_never_splits_a_character(text in "\\PC{0,200}", max in 0_usize..300) {
            let cut = head_and_tail(&text, max);
            prop_assert!(cut.len() <= max + 60);
            prop_assert!(shorten(&text, max).chars().count() <= max.max(1));
        }
    }
}
