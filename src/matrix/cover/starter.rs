//! Covers of pairs for many columns of the same, large number of values, from a single vector.
//!
//! A cover starter (Lobb, Colbourn, Danziger, Stevens and Torres-Jimenez, "Cover starters for covering arrays of strength
//! two", 2012; before that Meagher and Stevens, "Group construction of covering arrays", 2005): of v values f are fixed
//! points, the others are one or more cycles of the integers modulo g. All rotations of the vector, with all numbers added to
//! its entries that are no fixed points, cover every pair but those of two fixed points, if the pairs at each distance have,
//! for each two cycles, all differences, and each fixed point both before and after each cycle. A small cover of the fixed
//! points does the rest. The vector is found by annealing; those that take long are in [`super::starters`].

use super::Row;
use super::algebra::digits;
use super::random::{Random, acceptance};
use super::starters::Known;

/// Searches a vector from which [`super::cover`] makes covers of all pairs of `columns` columns with `values` values: of
/// `columns * modulus` rows, and those for the fixed points. The values are `cycles` cycles of `modulus` values, and fixed
/// points. One digit for each column, letters after 9; `None` if none is found in `moves` moves.
#[must_use]
pub fn starter(
    columns: usize,
    values: usize,
    modulus: usize,
    cycles: usize,
    seed: u64,
    moves: u64,
) -> Option<String> {
    let fits =
        modulus > 1 && cycles > 0 && columns > 2 && values <= 36 && modulus.checked_mul(cycles)? <= values;
    let mut starter = fits.then(|| Starter::new(columns, values, modulus, cycles, seed))?;
    starter.search(moves, &acceptance(TEMPERATURE)).then(|| starter.text())
}

/// The temperature of the search, in unmet conditions.
pub(super) const TEMPERATURE: f64 = 0.25;

/// A search for a starter.
pub(super) struct Starter {
    columns: usize,
    modulus: usize,
    cycles: usize,
    fixed: usize,
    /// An entry is its place in its cycle, and `modulus` for each cycle before; those after the last are fixed points.
    vector: Vec<u8>,
    /// For each distance, how often each condition is met: differences for each two cycles, then fixed points before,
    /// then after a cycle.
    met: Vec<Vec<u16>>,
    unmet: u32,
    /// How many moves were made.
    pub(super) moves: u64,
    random: Random,
}

impl Starter {
    /// For `columns` columns of `values` values, in so many cycles of `modulus` and else fixed points.
    pub(super) fn new(columns: usize, values: usize, modulus: usize, cycles: usize, seed: u64) -> Starter {
        let mut random = Random::new(seed);
        let vector: Vec<u8> = (0..columns).map(|_| random.below(values) as u8).collect();
        let fixed = values - modulus * cycles;
        let conditions = cycles * (cycles * modulus + 2 * fixed);
        let met = vec![vec![0; conditions]; columns / 2];
        let unmet = (conditions * (columns / 2)) as u32;
        let mut starter = Starter { columns, modulus, cycles, fixed, vector, met, unmet, moves: 0, random };
        for distance in 1..=columns / 2 {
            for at in 0..columns {
                starter.note(distance, at, true);
            }
        }
        starter
    }

    /// One that is known.
    pub(super) fn known(known: &Known) -> Starter {
        let (columns, values) = (known.columns(), known.values);
        let mut starter = Starter::new(columns, values, known.modulus, known.cycles, 0);
        for (at, value) in digits(known.vector).into_iter().enumerate() {
            starter.set(at, value);
        }
        starter
    }

    /// The vector, as a row of the table.
    fn text(&self) -> String {
        self.vector.iter().filter_map(|&value| char::from_digit(u32::from(value), 36)).collect()
    }

    fn note(&mut self, distance: usize, at: usize, now: bool) {
        let (first, second) = (self.vector[at], self.vector[(at + distance) % self.columns]);
        let (one, other) = (usize::from(first), usize::from(second));
        let (moving, cycles, modulus) = (self.modulus * self.cycles, self.cycles, self.modulus);
        let condition = match (one < moving, other < moving) {
            (true, true) => {
                let difference = (other % modulus + modulus - one % modulus) % modulus;
                (one / modulus * cycles + other / modulus) * modulus + difference
            }
            (false, true) => cycles * moving + (one - moving) * cycles + other / modulus,
            (true, false) => cycles * moving + (self.fixed + other - moving) * cycles + one / modulus,
            (false, false) => return,
        };
        let met = &mut self.met[distance - 1][condition];
        if now {
            self.unmet -= u32::from(*met == 0);
            *met += 1;
        } else {
            *met -= 1;
            self.unmet += u32::from(*met == 0);
        }
    }

    fn set(&mut self, at: usize, value: u8) {
        for now in [false, true] {
            if now {
                self.vector[at] = value;
            }
            for distance in 1..=self.columns / 2 {
                self.note(distance, at, now);
                self.note(distance, (at + self.columns - distance) % self.columns, now);
            }
        }
    }

    /// A number of moves at the temperature of `accept`; true if the vector is a starter.
    pub(super) fn search(&mut self, moves: u64, accept: &[u32]) -> bool {
        self.moves += moves;
        for _ in 0..moves {
            if self.unmet == 0 {
                return true;
            }
            let at = self.random.below(self.columns);
            let value = self.random.below(self.modulus * self.cycles + self.fixed) as u8;
            let (old, before) = (self.vector[at], self.unmet);
            if old == value {
                continue;
            }
            self.set(at, value);
            let worse = self.unmet.saturating_sub(before) as usize;
            if worse > 0 && !accept.get(worse).is_some_and(|&share| self.random.chance(share)) {
                self.set(at, old);
            }
        }
        self.unmet == 0
    }

    /// About how long a move takes, in nanoseconds.
    pub(super) fn effort(&self) -> u64 {
        20 + 8 * self.columns as u64
    }

    /// The rows, when the vector is a starter; `core` covers the fixed points, numbered from 0.
    pub(super) fn rows(&self, core: &[Row]) -> Vec<Row> {
        let moving = self.modulus * self.cycles;
        let value = |at: usize, add: usize| {
            let entry = usize::from(self.vector[at % self.columns]);
            let moved = entry / self.modulus * self.modulus + (entry + add) % self.modulus;
            if entry < moving { moved as u8 } else { entry as u8 }
        };
        let all = (0..self.columns).flat_map(|turn| (0..self.modulus).map(move |add| (turn, add)));
        let rotated = all.map(|(turn, add)| (0..self.columns).map(|at| value(turn + at, add)).collect());
        let core = core.iter().map(|row| row.iter().map(|value| value + moving as u8).collect());
        rotated.chain(core).collect()
    }
}
