//! Numbers for tuples of values.
//!
//! Values of all parameters of a group are numbered in one sequence, the *symbols*; the rank of a tuple is that of its set of
//! symbols in colexicographic order (Knuth, "The Art of Computer Programming" 4A, 7.2.1.3), a sum of binomials. That wastes
//! the ranks of sets with two values of one parameter, and in return needs no table per set of parameters.

use super::Requirement;

/// The largest strength.
pub(super) const MAX_STRENGTH: usize = 6;
/// More ranks than this are refused.
const LIMIT: u64 = 1 << 28;

/// The tuples of one strength over one group of parameters.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// The parameters of the group, ascending. An index into them is a column of the table.
    pub(super) columns: Vec<usize>,
    pub(super) strength: usize,
    /// The symbol of value 0 of each column, and at the end the number of symbols.
    first: Vec<u16>,
    /// The column of each symbol.
    column_of: Vec<u16>,
    /// `binomials[j][s]` is s over j + 1.
    binomials: Vec<Vec<u32>>,
    size: usize,
}

impl Table {
    /// `Err` with the number of tuples, about, if they are too many.
    pub(super) fn new(levels: &[u8], parameters: &[usize], strength: usize) -> Result<Table, u64> {
        let mut columns = parameters.to_vec();
        columns.sort_unstable();
        columns.dedup();
        let strength = strength.min(columns.len());
        let symbols: u64 = columns.iter().map(|&column| u64::from(levels[column])).sum();
        let over =
            |n: u64, j: u64| (0..j).fold(1_u64, |product, i| product.saturating_mul(n - i.min(n)) / (i + 1));
        let size = over(symbols, strength as u64);
        if size > LIMIT || symbols > u64::from(u16::MAX) {
            return Err(size);
        }
        let mut first = Vec::with_capacity(columns.len() + 1);
        let mut column_of = Vec::with_capacity(symbols as usize);
        for (at, &column) in columns.iter().enumerate() {
            first.push(column_of.len() as u16);
            column_of.extend(std::iter::repeat_n(at as u16, usize::from(levels[column])));
        }
        first.push(column_of.len() as u16);
        let binomials = (1..=strength as u64)
            .map(|j| (0..symbols).map(|s| if s < j { 0 } else { over(s, j) as u32 }).collect())
            .collect();
        Ok(Table { columns, strength, first, column_of, binomials, size: size as usize })
    }

    /// How many ranks there are.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    #[inline]
    pub(super) fn symbol(&self, column: usize, value: u8) -> u16 {
        self.first[column] + u16::from(value)
    }

    /// The column of the table, and the value, of a symbol.
    #[inline]
    pub(super) fn meaning(&self, symbol: u16) -> (usize, u8) {
        let column = usize::from(self.column_of[usize::from(symbol)]);
        (column, (symbol - self.first[column]) as u8)
    }

    /// The parameter of a symbol.
    #[inline]
    pub(super) fn parameter(&self, symbol: u16) -> usize {
        self.columns[usize::from(self.column_of[usize::from(symbol)])]
    }

    fn levels(&self, column: usize) -> u16 {
        self.first[column + 1] - self.first[column]
    }

    /// The symbols of a row, by column.
    pub(super) fn symbols_of(&self, row: &[u8]) -> Vec<u16> {
        self.columns.iter().enumerate().map(|(at, &column)| self.symbol(at, row[column])).collect()
    }

    /// The symbols of a tuple, ascending; the first `strength` of the array.
    pub(super) fn unrank(&self, mut rank: u32) -> [u16; MAX_STRENGTH] {
        let mut symbols = [0; MAX_STRENGTH];
        for j in (0..self.strength).rev() {
            let symbol = self.binomials[j].partition_point(|&known| known <= rank) - 1;
            rank -= self.binomials[j][symbol];
            symbols[j] = symbol as u16;
        }
        symbols
    }

    /// All tuples of some ascending symbols, one per column at most.
    #[inline]
    pub(super) fn within(&self, symbols: &[u16], mut visit: impl FnMut(u32)) {
        match self.strength {
            0 => {}
            1 => symbols.iter().for_each(|&symbol| visit(u32::from(symbol))),
            2 => {
                for (at, &upper) in symbols.iter().enumerate() {
                    let base = self.binomials[1][usize::from(upper)];
                    symbols[..at].iter().for_each(|&lower| visit(base + u32::from(lower)));
                }
            }
            3 => {
                for (at, &upper) in symbols.iter().enumerate() {
                    let base = self.binomials[2][usize::from(upper)];
                    for (below, &middle) in symbols[..at].iter().enumerate() {
                        let base = base + self.binomials[1][usize::from(middle)];
                        symbols[..below].iter().for_each(|&lower| visit(base + u32::from(lower)));
                    }
                }
            }
            strength => self.deep(symbols, None, strength, 0, &mut visit),
        }
    }

    /// All tuples of some ascending symbols that contain the one at `at`, with the places of the other ones: both the same
    /// for pairs, meaningless for other strengths than 2 and 3.
    #[inline]
    pub(super) fn through(&self, symbols: &[u16], at: usize, mut visit: impl FnMut(u32, usize, usize)) {
        let mine = usize::from(symbols[at]);
        match self.strength {
            0 => {}
            1 => visit(mine as u32, at, at),
            2 => {
                let twos = &self.binomials[1];
                let base = twos[mine];
                for (place, &lower) in symbols[..at].iter().enumerate() {
                    visit(base + u32::from(lower), place, place);
                }
                for (place, &upper) in symbols.iter().enumerate().skip(at + 1) {
                    visit(twos[usize::from(upper)] + mine as u32, place, place);
                }
            }
            3 => {
                let (twos, threes) = (&self.binomials[1], &self.binomials[2]);
                for (end, &middle) in symbols[..at].iter().enumerate() {
                    let base = threes[mine] + twos[usize::from(middle)];
                    for (place, &lower) in symbols[..end].iter().enumerate() {
                        visit(base + u32::from(lower), place, end);
                    }
                }
                for (end, &upper) in symbols.iter().enumerate().skip(at + 1) {
                    let base = threes[usize::from(upper)];
                    let under = base + twos[mine];
                    for (place, &lower) in symbols[..at].iter().enumerate() {
                        visit(under + u32::from(lower), place, end);
                    }
                    let between = base + mine as u32;
                    for (place, &middle) in symbols[..end].iter().enumerate().skip(at + 1) {
                        visit(between + twos[usize::from(middle)], place, end);
                    }
                }
            }
            strength => self.deep(symbols, Some(at), strength, 0, &mut |rank| visit(rank, at, at)),
        }
    }

    /// Chooses `left` more symbols, from the highest down, `through` among them.
    fn deep(
        &self,
        symbols: &[u16],
        through: Option<usize>,
        left: usize,
        base: u32,
        visit: &mut impl FnMut(u32),
    ) {
        let Some(over) = left.checked_sub(1).map(|below| &self.binomials[below]) else { return visit(base) };
        let lowest = through.unwrap_or(0).max(left - 1);
        let highest = if left == 1 && through.is_some() { lowest + 1 } else { symbols.len() };
        for at in lowest..highest.min(symbols.len()) {
            let through = through.filter(|&wanted| wanted != at);
            self.deep(&symbols[..at], through, left - 1, base + over[usize::from(symbols[at])], visit);
        }
    }

    /// All sets of `strength` columns, ascending.
    pub(super) fn sets(&self) -> impl Iterator<Item = Vec<usize>> + use<> {
        combinations(self.columns.len(), self.strength)
    }

    /// The ranks of all tuples of values of some ascending columns.
    pub(super) fn of_set(&self, columns: &[usize], visit: &mut impl FnMut(u32)) {
        self.of_columns(columns, 0, 0, visit);
    }

    fn of_columns(&self, columns: &[usize], at: usize, base: u32, visit: &mut impl FnMut(u32)) {
        let Some(&column) = columns.get(at) else { return visit(base) };
        for value in 0..self.levels(column) {
            let rank = self.binomials[at][usize::from(self.first[column] + value)];
            self.of_columns(columns, at + 1, base + rank, visit);
        }
    }

    /// About how many tuples contain one symbol of a row.
    pub(super) fn fan(&self) -> u64 {
        let others = self.columns.len() as u64 - 1;
        (0..self.strength as u64 - 1).fold(1, |product, i| product * (others - i) / (i + 1))
    }
}

/// All ascending choices of `size` numbers below `of`.
pub(super) fn combinations(of: usize, size: usize) -> impl Iterator<Item = Vec<usize>> + use<> {
    let mut next: Option<Vec<usize>> = (size <= of).then(|| (0..size).collect());
    std::iter::from_fn(move || {
        let current = next.take()?;
        let place = (0..size).rev().find(|&place| current[place] < of - size + place);
        next = place.map(|place| {
            let mut following = current.clone();
            following[place] += 1;
            for later in place + 1..size {
                following[later] = following[later - 1] + 1;
            }
            following
        });
        Some(current)
    })
}

/// One table for each requirement that no other one implies.
pub(super) fn tables(levels: &[u8], requirements: &[Requirement]) -> Result<Vec<Table>, u64> {
    let mut tables: Vec<Table> = Vec::new();
    for requirement in requirements.iter().filter(|requirement| !requirement.parameters.is_empty()) {
        tables.push(Table::new(levels, &requirement.parameters, requirement.strength)?);
    }
    let within = |one: &Table, other: &Table| {
        one.strength <= other.strength && one.columns.iter().all(|column| other.columns.contains(column))
    };
    let mut at = 0;
    while at < tables.len() {
        let implied = (0..tables.len()).any(|other| {
            other != at
                && within(&tables[at], &tables[other])
                && (other < at || !within(&tables[other], &tables[at]))
        });
        if implied {
            tables.remove(at);
        } else {
            at += 1;
        }
    }
    Ok(tables)
}

/// Whether a set of columns of one table is looked after by another one, of higher strength or earlier.
pub(super) fn is_elsewhere(tables: &[Table], table: usize, set: &[usize]) -> bool {
    let parameters = || set.iter().map(|&column| tables[table].columns[column]);
    tables.iter().enumerate().any(|(at, other)| {
        (other.strength > set.len() || other.strength == set.len() && at < table)
            && parameters().all(|parameter| other.columns.binary_search(&parameter).is_ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_unique_and_can_be_undone() {
        for strength in 1..=5 {
            let table = Table::new(&[2, 3, 1, 4, 2, 2], &[0, 1, 2, 3, 4, 5], strength).unwrap();
            let mut seen = vec![false; table.size()];
            for set in table.sets() {
                table.of_set(&set, &mut |rank| {
                    assert!(!std::mem::replace(&mut seen[rank as usize], true));
                    let symbols = &table.unrank(rank)[..strength];
                    table.within(symbols, |again| assert_eq!(again, rank));
                    assert!(symbols.iter().map(|&symbol| table.meaning(symbol).0).eq(set.iter().copied()));
                });
            }
        }
    }

    #[test]
    fn tuples_of_a_row_are_those_through_its_cells() {
        for strength in 1..=5 {
            let table = Table::new(&[2, 3, 1, 4, 2, 2], &[0, 1, 2, 3, 4, 5], strength).unwrap();
            let symbols = table.symbols_of(&[1, 2, 0, 3, 0, 1]);
            let mut all = Vec::new();
            table.within(&symbols, |rank| all.push(rank));
            assert_eq!(all.len(), combinations(6, strength).count());
            for (at, symbol) in symbols.iter().enumerate() {
                let mut some = Vec::new();
                table.through(&symbols, at, |rank, _, _| some.push(rank));
                some.sort_unstable();
                let mut expected: Vec<u32> = all
                    .iter()
                    .copied()
                    .filter(|&rank| table.unrank(rank)[..strength].contains(symbol))
                    .collect();
                expected.sort_unstable();
                assert_eq!(some, expected, "strength {strength}, column {at}");
            }
        }
    }
}
