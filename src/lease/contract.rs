//! The contract suite of the [`Lease`] port: one function per rule, each over leases that nobody
//! has acquired yet. Every adapter runs those that it can show.
//!
//! A broken rule panics with what was expected.

#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a panic is how a rule reports"
)]

use std::collections::BTreeMap;

use super::{Grant, Lease};
use crate::shard::{Epoch, ShardId};

const PARTITIONS: i32 = 4;

/// A holder alone gets every shard once, and keeps them by renewing.
pub async fn a_lone_holder_owns_every_shard(lease: &impl Lease) {
    let grants = lease.acquire(PARTITIONS).await.unwrap();
    assert_eq!(shards(&grants), [0, 1, 2, 3]);
    assert_eq!(lease.acquire(PARTITIONS).await.unwrap(), []);
    let renewal = lease.renew(&grants).await.unwrap();
    assert_eq!(renewal.kept, grants);
    assert_eq!((renewal.lost, renewal.surrender), (vec![], vec![]));
}

/// Every acquisition of a shard has a higher epoch than all before it.
pub async fn epochs_rise_with_each_acquisition(lease: &impl Lease) {
    let mut last: BTreeMap<ShardId, Epoch> = BTreeMap::new();
    for _ in 0..3 {
        let grants = lease.acquire(PARTITIONS).await.unwrap();
        assert_eq!(shards(&grants), [0, 1, 2, 3]);
        for grant in &grants {
            let before = last.insert(grant.shard, grant.epoch);
            assert!(grant.epoch > before.unwrap_or_default());
        }
        lease.release(&grants).await.unwrap();
    }
}

/// A shard given up is free; the others stay.
pub async fn a_released_shard_is_free_again(lease: &impl Lease) {
    let grants = lease.acquire(PARTITIONS).await.unwrap();
    lease.release(&grants[1..2]).await.unwrap();
    let renewal = lease.renew(&grants).await.unwrap();
    assert_eq!(shards(&renewal.kept), [0, 2, 3]);
    assert_eq!(shards(&renewal.lost), [1]);
    assert_eq!(shards(&lease.acquire(PARTITIONS).await.unwrap()), [1]);
}

/// A grant of an earlier acquisition is lost, although the shard is held again; giving it up takes
/// nothing away.
pub async fn an_older_grant_is_lost(lease: &impl Lease) {
    let old = lease.acquire(PARTITIONS).await.unwrap();
    lease.release(&old).await.unwrap();
    let new = lease.acquire(PARTITIONS).await.unwrap();
    assert_eq!(lease.renew(&old).await.unwrap().lost, old);
    lease.release(&old).await.unwrap();
    assert_eq!(lease.renew(&new).await.unwrap().kept, new);
}

/// Two holders never hold the same shard, and share them fairly once the first gives up what it
/// is asked to.
pub async fn two_holders_share_the_shards(first: &impl Lease, second: &impl Lease) {
    let all = first.acquire(PARTITIONS).await.unwrap();
    assert_eq!(second.acquire(PARTITIONS).await.unwrap(), []);
    let renewal = first.renew(&all).await.unwrap();
    assert_eq!((renewal.kept.len(), renewal.surrender.len()), (4, 2));
    first.release(&renewal.surrender).await.unwrap();
    // What was given up goes to the one that is short of shards.
    assert_eq!(first.acquire(PARTITIONS).await.unwrap(), []);
    let taken = second.acquire(PARTITIONS).await.unwrap();
    assert_eq!(shards(&taken), shards_sorted(&renewal.surrender));
    for grant in &taken {
        let before = all.iter().find(|old| old.shard == grant.shard).unwrap();
        assert!(grant.epoch > before.epoch);
    }
    assert_eq!(first.renew(&all).await.unwrap().lost.len(), 2);
}

/// A shard that is given up again and again does not keep the other free ones waiting.
pub async fn every_free_shard_has_its_turn(first: &impl Lease, second: &impl Lease) {
    let all = first.acquire(PARTITIONS).await.unwrap();
    assert_eq!(second.acquire(PARTITIONS).await.unwrap(), []);
    first.release(&all[1..]).await.unwrap();
    let mut tried = Vec::new();
    for _ in 1..PARTITIONS {
        let one = first.acquire(PARTITIONS).await.unwrap();
        assert_eq!(one.len(), 1);
        tried.extend(shards(&one));
        first.release(&one).await.unwrap();
    }
    assert_eq!(tried, [1, 2, 3]);
}

/// Who leaves has nothing any more, and no part in the sharing.
pub async fn who_leaves_makes_room(first: &impl Lease, second: &impl Lease) {
    let all = first.acquire(PARTITIONS).await.unwrap();
    assert_eq!(second.acquire(PARTITIONS).await.unwrap(), []);
    first.leave().await.unwrap();
    let taken = second.acquire(PARTITIONS).await.unwrap();
    assert_eq!(shards(&taken), [0, 1, 2, 3]);
    assert_eq!(second.renew(&taken).await.unwrap().kept, taken);
    assert_eq!(first.renew(&all).await.unwrap().lost, all);
}

/// A newcomer gets its part, although the shards cannot be divided evenly, and no more than that
/// moves.
pub async fn a_newcomer_gets_its_part(leases: [&impl Lease; 3]) {
    let [first, second, third] = leases;
    let all = first.acquire(PARTITIONS).await.unwrap();
    assert_eq!(second.acquire(PARTITIONS).await.unwrap(), []);
    let surplus = first.renew(&all).await.unwrap().surrender;
    first.release(&surplus).await.unwrap();
    let mut of_second = second.acquire(PARTITIONS).await.unwrap();
    let mut of_first = all;
    of_first.retain(|grant| !surplus.contains(grant));
    assert_eq!(third.acquire(PARTITIONS).await.unwrap(), []);
    let mut moved = 0;
    for (lease, held) in [(first, &mut of_first), (second, &mut of_second)] {
        let surplus = lease.renew(held).await.unwrap().surrender;
        lease.release(&surplus).await.unwrap();
        assert_eq!(lease.acquire(PARTITIONS).await.unwrap(), []);
        held.retain(|grant| !surplus.contains(grant));
        moved += surplus.len();
    }
    let of_third = third.acquire(PARTITIONS).await.unwrap();
    assert_eq!((moved, of_third.len()), (1, 1));
    for (lease, held) in [(first, of_first), (second, of_second), (third, of_third)] {
        let renewal = lease.renew(&held).await.unwrap();
        assert_eq!((renewal.kept, renewal.surrender), (held, vec![]));
    }
}

/// Who holds what is told, and what is free as well.
pub async fn holders_are_told(lease: &impl Lease) {
    let grants = lease.acquire(PARTITIONS).await.unwrap();
    lease.release(&grants[..1]).await.unwrap();
    let holders = lease.holders().await.unwrap();
    let told: Vec<Grant> = holders.iter().map(|holding| holding.grant).collect();
    assert_eq!(told, grants);
    let held = holders.iter().map(|holding| holding.holder.is_some());
    assert_eq!(held.collect::<Vec<_>>(), [false, true, true, true]);
}

fn shards(grants: &[Grant]) -> Vec<i32> {
    grants.iter().map(|grant| grant.shard.0).collect()
}

fn shards_sorted(grants: &[Grant]) -> Vec<i32> {
    let mut shards = shards(grants);
    shards.sort_unstable();
    shards
}
