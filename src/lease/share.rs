//! How many shards each instance may hold.

use std::cmp::Reverse;
use std::collections::BTreeMap;

/// How many of `shards` the instance `me` may hold, where `held` tells what every instance that is
/// alive holds now.
///
/// Everybody may hold the same number. What cannot be divided goes to those that hold the most
/// already, so that nothing moves without need; among equals the lower name decides, so that all
/// come to the same answer by themselves.
pub(super) fn fair_share<I: Ord>(shards: usize, held: &BTreeMap<I, usize>, me: &I) -> usize {
    let rank = |instance: &I| {
        let count = held.get(instance).copied().unwrap_or(0);
        held.iter()
            .filter(|(other, other_held)| {
                (Reverse(**other_held), *other) < (Reverse(count), instance)
            })
            .count()
    };
    let instances = held.len().max(1);
    let left_over = shards % instances;
    shards / instances + usize::from(rank(me) < left_over)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shares(shards: usize, held: &[usize]) -> Vec<usize> {
        let held: BTreeMap<usize, usize> = held.iter().copied().enumerate().collect();
        held.keys()
            .map(|me| fair_share(shards, &held, me))
            .collect()
    }

    #[test]
    fn one_alone_may_hold_everything() {
        assert_eq!(shares(4, &[0]), [4]);
    }

    #[test]
    fn what_cannot_be_divided_stays_where_it_is() {
        assert_eq!(shares(4, &[0, 2, 2]), [1, 2, 1]);
        assert_eq!(shares(5, &[1, 2, 2]), [1, 2, 2]);
    }

    #[test]
    fn more_instances_than_shards_leave_some_without() {
        assert_eq!(shares(2, &[0, 1, 1, 0]), [0, 1, 1, 0]);
    }

    proptest! {
        #[test]
        fn the_shares_are_even_and_cover_every_shard(
            shards in 0_usize..40,
            held in prop::collection::vec(0_usize..12, 1..9),
        ) {
            let shares = shares(shards, &held);
            prop_assert_eq!(shares.iter().sum::<usize>(), shards);
            let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
            prop_assert!(most - least <= 1);
        }

        #[test]
        fn an_even_sharing_stays_as_it_is(shards in 0_usize..40, instances in 1_usize..9) {
            let even: Vec<usize> = (0..instances)
                .map(|me| shards / instances + usize::from(me < shards % instances))
                .rev()
                .collect();
            prop_assert_eq!(shares(shards, &even), even);
        }
    }
}
