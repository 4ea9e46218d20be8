//! Covers that need no search: the smallest one that a construction is known for, for columns of the same number of values.
//!
//! [`Recipe::best`] compares sizes without making anything; [`Recipe::rows`] makes the rows. What is made is never trusted:
//! the caller adds rows for whatever they miss.

use super::Row;
use super::bound::binary;
use super::field::{Field, sizes};
use super::starter::Starter;
use super::starters::{Known, SMALL, STARTERS};
use super::tuples::combinations;

/// How rows are made.
#[derive(Debug, Clone)]
enum How {
    /// One row, of one value.
    Single,
    Halves,
    Orthogonal(usize),
    Projection(usize),
    Product(usize, usize),
    Starter(&'static Known, Option<Box<Recipe>>),
    Small(&'static [&'static str]),
    Planes(usize),
    Doubling(Box<Recipe>, Box<Recipe>),
}

/// A construction, and how many rows it has.
#[derive(Debug, Clone)]
pub(super) struct Recipe {
    pub(super) size: usize,
    columns: usize,
    values: usize,
    how: How,
}

impl Recipe {
    /// The one with the fewest rows, for 2 or more columns.
    pub(super) fn best(columns: usize, values: usize, strength: usize) -> Option<Recipe> {
        let recipe = |size: usize, how: How| Recipe { size, columns, values, how };
        let mut all = Vec::new();
        if values == 1 {
            return Some(recipe(1, How::Single));
        }
        if strength == 2 {
            if values == 2 {
                all.push(recipe(binary(columns), How::Halves));
            }
            for size in sizes().filter(|&size| size >= values) {
                let square = size * size;
                if columns <= size + 1 {
                    let orthogonal = recipe(square, How::Orthogonal(size));
                    if size <= values + 1 {
                        // What is a little smaller is no better start: a search gets further from this one.
                        return Some(orthogonal);
                    }
                    all.push(orthogonal);
                }
                let over = size - values;
                if over > 0 && columns > size + 1 && columns <= size + 1 + over {
                    all.push(recipe(square - over, How::Projection(size)));
                }
                for times in 1..=2 {
                    if columns <= size.pow(times) * (size + 1 + times as usize) {
                        let number = square + times as usize * (square - size);
                        all.push(recipe(number, How::Product(size, times as usize)));
                    }
                }
            }
            for known in STARTERS.iter().filter(|known| known.values >= values && known.columns() >= columns)
            {
                let moving = known.columns() * known.modulus;
                let fixed = known.values - known.modulus * known.cycles;
                if fixed >= values {
                    continue;
                }
                let core = match fixed {
                    0 => None,
                    _ => Recipe::best(columns, fixed, 2),
                };
                let size = moving + core.as_ref().map_or(0, |core| core.size);
                all.push(recipe(size, How::Starter(known, core.map(Box::new))));
            }
        }
        if strength == 3 {
            for size in sizes().filter(|&size| size >= values) {
                if columns <= size + 1 + usize::from(size % 2 == 0) {
                    all.push(recipe(size.pow(3), How::Orthogonal(size)));
                }
                if columns <= size * size + size + 1 {
                    all.push(recipe(2 * size.pow(3) - 1, How::Planes(size)));
                }
            }
            let half = columns.div_ceil(2);
            if half >= 3
                && let Some(triples) = Recipe::best(half, values, 3)
                && let Some(pairs) = Recipe::best(half, values, 2)
            {
                let size = triples.size + (values - 1) * pairs.size;
                all.push(recipe(size, How::Doubling(Box::new(triples), Box::new(pairs))));
            }
        }
        if strength > 3
            && let Some(size) = sizes().find(|&size| size >= values && columns <= size + 1)
            && let Some(number) = size.checked_pow(strength as u32)
        {
            all.push(recipe(number, How::Orthogonal(size)));
        }
        for (.., rows) in SMALL.iter().filter(|(of, number, _)| *of == strength && *number >= values) {
            if rows.first().is_some_and(|row| row.len() >= columns) {
                all.push(recipe(rows.len(), How::Small(rows)));
            }
        }
        all.into_iter().min_by_key(|recipe| recipe.size)
    }

    /// The rows, with as many columns as were asked for and no value that was not.
    pub(super) fn rows(&self, strength: usize) -> Vec<Row> {
        let field = |size| Field::new(size);
        let rows = match &self.how {
            How::Single => vec![vec![0; self.columns]],
            How::Halves => halves(self.columns),
            How::Orthogonal(size) => {
                field(*size).map(|field| field.orthogonal(self.columns, strength)).unwrap_or_default()
            }
            How::Projection(size) => {
                field(*size).map(|field| projection(&field, self.values)).unwrap_or_default()
            }
            How::Product(size, times) => {
                field(*size).map(|field| products(&field, *times, self.columns)).unwrap_or_default()
            }
            How::Starter(known, core) => {
                let core = core.as_ref().map(|core| core.rows(2)).unwrap_or_default();
                Starter::known(known).rows(&core)
            }
            How::Small(rows) => rows.iter().map(|row| digits(row)).collect(),
            How::Planes(size) => field(*size).map(|field| field.planes(self.columns)).unwrap_or_default(),
            How::Doubling(triples, pairs) => doubled(&triples.rows(3), &pairs.rows(2), self.values),
        };
        let fit = |row: Row| row.iter().take(self.columns).map(|value| value % self.values as u8).collect();
        rows.into_iter().map(fit).collect()
    }
}

/// The digits of a row of the tables: 0 to 9, then letters.
pub(super) fn digits(text: &str) -> Row {
    text.chars().filter_map(|digit| digit.to_digit(36)).map(|digit| digit as u8).collect()
}

/// Columns of pairwise different halves of the rows but the first: any two of them meet, and neither contains the other
/// (Kleitman and Spencer, 1973; Katona, 1973).
fn halves(columns: usize) -> Vec<Row> {
    let number = binary(columns);
    let mut rows = vec![vec![0; columns]; number];
    for (column, chosen) in combinations(number - 1, number.div_ceil(2)).take(columns).enumerate() {
        chosen.into_iter().for_each(|row| rows[row + 1][column] = 1);
    }
    rows
}

/// More columns from fewer values than the field has (Colbourn, "Strength two covering arrays: existence tables and
/// projection", 2008): without a constant row, its value is free in every column; a further column says where a row agrees
/// with the one that is gone.
fn projection(field: &Field, values: usize) -> Vec<Row> {
    let size = field.size();
    let mut rows = field.orthogonal(size + 1, 2);
    rows.drain(values..size);
    // In the last column the constant rows have 0, which becomes free there.
    let mut places: Vec<Vec<usize>> = Vec::with_capacity(rows.len());
    for row in &rows {
        let agrees = |gone: usize| row[..size].iter().position(|&value| usize::from(value) == gone);
        places.push((values..size).map(|gone| agrees(gone).unwrap_or(size)).collect());
    }
    let mut next = vec![vec![0; size - values]; size + 1];
    for (row, places) in rows.iter_mut().zip(&places) {
        row[size] = row[size].checked_sub(1).filter(|&value| usize::from(value) < values).unwrap_or(0);
        for (gone, &place) in places.iter().enumerate().filter(|(_, place)| **place < size) {
            // The rows of a place of a further column hold each value of that place.
            row[place] = next[place][gone] as u8;
            next[place][gone] = (next[place][gone] + 1) % values;
        }
    }
    // Two further columns never name one place together; where one names none that counts, it takes that of the other.
    for one in 0..size - values {
        for other in one + 1..size - values {
            for place in 0..values {
                let open = |row: &Vec<usize>| {
                    row[one] >= values && row[other] == place || row[other] >= values && row[one] == place
                };
                if let Some(row) = places.iter_mut().find(|row| open(row)) {
                    (row[one], row[other]) = (place, place);
                }
            }
        }
    }
    for (row, places) in rows.iter_mut().zip(&places) {
        row.extend(places.iter().map(|&place| if place < values { place as u8 } else { 0 }));
    }
    rows
}

/// Rows without those that are constant in the first columns and 0 in the others.
struct Parted {
    rows: Vec<Row>,
    constant: usize,
    zero: usize,
}

/// The product of partitioned covers (Colbourn, Martirosyan, Mullen, Shasha, Sherwood and Yucas, "Products of mixed covering
/// arrays of strength two", 2006) of the orthogonal array with itself, some times, the constant rows last.
fn products(field: &Field, times: usize, columns: usize) -> Vec<Row> {
    let size = field.size();
    let rows = field.orthogonal(size + 1, 2).split_off(size);
    let simple = Parted { rows, constant: size, zero: 1 };
    let mut product = Parted { rows: simple.rows.clone(), ..simple };
    for time in 0..times {
        product = multiply(&product, &simple, if time + 1 == times { columns } else { usize::MAX });
    }
    let width = product.constant + product.zero;
    let constant = |value: usize| {
        (0..width).map(|column| if column < product.constant { value as u8 } else { 0 }).collect()
    };
    let constants: Vec<Row> = (0..size).map(constant).collect();
    product.rows.into_iter().chain(constants).collect()
}

/// Each column of a product is one of the first array and one of the second; two that lie outside make none.
fn multiply(one: &Parted, other: &Parted, columns: usize) -> Parted {
    let pairs = |first: std::ops::Range<usize>, second: std::ops::Range<usize>| {
        first.flat_map(move |a| second.clone().map(move |b| (a, b)))
    };
    let (end, last) = (one.constant + one.zero, other.constant + other.zero);
    let inner = pairs(0..one.constant, 0..other.constant);
    let outer =
        pairs(0..one.constant, other.constant..last).chain(pairs(one.constant..end, 0..other.constant));
    let list: Vec<(usize, usize)> = inner.chain(outer).take(columns).collect();
    let constant = list.len().min(one.constant * other.constant);
    let rows = one.rows.iter().map(|row| list.iter().map(|&(a, _)| row[a]).collect());
    let more = other.rows.iter().map(|row| list.iter().map(|&(_, b)| row[b]).collect());
    Parted { rows: rows.chain(more).collect(), constant, zero: list.len() - constant }
}

/// Twice the columns (Chateauneuf and Kreher, "On the state of strength-three covering arrays", 2002): the triples twice, side
/// by side, then pairs beside the same pairs with each number added to their values.
fn doubled(triples: &[Row], pairs: &[Row], values: usize) -> Vec<Row> {
    let beside = |row: &Row, add: usize| {
        row.iter()
            .copied()
            .chain(row.iter().map(|&value| ((usize::from(value) + add) % values) as u8))
            .collect()
    };
    let shifted = (1..values).flat_map(|add| pairs.iter().map(move |row| beside(row, add)));
    triples.iter().map(|row| beside(row, 0)).chain(shifted).collect()
}

#[cfg(test)]
mod tests {
    use super::super::model::Model;
    use super::super::{Requirement, coverage};
    use super::*;

    fn check(levels: u8, columns: usize, strength: usize, size: usize) {
        let model = Model::new(vec![levels; columns], Vec::new()).unwrap();
        let all = Requirement::all(&model, strength);
        let recipe = Recipe::best(columns, usize::from(levels), strength).unwrap();
        let rows = recipe.rows(strength);
        assert_eq!((rows.len(), recipe.size), (size, size), "{levels}^{columns}, strength {strength}");
        let coverage = coverage(&model, &rows, &all.parameters, strength);
        assert_eq!(coverage.covered, coverage.feasible, "{levels}^{columns}, strength {strength}");
    }

    #[test]
    fn what_is_known_covers_all() {
        check(2, 100, 2, 10);
        check(2, 11, 2, 7);
        check(3, 4, 2, 9);
        check(3, 54, 2, 21);
        check(4, 5, 2, 16);
        check(4, 24, 2, 28);
        check(4, 112, 2, 40);
        check(4, 6, 3, 64);
        check(4, 21, 3, 127);
        check(5, 6, 3, 125);
        check(5, 35, 2, 45);
        check(5, 31, 3, 249);
        check(5, 12, 3, 225);
        check(8, 9, 2, 64);
        check(8, 80, 2, 120);
        check(9, 10, 2, 81);
        check(10, 13, 2, 120);
        check(12, 15, 2, 168);
        check(14, 19, 2, 254);
        check(3, 4, 4, 81);
        check(5, 6, 4, 625);
        check(15, 20, 2, 287);
        check(26, 29, 2, 728);
        check(60, 63, 2, 3720);
        check(2, 20, 3, 18);
        check(3, 20, 2, 15);
        check(10, 20, 2, 155);
        check(25, 8, 2, 625);
        check(32, 6, 2, 1024);
        check(49, 6, 2, 2401);
        check(64, 5, 2, 4096);
    }

    #[test]
    fn every_entry_of_the_tables_is_what_it_says() {
        for known in STARTERS {
            let fixed = known.values - known.modulus * known.cycles;
            let core = if fixed == 0 {
                Vec::new()
            } else {
                Recipe::best(known.columns(), fixed, 2).unwrap().rows(2)
            };
            let rows = Starter::known(known).rows(&core);
            let model = Model::new(vec![known.values as u8; known.columns()], Vec::new()).unwrap();
            let all = Requirement::all(&model, 2);
            let coverage = coverage(&model, &rows, &all.parameters, 2);
            assert_eq!(coverage.covered, coverage.feasible, "{known:?}");
        }
    }
}
