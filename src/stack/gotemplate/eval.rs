//! Nodes and data -> text.

use super::parse::{Expr, Loop, Node, Pipe};
use super::{Error, Val, functions};

/// Calls of named templates within each other; Go allows 100000, an honest template needs a handful.
const MAX_CALLS: usize = 32;
/// Nodes that one rendering visits, so that loops within loops end.
const MAX_STEPS: usize = 200_000;
/// Bytes that one rendering writes.
const MAX_OUTPUT: usize = 1 << 20;

type Defined = [(String, Vec<Node>)];

pub(super) fn render(body: &[Node], defined: &Defined, data: &Val) -> Result<String, Error> {
    let mut eval = Eval {
        defined,
        variables: vec![(String::new(), data.clone())],
        out: String::new(),
        steps: 0,
        calls: 0,
    };
    eval.nodes(body, data)?;
    Ok(eval.out)
}

struct Eval<'a> {
    defined: &'a Defined,
    /// Innermost last; the first, with an empty name, is `$`.
    variables: Vec<(String, Val)>,
    out: String,
    steps: usize,
    calls: usize,
}

impl Eval<'_> {
    fn nodes(&mut self, nodes: &[Node], dot: &Val) -> Result<(), Error> {
        let scope = self.variables.len();
        for node in nodes {
            self.steps += 1;
            if self.steps > MAX_STEPS || self.out.len() > MAX_OUTPUT {
                return Err(Error::Unknown("the template does not come to an end".into()));
            }
            self.node(node, dot)?;
        }
        self.variables.truncate(scope);
        Ok(())
    }

    fn node(&mut self, node: &Node, dot: &Val) -> Result<(), Error> {
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Print(pipe) => {
                let value = self.pipe(pipe, dot)?;
                if pipe.assign.is_none() {
                    self.out.push_str(&value.show());
                }
            }
            Node::If(branches) => {
                let scope = self.variables.len();
                for (condition, body) in branches {
                    let holds = match condition {
                        Some(pipe) => truth(&self.pipe(pipe, dot)?)?,
                        None => true,
                    };
                    if holds {
                        self.nodes(body, dot)?;
                        break;
                    }
                }
                self.variables.truncate(scope);
            }
            Node::With(pipe, body, otherwise) => {
                let scope = self.variables.len();
                let value = self.pipe(pipe, dot)?;
                if truth(&value)? {
                    self.nodes(body, &value)?;
                } else {
                    self.nodes(otherwise, dot)?;
                }
                self.variables.truncate(scope);
            }
            Node::Range(each) => self.range(each, dot)?,
            Node::Call(name, data) => self.call(name, data.as_ref(), dot)?,
        }
        Ok(())
    }

    fn range(&mut self, each: &Loop, dot: &Val) -> Result<(), Error> {
        let entries: Vec<(Val, Val)> = match self.pipe(&each.over, dot)? {
            Val::Nil => Vec::new(),
            Val::List(items) => (0..).map(Val::Int).zip(items).collect(),
            Val::Map(map) => map.into_iter().map(|(k, v)| (Val::Str(k), v)).collect(),
            Val::Opaque(path) => return Err(unknown(&path)),
            Val::Int(_) => return Err(Error::Unknown("a range over a number is not understood".into())),
            other @ (Val::Bool(_) | Val::Float(_) | Val::Str(_)) => {
                return Err(Error::Fails(format!("range can't iterate over {}", other.show())));
            }
        };
        if entries.is_empty() {
            return self.nodes(&each.otherwise, dot);
        }
        for (key, value) in entries {
            let scope = self.variables.len();
            match each.names.as_slice() {
                [v] => self.variables.push((v.clone(), value.clone())),
                [k, v] => self.variables.extend([(k.clone(), key), (v.clone(), value.clone())]),
                _ => {}
            }
            self.nodes(&each.body, &value)?;
            self.variables.truncate(scope);
        }
        Ok(())
    }

    fn call(&mut self, name: &str, data: Option<&Pipe>, dot: &Val) -> Result<(), Error> {
        let data = match data {
            Some(pipe) => self.pipe(pipe, dot)?,
            None => Val::Nil,
        };
        let defined = self.defined;
        let (_, body) = defined
            .iter()
            .rev()
            .find(|(defined, _)| defined == name)
            .ok_or_else(|| Error::Fails(format!("template {name:?} not defined")))?;
        self.calls += 1;
        if self.calls > MAX_CALLS {
            return Err(Error::Unknown("templates call each other too deeply".into()));
        }
        let variables = std::mem::replace(&mut self.variables, vec![(String::new(), data.clone())]);
        let result = self.nodes(body, &data);
        self.variables = variables;
        self.calls -= 1;
        result
    }

    fn pipe(&mut self, pipe: &Pipe, dot: &Val) -> Result<Val, Error> {
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(command, value, dot)?);
        }
        let value = value.unwrap_or(Val::Nil);
        if let Some((name, declare)) = &pipe.assign {
            if *declare {
                self.variables.push((name.clone(), value.clone()));
            } else {
                let slot = self.variables.iter_mut().rev().find(|(n, _)| n == name);
                slot.ok_or_else(|| undefined(name))?.1 = value.clone();
            }
        }
        Ok(value)
    }

    fn command(&mut self, command: &[Expr], piped: Option<Val>, dot: &Val) -> Result<Val, Error> {
        let Some((first, operands)) = command.split_first() else {
            return Err(Error::Fails("missing value for command".into()));
        };
        let Expr::Function(name) = first else {
            if operands.is_empty() && piped.is_none() {
                return self.operand(first, dot);
            }
            return Err(Error::Fails("can't give argument to non-function".into()));
        };
        if matches!(name.as_str(), "and" | "or") {
            return self.and_or(name == "and", operands, piped, dot);
        }
        let mut arguments =
            operands.iter().map(|operand| self.operand(operand, dot)).collect::<Result<Vec<_>, _>>()?;
        arguments.extend(piped);
        functions::call(name, arguments)
    }

    /// Go stops at the first operand that decides, so the others must not be looked at.
    fn and_or(&mut self, and: bool, operands: &[Expr], piped: Option<Val>, dot: &Val) -> Result<Val, Error> {
        let mut last = None;
        for operand in operands {
            let value = self.operand(operand, dot)?;
            if truth(&value)? != and {
                return Ok(value);
            }
            last = Some(value);
        }
        piped
            .or(last)
            .ok_or_else(|| Error::Fails("and/or: wrong number of args: want at least 1 got 0".into()))
    }

    fn operand(&mut self, operand: &Expr, dot: &Val) -> Result<Val, Error> {
        match operand {
            Expr::Literal(value) => Ok(value.clone()),
            Expr::Field(path) => fields(dot, path),
            Expr::Variable(name, path) => {
                let found = if name.is_empty() {
                    self.variables.first()
                } else {
                    self.variables.iter().rev().find(|(n, _)| n == name)
                };
                fields(&found.ok_or_else(|| undefined(name))?.1, path)
            }
            Expr::Function(name) => functions::call(name, Vec::new()),
            Expr::Paren(pipe, path) => {
                let value = self.pipe(pipe, dot)?;
                fields(&value, path)
            }
        }
    }
}

fn undefined(name: &str) -> Error {
    Error::Fails(format!("undefined variable \"${name}\""))
}

pub(super) fn unknown(path: &str) -> Error {
    Error::Unknown(format!("it depends on `.{path}`, which is not known before the cluster exists"))
}

/// Whether a condition holds.
pub(super) fn truth(value: &Val) -> Result<bool, Error> {
    match value {
        Val::Opaque(path) => Err(unknown(path)),
        other => Ok(other.truth().unwrap_or(false)),
    }
}

/// `.a.b`: what is missing is nil, and so are its fields.
fn fields(from: &Val, path: &[String]) -> Result<Val, Error> {
    let mut value = from.clone();
    for name in path {
        let map = match &value {
            Val::Map(map) => map,
            Val::Opaque(path) => {
                value = Val::Opaque(format!("{path}.{name}"));
                continue;
            }
            Val::Nil => return Ok(Val::Nil),
            other => {
                return Err(Error::Fails(format!("can't evaluate field {name} in type {}", other.kind())));
            }
        };
        value = map.get(name).cloned().unwrap_or(Val::Nil);
    }
    Ok(value)
}
