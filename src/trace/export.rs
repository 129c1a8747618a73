//! Spans to a collector: OTLP over gRPC, in batches, from a bounded queue.

use std::error::Error as StdError;
use std::sync::Arc;

use ::http::uri::PathAndQuery;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;

use super::otlp::{EXPORT, ExportRequest, ExportResponse, Resource};
use super::{Span, Tracer};
use crate::clock::Clock;
use crate::ids::Ids;
use crate::limits::{
    BACKOFF, TRACE_BATCH_SPANS, TRACE_CALL_TIMEOUT, TRACE_DRAIN_MAX, TRACE_GATHER, TRACE_TRY_MAX,
};
use crate::spawner::{Spawner, Task};
use crate::tls;

/// Spans cannot be sent as the flags say; one line that names the flag.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is none.
    #[error("--otlp-endpoint {url}: not a usable URL: {source}")]
    Url {
        /// The address, as given.
        url: String,
        /// What is wrong with it.
        source: tonic::transport::Error,
    },
    /// The address does not say how to speak to it.
    #[error("--otlp-endpoint {url}: write http://HOST:PORT or https://HOST:PORT")]
    Scheme {
        /// The address, as given.
        url: String,
    },
    /// The collector's certificate could not be checked.
    #[error(transparent)]
    Tls(#[from] tls::Error),
}

/// A tracer with its way to the collector, if there is one. Its owner drains it in the end.
#[derive(Default)]
pub struct Tracing {
    tracer: Tracer,
    export: Option<(Task, CancellationToken)>,
}

/// Where spans go to, and who tells them.
pub(crate) struct Collector<'a> {
    /// The collector's URL.
    pub(crate) url: &'a str,
    /// TLS, for `https://`.
    pub(crate) tls: Option<tls::Client>,
    /// The program's name.
    pub(crate) service: &'static str,
    /// The share of the traces begun here that is recorded.
    pub(crate) ratio: f64,
}

impl Tracing {
    /// Starts to send spans to `collector`, which is connected to when there are some.
    ///
    /// # Errors
    /// When its URL is none.
    pub(crate) fn start(
        collector: Collector<'_>,
        clock: &Arc<dyn Clock>,
        ids: &Arc<dyn Ids>,
        spawner: &dyn Spawner,
    ) -> Result<Self, Error> {
        let url = collector.url.to_owned();
        let endpoint = Endpoint::from_shared(url.clone());
        let endpoint = endpoint.map_err(|source| Error::Url { url, source })?;
        if !["http", "https"]
            .map(Some)
            .contains(&endpoint.uri().scheme_str())
        {
            let url = collector.url.to_owned();
            return Err(Error::Scheme { url });
        }
        let endpoint = endpoint.connect_timeout(TRACE_CALL_TIMEOUT);
        let channel = match collector.tls {
            Some(tls) => endpoint.connect_with_connector_lazy(tls.connector()),
            None => endpoint.connect_lazy(),
        };
        let (clock, ids) = (Arc::clone(clock), Arc::clone(ids));
        let (tracer, queue) =
            Tracer::into_queue(Arc::clone(&clock), Arc::clone(&ids), collector.ratio);
        let closing = CancellationToken::new();
        let instance = ids.fresh().hyphenated().to_string();
        let exporter = Exporter {
            queue,
            channel,
            resource: Resource::service(collector.service, instance),
            clock,
            ids,
            closing: closing.clone(),
            failing: false,
            counts: Counts::new(),
        };
        let task = spawner.spawn("trace export", Box::pin(exporter.run()));
        Ok(Self {
            tracer,
            export: Some((task, closing)),
        })
    }

    /// What records spans.
    #[must_use]
    pub fn tracer(&self) -> &Tracer {
        &self.tracer
    }

    /// Sends what is in the queue, for [`TRACE_DRAIN_MAX`] at most; what is recorded later is dropped.
    pub async fn drain(self) {
        let Some((task, closing)) = self.export else {
            return;
        };
        closing.cancel();
        if timeout(TRACE_DRAIN_MAX, task.join()).await.is_err() {
            tracing::warn!("the collector did not take the last spans in time");
        }
    }
}

/// Spans that were not delivered, by reason.
pub(super) fn dropped(reason: &'static str) -> metrics::Counter {
    metrics::counter!("trace_spans_dropped_total", "reason" => reason)
}

struct Counts {
    exported: metrics::Counter,
    failed: metrics::Counter,
    rejected: metrics::Counter,
}

impl Counts {
    fn new() -> Self {
        let counts = Self {
            exported: metrics::counter!("trace_spans_exported_total"),
            failed: dropped("export_failed"),
            rejected: dropped("rejected"),
        };
        for counter in [&counts.exported, &counts.failed, &counts.rejected] {
            counter.increment(0);
        }
        dropped("queue_full").increment(0);
        counts
    }
}

/// Takes spans off the queue, and gives them to the collector.
struct Exporter {
    queue: mpsc::Receiver<Span>,
    channel: Channel,
    resource: Resource,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    closing: CancellationToken,
    /// Whether the last call failed, so that an outage is told once.
    failing: bool,
    counts: Counts,
}

impl Exporter {
    async fn run(mut self) {
        loop {
            let mut spans = Vec::new();
            tokio::select! {
                biased;
                () = self.closing.cancelled() => break,
                taken = self.queue.recv_many(&mut spans, TRACE_BATCH_SPANS) => {
                    if taken == 0 {
                        return;
                    }
                }
            }
            if spans.len() < TRACE_BATCH_SPANS {
                let gathered = self.clock.sleep(TRACE_GATHER);
                let _ = self.closing.run_until_cancelled(gathered).await;
                while spans.len() < TRACE_BATCH_SPANS
                    && let Ok(span) = self.queue.try_recv()
                {
                    spans.push(span);
                }
            }
            self.deliver(spans).await;
        }
        self.queue.close();
        let mut spans = Vec::new();
        while self.queue.recv_many(&mut spans, TRACE_BATCH_SPANS).await > 0 {
            self.deliver(std::mem::take(&mut spans)).await;
        }
    }

    /// Gives a batch to the collector; one that it does not take for [`TRACE_TRY_MAX`] is dropped, so
    /// that what waits behind it is not too old when it is back.
    async fn deliver(&mut self, spans: Vec<Span>) {
        let count = spans.len() as u64;
        let request = ExportRequest::of(&self.resource, spans);
        let trying = timeout(TRACE_TRY_MAX, self.until_taken(request)).await;
        match trying {
            Ok(Ok(response)) => {
                let (rejected, reason) = response.rejected();
                if rejected > 0 {
                    tracing::warn!(rejected, reason, "the collector rejected spans");
                }
                self.counts.rejected.increment(rejected.min(count));
                self.counts
                    .exported
                    .increment(count.saturating_sub(rejected));
            }
            Ok(Err(status)) => {
                tracing::warn!(count, %status, "the collector refused spans");
                self.counts.failed.increment(count);
            }
            Err(_) => self.counts.failed.increment(count),
        }
    }

    /// Calls until the collector answers. A batch whose answer was lost may reach it twice.
    async fn until_taken(&mut self, request: ExportRequest) -> Result<ExportResponse, Status> {
        let mut backoff = BACKOFF.start();
        loop {
            let call = timeout(TRACE_CALL_TIMEOUT, call(&self.channel, request.clone())).await;
            let status = match call {
                Ok(Ok(response)) => {
                    if std::mem::take(&mut self.failing) {
                        tracing::info!("the collector takes spans again");
                    }
                    return Ok(response.into_inner());
                }
                Ok(Err(status)) if may_pass(&status) => status,
                Ok(Err(status)) => return Err(status),
                Err(_) => Status::deadline_exceeded("no answer in time"),
            };
            if !std::mem::replace(&mut self.failing, true) {
                tracing::warn!(%status, "the collector takes no spans; they are dropped meanwhile");
            }
            let wait = backoff.next(self.ids.random());
            self.clock.sleep(wait).await;
        }
    }
}

async fn call(
    channel: &Channel,
    request: ExportRequest,
) -> Result<Response<ExportResponse>, Status> {
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready()
        .await
        .map_err(|error| Status::from_error(error.into()))?;
    let codec = ProstCodec::<ExportRequest, ExportResponse>::default();
    let path = PathAndQuery::from_static(EXPORT);
    grpc.unary(Request::new(request), path, codec).await
}

/// The codes that OTLP lets a client try again after (OTLP specification, "Failures"), and everything
/// that did not come from the collector.
fn may_pass(status: &Status) -> bool {
    StdError::source(status).is_some()
        || matches!(
            status.code(),
            Code::Cancelled
                | Code::DeadlineExceeded
                | Code::ResourceExhausted
                | Code::Aborted
                | Code::OutOfRange
                | Code::Unavailable
                | Code::DataLoss
        )
}
