//! The format of Medici: CASA's header, then constraints in postfix notation over numbers of values.

use super::expression::Expression;
use super::plain::{Words, symbols};
use super::{Document, Place, Problem};

/// Reads a Medici model.
///
/// # Errors
///
/// Every constraint that is wrong, with its line.
pub fn medici(text: &str) -> Result<Document, Vec<Problem>> {
    // Only constraints are one to a line.
    let mut words = Words::new(text);
    let (strength, levels) = words.header().map_err(|problem| vec![problem])?;
    let (place, number) = match words.rest() {
        None => (Place { line: 0, column: 0 }, 0),
        Some((place, word)) => match word.parse::<usize>() {
            Ok(number) => (place, number),
            Err(_) => {
                return Err(vec![Problem::new(place, format!("`{word}` is not a number of constraints"))]);
            }
        },
    };
    let mut document = Document::of_levels(&levels);
    document.strength = Some(strength);
    let symbols = symbols(&levels);
    let full = |parameter: usize| u64::MAX >> (64 - u32::from(levels[parameter]));
    let lines = text.lines().enumerate().skip(place.line).filter(|(_, line)| !line.trim().is_empty());
    let mut problems = Vec::new();
    let mut read = 0;
    for (at, text) in lines.take(number) {
        document.places.push(Place::of(at + 1, text, text.trim_start()));
        let clauses = postfix(text, &symbols, &full).and_then(|constraint| {
            constraint.clauses(read, &full).map_err(|_| (text.trim_start(), TOO_COMPLEX.to_owned()))
        });
        match clauses {
            Ok(clauses) => document.clauses.extend(clauses),
            Err((part, message)) => problems.push(Problem::new(Place::of(at + 1, text, part), message)),
        }
        read += 1;
    }
    if read < number {
        problems.push(Problem::new(place, format!("there are {read} constraints, not {number}")));
    }
    if problems.is_empty() { Ok(document) } else { Err(problems) }
}

const TOO_COMPLEX: &str = "the constraint is too complex";

/// What a line says, or what is wrong with which part of it.
fn postfix<'a>(
    text: &'a str,
    symbols: &[(usize, u8)],
    full: &dyn Fn(usize) -> u64,
) -> Result<Expression, (&'a str, String)> {
    let mut stack: Vec<Expression> = Vec::new();
    for word in text.split_whitespace() {
        let mut pop = || stack.pop().ok_or_else(|| (word, format!("`{word}` has nothing to work on")));
        let expression = match word {
            "-" => pop()?.not(full),
            "+" | "*" => {
                let (second, first) = (pop()?, pop()?);
                let joined = if word == "+" { first.or(second) } else { first.and(second) };
                joined.map_err(|_| (word, TOO_COMPLEX.to_owned()))?
            }
            number => {
                let symbol: Option<&(usize, u8)> = number.parse().ok().and_then(|at: usize| symbols.get(at));
                let &(parameter, value) =
                    symbol.ok_or_else(|| (word, format!("there is no value `{number}`")))?;
                Expression::Within(parameter, 1 << value)
            }
        };
        stack.push(expression);
    }
    match (stack.pop(), stack.is_empty()) {
        (Some(expression), true) => Ok(expression),
        _ => Err((text.trim_start(), "the constraint is not one expression".to_owned())),
    }
}
