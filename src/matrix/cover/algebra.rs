//! Covers that need no search: for few columns with a prime power of values, and for pairs of binary columns.

use super::Row;
use super::bound::binary;
use super::model::Model;
use super::tuples::{Table, combinations};

/// Rows that are known to cover all there is to cover, if there are no clauses and the numbers of values suit.
pub(super) fn known(model: &Model, tables: &[Table], fewer_than: usize) -> Option<Vec<Row>> {
    let [table] = tables else { return None };
    let (columns, strength) = (model.levels().len(), table.strength);
    let most = usize::from(*model.levels().iter().max()?);
    if !model.is_free() || table.columns.len() != columns || strength < 2 {
        return None;
    }
    let rows = if most == 2 && strength == 2 && binary(columns) < fewer_than {
        halves(columns)
    } else {
        let field = FIELDS.iter().map(|&(prime, modulus)| Field { prime, modulus }).find(|field| {
            let more = usize::from(strength == 3 && field.prime == 2);
            field.size() >= most && columns <= field.size() + 1 + more
        })?;
        if field.size().checked_pow(strength as u32)? >= fewer_than {
            return None;
        }
        field.orthogonal(columns, strength)
    };
    // Where a column has fewer values than the field, the others are of no use.
    let fit = |row: Row| row.iter().zip(model.levels()).map(|(value, levels)| value % levels).collect();
    Some(rows.into_iter().map(fit).collect())
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

/// Prime powers in ascending order: the prime, and the coefficients, lowest first, that the power of x which is the degree
/// is equal to; for primes none.
const FIELDS: [(usize, &[usize]); 11] = [
    (2, &[]),
    (3, &[]),
    (2, &[1, 1]),
    (5, &[]),
    (7, &[]),
    (2, &[1, 1, 0]),
    (3, &[2, 0]),
    (11, &[]),
    (13, &[]),
    (2, &[1, 1, 0, 0]),
    (17, &[]),
];

/// A finite field; its elements are numbers whose digits are coefficients.
struct Field {
    prime: usize,
    modulus: &'static [usize],
}

impl Field {
    fn degree(&self) -> usize {
        self.modulus.len().max(1)
    }

    fn size(&self) -> usize {
        self.prime.pow(self.degree() as u32)
    }

    fn digits(&self, mut element: usize) -> Vec<usize> {
        (0..self.degree())
            .map(|_| {
                let digit = element % self.prime;
                element /= self.prime;
                digit
            })
            .collect()
    }

    fn element(&self, digits: &[usize]) -> usize {
        digits.iter().rev().fold(0, |element, digit| element * self.prime + digit % self.prime)
    }

    fn add(&self, one: usize, other: usize) -> usize {
        let sums: Vec<usize> = self.digits(one).iter().zip(self.digits(other)).map(|(a, b)| a + b).collect();
        self.element(&sums)
    }

    fn multiply(&self, one: usize, other: usize) -> usize {
        let degree = self.degree();
        let mut product = vec![0; 2 * degree];
        for (at, a) in self.digits(one).into_iter().enumerate() {
            for (place, b) in self.digits(other).into_iter().enumerate() {
                product[at + place] += a * b;
            }
        }
        for high in (degree..2 * degree).rev() {
            let over = std::mem::take(&mut product[high]);
            for (low, factor) in self.modulus.iter().enumerate() {
                product[high - degree + low] += over * factor;
            }
        }
        self.element(&product[..degree])
    }

    /// An orthogonal array (Bush, "Orthogonal arrays of index unity", 1952): the values at each element, and at infinity, of
    /// all polynomials with `strength` coefficients; for three over an even field also the middle coefficient.
    fn orthogonal(&self, columns: usize, strength: usize) -> Vec<Row> {
        let size = self.size();
        let polynomial = |mut number: usize| -> Vec<usize> {
            (0..strength)
                .map(|_| {
                    let coefficient = number % size;
                    number /= size;
                    coefficient
                })
                .collect()
        };
        let value = |polynomial: &[usize], column: usize| match column.checked_sub(size) {
            None => {
                let step = |sum, &coefficient: &usize| self.add(self.multiply(sum, column), coefficient);
                polynomial.iter().rev().fold(0, step)
            }
            Some(beyond) => polynomial[strength - 1 - beyond],
        };
        (0..size.pow(strength as u32))
            .map(|number| {
                let polynomial = polynomial(number);
                (0..columns).map(|column| value(&polynomial, column) as u8).collect()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Requirement, coverage};
    use super::*;

    fn check(levels: u8, columns: usize, strength: usize, size: usize) {
        let model = Model::new(vec![levels; columns], Vec::new()).unwrap();
        let all = Requirement::all(&model, strength);
        let tables = super::super::tuples::tables(model.levels(), std::slice::from_ref(&all)).unwrap();
        let rows = known(&model, &tables, usize::MAX).unwrap();
        assert_eq!(rows.len(), size, "{levels}^{columns}, strength {strength}");
        let coverage = coverage(&model, &rows, &all.parameters, strength);
        assert_eq!(coverage.covered, coverage.feasible, "{levels}^{columns}, strength {strength}");
    }

    #[test]
    fn what_is_known_covers_all() {
        check(2, 100, 2, 10);
        check(2, 11, 2, 7);
        check(3, 4, 2, 9);
        check(4, 5, 2, 16);
        check(4, 6, 3, 64);
        check(5, 6, 3, 125);
        check(6, 8, 2, 49);
        check(8, 9, 2, 64);
        check(9, 10, 2, 81);
        check(10, 12, 2, 121);
        check(14, 17, 2, 256);
        check(3, 4, 4, 81);
        check(5, 6, 4, 625);
    }
}
