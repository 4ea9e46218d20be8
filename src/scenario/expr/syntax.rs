//! Text -> syntax tree, with CEL's precedence: `||` binds weakest, then `&&`, then comparisons, then `!`.

use super::{ExprProblem, MAX_NESTING, Place};
use crate::scenario::problem::quote;

const SUBSET: &str = "expressions compare switches by == != < <= > >= and `in [..]`, joined by &&, || and !";

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Syntax {
    pub at: Place,
    pub kind: SyntaxKind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum SyntaxKind {
    Bool(bool),
    Number(i64),
    Text(String),
    Name(String),
    /// `semver(...)` or `int(...)`.
    Call(Function, Box<Syntax>),
    Not(Box<Syntax>),
    All(Vec<Syntax>),
    Any(Vec<Syntax>),
    Compare(Box<Syntax>, Operator, Box<Syntax>),
    In(Box<Syntax>, Vec<Syntax>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Semver,
    Int,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

impl Operator {
    pub fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterEqual => order.is_ge(),
        }
    }

    pub fn is_order(self) -> bool {
        !matches!(self, Self::Equal | Self::NotEqual)
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Name(String),
    Text(String),
    Number(i64),
    Operator(Operator),
    And,
    Or,
    Not,
    Open,
    Close,
    OpenList,
    CloseList,
    Comma,
}

pub(super) fn parse(text: &str) -> Result<Syntax, ExprProblem> {
    let tokens = tokens(text)?;
    let end = text.trim_end().chars().count();
    let mut parser = Parser { tokens: &tokens, next: 0, end, depth: 0 };
    if tokens.is_empty() {
        return Err(
            parser.problem("the expression is empty", "write e.g. `yawol == \"on\" && controlPlanes > 1`")
        );
    }
    let syntax = parser.any()?;
    if parser.next < tokens.len() {
        return Err(parser.unexpected());
    }
    Ok(syntax)
}

fn tokens(text: &str) -> Result<Vec<(Token, Place)>, ExprProblem> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut i = 0;
    while let Some(c) = chars.get(i).copied() {
        let start = i;
        let next = chars.get(i + 1).copied();
        let place = |end: usize| Place { start, end };
        let mut one = |token: Token, length: usize| {
            tokens.push((token, Place { start, end: start + length }));
            length
        };
        i += match (c, next) {
            (' ' | '\t' | '\n' | '\r', _) => 1,
            ('(', _) => one(Token::Open, 1),
            (')', _) => one(Token::Close, 1),
            ('[', _) => one(Token::OpenList, 1),
            (']', _) => one(Token::CloseList, 1),
            (',', _) => one(Token::Comma, 1),
            ('&', Some('&')) => one(Token::And, 2),
            ('|', Some('|')) => one(Token::Or, 2),
            ('=', Some('=')) => one(Token::Operator(Operator::Equal), 2),
            ('!', Some('=')) => one(Token::Operator(Operator::NotEqual), 2),
            ('<', Some('=')) => one(Token::Operator(Operator::LessEqual), 2),
            ('>', Some('=')) => one(Token::Operator(Operator::GreaterEqual), 2),
            ('<', _) => one(Token::Operator(Operator::Less), 1),
            ('>', _) => one(Token::Operator(Operator::Greater), 1),
            ('!', _) => one(Token::Not, 1),
            ('&' | '|' | '=', _) => {
                let message = format!("{} is no operator", quote(&c.to_string()));
                return Err(ExprProblem::new(place(i + 1), message, format!("did you mean `{c}{c}`?")));
            }
            ('"' | '\'', _) => {
                let inside: String = chars[i + 1..].iter().take_while(|x| **x != c).collect();
                let length = inside.chars().count();
                if chars.get(i + 1 + length).is_none() {
                    return Err(ExprProblem::new(
                        place(chars.len()),
                        "a string does not end",
                        "add the closing quote",
                    ));
                }
                if inside.contains('\\') {
                    let message = "strings in expressions have no escapes";
                    return Err(ExprProblem::new(
                        place(i + length + 2),
                        message,
                        "names of values need none",
                    ));
                }
                one(Token::Text(inside), length + 2)
            }
            _ if c.is_ascii_digit() || (c == '-' && next.is_some_and(|n| n.is_ascii_digit())) => {
                let tail =
                    chars[i + 1..].iter().take_while(|x| x.is_ascii_alphanumeric() || **x == '.').count();
                let shown: String = chars[i..=i + tail].iter().collect();
                let Ok(number) = shown.parse() else {
                    let message = format!("{} is not a whole number", quote(&shown));
                    let hint = format!(
                        "versions are strings: write \"{shown}\", and semver(\"{shown}\") to order them"
                    );
                    return Err(ExprProblem::new(place(i + tail + 1), message, hint));
                };
                one(Token::Number(number), tail + 1)
            }
            _ if c.is_ascii_alphabetic() || c == '_' => {
                let name: String =
                    chars[i..].iter().take_while(|x| x.is_ascii_alphanumeric() || **x == '_').collect();
                let length = name.chars().count();
                one(Token::Name(name), length)
            }
            _ => {
                let message = format!("{} has no meaning in an expression", quote(&c.to_string()));
                return Err(ExprProblem::new(place(i + 1), message, SUBSET));
            }
        };
    }
    Ok(tokens)
}

struct Parser<'t> {
    tokens: &'t [(Token, Place)],
    next: usize,
    /// The number of characters of the text.
    end: usize,
    depth: usize,
}

impl Parser<'_> {
    fn place(&self) -> Place {
        let end = Place { start: self.end, end: self.end + 1 };
        self.tokens.get(self.next).map_or(end, |(_, place)| *place)
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(token, _)| token)
    }

    fn eat(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.next += usize::from(found);
        found
    }

    fn problem(&self, message: impl Into<String>, hint: impl Into<String>) -> ExprProblem {
        ExprProblem::new(self.place(), message, hint)
    }

    fn unexpected(&self) -> ExprProblem {
        match self.peek() {
            None => self.problem(
                "the expression ends too early",
                "a comparison such as `yawol == \"on\"` is missing",
            ),
            Some(Token::Name(word)) => {
                let operator = match word.to_ascii_lowercase().as_str() {
                    "and" => "did you mean `&&`?",
                    "or" => "did you mean `||`?",
                    "not" => "did you mean `!`?",
                    "is" => "did you mean `==`?",
                    _ => SUBSET,
                };
                self.problem(format!("{} is not expected here", quote(word)), operator)
            }
            Some(Token::Operator(_)) => {
                self.problem("a comparison cannot follow here", "join comparisons by && or ||")
            }
            Some(_) => self.problem("this is not expected here", SUBSET),
        }
    }

    fn any(&mut self) -> Result<Syntax, ExprProblem> {
        self.joined(&Token::Or, SyntaxKind::Any, Self::all)
    }

    fn all(&mut self) -> Result<Syntax, ExprProblem> {
        self.joined(&Token::And, SyntaxKind::All, Self::relation)
    }

    fn joined(
        &mut self,
        by: &Token,
        kind: fn(Vec<Syntax>) -> SyntaxKind,
        part: fn(&mut Self) -> Result<Syntax, ExprProblem>,
    ) -> Result<Syntax, ExprProblem> {
        let first = part(self)?;
        if self.peek() != Some(by) {
            return Ok(first);
        }
        let mut at = first.at;
        let mut parts = vec![first];
        while self.eat(by) {
            let part = part(self)?;
            at.end = part.at.end;
            parts.push(part);
        }
        Ok(Syntax { at, kind: kind(parts) })
    }

    fn relation(&mut self) -> Result<Syntax, ExprProblem> {
        let left = self.unary()?;
        let start = left.at.start;
        let syntax = match self.peek() {
            Some(Token::Operator(operator)) => {
                let operator = *operator;
                self.next += 1;
                let right = self.unary()?;
                let at = Place { start, end: right.at.end };
                Syntax { at, kind: SyntaxKind::Compare(Box::new(left), operator, Box::new(right)) }
            }
            Some(Token::Name(word)) if word == "in" => {
                self.next += 1;
                if !self.eat(&Token::OpenList) {
                    return Err(self.problem("`in` wants a list", "write `in [\"a\", \"b\"]`"));
                }
                let mut items = Vec::new();
                while self.peek() != Some(&Token::CloseList) {
                    items.push(self.unary()?);
                    if !self.eat(&Token::Comma) {
                        break;
                    }
                }
                let end = self.place().end;
                if !self.eat(&Token::CloseList) {
                    return Err(
                        self.problem("the list does not end", "separate values by `,` and close it with `]`")
                    );
                }
                Syntax { at: Place { start, end }, kind: SyntaxKind::In(Box::new(left), items) }
            }
            _ => return Ok(left),
        };
        match self.peek() {
            Some(Token::Operator(_)) => Err(self.unexpected()),
            Some(Token::Name(word)) if word == "in" => Err(self.unexpected()),
            _ => Ok(syntax),
        }
    }

    fn unary(&mut self) -> Result<Syntax, ExprProblem> {
        if self.depth >= MAX_NESTING {
            let message = format!("brackets and `!` stand in each other more than {MAX_NESTING} deep");
            return Err(self.problem(message, "write several entries of `exclude`"));
        }
        self.depth += 1;
        let syntax = self.unary_inside();
        self.depth -= 1;
        syntax
    }

    fn unary_inside(&mut self) -> Result<Syntax, ExprProblem> {
        let at = self.place();
        let Some(token) = self.peek().cloned() else {
            return Err(self.unexpected());
        };
        let kind = match token {
            Token::Not => {
                self.next += 1;
                let inner = self.unary()?;
                let at = Place { start: at.start, end: inner.at.end };
                return Ok(Syntax { at, kind: SyntaxKind::Not(Box::new(inner)) });
            }
            Token::Open => {
                self.next += 1;
                let inner = self.any()?;
                let end = self.place().end;
                if !self.eat(&Token::Close) {
                    return Err(self.problem("a bracket is not closed", "add `)`"));
                }
                return Ok(Syntax { at: Place { start: at.start, end }, kind: inner.kind });
            }
            Token::Text(text) => SyntaxKind::Text(text),
            Token::Number(number) => SyntaxKind::Number(number),
            Token::Name(name) if name == "true" => SyntaxKind::Bool(true),
            Token::Name(name) if name == "false" => SyntaxKind::Bool(false),
            Token::Name(name) if matches!(name.as_str(), "in" | "and" | "or" | "not") => {
                return Err(self.unexpected());
            }
            Token::Name(name) => {
                self.next += 1;
                return if self.peek() == Some(&Token::Open) {
                    self.call(&name, at)
                } else {
                    self.name(name, at)
                };
            }
            Token::Operator(_)
            | Token::And
            | Token::Or
            | Token::Close
            | Token::OpenList
            | Token::CloseList
            | Token::Comma => return Err(self.problem("a switch or a value is missing here", SUBSET)),
        };
        self.next += 1;
        Ok(Syntax { at, kind })
    }

    fn name(&self, name: String, at: Place) -> Result<Syntax, ExprProblem> {
        Ok(Syntax { at, kind: SyntaxKind::Name(name) })
    }

    fn call(&mut self, name: &str, at: Place) -> Result<Syntax, ExprProblem> {
        let function = match name {
            "semver" => Function::Semver,
            "int" => Function::Int,
            _ => {
                let message = format!("there is no function {}", quote(name));
                return Err(ExprProblem::new(
                    at,
                    message,
                    "use `semver(...)` for versions and `int(...)` for numbers",
                ));
            }
        };
        self.next += 1;
        let argument = self.unary()?;
        let end = self.place().end;
        if !self.eat(&Token::Close) {
            return Err(self.problem(format!("`{name}(` is not closed"), "it takes one value; add `)`"));
        }
        Ok(Syntax {
            at: Place { start: at.start, end },
            kind: SyntaxKind::Call(function, Box::new(argument)),
        })
    }
}
