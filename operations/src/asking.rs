//! An action from its submission to its outcome.

use std::time::Duration;

use contracts::proto;
use messaging::shard::ShardId;
use messaging::status;
use messaging::store::{Action, ActionKind, ActionRecord, AggregateKey, Place, Target};
use tonic::Status;

use crate::limits::{ANSWER_BEFORE, OUTCOME_POLL, OUTCOMES_MAX};
use crate::{Desk, request};

/// Who asks, and why.
pub(crate) struct Asked {
    pub(crate) operator: String,
    pub(crate) reason: String,
}

impl Asked {
    /// Both as the trail takes them.
    pub(crate) fn of(operator: String, reason: String) -> Result<Self, Status> {
        request::text("operator", &operator)?;
        request::text("reason", &reason)?;
        Ok(Self { operator, reason })
    }
}

impl Desk {
    /// What a replay is about: the aggregate that is named, or the one that the message at the
    /// place holds up, or that message alone.
    pub(crate) async fn target(
        &self,
        request: &proto::ReplayParkedRequest,
    ) -> Result<(ShardId, Target), Status> {
        let (id, kind) = (&request.aggregate_id, &request.aggregate_kind);
        match (id.is_empty(), &request.place) {
            (false, Some(_)) => Err(request::violated("place", "must be alone, or aggregate_id")),
            (false, None) => self.aggregate(id, kind).await,
            (true, place) => {
                let (shard, place) = request::place(place.clone())?;
                let found = self.store.parked_at(shard, &place).await;
                let row = found.map_err(|error| status::of_store(&error))?;
                let row = row.ok_or_else(|| not_parked(shard, &place))?;
                let target = row.parked.aggregate.map(Target::Aggregate);
                Ok((shard, target.unwrap_or(Target::Place(place))))
            }
        }
    }

    async fn aggregate(&self, id: &str, kind: &str) -> Result<(ShardId, Target), Status> {
        let found = self.store.held_up(id).await;
        let mut held_up = found.map_err(|error| status::of_store(&error))?;
        held_up.retain(|(_, aggregate)| kind.is_empty() || aggregate.kind == kind);
        match held_up.as_slice() {
            [] => Err(nothing_parked(id)),
            [(shard, aggregate)] => Ok((*shard, Target::Aggregate(aggregate.clone()))),
            several => {
                let kinds: Vec<&str> = several.iter().map(|(_, one)| one.kind.as_str()).collect();
                let description = format!("must be one of {}", kinds.join(", "));
                Err(request::violated("aggregate_kind", &description))
            }
        }
    }

    /// Submits an action and waits until the shard's owner has carried it out.
    pub(crate) async fn carried_out(
        &self,
        shard: ShardId,
        kind: ActionKind,
        target: Target,
        asked: Asked,
        time_left: Duration,
    ) -> Result<ActionRecord, Status> {
        let action = Action {
            id: self.ids.fresh().to_string(),
            shard,
            kind,
            target,
            operator: asked.operator,
            reason: asked.reason,
            at: self.clock.now(),
        };
        let watch = self.feed.watch(&action.id);
        let submitted = self.store.submit(&action).await;
        if !submitted.map_err(|error| status::of_store(&error))? {
            return Err(gone(&action));
        }
        self.feed.ask();
        let time_up = self.clock.sleep(time_left.saturating_sub(ANSWER_BEFORE));
        tokio::select! {
            biased;
            done = self.outcome(&action.id, &watch) => {
                let record = done?;
                // Somebody else's action was quicker: this one found nothing left.
                if record.outcome_count == 0 { Err(gone(&action)) } else { Ok(record) }
            }
            () = time_up => Err(Status::deadline_exceeded(format!(
                "the shard's owner did not get to it in time; it is still asked for as action {}",
                action.id
            ))),
        }
    }

    async fn outcome(
        &self,
        id: &str,
        watch: &messaging::runtime::Watch,
    ) -> Result<ActionRecord, Status> {
        loop {
            // Registered before the look, so that nothing falls between the two.
            let changed = watch.changed();
            let found = self.store.action(id, OUTCOMES_MAX).await;
            match found {
                Ok(Some(record)) if record.done_at.is_some() => return Ok(record),
                Ok(_) => {}
                // It is asked for already: what passes is waited for.
                Err(error) => tracing::debug!(%error, action = id, "not looked at"),
            }
            tokio::select! {
                biased;
                () = changed => {}
                () = self.clock.sleep(OUTCOME_POLL) => {}
            }
        }
    }

    /// How many messages are parked where `target` is.
    pub(crate) async fn left(&self, shard: ShardId, target: &Target) -> Result<i64, Status> {
        let left = match target {
            Target::Aggregate(aggregate) => self.store.parked_count(aggregate).await,
            Target::Place(place) => {
                let found = self.store.parked_at(shard, place).await;
                found.map(|row| i64::from(row.is_some()))
            }
        };
        left.map_err(|error| status::of_store(&error))
    }
}

fn gone(action: &Action) -> Status {
    match &action.target {
        Target::Aggregate(AggregateKey { id, .. }) => nothing_parked(id),
        Target::Place(place) => not_parked(action.shard, place),
    }
}

fn nothing_parked(id: &str) -> Status {
    Status::not_found(format!("no message of {id} is parked here"))
}

/// NOT_FOUND for a message.
pub(crate) fn not_parked(shard: ShardId, place: &Place) -> Status {
    let Place { topic, offset } = place;
    Status::not_found(format!("{topic}/{shard}@{offset} is not parked here"))
}
