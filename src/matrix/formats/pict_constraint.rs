//! The constraints of PICT: `IF ... THEN ... ELSE ...;` and plain predicates, over comparisons, `IN` and `LIKE`.

use std::cmp::Ordering;

use super::expression::Expression;
use super::pict::{find, same};
use super::{Parameter, Place, Problem, Value};
use crate::matrix::cover::Clause;

/// Deeper nesting than this is refused.
const MOST_DEPTH: usize = 100;

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Name(String),
    Text(String),
    Number(f64),
    Word(String),
    Sign(&'static str),
}

const SIGNS: [&str; 12] = ["<>", ">=", "<=", "=", ">", "<", "(", ")", "{", "}", ",", ";"];

/// Reads constraints that begin on a line: their clauses, and where each of them begins.
pub(super) fn constraints(
    text: &str,
    line: usize,
    parameters: &[Parameter],
) -> Result<(Vec<Clause>, Vec<Place>), Vec<Problem>> {
    let tokens = tokens(text, line).map_err(|problem| vec![problem])?;
    let full = |parameter: usize| full(&parameters[parameter]);
    let (mut clauses, mut places) = (Vec::new(), Vec::new());
    let mut problems = Vec::new();
    let statements = tokens.split(|(_, token)| *token == Token::Sign(";"));
    for (origin, statement) in statements.filter(|statement| !statement.is_empty()).enumerate() {
        let mut reader = Reader { tokens: statement, at: 0, depth: 0, parameters };
        let first = statement[0].0;
        places.push(first);
        let read = reader.statement().and_then(|expression| {
            expression
                .clauses(origin, &full)
                .map_err(|_| Problem::new(first, "the constraint is too complex"))
        });
        match read {
            Ok(more) => clauses.extend(more),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok((clauses, places)) } else { Err(problems) }
}

fn full(parameter: &Parameter) -> u64 {
    u64::MAX.checked_shr(64 - parameter.values.len() as u32).unwrap_or(0)
}

/// What stands between an opening sign, which has been read, and the closing one; a backslash takes the next sign as it is.
/// Then the rest of the text.
fn quoted(inside: &str, close: char) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut escaped = false;
    for (at, c) in inside.char_indices() {
        if !escaped && c == close {
            return Some((text, &inside[at + c.len_utf8()..]));
        }
        escaped = !escaped && c == '\\';
        if !escaped {
            text.push(c);
        }
    }
    None
}

/// The tokens with their places; `line` is that of the first one.
fn tokens(text: &str, line: usize) -> Result<Vec<(Place, Token)>, Problem> {
    let mut tokens: Vec<(Place, Token)> = Vec::new();
    let mut rest = text;
    let (mut line, mut start) = (line, text);
    while let Some(first) = rest.chars().next() {
        let place = Place::of(line, start, rest);
        let inside = &rest[first.len_utf8()..];
        let part = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '+' | '_');
        let (token, after) = if first.is_whitespace() {
            (None, inside)
        } else if first == '#' {
            (None, rest.find('\n').map_or("", |end| &rest[end..]))
        } else if first == '[' || first == '"' {
            let (close, what) =
                if first == '[' { (']', "a name in brackets") } else { ('"', "a text in quotes") };
            let (text, after) =
                quoted(inside, close).ok_or_else(|| Problem::new(place, format!("{what} is not closed")))?;
            (Some(if first == '[' { Token::Name(text.trim().to_owned()) } else { Token::Text(text) }), after)
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            let is_word =
                |known: &str| tokens.last().is_some_and(|(_, last)| *last == Token::Word(known.to_owned()));
            if *sign == "("
                && !inside.trim_start().starts_with('[')
                && (is_word("ISNEGATIVE") || is_word("ISPOSITIVE"))
                && let Some((name, after)) = inside.split_once(')')
            {
                // Here the name needs no brackets.
                let name = Token::Name(name.trim().to_owned());
                tokens.extend([(place, Token::Sign("(")), (place, name)]);
                (Some(Token::Sign(")")), after)
            } else {
                (Some(Token::Sign(sign)), &rest[sign.len()..])
            }
        } else {
            let end = rest.find(|c| !part(c)).unwrap_or(rest.len());
            let word = &rest[..end];
            if word.is_empty() {
                return Err(Problem::new(place, format!("`{first}` cannot stand here")));
            }
            (Some(number(word).map_or_else(|| Token::Word(word.to_uppercase()), Token::Number)), &rest[end..])
        };
        tokens.extend(token.map(|token| (place, token)));
        let read = &rest[..rest.len() - after.len()];
        if let Some(end) = read.rfind('\n') {
            line += read.matches('\n').count();
            start = &rest[end + 1..];
        }
        rest = after;
    }
    Ok(tokens)
}

/// Decimal, or hexadecimal after `0x`.
fn number(text: &str) -> Option<f64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok().map(f64::from),
        None => text.parse().ok().filter(|number: &f64| number.is_finite()),
    }
}

/// Whether all values of a parameter are numbers; only then it is compared with numbers.
fn is_number(parameter: &Parameter) -> bool {
    parameter.values.iter().all(|value| value.names.first().is_some_and(|name| number(name).is_some()))
}

struct Reader<'a> {
    tokens: &'a [(Place, Token)],
    at: usize,
    depth: usize,
    parameters: &'a [Parameter],
}

type Read<T> = Result<T, Problem>;

impl Reader<'_> {
    fn wrong<T>(&self, message: impl Into<String>) -> Read<T> {
        let token = self.tokens.get(self.at).or(self.tokens.last());
        Err(Problem::new(token.map_or(Place { line: 1, column: 1 }, |(place, _)| *place), message))
    }

    fn not(&self, expression: Expression) -> Expression {
        expression.not(&|parameter| full(&self.parameters[parameter]))
    }

    fn and(&self, one: Expression, other: Expression) -> Read<Expression> {
        one.and(other).or_else(|_| self.wrong("the constraint is too complex"))
    }

    fn or(&self, one: Expression, other: Expression) -> Read<Expression> {
        one.or(other).or_else(|_| self.wrong("the constraint is too complex"))
    }

    fn takes(&mut self, token: &Token) -> bool {
        let takes = self.tokens.get(self.at).is_some_and(|(_, next)| next == token);
        self.at += usize::from(takes);
        takes
    }

    fn takes_word(&mut self, word: &str) -> bool {
        self.takes(&Token::Word(word.to_owned()))
    }

    fn takes_sign(&mut self, sign: &'static str) -> bool {
        self.takes(&Token::Sign(sign))
    }

    fn expect(&mut self, sign: &'static str) -> Read<()> {
        if self.takes_sign(sign) { Ok(()) } else { self.wrong(format!("`{sign}` is missing")) }
    }

    fn statement(&mut self) -> Read<Expression> {
        let expression = if self.takes_word("IF") {
            let condition = self.any()?;
            if !self.takes_word("THEN") {
                return self.wrong("`THEN` is missing");
            }
            let then = self.any()?;
            let implied = self.or(self.not(condition.clone()), then)?;
            if self.takes_word("ELSE") {
                let otherwise = self.any()?;
                let other = self.or(condition, otherwise)?;
                self.and(implied, other)?
            } else {
                implied
            }
        } else {
            self.any()?
        };
        if self.at < self.tokens.len() {
            self.wrong("the constraint should end here, with `;`")
        } else {
            Ok(expression)
        }
    }

    fn any(&mut self) -> Read<Expression> {
        let mut expression = self.all()?;
        while self.takes_word("OR") {
            let other = self.all()?;
            expression = self.or(expression, other)?;
        }
        Ok(expression)
    }

    fn all(&mut self) -> Read<Expression> {
        let mut expression = self.term()?;
        while self.takes_word("AND") {
            let other = self.term()?;
            expression = self.and(expression, other)?;
        }
        Ok(expression)
    }

    fn term(&mut self) -> Read<Expression> {
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return self.wrong("the constraint is nested too deeply");
        }
        let expression = if self.takes_word("NOT") {
            let inner = self.term()?;
            self.not(inner)
        } else if self.takes_sign("(") {
            let inner = self.any()?;
            self.expect(")")?;
            inner
        } else if self.takes_word("ISNEGATIVE") {
            self.negative(true)?
        } else if self.takes_word("ISPOSITIVE") {
            self.negative(false)?
        } else {
            self.relation()?
        };
        self.depth -= 1;
        Ok(expression)
    }

    fn negative(&mut self, invalid: bool) -> Read<Expression> {
        self.expect("(")?;
        let parameter = self.parameter()?;
        self.expect(")")?;
        let values = &self.parameters[parameter].values;
        Ok(Expression::Within(parameter, mask(values.iter().map(|value| value.invalid == invalid))))
    }

    fn parameter(&mut self) -> Read<usize> {
        let Some((_, Token::Name(name))) = self.tokens.get(self.at) else {
            return self.wrong("the name of a parameter in brackets should stand here");
        };
        let Some(parameter) = find(self.parameters, name) else {
            return self.wrong(format!("there is no parameter `{name}`"));
        };
        self.at += 1;
        Ok(parameter)
    }

    fn relation(&mut self) -> Read<Expression> {
        let parameter = self.parameter()?;
        let negated = self.takes_word("NOT");
        let values = &self.parameters[parameter].values;
        let within = if self.takes_word("IN") {
            self.expect("{")?;
            let mut chosen = 0;
            loop {
                let constant = self.constant(parameter)?;
                chosen |= mask(values.iter().map(|value| compare(value, &constant) == Some(Ordering::Equal)));
                if !self.takes_sign(",") {
                    break;
                }
            }
            self.expect("}")?;
            chosen
        } else if self.takes_word("LIKE") {
            let Some((_, Token::Text(pattern))) = self.tokens.get(self.at) else {
                return self.wrong("a pattern in quotes should follow `LIKE`");
            };
            if is_number(&self.parameters[parameter]) {
                let name = &self.parameters[parameter].name;
                return self
                    .wrong(format!("the values of `{name}` are numbers, for which there is no `LIKE`"));
            }
            self.at += 1;
            mask(values.iter().map(|value| value.names.first().is_some_and(|name| like(name, pattern))))
        } else {
            let Some(sign) = SIGNS[..6].iter().copied().find(|sign| self.takes_sign(sign)) else {
                return self.wrong("a comparison should follow the parameter");
            };
            if matches!(self.tokens.get(self.at), Some((_, Token::Name(_)))) {
                let at = self.at;
                let other = self.parameter()?;
                if is_number(&self.parameters[parameter]) != is_number(&self.parameters[other]) {
                    self.at = at;
                    return self.wrong(
                        "one of the two parameters has numbers, the other has texts among its values",
                    );
                }
                let expression = self.between(parameter, sign, other)?;
                return Ok(if negated { self.not(expression) } else { expression });
            }
            let constant = self.constant(parameter)?;
            mask(values.iter().map(|value| holds(compare(value, &constant), sign)))
        };
        let expression = Expression::Within(parameter, within);
        Ok(if negated { self.not(expression) } else { expression })
    }

    /// A comparison of two parameters: for each value of the one, which values of the other fit.
    fn between(&self, one: usize, sign: &str, other: usize) -> Read<Expression> {
        let values = &self.parameters[one].values;
        let mut whole = Expression::Within(one, full(&self.parameters[one]));
        for (at, value) in values.iter().enumerate() {
            let name = value.names.first().map_or("", String::as_str);
            let number = is_number(&self.parameters[one]).then(|| number(name)).flatten();
            let constant = number.map_or_else(|| Token::Text(name.to_owned()), Token::Number);
            let fits = |theirs: &Value| holds(compare(theirs, &constant).map(Ordering::reverse), sign);
            let fitting = mask(self.parameters[other].values.iter().map(fits));
            let implied = self.or(
                Expression::Within(one, full(&self.parameters[one]) & !(1 << at)),
                Expression::Within(other, fitting),
            )?;
            whole = self.and(whole, implied)?;
        }
        Ok(whole)
    }

    /// A constant that the values of a parameter can be compared with.
    fn constant(&mut self, parameter: usize) -> Read<Token> {
        let parameter = &self.parameters[parameter];
        let (name, numbers) = (&parameter.name, is_number(parameter));
        match self.tokens.get(self.at) {
            Some((_, Token::Text(text))) if numbers => self.wrong(format!(
                "the values of `{name}` are numbers; compare with a number, not with \"{text}\""
            )),
            Some((_, Token::Number(number))) if !numbers => self.wrong(format!(
                "not all values of `{name}` are numbers; compare with \"{number}\" in quotes"
            )),
            Some((_, token @ (Token::Text(_) | Token::Number(_)))) => {
                self.at += 1;
                Ok(token.clone())
            }
            _ => self.wrong("a number or a text in quotes should stand here"),
        }
    }
}

fn mask(chosen: impl Iterator<Item = bool>) -> u64 {
    chosen.take(64).enumerate().fold(0, |mask, (at, chosen)| mask | u64::from(chosen) << at)
}

/// How a value compares with a constant, by its first name; by number if both are numbers, `None` if it cannot be compared.
fn compare(value: &Value, constant: &Token) -> Option<Ordering> {
    let name = value.names.first()?;
    match constant {
        Token::Number(constant) => number(name)?.partial_cmp(constant),
        Token::Text(text) if same(name, text) => Some(Ordering::Equal),
        Token::Text(text) => Some(name.to_lowercase().cmp(&text.to_lowercase())),
        Token::Name(_) | Token::Word(_) | Token::Sign(_) => None,
    }
}

fn holds(order: Option<Ordering>, sign: &str) -> bool {
    match (sign, order) {
        ("<>", order) => order != Some(Ordering::Equal),
        (_, None) => false,
        ("=", Some(order)) => order.is_eq(),
        (">=", Some(order)) => order.is_ge(),
        ("<=", Some(order)) => order.is_le(),
        (">", Some(order)) => order.is_gt(),
        ("<", Some(order)) => order.is_lt(),
        _ => false,
    }
}

/// Whether a name matches a pattern with `*` for any text and `?` for any character, without regard to case.
fn like(name: &str, pattern: &str) -> bool {
    let name: Vec<char> = name.to_lowercase().chars().collect();
    let mut matches = vec![false; name.len() + 1];
    matches[0] = true;
    for c in pattern.to_lowercase().chars() {
        let mut next = vec![false; name.len() + 1];
        next[0] = c == '*' && matches[0];
        for at in 0..name.len() {
            next[at + 1] = if c == '*' {
                matches[at + 1] || next[at]
            } else {
                matches[at] && (c == '?' || c == name[at])
            };
        }
        matches = next;
    }
    matches[name.len()]
}
