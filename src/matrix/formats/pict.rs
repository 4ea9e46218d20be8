//! The input language of PICT: parameters with values, weights, aliases and negative values; sub-models; constraints.

use super::pict_constraint::constraints;
use super::{Document, Parameter, Place, Problem, Value};
use crate::matrix::cover::{MAX_LEVELS, Requirement};

/// Reads a PICT model. Names and strings are compared without regard to case, as PICT does unless told otherwise; of a value
/// with several names constraints know the first one, as PICT does. A constraint over a parameter that does not exist is
/// refused, where PICT leaves it out.
///
/// # Errors
///
/// Every problem found, with its place.
pub fn pict(text: &str) -> Result<Document, Vec<Problem>> {
    let mut document = Document::default();
    let mut problems = Vec::new();
    let mut groups: Vec<(usize, &str, &str)> = Vec::new();
    let mut rest = None;
    let mut start = 0;
    for (at, line) in text.split('\n').enumerate() {
        let trimmed = line.trim();
        if starts_constraint(trimmed) {
            rest = Some((at, &text[start..]));
            break;
        }
        start += line.len() + 1;
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        if trimmed.starts_with('{') {
            groups.push((at + 1, line, trimmed));
        } else {
            match parameter(trimmed, &document.parameters) {
                Ok(parameter) => document.parameters.push(parameter),
                Err((part, message)) => problems.push(Problem::new(Place::of(at + 1, line, part), message)),
            }
        }
    }
    for (number, line, text) in groups {
        match group(text, &document.parameters) {
            Ok(group) => document.groups.push(group),
            Err((part, message)) => problems.push(Problem::new(Place::of(number, line, part), message)),
        }
    }
    if let Some((line, text)) = rest {
        match constraints(text, line + 1, &document.parameters) {
            Ok((clauses, places)) => (document.clauses, document.places) = (clauses, places),
            Err(more) => problems.extend(more),
        }
    }
    if problems.is_empty() { Ok(document) } else { Err(problems) }
}

fn starts_constraint(line: &str) -> bool {
    let word: String = line.chars().take_while(char::is_ascii_alphabetic).collect();
    let after = line[word.len()..].trim_start();
    let keyword =
        ["IF", "NOT", "ISNEGATIVE", "ISPOSITIVE"].iter().any(|known| word.eq_ignore_ascii_case(known));
    line.starts_with(['[', '('])
        || keyword && after.starts_with(['[', '('])
        || word.eq_ignore_ascii_case("IF")
            && after.get(..3).is_some_and(|next| next.eq_ignore_ascii_case("NOT"))
}

pub(super) fn find(parameters: &[Parameter], name: &str) -> Option<usize> {
    parameters.iter().position(|parameter| same(&parameter.name, name))
}

pub(super) fn same(one: &str, other: &str) -> bool {
    one == other || one.to_lowercase() == other.to_lowercase()
}

/// What is wrong with which part of a line.
type Wrong<'a> = (&'a str, String);

fn parameter<'a>(line: &'a str, known: &[Parameter]) -> Result<Parameter, Wrong<'a>> {
    let Some((name, list)) = line.split_once(':') else {
        let message = "neither a parameter (`name: value, value`), nor a sub-model, nor a constraint";
        return Err((line, message.to_owned()));
    };
    let name = name.trim();
    if name.is_empty() {
        return Err((line, "a parameter has no name".to_owned()));
    }
    if find(known, name).is_some() {
        return Err((name, format!("parameter `{name}` is there twice")));
    }
    let mut values = Vec::new();
    for text in list.split(',').map(str::trim) {
        if let Some(other) = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')) {
            let other = other.trim();
            let at = find(known, other)
                .ok_or_else(|| (other, format!("there is no parameter `{other}` above")))?;
            values.extend(known[at].values.iter().cloned());
        } else {
            values.push(value(text)?);
        }
    }
    if values.len() > usize::from(MAX_LEVELS) {
        let message = format!("`{name}` has {} values; at most {MAX_LEVELS} are possible", values.len());
        return Err((name, message));
    }
    Ok(Parameter { name: name.to_owned(), values })
}

fn value(whole: &str) -> Result<Value, Wrong<'_>> {
    let (mut text, invalid) =
        whole.strip_prefix('~').map_or((whole, false), |text| (text.trim_start(), true));
    let mut weight = 1;
    if let Some((before, inside)) = text.strip_suffix(')').and_then(|text| text.rsplit_once('(')) {
        // What is no positive number in parentheses is part of the name.
        if let Some(number) = inside.trim().parse().ok().filter(|&number| number > 0) {
            (text, weight) = (before.trim_end(), number);
        }
    }
    let names: Vec<String> = text.split('|').map(|name| name.trim().to_owned()).collect();
    if names.iter().any(String::is_empty) {
        return Err((whole, "a value is empty".to_owned()));
    }
    Ok(Value { names, weight, invalid })
}

/// `{ A, B, C } @ 3`
fn group<'a>(text: &'a str, parameters: &[Parameter]) -> Result<Requirement, Wrong<'a>> {
    let Some((names, strength)) = text.strip_prefix('{').and_then(|text| text.split_once('}')) else {
        return Err((text, "the sub-model has no `}`".to_owned()));
    };
    let mut group = Vec::new();
    for name in names.split(',').map(str::trim) {
        group.push(find(parameters, name).ok_or_else(|| (name, format!("there is no parameter `{name}`")))?);
    }
    let strength = strength.trim();
    let number = match strength.strip_prefix('@').map(str::trim) {
        None if strength.is_empty() => 2,
        None => return Err((strength, format!("`{strength}` should be `@` and a strength"))),
        Some(number) => number.parse().map_err(|_| (strength, format!("`{number}` is not a strength")))?,
    };
    if !(1..=6).contains(&number) {
        return Err((strength, format!("strength {number} is not possible; 1 to 6 are")));
    }
    Ok(Requirement { parameters: group, strength: number })
}
