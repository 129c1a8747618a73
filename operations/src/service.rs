//! The gRPC service.

use contracts::proto;
use contracts::proto::operations_service_server::OperationsService;
use messaging::server::Deadline;
use messaging::status;
use messaging::store::{ActionKind, ParkedFilter, ParkedRow, Target};
use std::time::Duration;
use tonic::{Request, Response, Status};

use crate::asking::{Asked, not_parked};
use crate::limits::{OUTCOMES_LISTED_MAX, ROWS_PER_READ};
use crate::request::{self, Page};
use crate::{Desk, convert, decode};

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl OperationsService for Desk {
    async fn list_parked(
        &self,
        request: Request<proto::ListParkedRequest>,
    ) -> Answer<proto::ListParkedResponse> {
        let request = request.into_inner();
        let list = format!(
            "parked\n{}\n{}\n{}",
            request.key, request.reason, request.age_min_seconds
        );
        let page = Page::parse(request.page_size, &request.page_token, list)?;
        let age = u64::try_from(request.age_min_seconds)
            .map_err(|_| request::violated("age_min_seconds", "must not be negative"))?;
        let until = self.clock.now().minus(Duration::from_secs(age));
        let filter = ParkedFilter {
            aggregate_id: Some(request.key).filter(|key| !key.is_empty()),
            reason: request::reason(&request.reason)?,
            parked_until: (age > 0).then_some(until),
        };
        let mut answer = proto::ListParkedResponse::default();
        let mut from = page.from.unwrap_or_default();
        loop {
            let rows = self.rows(&filter, from).await?;
            for row in &rows {
                if answer.messages.len() == page.size {
                    answer.next_page_token = page.token(from);
                    return Ok(Response::new(answer));
                }
                answer.messages.push(convert::parked(row));
                from = row.number;
            }
            if rows.len() < ROWS_PER_READ {
                return Ok(Response::new(answer));
            }
        }
    }

    async fn get_parked(
        &self,
        request: Request<proto::GetParkedRequest>,
    ) -> Answer<proto::GetParkedResponse> {
        let (shard, place) = request::place(request.into_inner().place)?;
        let found = self.store.parked_at(shard, &place).await;
        let row = found.map_err(|error| status::of_store(&error))?;
        let row = row.ok_or_else(|| not_parked(shard, &place))?;
        let message = convert::parked(&row);
        let record = row.parked.record;
        let payload = decode::payload(&*self.registry, &*self.clock, &record).await;
        let headers = record.headers.into_iter();
        Ok(Response::new(proto::GetParkedResponse {
            message: Some(message),
            key: record.key.unwrap_or_default().to_vec(),
            value: record.value.unwrap_or_default().to_vec(),
            headers: headers
                .map(|(name, value)| proto::Header {
                    name: name.into_owned(),
                    value: value.to_vec(),
                })
                .collect(),
            decoded_json: payload.json,
            schema_id: payload.schema_id,
            undecoded: payload.undecoded,
            written_at: Some(convert::timestamp(record.timestamp)),
        }))
    }

    async fn replay_parked(
        &self,
        request: Request<proto::ReplayParkedRequest>,
    ) -> Answer<proto::ReplayParkedResponse> {
        let time_left = Deadline::of(&request).remaining();
        let mut request = request.into_inner();
        let operator = std::mem::take(&mut request.operator);
        let asked = Asked::of(operator, std::mem::take(&mut request.reason))?;
        let (shard, target) = self.target(&request).await?;
        let kind = match request.dry_run {
            true => ActionKind::DryRun,
            false => ActionKind::Replay,
        };
        let done = self.carried_out(shard, kind, target, asked, time_left);
        let record = done.await?;
        let left = self.left(shard, &record.action.target).await?;
        Ok(Response::new(proto::ReplayParkedResponse {
            action_id: record.action.id,
            outcomes: convert::outcomes(shard, record.outcomes),
            outcome_count: record.outcome_count,
            left,
        }))
    }

    async fn discard_parked(
        &self,
        request: Request<proto::DiscardParkedRequest>,
    ) -> Answer<proto::DiscardParkedResponse> {
        let time_left = Deadline::of(&request).remaining();
        let request = request.into_inner();
        if request.reason.trim().is_empty() {
            let wrong = "must say why: the message is taken out for good";
            return Err(request::violated("reason", wrong));
        }
        let (shard, place) = request::place(request.place)?;
        let asked = Asked::of(request.operator, request.reason)?;
        let target = Target::Place(place);
        let kind = ActionKind::Discard;
        let done = self.carried_out(shard, kind, target, asked, time_left);
        Ok(Response::new(proto::DiscardParkedResponse {
            action_id: done.await?.action.id,
        }))
    }

    async fn list_actions(
        &self,
        request: Request<proto::ListActionsRequest>,
    ) -> Answer<proto::ListActionsResponse> {
        let request = request.into_inner();
        let page = Page::parse(request.page_size, &request.page_token, "actions".to_owned())?;
        let before = page.from.unwrap_or(i64::MAX);
        // One more than asked for tells whether another page follows.
        let found = self
            .store
            .trail(before, page.size + 1, OUTCOMES_LISTED_MAX)
            .await;
        let mut found = found.map_err(|error| status::of_store(&error))?;
        let more = found.len() > page.size;
        found.truncate(page.size);
        let last = found.last().filter(|_| more).map(|record| record.number);
        Ok(Response::new(proto::ListActionsResponse {
            next_page_token: last.map(|last| page.token(last)).unwrap_or_default(),
            actions: found.into_iter().map(convert::action).collect(),
        }))
    }

    async fn list_conflicts(
        &self,
        request: Request<proto::ListConflictsRequest>,
    ) -> Answer<proto::ListConflictsResponse> {
        let request = request.into_inner();
        let list = format!("conflicts\n{}", request.key);
        let page = Page::parse(request.page_size, &request.page_token, list)?;
        let key = Some(request.key.as_str()).filter(|key| !key.is_empty());
        let mut answer = proto::ListConflictsResponse::default();
        let mut from = page.from.unwrap_or_default();
        loop {
            let rows = self.store.conflicts(key, from, ROWS_PER_READ).await;
            let rows = rows.map_err(|error| status::of_store(&error))?;
            for row in &rows {
                if answer.conflicts.len() == page.size {
                    answer.next_page_token = page.token(from);
                    return Ok(Response::new(answer));
                }
                answer.conflicts.push(convert::conflict(row));
                from = row.number;
            }
            if rows.len() < ROWS_PER_READ {
                return Ok(Response::new(answer));
            }
        }
    }

    async fn get_checkpoint(
        &self,
        _: Request<proto::GetCheckpointRequest>,
    ) -> Answer<proto::GetCheckpointResponse> {
        let found = self.store.checkpoint().await;
        let shards = found.map_err(|error| status::of_store(&error))?;
        Ok(Response::new(proto::GetCheckpointResponse {
            source: self.source.to_owned(),
            shards: shards.into_iter().map(convert::checkpoint).collect(),
        }))
    }

    async fn list_shards(
        &self,
        _: Request<proto::ListShardsRequest>,
    ) -> Answer<proto::ListShardsResponse> {
        Ok(Response::new(proto::ListShardsResponse {
            source: self.source.to_owned(),
            shards: self.shards().await?,
        }))
    }
}

impl Desk {
    async fn rows(&self, filter: &ParkedFilter, after: i64) -> Result<Vec<ParkedRow>, Status> {
        let rows = self.store.parked(filter, after, ROWS_PER_READ).await;
        rows.map_err(|error| status::of_store(&error))
    }
}
