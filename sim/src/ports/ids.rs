//! A process's ids: from the seed.

use std::sync::Arc;

use messaging::ids::Ids;
use uuid::Uuid;

use crate::process::Process;

pub(crate) struct SimIds(pub(crate) Arc<Process>);

impl Ids for SimIds {
    fn fresh(&self) -> Uuid {
        self.0.world.dice(uuid)
    }

    fn random(&self) -> u64 {
        self.0.dice(crate::dice::Dice::next)
    }
}

/// A UUID that looks like any other.
pub(crate) fn uuid(dice: &mut crate::dice::Dice) -> Uuid {
    let (high, low) = (u128::from(dice.next()), u128::from(dice.next()));
    uuid::Builder::from_random_bytes(((high << 64) | low).to_be_bytes()).into_uuid()
}
