//! How few rows a cover can have at least, so that a search can stop and its result be called optimal.

use super::greedy::Greedy;
use super::model::Model;
use super::tuples::Table;

/// No cover has fewer rows: any set of columns needs as many as it has feasible tuples, and columns that no clause mentions
/// as many as [`unconstrained`] says.
pub(super) fn bound(model: &Model, tables: &[Table], states: &[Vec<u8>]) -> usize {
    let mut most = usize::from(!model.levels().is_empty());
    for (table, states) in tables.iter().zip(states) {
        for set in table.sets() {
            let mut number = 0;
            table.of_set(&set, &mut |rank| number += usize::from(Greedy::counts(states[rank as usize])));
            most = most.max(number);
        }
        let free = table.columns.iter().filter(|&&parameter| model.is_free_of(parameter));
        let mut levels: Vec<usize> = free.map(|&parameter| usize::from(model.levels()[parameter])).collect();
        levels.sort_unstable_by(|one, other| other.cmp(one));
        if levels.len() >= table.strength {
            most = most.max(unconstrained(&levels, table.strength));
        }
    }
    most
}

/// For levels in descending order without clauses: the rows with one value of the first column cover the others with one
/// strength less. Pairs of any columns of two values or more need what as many binary columns need.
fn unconstrained(levels: &[usize], strength: usize) -> usize {
    match (levels, strength) {
        ([], _) | (_, 0) => 1,
        ([first, ..], 1) => *first,
        ([first, second, ..], 2) => {
            binary(levels.iter().filter(|&&levels| levels > 1).count()).max(first * second)
        }
        ([first, rest @ ..], _) => first * unconstrained(rest, strength - 1),
    }
}

/// The number of rows that cover all pairs of `columns` binary columns, exactly (Kleitman and Spencer, "Families of
/// k-independent sets", 1973; Katona, 1973): n rows suffice for n - 1 over n / 2, rounded up, columns.
pub(super) fn binary(columns: usize) -> usize {
    let suffices = |rows: &usize| {
        let half = rows.div_ceil(2);
        let columns_of =
            (0..half).fold(1_u128, |over, i| over * (*rows as u128 - 1 - i as u128) / (i as u128 + 1));
        columns_of >= columns as u128
    };
    if columns < 2 { 1 } else { (4..100).find(suffices).unwrap_or(100) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_columns_have_a_closed_form() {
        assert_eq!([2, 3, 4, 10, 15, 35, 100, 126].map(binary), [4, 4, 5, 6, 7, 8, 10, 10]);
    }

    #[test]
    fn every_value_of_a_column_needs_a_cover_of_the_others() {
        assert_eq!(unconstrained(&[5, 5, 4, 4, 3, 3], 3), 100);
        assert_eq!(unconstrained(&[2; 20], 3), 16);
        assert_eq!(unconstrained(&[3], 1), 3);
    }
}
