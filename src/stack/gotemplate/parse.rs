//! Tokens -> nodes.

use super::lex::{Piece, Token, split};
use super::{Error, Val};

/// Nesting that no template of a ClusterClass comes near; it keeps the recursion within the stack.
const MAX_DEPTH: usize = 64;

/// A part of a template.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Text(String),
    Print(Pipe),
    /// `if`, `else if`: the first branch whose condition holds; then the branch without one.
    If(Vec<(Option<Pipe>, Vec<Node>)>),
    With(Pipe, Vec<Node>, Vec<Node>),
    Range(Loop),
    Call(String, Option<Pipe>),
}

/// `{{ range $key, $value := over }}body{{ else }}otherwise{{ end }}`.
#[derive(Debug, Clone)]
pub(super) struct Loop {
    pub names: Vec<String>,
    pub over: Pipe,
    pub body: Vec<Node>,
    pub otherwise: Vec<Node>,
}

/// A pipeline, and the variable that it sets.
#[derive(Debug, Clone)]
pub(super) struct Pipe {
    /// Name, and whether it is declared (`:=`) or set (`=`).
    pub assign: Option<(String, bool)>,
    pub commands: Vec<Vec<Expr>>,
}

/// An operand.
#[derive(Debug, Clone)]
pub(super) enum Expr {
    Literal(Val),
    /// `.a.b`; empty = the dot itself.
    Field(Vec<String>),
    /// `$name.a.b`; the name is empty for `$`.
    Variable(String, Vec<String>),
    Function(String),
    /// `(pipeline).a.b`.
    Paren(Box<Pipe>, Vec<String>),
}

type Defined = Vec<(String, Vec<Node>)>;

pub(super) fn parse(text: &str) -> Result<(Vec<Node>, Defined), Error> {
    let mut parser = Parser { pieces: split(text)?.into_iter(), defined: Vec::new(), depth: 0 };
    let (body, end) = parser.nodes()?;
    match end {
        Stop::Text => Ok((body, parser.defined)),
        Stop::End => Err(fails("unexpected {{end}}")),
        Stop::Else(_) => Err(fails("unexpected {{else}}")),
    }
}

pub(super) fn fails(why: impl Into<String>) -> Error {
    Error::Fails(why.into())
}

enum Stop {
    Text,
    End,
    /// What follows the word `else`.
    Else(Vec<Token>),
}

struct Parser {
    pieces: std::vec::IntoIter<Piece>,
    defined: Defined,
    depth: usize,
}

impl Parser {
    fn nodes(&mut self) -> Result<(Vec<Node>, Stop), Error> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Error::Unknown(format!("the template nests deeper than {MAX_DEPTH}")));
        }
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let tokens = match piece {
                Piece::Text(text) => {
                    if !text.is_empty() {
                        nodes.push(Node::Text(text));
                    }
                    continue;
                }
                Piece::Action(tokens) => trim(tokens),
            };
            let keyword = match tokens.first() {
                Some(Token::Word(word)) => word.as_str(),
                _ => "",
            };
            let node = match keyword {
                "end" => {
                    self.depth -= 1;
                    return Ok((nodes, Stop::End));
                }
                "else" => {
                    self.depth -= 1;
                    return Ok((nodes, Stop::Else(trim(tokens[1..].to_vec()))));
                }
                "if" => self.conditional(tokens[1..].to_vec())?,
                "with" => {
                    let pipe = pipe(&tokens[1..])?;
                    let (body, otherwise) = self.body_and_else()?;
                    Node::With(pipe, body, otherwise)
                }
                "range" => {
                    let (names, over) = range_head(&tokens[1..])?;
                    let (body, otherwise) = self.body_and_else()?;
                    Node::Range(Loop { names, over, body, otherwise })
                }
                "define" => {
                    let name = text_literal(&tokens[1..])?;
                    match self.nodes()? {
                        (body, Stop::End) => self.defined.push((name, body)),
                        _ => return Err(fails("{{define}} without {{end}}")),
                    }
                    continue;
                }
                "template" => {
                    let rest = trim(tokens[1..].to_vec());
                    let name = text_literal(&rest[..rest.len().min(1)])?;
                    let data = trim(rest[1..].to_vec());
                    Node::Call(name, if data.is_empty() { None } else { Some(pipe(&data)?) })
                }
                "block" | "break" | "continue" => {
                    return Err(Error::Unknown(format!("`{keyword}` is not understood")));
                }
                _ => Node::Print(pipe(&tokens)?),
            };
            nodes.push(node);
        }
        self.depth -= 1;
        Ok((nodes, Stop::Text))
    }

    fn conditional(&mut self, condition: Vec<Token>) -> Result<Node, Error> {
        let mut branches = Vec::new();
        let mut condition = Some(pipe(&condition)?);
        loop {
            let (body, end) = self.nodes()?;
            let last = condition.is_none();
            branches.push((condition, body));
            condition = match end {
                Stop::End => return Ok(Node::If(branches)),
                Stop::Text => return Err(fails("{{if}} without {{end}}")),
                Stop::Else(_) if last => return Err(fails("expected end; found {{else}}")),
                Stop::Else(rest) => match rest.first() {
                    None => None,
                    Some(Token::Word(word)) if word == "if" => Some(pipe(&rest[1..])?),
                    Some(_) => return Err(Error::Unknown("this form of {{else}} is not understood".into())),
                },
            };
        }
    }

    fn body_and_else(&mut self) -> Result<(Vec<Node>, Vec<Node>), Error> {
        let (body, end) = self.nodes()?;
        match end {
            Stop::End => Ok((body, Vec::new())),
            Stop::Text => Err(fails("{{range}} or {{with}} without {{end}}")),
            Stop::Else(rest) if rest.is_empty() => match self.nodes()? {
                (otherwise, Stop::End) => Ok((body, otherwise)),
                _ => Err(fails("{{else}} without {{end}}")),
            },
            Stop::Else(_) => Err(Error::Unknown("this form of {{else}} is not understood".into())),
        }
    }
}

fn trim(mut tokens: Vec<Token>) -> Vec<Token> {
    while tokens.last() == Some(&Token::Space) {
        tokens.pop();
    }
    let skip = tokens.iter().take_while(|t| **t == Token::Space).count();
    tokens.split_off(skip)
}

fn text_literal(tokens: &[Token]) -> Result<String, Error> {
    match trim(tokens.to_vec()).as_slice() {
        [Token::Literal(Val::Str(name))] => Ok(name.clone()),
        _ => Err(fails("the name of a template is a quoted text")),
    }
}

/// `$i, $v := pipeline` or a pipeline.
fn range_head(tokens: &[Token]) -> Result<(Vec<String>, Pipe), Error> {
    let Some(at) = tokens.iter().position(|t| *t == Token::Symbol(":=")) else {
        return Ok((Vec::new(), pipe(tokens)?));
    };
    let mut names = Vec::new();
    for token in &tokens[..at] {
        match token {
            Token::Variable(name) => names.push(name.clone()),
            Token::Space | Token::Symbol(",") => {}
            _ => return Err(fails("unexpected token before `:=` in range")),
        }
    }
    if names.is_empty() || names.len() > 2 {
        return Err(fails("range sets one or two variables"));
    }
    Ok((names, pipe(&tokens[at + 1..])?))
}

fn pipe(tokens: &[Token]) -> Result<Pipe, Error> {
    let tokens = trim(tokens.to_vec());
    let mut at = 0;
    let parsed = pipe_at(&tokens, &mut at, 0)?;
    if at == tokens.len() { Ok(parsed) } else { Err(fails("unexpected `)` in an action")) }
}

fn pipe_at(tokens: &[Token], at: &mut usize, depth: usize) -> Result<Pipe, Error> {
    if depth > MAX_DEPTH {
        return Err(Error::Unknown(format!("an action nests deeper than {MAX_DEPTH}")));
    }
    let mut assign = None;
    if let Some(Token::Variable(name)) = tokens.get(*at) {
        let symbol = tokens[*at + 1..].iter().position(|t| *t != Token::Space).map(|i| *at + 1 + i);
        if let Some(symbol) = symbol.filter(|i| matches!(tokens[*i], Token::Symbol(":=" | "="))) {
            assign = Some((name.clone(), tokens[symbol] == Token::Symbol(":=")));
            *at = symbol + 1;
        }
    }
    let mut commands = vec![Vec::new()];
    while let Some(token) = tokens.get(*at) {
        match token {
            Token::Space => *at += 1,
            Token::Symbol(")") => break,
            Token::Symbol("|") => {
                *at += 1;
                commands.push(Vec::new());
            }
            _ => {
                let operand = operand(tokens, at, depth)?;
                if let Some(command) = commands.last_mut() {
                    command.push(operand);
                }
            }
        }
    }
    if commands.iter().any(Vec::is_empty) {
        return Err(fails("missing value for command"));
    }
    Ok(Pipe { assign, commands })
}

fn operand(tokens: &[Token], at: &mut usize, depth: usize) -> Result<Expr, Error> {
    let token = &tokens[*at];
    *at += 1;
    let mut path = |first: Option<&String>| {
        let mut path: Vec<String> = first.filter(|f| !f.is_empty()).cloned().into_iter().collect();
        while let Some(Token::Field(name)) = tokens.get(*at) {
            path.push(name.clone());
            *at += 1;
        }
        if path.iter().any(String::is_empty) { Err(fails("unexpected `.`")) } else { Ok(path) }
    };
    Ok(match token {
        Token::Literal(value) => Expr::Literal(value.clone()),
        Token::Field(name) => Expr::Field(path(Some(name))?),
        Token::Variable(name) => Expr::Variable(name.clone(), path(None)?),
        Token::Word(name) => Expr::Function(name.clone()),
        Token::Symbol("(") => {
            let inner = pipe_at(tokens, at, depth + 1)?;
            if tokens.get(*at) != Some(&Token::Symbol(")")) {
                return Err(fails("unclosed left paren"));
            }
            *at += 1;
            let mut path = Vec::new();
            while let Some(Token::Field(name)) = tokens.get(*at) {
                path.push(name.clone());
                *at += 1;
            }
            Expr::Paren(Box::new(inner), path)
        }
        Token::Symbol(symbol) => return Err(fails(format!("unexpected `{symbol}` in an action"))),
        Token::Space => return Err(fails("missing value")),
    })
}
