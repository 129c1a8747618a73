//! Callers that place orders one by one, and over streams.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use contracts::client::Channel;
use contracts::proto::order_service_client::OrderServiceClient;
use contracts::proto::place_orders_response::Result as Answer;
use contracts::proto::{CancelOrderRequest, PlaceOrdersRequest, PlaceOrdersResponse};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, Streaming};

use crate::flight::Flight;
use crate::orders::Call;
use crate::source::{Due, Source};
use crate::tally::Tally;

/// How long a call may take.
pub(crate) const CALL_MAX: Duration = Duration::from_secs(30);
/// Requests of a stream that wait to be sent.
pub(crate) const UNSENT_MAX: usize = 64;

/// What callers work with.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) source: Arc<Source>,
    pub(crate) flight: Arc<Flight>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) client: OrderServiceClient<Channel>,
}

/// Calls of a stream without an answer yet, by their request ids.
#[derive(Clone, Default)]
struct Unanswered(Arc<Mutex<HashMap<String, (Call, Instant)>>>);

impl Unanswered {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Call, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Caller {
    /// Places orders, one call after the other, until enough is placed.
    pub(crate) async fn call(mut self) {
        while let Some(due) = self.source.next().await {
            let (call, since) = self.set_out(due);
            let mut request = Request::new(call.request.clone());
            request.set_timeout(CALL_MAX);
            let answer = self.client.place_order(request).await;
            self.answered(&call, since, answer.map(drop)).await;
        }
    }

    /// Places orders over one stream until enough is placed and all are answered.
    pub(crate) async fn stream(mut self) {
        let (requests, queue) = mpsc::channel(UNSENT_MAX);
        let unanswered = Unanswered::default();
        let sending = self.clone().send(requests, unanswered.clone());
        let mut client = self.client.clone();
        let opened = async {
            match client.place_orders(ReceiverStream::new(queue)).await {
                Ok(answers) => self.receive(answers.into_inner(), &unanswered).await,
                Err(status) => Err(status),
            }
        };
        let ((), ended) = tokio::join!(sending, opened);
        let code = ended.err().map_or(Code::Unknown, |status| status.code());
        let left: Vec<_> = unanswered.lock().drain().collect();
        for (_, (call, _)) in left {
            self.failed(&call, code);
        }
    }

    /// Sends what is due until enough is placed or the stream has ended.
    async fn send(self, requests: mpsc::Sender<PlaceOrdersRequest>, unanswered: Unanswered) {
        while let Some(due) = self.source.next().await {
            let (call, since) = self.set_out(due);
            let request = PlaceOrdersRequest {
                request: Some(call.request.clone()),
            };
            let id = call.request.request_id.clone();
            unanswered.lock().insert(id, (call, since));
            if requests.send(request).await.is_err() {
                return;
            }
        }
    }

    async fn receive(
        &mut self,
        mut answers: Streaming<PlaceOrdersResponse>,
        unanswered: &Unanswered,
    ) -> Result<(), Status> {
        while let Some(answer) = answers.message().await? {
            let call = unanswered.lock().remove(&answer.request_id);
            let Some((call, since)) = call else { continue };
            let answer = match answer.result {
                Some(Answer::Acceptance(_)) => Ok(()),
                Some(Answer::Error(error)) => Err(Status::new(error.code.into(), error.message)),
                None => Err(Status::unknown("an answer without a result")),
            };
            self.answered(&call, since, answer).await;
        }
        Ok(())
    }

    /// From here on the order is on its way; one that only repeats another needs no place.
    fn set_out(&self, due: Due) -> (Call, Instant) {
        let Due { call, since, place } = due;
        if !call.repeats {
            self.flight.enter(call.order_id(), since, place);
        }
        (call, since)
    }

    async fn answered(&mut self, call: &Call, since: Instant, answer: Result<(), Status>) {
        match answer {
            Ok(()) => {
                self.tally.accepted(call.repeats, since.elapsed());
                if call.is_cancelled {
                    self.cancel(call).await;
                }
            }
            Err(status) => self.failed(call, status.code()),
        }
    }

    async fn cancel(&mut self, call: &Call) {
        let mut request = Request::new(CancelOrderRequest {
            order_id: call.order_id().to_owned(),
            ..CancelOrderRequest::default()
        });
        request.set_timeout(CALL_MAX);
        if let Err(status) = self.client.cancel_order(request).await {
            self.tally.failed(status.code());
        }
    }

    /// The order may have been placed all the same; it is not waited for.
    fn failed(&self, call: &Call, code: Code) {
        self.tally.failed(code);
        if !call.repeats {
            self.flight.leave(call.order_id());
        }
    }
}
