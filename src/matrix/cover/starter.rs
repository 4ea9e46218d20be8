//! Covers of pairs for many columns of the same, large number of values, from a single vector.
//!
//! A cover starter (Lobb, Colbourn, Danziger, Stevens and Torres-Jimenez, "Cover starters for covering arrays of strength
//! two", 2012): of v values f are fixed points, the others are the integers modulo v - f. All rotations of the vector, with
//! all numbers added to its entries that are no fixed points, cover every pair but those of two fixed points, if the pairs at
//! each distance have all differences and each fixed point both before and after a number. A small cover of the fixed points
//! does the rest. The vector is found by annealing.

use super::Row;
use super::random::Random;

/// A search for a starter.
pub(super) struct Starter {
    columns: usize,
    modulus: usize,
    fixed: usize,
    /// Entries from `modulus` on are fixed points.
    vector: Vec<u8>,
    /// For each distance, how often each condition is met: differences, then fixed points before, then after a number.
    met: Vec<Vec<u16>>,
    unmet: u32,
    /// How many moves were made.
    pub(super) moves: u64,
    random: Random,
}

impl Starter {
    /// For `columns` columns of `values` values, `fixed` of them fixed points.
    pub(super) fn new(columns: usize, values: usize, fixed: usize, seed: u64) -> Starter {
        let modulus = values - fixed;
        let mut random = Random::new(seed);
        let vector: Vec<u8> = (0..columns).map(|_| random.below(values) as u8).collect();
        let conditions = modulus + 2 * fixed;
        let met = vec![vec![0; conditions]; columns / 2];
        let unmet = (conditions * (columns / 2)) as u32;
        let mut starter = Starter { columns, modulus, fixed, vector, met, unmet, moves: 0, random };
        for distance in 1..=columns / 2 {
            for at in 0..columns {
                starter.note(distance, at, true);
            }
        }
        starter
    }

    fn note(&mut self, distance: usize, at: usize, now: bool) {
        let (first, second) = (self.vector[at], self.vector[(at + distance) % self.columns]);
        let (one, other) = (usize::from(first), usize::from(second));
        let condition = match (one < self.modulus, other < self.modulus) {
            (true, true) => (other + self.modulus - one) % self.modulus,
            (false, true) => one,
            (true, false) => other + self.fixed,
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
            let value = self.random.below(self.modulus + self.fixed) as u8;
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
        let value = |at: usize, add: usize| {
            let entry = usize::from(self.vector[at % self.columns]);
            if entry < self.modulus { ((entry + add) % self.modulus) as u8 } else { entry as u8 }
        };
        let all = (0..self.columns).flat_map(|turn| (0..self.modulus).map(move |add| (turn, add)));
        let rotated = all.map(|(turn, add)| (0..self.columns).map(|at| value(turn + at, add)).collect());
        let core = core.iter().map(|row| row.iter().map(|value| value + self.modulus as u8).collect());
        rotated.chain(core).collect()
    }
}
