//! Dealing jobs out to a number of workers: balanced by expected duration, and so that little moves when little
//! changes.

/// What is dealt out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// How long it is expected to take, in any unit.
    pub duration: u64,
    /// Items of one group stay together. The number should depend on names, not on places in a list: it decides
    /// where the group prefers to be.
    pub group: u64,
}

/// How much more than its share a shard may hold before balance comes before staying where one was: one part in...
const SLACK: u64 = 8;

/// Deals the items out to `shards` shards, numbered from 0; at least one. Gives the shard of every item.
///
/// Every group prefers the shards in an order that depends on its number alone, and takes the first that has room, as
/// in consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2018); large groups choose first. What
/// fits nowhere goes to the emptiest shard, as in LPT (Graham 1969), and moves and swaps even out what is left.
#[must_use]
pub fn shards(items: &[Item], shards: usize) -> Vec<usize> {
    let count = shards.max(1);
    let mut groups: std::collections::BTreeMap<u64, u64> = std::collections::BTreeMap::new();
    for item in items {
        let sum = groups.entry(item.group).or_default();
        *sum = sum.saturating_add(item.duration);
    }
    let mut largest_first: Vec<(u64, u64)> = groups.into_iter().collect();
    largest_first.sort_by_key(|&(group, duration)| (std::cmp::Reverse(duration), mix(group)));
    let total = largest_first.iter().fold(0_u64, |sum, (_, duration)| sum.saturating_add(*duration));
    let longest = largest_first.first().map_or(0, |(_, duration)| *duration);
    let share = total.div_ceil(count as u64).max(longest);
    let limit = share.saturating_add(share / SLACK);
    let mut loads = vec![0_u64; count];
    let mut held: Vec<(u64, u64, usize)> = Vec::with_capacity(largest_first.len());
    for (group, duration) in largest_first {
        let room = |shard: &usize| loads[*shard].saturating_add(duration) <= limit;
        let preferred = (0..count).filter(room).max_by_key(|&shard| mix(group ^ mix(shard as u64 + 1)));
        let emptiest = || (0..count).min_by_key(|&shard| (loads[shard], shard)).unwrap_or(0);
        let shard = preferred.unwrap_or_else(emptiest);
        loads[shard] = loads[shard].saturating_add(duration);
        held.push((group, duration, shard));
    }
    even_out(&mut held, &mut loads, limit);
    let place: std::collections::BTreeMap<u64, usize> =
        held.iter().map(|&(g, _, shard)| (g, shard)).collect();
    items.iter().map(|item| place.get(&item.group).copied().unwrap_or(0)).collect()
}

/// Moves and swaps groups out of the fullest shard as long as it is above the limit and that makes it emptier.
fn even_out(held: &mut [(u64, u64, usize)], loads: &mut [u64], limit: u64) {
    for _ in 0..held.len().saturating_mul(4) {
        let Some(full) = (0..loads.len()).max_by_key(|&shard| loads[shard]) else { return };
        if loads[full] <= limit {
            return;
        }
        // The larger of the two loads after the exchange of `mine` against `theirs`.
        let mut best: Option<(u64, usize, Option<usize>, usize)> = None;
        for mine in (0..held.len()).filter(|&at| held[at].2 == full) {
            for other in (0..loads.len()).filter(|&shard| shard != full) {
                let theirs = (0..held.len()).filter(|&at| held[at].2 == other).map(Some);
                for back in theirs.chain([None]) {
                    let (out, into) = (held[mine].1, back.map_or(0, |at| held[at].1));
                    let after = (loads[full] - out).saturating_add(into);
                    let after = after.max((loads[other] - into).saturating_add(out));
                    if after < best.map_or(loads[full], |best| best.0) {
                        best = Some((after, mine, back, other));
                    }
                }
            }
        }
        let Some((_, mine, back, other)) = best else { return };
        let (out, into) = (held[mine].1, back.map_or(0, |at| held[at].1));
        loads[full] = loads[full] - out + into;
        loads[other] = loads[other] - into + out;
        held[mine].2 = other;
        if let Some(back) = back {
            held[back].2 = full;
        }
    }
}

/// Spreads a number over all bits.
fn mix(value: u64) -> u64 {
    super::rng::Rng::new(value).next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn loads(items: &[Item], dealt: &[usize], count: usize) -> Vec<u64> {
        let mut loads = vec![0; count];
        for (item, &shard) in items.iter().zip(dealt) {
            loads[shard] += item.duration;
        }
        loads
    }

    fn items(seed: u64, count: usize) -> Vec<Item> {
        let mut rng = super::super::rng::Rng::new(seed);
        (0..count).map(|_| Item { duration: 200 + rng.next() % 400, group: rng.next() }).collect()
    }

    proptest! {
        #[test]
        fn groups_stay_together_and_the_fullest_shard_is_bounded(
            list in prop::collection::vec((0_u64..1000, 0_u64..30), 0..60), count in 1_usize..8,
        ) {
            let items: Vec<Item> = list.iter().map(|&(duration, group)| Item { duration, group }).collect();
            let dealt = shards(&items, count);
            prop_assert_eq!(dealt.len(), items.len());
            for (a, x) in items.iter().zip(&dealt) {
                prop_assert!(*x < count);
                for (b, y) in items.iter().zip(&dealt) {
                    prop_assert!(a.group != b.group || x == y);
                }
            }
            let mut whole = std::collections::BTreeMap::<u64, u64>::new();
            for item in &items {
                *whole.entry(item.group).or_default() += item.duration;
            }
            let longest = whole.values().copied().max().unwrap_or(0);
            let share = whole.values().sum::<u64>().div_ceil(count as u64);
            let most = loads(&items, &dealt, count).into_iter().max().unwrap_or(0);
            // What list scheduling promises at least; most often it is far less.
            prop_assert!(most <= share + longest);
        }

        #[test]
        fn the_order_of_the_items_plays_no_part(seed in any::<u64>(), count in 1_usize..6) {
            let forward = items(seed, 20);
            let backward: Vec<Item> = forward.iter().rev().copied().collect();
            let mut dealt = shards(&backward, count);
            dealt.reverse();
            prop_assert_eq!(shards(&forward, count), dealt);
        }
    }

    #[test]
    fn one_more_item_moves_few_others_and_balance_stays_good() {
        let (mut moved, mut all, mut worst) = (0, 0, 0.0_f64);
        for seed in 0..200 {
            let mut list = items(seed, 24);
            let before = shards(&list, 4);
            let fullest = loads(&list, &before, 4).into_iter().max().unwrap();
            let share = list.iter().map(|item| item.duration).sum::<u64>() / 4;
            worst = worst.max(fullest as f64 / share as f64);
            list.push(Item { duration: 400, group: seed ^ 0x5eed });
            let after = shards(&list, 4);
            moved += before.iter().zip(&after).filter(|(a, b)| a != b).count();
            all += before.len();
        }
        // Dealing in turn moves three of four behind the new one; balance alone moves about as many.
        assert!(moved * 100 <= all * 20, "{moved} of {all} moved");
        assert!(worst <= 1.2, "the fullest shard has {worst} of its share");
    }
}
