//! Finite fields, and the orthogonal arrays and point sequences that covers are made of.

use super::Row;

/// Prime powers in ascending order: the prime, and the coefficients, lowest first, that the power of x which is the degree
/// is equal to; for primes none.
const FIELDS: [(usize, &[usize]); 29] = [
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
    (19, &[]),
    (23, &[]),
    (5, &[2, 0]),
    (3, &[2, 1, 0]),
    (29, &[]),
    (31, &[]),
    (2, &[1, 0, 1, 0, 0]),
    (37, &[]),
    (41, &[]),
    (43, &[]),
    (47, &[]),
    (7, &[3, 0]),
    (53, &[]),
    (59, &[]),
    (61, &[]),
    (2, &[1, 1, 0, 0, 0, 0]),
    (67, &[]),
    (71, &[]),
];

/// A finite field; its elements are numbers, 0 and 1 the neutral ones.
pub(super) struct Field {
    size: usize,
    sums: Vec<u8>,
    products: Vec<u8>,
}

/// The sizes that there are fields of, ascending.
pub(super) fn sizes() -> impl Iterator<Item = usize> {
    FIELDS.iter().map(|(prime, modulus)| prime.pow(modulus.len().max(1) as u32))
}

impl Field {
    /// The field of a size, if there is one here.
    pub(super) fn new(size: usize) -> Option<Field> {
        let place = sizes().position(|known| known == size)?;
        let (prime, modulus) = FIELDS[place];
        let degree = modulus.len().max(1);
        // The digits of an element are the coefficients of a polynomial.
        let digits = |mut element: usize| -> Vec<usize> {
            (0..degree)
                .map(|_| {
                    let digit = element % prime;
                    element /= prime;
                    digit
                })
                .collect()
        };
        let element = |digits: &[usize]| {
            digits.iter().rev().fold(0, |element, digit| element * prime + digit % prime) as u8
        };
        let mut field = Field { size, sums: Vec::new(), products: Vec::new() };
        for one in (0..size).map(digits) {
            for other in (0..size).map(digits) {
                let sum: Vec<usize> = one.iter().zip(&other).map(|(a, b)| a + b).collect();
                field.sums.push(element(&sum));
                let mut product = vec![0; 2 * degree];
                for (at, a) in one.iter().enumerate() {
                    for (place, b) in other.iter().enumerate() {
                        product[at + place] += a * b;
                    }
                }
                for high in (degree..2 * degree).rev() {
                    let over = std::mem::take(&mut product[high]);
                    for (low, factor) in modulus.iter().enumerate() {
                        product[high - degree + low] += over * factor;
                    }
                }
                field.products.push(element(&product[..degree]));
            }
        }
        Some(field)
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn add(&self, one: usize, other: usize) -> usize {
        usize::from(self.sums[one * self.size + other])
    }

    pub(super) fn multiply(&self, one: usize, other: usize) -> usize {
        usize::from(self.products[one * self.size + other])
    }

    /// An orthogonal array (Bush, "Orthogonal arrays of index unity", 1952): the values at each element, and at infinity, of
    /// all polynomials with `strength` coefficients; for three over an even field also the middle coefficient. The
    /// constants come first, in ascending order.
    pub(super) fn orthogonal(&self, columns: usize, strength: usize) -> Vec<Row> {
        let value = |polynomial: &[usize], column: usize| match column.checked_sub(self.size) {
            None => {
                let step = |sum, &coefficient: &usize| self.add(self.multiply(sum, column), coefficient);
                polynomial.iter().rev().fold(0, step)
            }
            Some(beyond) => polynomial[strength - 1 - beyond],
        };
        let row = |number| {
            let polynomial = self.digits(number, strength);
            (0..columns).map(|column| value(&polynomial, column) as u8).collect()
        };
        (0..self.size.pow(strength as u32)).map(row).collect()
    }

    fn digits(&self, mut number: usize, length: usize) -> Vec<usize> {
        (0..length)
            .map(|_| {
                let digit = number % self.size;
                number /= self.size;
                digit
            })
            .collect()
    }

    /// The points of the projective plane in the order of Singer's cycle ("A theorem in finite projective geometry", 1938):
    /// powers of a number of the cubic extension, as three coordinates.
    fn cycle(&self) -> Vec<[usize; 3]> {
        let length = self.size * self.size + self.size + 1;
        let multiple = |point: &[usize; 3]| point[0] == 0 && point[1] == 0;
        for number in 0..self.size.pow(3) {
            let next = self.digits(number, 3);
            // Times x, where x cubed is what `next` says.
            let step = |point: &[usize; 3]| {
                let over = point[0];
                let part = |place: usize, below: usize| self.add(self.multiply(over, next[place]), below);
                [part(0, point[1]), part(1, point[2]), part(2, 0)]
            };
            let points: Vec<[usize; 3]> =
                std::iter::successors(Some([0, 0, 1]), |point| Some(step(point))).take(length + 1).collect();
            if points[1..length].iter().all(|point| !multiple(point) && *point != [0; 3])
                && multiple(&points[length])
                && points[length] != [0; 3]
            {
                return points[..length].to_vec();
            }
        }
        Vec::new()
    }

    /// A cover of all triples, from two linear arrays over the points of a plane: points on a line of the one cycle are on an
    /// oval of the reverse one (Raaphorst, Moura and Stevens, "A construction for strength-3 covering arrays from linear
    /// feedback shift register sequences", 2014).
    pub(super) fn planes(&self, columns: usize) -> Vec<Row> {
        let points = self.cycle();
        let value = |by: &[usize], point: &[usize; 3]| {
            by.iter().zip(point).fold(0, |sum, (&a, &b)| self.add(sum, self.multiply(a, b))) as u8
        };
        let length = points.len();
        let row = |number: usize, reverse: bool| -> Row {
            let by = self.digits(number, 3);
            let place = |column: usize| if reverse { (length - column) % length } else { column };
            (0..columns.min(length)).map(|column| value(&by, &points[place(column)])).collect()
        };
        let number = self.size.pow(3);
        (0..number).map(|at| row(at, false)).chain((1..number).map(|at| row(at, true))).collect()
    }
}
