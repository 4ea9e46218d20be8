//! Formats that are numbers between blanks: CASA, and levels such as `4^15 3^17 2^29`.

use super::{Document, Problem};
use crate::matrix::cover::{Clause, Literal, MAX_LEVELS};

/// Words with their lines.
pub(super) struct Words<'a> {
    words: Vec<(usize, &'a str)>,
    at: usize,
    last: usize,
}

impl<'a> Words<'a> {
    pub(super) fn new(text: &'a str) -> Words<'a> {
        let lines = text.lines().enumerate();
        let words: Vec<_> =
            lines.flat_map(|(at, line)| line.split_whitespace().map(move |word| (at + 1, word))).collect();
        Words { last: text.lines().count().max(1), words, at: 0 }
    }

    /// The next word and its line; an error, with what is missing, at the end.
    pub(super) fn next(&mut self, what: &str) -> Result<(usize, &'a str), Problem> {
        let word = self.words.get(self.at).copied();
        self.at += 1;
        word.ok_or_else(|| Problem::new(self.last, format!("the text ends where {what} should follow")))
    }

    pub(super) fn number(&mut self, what: &str) -> Result<(usize, usize), Problem> {
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

    pub(super) fn rest(&mut self) -> Option<(usize, &'a str)> {
        let word = self.words.get(self.at).copied();
        self.at += 1;
        word
    }
}

fn level(line: usize, values: usize) -> Result<u8, Problem> {
    let fits = u8::try_from(values).ok().filter(|values| (1..=MAX_LEVELS).contains(values));
    fits.ok_or_else(|| {
        Problem::new(line, format!("a parameter has {values} values; 1 to {MAX_LEVELS} are possible"))
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
/// What is wrong, with the line in the text that it is in: the model's, or that of the constraints.
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
                let (_, length) = words.number("the length of a constraint")?;
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
/// What is wrong, as on line 1.
pub fn levels(text: &str) -> Result<Document, Vec<Problem>> {
    let mut all: Vec<u8> = Vec::new();
    for word in text.split_whitespace() {
        let (values, number) = word.split_once('^').unwrap_or((word, "1"));
        let (Ok(values), Ok(number)) = (values.parse::<usize>(), number.parse::<usize>()) else {
            return Err(vec![Problem::new(1, format!("`{word}` is not of the form VALUES^PARAMETERS"))]);
        };
        let values = level(1, values).map_err(|problem| vec![problem])?;
        if number > 10_000 {
            return Err(vec![Problem::new(1, format!("{number} parameters are too many"))]);
        }
        all.extend(std::iter::repeat_n(values, number));
    }
    Ok(Document::of_levels(&all))
}
