//! The functions of Go's templates and of sprig that ClusterClasses and add-on values use. A name that is not here is
//! unknown, not wrong.

use super::eval::{truth, unknown};
use super::{Error, Val};
use std::collections::BTreeMap;

/// Calls the function.
pub(super) fn call(name: &str, arguments: Vec<Val>) -> Result<Val, Error> {
    let args = arguments.as_slice();
    let wrong =
        || Error::Unknown(format!("`{name}` with {} arguments of these types is not understood", args.len()));
    let bool = |b: bool| Ok(Val::Bool(b));
    Ok(match (name, args) {
        ("not", [a]) => Val::Bool(!truth(a)?),
        ("empty", [a]) => Val::Bool(!truth(a)?),
        ("eq", [first, others @ ..]) if !others.is_empty() => {
            for other in others {
                if equal(first, other)? {
                    return bool(true);
                }
            }
            Val::Bool(false)
        }
        ("ne", [a, b]) => Val::Bool(!equal(a, b)?),
        ("lt", [a, b]) => Val::Bool(order(a, b)?.is_lt()),
        ("le", [a, b]) => Val::Bool(order(a, b)?.is_le()),
        ("gt", [a, b]) => Val::Bool(order(a, b)?.is_gt()),
        ("ge", [a, b]) => Val::Bool(order(a, b)?.is_ge()),
        ("len", [a]) => Val::Int(length(a)?),
        ("index", [from, path @ ..]) => index(from, path)?,
        ("print", parts) => Val::Str(parts.iter().map(Val::show).collect()),
        ("printf", [Val::Str(format), rest @ ..]) => Val::Str(printf(format, rest)?),
        ("default", [default, value]) => {
            if truth(value)? {
                value.clone()
            } else {
                default.clone()
            }
        }
        ("default", [default]) => default.clone(),
        ("coalesce", values) => {
            for value in values {
                if truth(value)? {
                    return Ok(value.clone());
                }
            }
            Val::Nil
        }
        ("ternary", [yes, no, condition]) => {
            if truth(condition)? {
                yes.clone()
            } else {
                no.clone()
            }
        }
        ("list", items) => Val::List(items.to_vec()),
        ("dict", pairs) if pairs.len() % 2 == 0 => {
            let entries = pairs.chunks_exact(2).map(|pair| Ok((text(&pair[0])?.to_owned(), pair[1].clone())));
            Val::Map(entries.collect::<Result<BTreeMap<_, _>, Error>>()?)
        }
        ("has", [needle, Val::List(items)]) => Val::Bool(contains(items, needle)?),
        ("has", [_, Val::Nil]) => Val::Bool(false),
        ("hasKey", [Val::Map(map), Val::Str(key)]) => Val::Bool(map.contains_key(key)),
        ("get", [Val::Map(map), Val::Str(key)]) => map.get(key).cloned().unwrap_or(Val::Str(String::new())),
        ("first", [Val::List(items)]) => items.first().cloned().unwrap_or(Val::Nil),
        ("last", [Val::List(items)]) => items.last().cloned().unwrap_or(Val::Nil),
        ("join", [Val::Str(by), Val::List(items)]) => {
            Val::Str(items.iter().map(Val::show).collect::<Vec<_>>().join(by))
        }
        ("quote", values) => Val::Str(quoted(values, '"')),
        ("squote", values) => Val::Str(quoted(values, '\'')),
        ("toString", [value]) => Val::Str(value.show()),
        ("toJson", [value]) => Val::Str(value.to_json().ok_or_else(wrong)?.to_string()),
        _ => {
            return strings(name, args).unwrap_or_else(|| {
                Err(
                    match args.iter().find_map(|a| if let Val::Opaque(path) = a { Some(path) } else { None })
                    {
                        Some(path) => unknown(path),
                        None if is_known(name) => wrong(),
                        None => Error::Unknown(format!("the function `{name}` is not understood")),
                    },
                )
            });
        }
    })
}

fn is_known(name: &str) -> bool {
    const NAMES: &str = " not empty eq ne lt le gt ge len index print printf default coalesce ternary list dict has \
        hasKey get first last join quote squote toString toJson lower upper trim nospace contains hasPrefix \
        hasSuffix trimPrefix trimSuffix trimAll replace indent nindent splitList ";
    NAMES.contains(&format!(" {name} "))
}

/// The functions of texts.
fn strings(name: &str, args: &[Val]) -> Option<Result<Val, Error>> {
    if let ("indent" | "nindent", [Val::Int(by @ 0..=200), Val::Str(s)]) = (name, args) {
        let pad = " ".repeat(usize::try_from(*by).ok()?);
        let first = if name == "nindent" { "\n" } else { "" };
        return Some(Ok(Val::Str(format!("{first}{pad}{}", s.replace('\n', &format!("\n{pad}"))))));
    }
    // Text made of text that is not known is not known either; only where a yes or no is wanted this is the end.
    let makes_text = matches!(
        name,
        "lower" | "upper" | "trim" | "nospace" | "trimPrefix" | "trimSuffix" | "trimAll" | "replace"
    );
    if let Some(Val::Opaque(path)) = args.iter().find(|a| matches!(a, Val::Opaque(_))) {
        return makes_text.then(|| Ok(Val::Opaque(format!("{path} | {name}"))));
    }
    let texts: Vec<&str> = args
        .iter()
        .map(|a| if let Val::Str(s) = a { Some(s.as_str()) } else { None })
        .collect::<Option<_>>()?;
    Some(Ok(match (name, texts.as_slice()) {
        ("lower", [s]) => Val::Str(s.to_lowercase()),
        ("upper", [s]) => Val::Str(s.to_uppercase()),
        ("trim", [s]) => Val::Str(s.trim().into()),
        ("nospace", [s]) => Val::Str(s.split_whitespace().collect()),
        ("contains", [part, s]) => Val::Bool(s.contains(part)),
        ("hasPrefix", [part, s]) => Val::Bool(s.starts_with(part)),
        ("hasSuffix", [part, s]) => Val::Bool(s.ends_with(part)),
        ("trimPrefix", [part, s]) => Val::Str(s.strip_prefix(part).unwrap_or(s).into()),
        ("trimSuffix", [part, s]) => Val::Str(s.strip_suffix(part).unwrap_or(s).into()),
        ("trimAll", [set, s]) => Val::Str(s.trim_matches(|c| set.contains(c)).into()),
        ("replace", [old, new, s]) => Val::Str(s.replace(old, new)),
        ("splitList", [by, s]) => Val::List(s.split(by).map(|part| Val::Str(part.into())).collect()),
        _ => return None,
    }))
}

fn text(value: &Val) -> Result<&str, Error> {
    match value {
        Val::Str(s) => Ok(s),
        other => Err(Error::Fails(format!("expected a string, found {}", other.kind()))),
    }
}

/// Go's `eq`: types must match, except that nil equals nothing but nil.
fn equal(a: &Val, b: &Val) -> Result<bool, Error> {
    match (a, b) {
        (Val::Opaque(path), _) | (_, Val::Opaque(path)) => Err(unknown(path)),
        (Val::Nil, Val::Nil) => Ok(true),
        (Val::Nil, _) | (_, Val::Nil) => Ok(false),
        (Val::List(_) | Val::Map(_), _) | (_, Val::List(_) | Val::Map(_)) => {
            Err(Error::Fails("non-comparable type in eq or ne".into()))
        }
        _ if std::mem::discriminant(a) == std::mem::discriminant(b) => Ok(a == b),
        _ => Err(incompatible(a, b)),
    }
}

fn incompatible(a: &Val, b: &Val) -> Error {
    Error::Fails(format!("incompatible types for comparison: {} and {}", a.kind(), b.kind()))
}

fn order(a: &Val, b: &Val) -> Result<std::cmp::Ordering, Error> {
    match (a, b) {
        (Val::Opaque(path), _) | (_, Val::Opaque(path)) => Err(unknown(path)),
        (Val::Int(a), Val::Int(b)) => Ok(a.cmp(b)),
        (Val::Float(x), Val::Float(y)) => x.partial_cmp(y).ok_or_else(|| incompatible(a, b)),
        (Val::Str(a), Val::Str(b)) => Ok(a.cmp(b)),
        _ => Err(incompatible(a, b)),
    }
}

/// Sprig's `has` compares deeply and never fails.
fn contains(items: &[Val], needle: &Val) -> Result<bool, Error> {
    for item in items.iter().chain([needle]) {
        if let Val::Opaque(path) = item {
            return Err(unknown(path));
        }
    }
    Ok(items.contains(needle))
}

fn length(value: &Val) -> Result<i64, Error> {
    let n = match value {
        Val::Str(s) => s.len(),
        Val::List(items) => items.len(),
        Val::Map(map) => map.len(),
        Val::Opaque(path) => return Err(unknown(path)),
        other => return Err(Error::Fails(format!("len of {}", other.kind()))),
    };
    i64::try_from(n).map_err(|_| Error::Unknown("too long".into()))
}

fn index(from: &Val, path: &[Val]) -> Result<Val, Error> {
    let mut value = from.clone();
    for key in path {
        value =
            match (&value, key) {
                (Val::Map(map), Val::Str(key)) => map.get(key).cloned().unwrap_or(Val::Nil),
                (Val::List(items), Val::Int(i)) => usize::try_from(*i)
                    .ok()
                    .and_then(|i| items.get(i))
                    .cloned()
                    .ok_or_else(|| Error::Fails(format!("index out of range: {i}")))?,
                (Val::Opaque(path), key) => Val::Opaque(format!("{path}.{}", key.show())),
                (Val::Nil, _) => return Err(Error::Fails("index of untyped nil".into())),
                (other, key) => {
                    return Err(Error::Fails(format!("can't index {} with {}", other.kind(), key.kind())));
                }
            };
    }
    Ok(value)
}

/// Sprig skips nil.
fn quoted(values: &[Val], mark: char) -> String {
    let quote = |value: &Val| match mark {
        '"' => format!("\"{}\"", escape(&value.show())),
        _ => format!("'{}'", value.show()),
    };
    values.iter().filter(|v| **v != Val::Nil).map(quote).collect::<Vec<_>>().join(" ")
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\t', "\\t")
}

fn printf(format: &str, arguments: &[Val]) -> Result<String, Error> {
    let mut out = String::new();
    let mut arguments = arguments.iter();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let verb = chars.next();
        if verb == Some('%') {
            out.push('%');
            continue;
        }
        let unclear = || Error::Unknown(format!("printf {format:?} with these values is not understood"));
        match (verb, arguments.next().ok_or_else(unclear)?) {
            (Some('s'), value @ (Val::Str(_) | Val::Opaque(_)))
            | (Some('d'), value @ (Val::Int(_) | Val::Opaque(_)))
            | (Some('t'), value @ Val::Bool(_)) => out.push_str(&value.show()),
            (Some('v'), value) if *value != Val::Nil => out.push_str(&value.show()),
            (Some('q'), Val::Str(s)) => out.push_str(&format!("\"{}\"", escape(s))),
            _ => return Err(unclear()),
        }
    }
    if arguments.next().is_some() {
        return Err(Error::Unknown(format!("printf {format:?} has more values than verbs")));
    }
    Ok(out)
}
