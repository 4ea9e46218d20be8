//! Text -> nodes.

use super::{Error, Reads, Val};

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

fn fails(why: impl Into<String>) -> Error {
    Error::Fails(why.into())
}

enum Piece {
    Text(String),
    Action(Vec<Token>),
}

/// Cuts the text at `{{` and `}}`, trims at `{{- ` and ` -}}`, drops comments.
fn split(text: &str) -> Result<Vec<Piece>, Error> {
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

#[derive(Debug, Clone, PartialEq)]
enum Token {
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

/// Adds what `nodes` read. `root`: the dot is the data.
pub(super) fn reads(nodes: &[Node], root: bool, into: &mut Reads) {
    for node in nodes {
        match node {
            Node::Text(_) => {}
            Node::Print(pipe) => reads_pipe(pipe, root, into),
            Node::If(branches) => {
                for (condition, body) in branches {
                    if let Some(condition) = condition {
                        reads_pipe(condition, root, into);
                    }
                    reads(body, root, into);
                }
            }
            Node::With(pipe, body, otherwise) => {
                reads_pipe(pipe, root, into);
                reads(body, false, into);
                reads(otherwise, root, into);
            }
            Node::Range(Loop { over, body, otherwise, .. }) => {
                reads_pipe(over, root, into);
                reads(body, false, into);
                reads(otherwise, root, into);
            }
            Node::Call(_, data) => {
                if let Some(pipe) = data {
                    reads_pipe(pipe, root, into);
                }
            }
        }
    }
}

fn reads_pipe(pipe: &Pipe, root: bool, into: &mut Reads) {
    for command in &pipe.commands {
        let function = match command.first() {
            Some(Expr::Function(name)) => name.as_str(),
            _ => "",
        };
        if let ("index", [_, dot, Expr::Literal(Val::Str(name)), ..]) = (function, command.as_slice())
            && is_data(dot, root)
        {
            into.fields.insert(name.clone());
            continue;
        }
        if matches!(function, "eq" | "ne" | "has" | "contains" | "hasPrefix" | "hasSuffix") {
            let mut texts = Vec::new();
            literals(&command[1..], &mut texts);
            let fields: Vec<String> = command[1..].iter().filter_map(|e| field(e, root)).collect();
            for text in texts {
                if fields.is_empty() {
                    into.compared_elsewhere.insert(text.clone());
                }
                into.compared.extend(fields.iter().map(|f| (f.clone(), text.clone())));
            }
        }
        for operand in command {
            if is_data(operand, root) {
                into.everything = true;
            } else if let Some(path) = field(operand, root) {
                into.fields.insert(path);
            } else if let Expr::Paren(inner, _) = operand {
                reads_pipe(inner, root, into);
            }
        }
    }
}

fn literals(operands: &[Expr], into: &mut Vec<String>) {
    for operand in operands {
        match operand {
            Expr::Literal(Val::Str(text)) => into.push(text.clone()),
            Expr::Paren(inner, _) => {
                for command in &inner.commands {
                    if matches!(command.first(), Some(Expr::Function(name)) if name == "list") {
                        literals(command, into);
                    }
                }
            }
            _ => {}
        }
    }
}

fn is_data(operand: &Expr, root: bool) -> bool {
    match operand {
        Expr::Field(path) => root && path.is_empty(),
        Expr::Variable(name, path) => name.is_empty() && path.is_empty(),
        _ => false,
    }
}

fn field(operand: &Expr, root: bool) -> Option<String> {
    match operand {
        Expr::Field(path) if root && !path.is_empty() => Some(path.join(".")),
        Expr::Variable(name, path) if name.is_empty() && !path.is_empty() => Some(path.join(".")),
        _ => None,
    }
}
