//! The requests the log answers: which versions, what they look like, who answers them.

mod admin;
mod consume;
mod group;
mod produce;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{
    ApiKey, ApiVersionsResponse, BrokerId, RequestHeader, ResponseHeader,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use tokio_util::sync::CancellationToken;

use super::groups::Groups;
use super::offsets::Offsets;
use super::shape;
use super::topics::Topics;

/// The number of the only broker.
const NODE_ID: BrokerId = BrokerId(1);

/// What requests are answered from.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) topics: Topics,
    pub(super) offsets: Arc<Offsets>,
    pub(super) groups: Groups,
    next_producer_id: AtomicI64,
}

/// The connection a request came from.
pub(super) struct Peer<'a> {
    /// The address at which the client reached the log: the one it is told to use.
    pub(super) reached: SocketAddr,
    /// Ends long waits.
    pub(super) shutdown: &'a CancellationToken,
}

/// A request that has no answer: the connection is closed.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadRequest {
    #[error("the request is too short for its header")]
    Short,
    #[error("api {key} version {version} is not supported")]
    Unsupported { key: i16, version: i16 },
    #[error("the request does not have the shape of {api} version {version}")]
    Shape { api: &'static str, version: i16 },
    #[error("the codec refuses the message: {0}")]
    Codec(String),
    #[error("the log is shutting down")]
    ShuttingDown,
}

/// An API and its versions; each range of versions has its own shape (see [`shape`]).
struct Api {
    key: ApiKey,
    name: &'static str,
    shapes: &'static [(i16, i16, &'static str)],
}

impl Api {
    const fn new(
        key: ApiKey,
        name: &'static str,
        shapes: &'static [(i16, i16, &'static str)],
    ) -> Self {
        Self { key, name, shapes }
    }

    fn shape(&self, version: i16) -> Option<&'static str> {
        let of_version = |(min, max, _): &&(i16, i16, &str)| (*min..=*max).contains(&version);
        self.shapes
            .iter()
            .find(of_version)
            .map(|(_, _, shape)| *shape)
    }
}

/// Everything the log speaks. The request formats are Kafka's own, without flexible fields.
/// Source: <https://kafka.apache.org/protocol#protocol_messages>.
const APIS: &[Api] = &[
    Api::new(ApiKey::Produce, "produce", &[(3, 7, "sHI[s[Ib]]")]),
    Api::new(
        ApiKey::Fetch,
        "fetch",
        &[
            (4, 4, "IIIIB[s[ILI]]"),
            (5, 6, "IIIIB[s[ILLI]]"),
            (7, 8, "IIIIBII[s[ILLI]][s[I]]"),
            (9, 10, "IIIIBII[s[IILLI]][s[I]]"),
            (11, 11, "IIIIBII[s[IILLI]][s[I]]s"),
        ],
    ),
    Api::new(
        ApiKey::ListOffsets,
        "list_offsets",
        &[
            (1, 1, "I[s[IL]]"),
            (2, 3, "IB[s[IL]]"),
            (4, 5, "IB[s[IIL]]"),
        ],
    ),
    Api::new(
        ApiKey::Metadata,
        "metadata",
        &[(0, 3, "[s]"), (4, 7, "[s]B"), (8, 8, "[s]BBB")],
    ),
    Api::new(
        ApiKey::OffsetCommit,
        "offset_commit",
        &[
            (2, 4, "sIsL[s[ILs]]"),
            (5, 5, "sIs[s[ILs]]"),
            (6, 6, "sIs[s[ILIs]]"),
            (7, 7, "sIss[s[ILIs]]"),
        ],
    ),
    Api::new(ApiKey::OffsetFetch, "offset_fetch", &[(1, 5, "s[s[I]]")]),
    Api::new(
        ApiKey::FindCoordinator,
        "find_coordinator",
        &[(0, 0, "s"), (1, 2, "sB")],
    ),
    Api::new(
        ApiKey::JoinGroup,
        "join_group",
        &[
            (0, 0, "sIss[sb]"),
            (1, 4, "sIIss[sb]"),
            (5, 5, "sIIsss[sb]"),
        ],
    ),
    Api::new(
        ApiKey::Heartbeat,
        "heartbeat",
        &[(0, 2, "sIs"), (3, 3, "sIss")],
    ),
    Api::new(
        ApiKey::LeaveGroup,
        "leave_group",
        &[(0, 2, "ss"), (3, 3, "s[ss]")],
    ),
    Api::new(
        ApiKey::SyncGroup,
        "sync_group",
        &[(0, 2, "sIs[sb]"), (3, 3, "sIss[sb]")],
    ),
    Api::new(ApiKey::ApiVersions, "api_versions", &[(0, 3, "")]),
    Api::new(
        ApiKey::CreateTopics,
        "create_topics",
        &[(2, 4, "[sIH[I[I]][ss]]IB")],
    ),
    Api::new(ApiKey::DeleteTopics, "delete_topics", &[(1, 3, "[s]I")]),
    Api::new(
        ApiKey::DeleteRecords,
        "delete_records",
        &[(0, 1, "[s[IL]]I")],
    ),
    Api::new(ApiKey::InitProducerId, "init_producer_id", &[(0, 1, "sI")]),
];

impl Broker {
    /// Answers from recovered state. Producer ids start at the time of day, so that they differ
    /// from those given out before a restart.
    pub(super) fn new(topics: Topics, offsets: Offsets, now_ms: i64) -> Self {
        let offsets = Arc::new(offsets);
        let groups = Groups::new(now_ms);
        Self {
            topics,
            offsets,
            groups,
            next_producer_id: AtomicI64::new(now_ms),
        }
    }
}

/// Answers one request; None if the client wants no answer.
pub(super) async fn answer(
    broker: &Arc<Broker>,
    peer: &Peer<'_>,
    frame: Bytes,
) -> Result<Option<Bytes>, BadRequest> {
    let [k0, k1, v0, v1, ..] = frame[..] else {
        return Err(BadRequest::Short);
    };
    let (key, version) = (i16::from_be_bytes([k0, k1]), i16::from_be_bytes([v0, v1]));
    let unsupported = BadRequest::Unsupported { key, version };
    let api = APIS
        .iter()
        .find(|api| api.key as i16 == key)
        .ok_or(unsupported)?;
    let Some(shape) = api.shape(version) else {
        if api.key == ApiKey::ApiVersions {
            return api_versions_fallback(&frame).map(Some);
        }
        return Err(BadRequest::Unsupported { key, version });
    };
    metrics::counter!("embedded_log_requests_total", "api" => api.name).increment(1);
    let mut body = frame;
    let header_version = api.key.request_header_version(version);
    let header = RequestHeader::decode(&mut body, header_version).map_err(codec)?;
    if api.key != ApiKey::ApiVersions && !shape::fits(shape, &body) {
        return Err(BadRequest::Shape {
            api: api.name,
            version,
        });
    }
    let request = Request {
        api: api.key,
        version,
        header,
        body,
    };
    let waiting = dispatch(broker, peer, request);
    tokio::select! {
        biased;
        answered = waiting => answered,
        () = ended(peer, api.key) => Err(BadRequest::ShuttingDown),
    }
}

/// Ends waits for records and for group members at shutdown; other requests are carried through.
async fn ended(peer: &Peer<'_>, api: ApiKey) {
    match api {
        ApiKey::Fetch | ApiKey::JoinGroup | ApiKey::SyncGroup => peer.shutdown.cancelled().await,
        _ => std::future::pending().await,
    }
}

/// A request whose header has been read.
struct Request {
    api: ApiKey,
    version: i16,
    header: RequestHeader,
    body: Bytes,
}

impl Request {
    fn decode<Q: Decodable>(&mut self) -> Result<Q, BadRequest> {
        Q::decode(&mut self.body, self.version).map_err(codec)
    }

    fn client_id(&self) -> &str {
        self.header.client_id.as_deref().unwrap_or_default()
    }

    fn respond<R: Encodable>(&self, response: &R) -> Result<Option<Bytes>, BadRequest> {
        let mut frame = BytesMut::new();
        frame.put_i32(0);
        ResponseHeader::default()
            .with_correlation_id(self.header.correlation_id)
            .encode(&mut frame, self.api.response_header_version(self.version))
            .map_err(codec)?;
        response.encode(&mut frame, self.version).map_err(codec)?;
        let length = frame.len() as i32 - 4;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        Ok(Some(frame.freeze()))
    }
}

async fn dispatch(
    broker: &Arc<Broker>,
    peer: &Peer<'_>,
    mut q: Request,
) -> Result<Option<Bytes>, BadRequest> {
    match q.api {
        ApiKey::ApiVersions => q.respond(&api_versions()),
        ApiKey::Metadata => {
            let request = q.decode()?;
            q.respond(&admin::metadata(broker, peer.reached, request, q.version))
        }
        ApiKey::CreateTopics => {
            let request = q.decode()?;
            q.respond(&admin::create_topics(broker, request).await)
        }
        ApiKey::DeleteTopics => {
            let request = q.decode()?;
            q.respond(&admin::delete_topics(broker, request).await)
        }
        ApiKey::DeleteRecords => {
            let request = q.decode()?;
            q.respond(&admin::delete_records(broker, request).await)
        }
        ApiKey::InitProducerId => {
            let request = q.decode()?;
            q.respond(&produce::init_producer_id(broker, &request))
        }
        ApiKey::Produce => {
            let request = q.decode()?;
            let (response, wanted) = produce::produce(broker, request).await;
            if wanted {
                q.respond(&response)
            } else {
                Ok(None)
            }
        }
        ApiKey::Fetch => {
            let request = q.decode()?;
            q.respond(&consume::fetch(broker, request).await)
        }
        ApiKey::ListOffsets => {
            let request = q.decode()?;
            q.respond(&consume::list_offsets(broker, request).await)
        }
        _ => dispatch_group(broker, peer, q).await,
    }
}

async fn dispatch_group(
    broker: &Arc<Broker>,
    peer: &Peer<'_>,
    mut q: Request,
) -> Result<Option<Bytes>, BadRequest> {
    match q.api {
        ApiKey::FindCoordinator => {
            let request = q.decode()?;
            q.respond(&group::find_coordinator(peer.reached, &request))
        }
        ApiKey::JoinGroup => {
            let request = q.decode()?;
            let response = group::join(broker, q.client_id(), request).await;
            q.respond(&response)
        }
        ApiKey::SyncGroup => {
            let request = q.decode()?;
            q.respond(&group::sync(broker, request).await)
        }
        ApiKey::Heartbeat => {
            let request = q.decode()?;
            q.respond(&group::heartbeat(broker, &request))
        }
        ApiKey::LeaveGroup => {
            let request = q.decode()?;
            q.respond(&group::leave(broker, &request, q.version))
        }
        ApiKey::OffsetCommit => {
            let request = q.decode()?;
            q.respond(&group::offset_commit(broker, request).await)
        }
        ApiKey::OffsetFetch => {
            let request = q.decode()?;
            q.respond(&group::offset_fetch(broker, request))
        }
        other => Err(BadRequest::Unsupported {
            key: other as i16,
            version: q.version,
        }),
    }
}

fn api_versions() -> ApiVersionsResponse {
    let versions = APIS.iter().map(|api| {
        ApiVersion::default()
            .with_api_key(api.key as i16)
            .with_min_version(api.shapes.first().map_or(0, |(min, _, _)| *min))
            .with_max_version(api.shapes.last().map_or(0, |(_, max, _)| *max))
    });
    ApiVersionsResponse::default().with_api_keys(versions.collect())
}

/// A client that speaks a newer ApiVersions is told in version 0 which ones there are.
fn api_versions_fallback(frame: &Bytes) -> Result<Bytes, BadRequest> {
    let correlation_id = frame.get(4..8).ok_or(BadRequest::Short)?;
    let mut out = BytesMut::new();
    out.put_i32(0);
    out.put_slice(correlation_id);
    let response = api_versions().with_error_code(ResponseError::UnsupportedVersion.code());
    response.encode(&mut out, 0).map_err(codec)?;
    let length = out.len() as i32 - 4;
    out[..4].copy_from_slice(&length.to_be_bytes());
    Ok(out.freeze())
}

fn codec(error: impl std::fmt::Display) -> BadRequest {
    BadRequest::Codec(error.to_string())
}

/// Text for a response.
fn text(text: impl ToString) -> StrBytes {
    StrBytes::from_string(text.to_string())
}

/// Runs file work off the async threads; None if it panicked, which is logged.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Some(done),
        Err(_) => {
            tracing::error!("a request of the log panicked");
            None
        }
    }
}
