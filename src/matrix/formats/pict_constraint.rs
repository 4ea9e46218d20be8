//! The constraints of PICT: `IF ... THEN ... ELSE ...;` and plain predicates, over comparisons, `IN` and `LIKE`.

use std::cmp::Ordering;

use super::expression::Expression;
use super::pict::{find, same};
use super::{Parameter, Problem};
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

/// Reads constraints that begin on a line.
pub(super) fn constraints(
    text: &str,
    line: usize,
    parameters: &[Parameter],
) -> Result<Vec<Clause>, Vec<Problem>> {
    let tokens = tokens(text, line).map_err(|problem| vec![problem])?;
    let full = |parameter: usize| full(&parameters[parameter]);
    let mut clauses = Vec::new();
    let mut problems = Vec::new();
    let statements = tokens.split(|(_, token)| *token == Token::Sign(";"));
    for (origin, statement) in statements.filter(|statement| !statement.is_empty()).enumerate() {
        let mut reader = Reader { tokens: statement, at: 0, depth: 0, parameters };
        let first = statement[0].0;
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
    if problems.is_empty() { Ok(clauses) } else { Err(problems) }
}

fn full(parameter: &Parameter) -> u64 {
    u64::MAX.checked_shr(64 - parameter.values.len() as u32).unwrap_or(0)
}

fn tokens(text: &str, mut line: usize) -> Result<Vec<(usize, Token)>, Problem> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let quoted = |close: char, what: &str| {
            let inside = &rest[1..];
            let end =
                inside.find(close).ok_or_else(|| Problem::new(line, format!("{what} is not closed")))?;
            Ok((&inside[..end], &inside[end + close.len_utf8()..]))
        };
        let token_line = line;
        let (token, after) = if first == '\n' {
            line += 1;
            (None, &rest[1..])
        } else if first.is_whitespace() {
            (None, &rest[first.len_utf8()..])
        } else if first == '#' {
            (None, rest.find('\n').map_or("", |end| &rest[end..]))
        } else if first == '[' {
            let (name, after) = quoted(']', "a name in brackets")?;
            (Some(Token::Name(name.trim().to_owned())), after)
        } else if first == '"' {
            let (text, after) = quoted('"', "a text in quotes")?;
            (Some(Token::Text(text.to_owned())), after)
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            (Some(Token::Sign(sign)), &rest[sign.len()..])
        } else {
            let part = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '+' | '_');
            let end = rest.find(|c| !part(c)).unwrap_or(rest.len());
            let word = &rest[..end];
            if word.is_empty() {
                return Err(Problem::new(line, format!("`{first}` cannot stand here")));
            }
            let number = word.parse().ok().filter(|number: &f64| number.is_finite());
            (Some(number.map_or_else(|| Token::Word(word.to_uppercase()), Token::Number)), &rest[end..])
        };
        tokens.extend(token.map(|token| (token_line, token)));
        line += rest[..rest.len() - after.len()].matches('\n').count() - usize::from(first == '\n');
        rest = after;
    }
    Ok(tokens)
}

struct Reader<'a> {
    tokens: &'a [(usize, Token)],
    at: usize,
    depth: usize,
    parameters: &'a [Parameter],
}

type Read<T> = Result<T, Problem>;

impl Reader<'_> {
    fn line(&self) -> usize {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |(line, _)| *line)
    }

    fn wrong<T>(&self, message: impl Into<String>) -> Read<T> {
        Err(Problem::new(self.line(), message))
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
                let constant = self.constant()?;
                chosen |= mask(
                    values.iter().map(|value| compare(&value.names, &constant) == Some(Ordering::Equal)),
                );
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
            self.at += 1;
            mask(values.iter().map(|value| value.names.iter().any(|name| like(name, pattern))))
        } else {
            let Some(sign) = SIGNS[..6].iter().copied().find(|sign| self.takes_sign(sign)) else {
                return self.wrong("a comparison should follow the parameter");
            };
            if matches!(self.tokens.get(self.at), Some((_, Token::Name(_)))) {
                let other = self.parameter()?;
                let expression = self.between(parameter, sign, other)?;
                return Ok(if negated { self.not(expression) } else { expression });
            }
            let constant = self.constant()?;
            mask(values.iter().map(|value| holds(compare(&value.names, &constant), sign)))
        };
        let expression = Expression::Within(parameter, within);
        Ok(if negated { self.not(expression) } else { expression })
    }

    /// A comparison of two parameters: for each value of the one, which values of the other fit.
    fn between(&self, one: usize, sign: &str, other: usize) -> Read<Expression> {
        let values = &self.parameters[one].values;
        let mut whole = Expression::Within(one, full(&self.parameters[one]));
        for (at, value) in values.iter().enumerate() {
            let constant = constant_of(&value.names[0]);
            let fits =
                |theirs: &super::Value| holds(compare(&theirs.names, &constant).map(Ordering::reverse), sign);
            let fitting = mask(self.parameters[other].values.iter().map(fits));
            let implied = self.or(
                Expression::Within(one, full(&self.parameters[one]) & !(1 << at)),
                Expression::Within(other, fitting),
            )?;
            whole = self.and(whole, implied)?;
        }
        Ok(whole)
    }

    fn constant(&mut self) -> Read<Token> {
        match self.tokens.get(self.at) {
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

fn constant_of(name: &str) -> Token {
    let number = name.parse().ok().filter(|number: &f64| number.is_finite());
    number.map_or_else(|| Token::Text(name.to_owned()), Token::Number)
}

/// How a value compares with a constant; by number if both are numbers, `None` if it cannot be compared.
fn compare(names: &[String], constant: &Token) -> Option<Ordering> {
    match constant {
        Token::Number(number) => {
            let mut numbers = names.iter().filter_map(|name| name.parse::<f64>().ok());
            numbers.next().and_then(|mine| mine.partial_cmp(number))
        }
        Token::Text(text) if names.iter().any(|name| same(name, text)) => Some(Ordering::Equal),
        Token::Text(text) => names.first().map(|name| name.to_lowercase().cmp(&text.to_lowercase())),
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
