//! Formats that are numbers between blanks: CASA, and levels such as `4^15 3^17 2^29`.

use super::{Document, Place, Problem};
use crate::matrix::cover::{Clause, Literal, MAX_LEVELS};

/// Words with their places.
pub(super) struct Words<'a> {
    words: Vec<(Place, &'a str)>,
    at: usize,
    /// Where the text ends.
    last: Place,
}

impl<'a> Words<'a> {
    pub(super) fn new(text: &'a str) -> Words<'a> {
        let lines = text.lines().enumerate();
        let words = lines.flat_map(|(at, line)| {
            line.split_whitespace().map(move |word| (Place::of(at + 1, line, word), word))
        });
        let last = text.lines().last().map_or(0, |line| line.chars().count());
        let last = Place { line: text.lines().count().max(1), column: last + 1 };
        Words { last, words: words.collect(), at: 0 }
    }

    /// The next word and its place; an error, with what is missing, at the end.
    pub(super) fn next(&mut self, what: &str) -> Result<(Place, &'a str), Problem> {
        let word = self.words.get(self.at).copied();
        self.at += 1;
        word.ok_or_else(|| Problem::new(self.last, format!("the text ends where {what} should follow")))
    }

    pub(super) fn number(&mut self, what: &str) -> Result<(Place, usize), Problem> {
        let (line, word) = self.next(what)?;
        let number =
            word.parse().map_err(|_| Problem::new(line, format!("`{word}` is not a number: {what}")))?;
        Ok((line, number))
    }

    /// Strength, number of parameters, and the number of values of each.
    pub(super) fn header(&mut self) -> Result<(usize, Vec<u8>), Problem> {
        let (line, strength) = self.number("the strength")?;
        if !(1..=6).contains(&strength) {
            return Err(Problem::new(line, format!("strength {strength} is not possible; 1 to 6 are")));
        }
        let (_, parameters) = self.number("the number of parameters")?;
        let mut levels = Vec::new();
        for _ in 0..parameters {
            let (line, values) = self.number("the number of values of a parameter")?;
            levels.push(level(line, values)?);
        }
        Ok((strength, levels))
    }

    pub(super) fn rest(&mut self) -> Option<(Place, &'a str)> {
        let word = self.words.get(self.at).copied();
        self.at += 1;
        word
    }
}

fn level(place: Place, values: usize) -> Result<u8, Problem> {
    let fits = u8::try_from(values).ok().filter(|values| (1..=MAX_LEVELS).contains(values));
    fits.ok_or_else(|| {
        Problem::new(place, format!("a parameter has {values} values; 1 to {MAX_LEVELS} are possible"))
    })
}

/// The parameter and value of each number of a value, when those of all parameters are numbered in one sequence.
pub(super) fn symbols(levels: &[u8]) -> Vec<(usize, u8)> {
    levels
        .iter()
        .enumerate()
        .flat_map(|(parameter, &levels)| (0..levels).map(move |v| (parameter, v)))
        .collect()
}

/// Reads a CASA model and, if there are any, its constraints.
///
/// # Errors
///
/// What is wrong, with the place in the text that it is in: the model's, or that of the constraints.
pub fn casa(model: &str, constraints: Option<&str>) -> Result<Document, Vec<Problem>> {
    let (strength, levels) = Words::new(model).header().map_err(|problem| vec![problem])?;
    let mut document = Document::of_levels(&levels);
    document.strength = Some(strength);
    let symbols = symbols(&levels);
    let mut problems = Vec::new();
    if let Some(constraints) = constraints {
        let mut words = Words::new(constraints);
        let mut read = || -> Result<(), Problem> {
            let (_, number) = words.number("the number of constraints")?;
            for origin in 0..number {
                let (place, length) = words.number("the length of a constraint")?;
                document.places.push(place);
                let mut literals = Vec::new();
                for _ in 0..length {
                    let (line, sign) = words.next("`+` or `-`")?;
                    let equal = match sign {
                        "+" => true,
                        "-" => false,
                        other => return Err(Problem::new(line, format!("`{other}` should be `+` or `-`"))),
                    };
                    let (line, symbol) = words.number("a value")?;
                    match symbols.get(symbol) {
                        Some(&(parameter, value)) => literals.push(Literal { parameter, value, equal }),
                        None => problems.push(Problem::new(
                            line,
                            format!("there is no value {symbol}; the last one is {}", symbols.len() - 1),
                        )),
                    }
                }
                document.clauses.push(Clause { literals, origin });
            }
            Ok(())
        };
        if let Err(problem) = read() {
            problems.push(problem);
        }
    }
    if problems.is_empty() { Ok(document) } else { Err(problems) }
}

/// Reads numbers of values as they are commonly written: `4^15 3^17 2^29` are 15 parameters with 4 values, and so on.
///
/// # Errors
///
/// The first word that is wrong.
pub fn levels(text: &str) -> Result<Document, Vec<Problem>> {
    let mut all: Vec<u8> = Vec::new();
    let mut words = Words::new(text);
    while let Some((place, word)) = words.rest() {
        let (values, number) = word.split_once('^').unwrap_or((word, "1"));
        let (Ok(values), Ok(number)) = (values.parse::<usize>(), number.parse::<usize>()) else {
            return Err(vec![Problem::new(place, format!("`{word}` is not of the form VALUES^PARAMETERS"))]);
        };
        let values = level(place, values).map_err(|problem| vec![problem])?;
        if all.len().saturating_add(number) > MOST_PARAMETERS {
            return Err(vec![Problem::new(
                place,
                format!("more than {MOST_PARAMETERS} parameters are too many"),
            )]);
        }
        all.extend(std::iter::repeat_n(values, number));
    }
    Ok(Document::of_levels(&all))
}

const MOST_PARAMETERS: usize = 10_000;
