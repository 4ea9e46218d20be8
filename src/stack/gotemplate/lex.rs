//! Text -> plain text and the tokens of actions.

use super::parse::fails;
use super::{Error, Val};

/// A part of the text.
pub(super) enum Piece {
    Text(String),
    Action(Vec<Token>),
}

/// Cuts the text at `{{` and `}}`, trims at `{{- ` and ` -}}`, drops comments.
pub(super) fn split(text: &str) -> Result<Vec<Piece>, Error> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut trim_next = false;
    loop {
        let (mut plain, found) =
            rest.find("{{").map_or((rest, None), |at| (&rest[..at], Some(&rest[at + 2..])));
        if trim_next {
            plain = plain.trim_start();
        }
        let Some(mut inside) = found else {
            pieces.push(Piece::Text(plain.into()));
            return Ok(pieces);
        };
        if let Some(after) = inside.strip_prefix('-').filter(|a| a.starts_with(char::is_whitespace)) {
            plain = plain.trim_end();
            inside = after;
        }
        pieces.push(Piece::Text(plain.into()));
        if let Some(comment) = inside.trim_start().strip_prefix("/*") {
            let end = comment.find("*/").ok_or_else(|| fails("unclosed comment"))?;
            let after = &comment[end + 2..];
            let close = after.find("}}").ok_or_else(|| fails("comment ends before closing delimiter"))?;
            trim_next = after[..close].trim() == "-";
            rest = &after[close + 2..];
            continue;
        }
        let (tokens, after, trim) = tokens(inside)?;
        pieces.push(Piece::Action(tokens));
        trim_next = trim;
        rest = after;
    }
}

/// A token of an action.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Word(String),
    Literal(Val),
    /// `.a`, with its dot; `.` alone is an empty name.
    Field(String),
    Variable(String),
    Symbol(&'static str),
    Space,
}

/// Reads the tokens up to `}}`; also gives what follows and whether the following text is trimmed.
fn tokens(text: &str) -> Result<(Vec<Token>, &str, bool), Error> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let word = |s: &str| s.len() - s.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_').len();
    loop {
        if let Some(after) = rest.strip_prefix("}}") {
            return Ok((tokens, after, false));
        }
        let Some(first) = rest.chars().next() else {
            return Err(fails("unclosed action"));
        };
        if first.is_whitespace() {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix("-}}") {
                return Ok((tokens, after, true));
            }
            tokens.push(Token::Space);
            continue;
        }
        let (token, used) = match first {
            '"' => quoted(rest)?,
            '`' => {
                let end = rest[1..].find('`').ok_or_else(|| fails("unterminated raw quoted string"))?;
                (Token::Literal(Val::Str(rest[1..=end].into())), end + 2)
            }
            '.' => {
                let n = word(&rest[1..]);
                (Token::Field(rest[1..=n].into()), n + 1)
            }
            '$' => {
                let n = word(&rest[1..]);
                (Token::Variable(rest[1..=n].into()), n + 1)
            }
            '|' => (Token::Symbol("|"), 1),
            '(' => (Token::Symbol("("), 1),
            ')' => (Token::Symbol(")"), 1),
            ',' => (Token::Symbol(","), 1),
            '=' => (Token::Symbol("="), 1),
            ':' if rest.starts_with(":=") => (Token::Symbol(":="), 2),
            c if c.is_ascii_digit() || c == '-' || c == '+' => number(rest)?,
            c if c.is_alphabetic() || c == '_' => {
                let n = word(rest);
                let token = match &rest[..n] {
                    "true" => Token::Literal(Val::Bool(true)),
                    "false" => Token::Literal(Val::Bool(false)),
                    "nil" => Token::Literal(Val::Nil),
                    other => Token::Word(other.into()),
                };
                (token, n)
            }
            c => return Err(fails(format!("unexpected `{c}` in an action"))),
        };
        tokens.push(token);
        rest = &rest[used..];
    }
}

fn quoted(text: &str) -> Result<(Token, usize), Error> {
    let mut out = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((Token::Literal(Val::Str(out)), at + 1)),
            '\n' => break,
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(c @ ('\\' | '"')) => out.push(c),
                Some(c) => return Err(Error::Unknown(format!("the escape `\\{c}` is not understood"))),
                None => break,
            },
            c => out.push(c),
        }
    }
    Err(fails("unterminated quoted string"))
}

fn number(text: &str) -> Result<(Token, usize), Error> {
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | '_')))
        .unwrap_or(text.len());
    let digits = &text[..end];
    let value = digits
        .parse()
        .map(Val::Int)
        .or_else(|_| digits.parse().map(Val::Float))
        .map_err(|_| Error::Unknown(format!("the number `{digits}` is not understood")))?;
    Ok((Token::Literal(value), end))
}
