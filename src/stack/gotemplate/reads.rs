//! What a template reads, found without evaluating it.

use super::parse::{Expr, Loop, Node, Pipe};
use super::{Reads, Val};

/// Adds what `nodes` read. `root`: the dot is the data.
pub(super) fn of(nodes: &[Node], root: bool, into: &mut Reads) {
    for node in nodes {
        match node {
            Node::Text(_) => {}
            Node::Print(pipe) => reads_pipe(pipe, root, into),
            Node::If(branches) => {
                for (condition, body) in branches {
                    if let Some(condition) = condition {
                        reads_pipe(condition, root, into);
                    }
                    of(body, root, into);
                }
            }
            Node::With(pipe, body, otherwise) => {
                reads_pipe(pipe, root, into);
                of(body, false, into);
                of(otherwise, root, into);
            }
            Node::Range(Loop { over, body, otherwise, .. }) => {
                reads_pipe(over, root, into);
                of(body, false, into);
                of(otherwise, root, into);
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
