//! A broker that follows a script: one topic with one partition, kept as opaque batches.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsResponse, BrokerId, FetchRequest, FetchResponse, ListOffsetsResponse,
    MetadataRequest, MetadataResponse, ProduceRequest, ProduceResponse, RequestHeader,
    ResponseHeader, SaslAuthenticateResponse, SaslHandshakeResponse, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The only topic.
pub(crate) const TOPIC: &str = "faulty";
const VERSIONS: &[(ApiKey, i16)] = &[
    (ApiKey::Produce, 3),
    (ApiKey::Fetch, 4),
    (ApiKey::ListOffsets, 1),
    (ApiKey::Metadata, 1),
    (ApiKey::ApiVersions, 0),
    (ApiKey::SaslHandshake, 1),
    (ApiKey::SaslAuthenticate, 0),
];

/// What happens to one request of a kind; without a step it is served.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Append and answer with this error code.
    AppendThenError(i16),
    /// Do nothing and answer with this error code.
    Error(i16),
    /// Append and close the connection.
    AppendThenCut,
    /// Append and never answer on this connection.
    AppendThenSilence,
}

#[derive(Default)]
pub(crate) struct State {
    /// Steps of the next produce requests.
    pub(crate) produce: VecDeque<Step>,
    /// Error code of the next answers to "which is the last offset".
    pub(crate) list_offsets: VecDeque<i16>,
    /// Error code of the answer to every login; without one the connection is closed.
    pub(crate) login: Option<i16>,
    /// Who leads the partition, by the metadata; itself unless there is another.
    pub(crate) leader: Option<SocketAddr>,
    /// New connections are accepted and never answered.
    pub(crate) silent: bool,
    /// The batches kept, by offset; each holds one record. A fetch returns those from its offset
    /// on, but one only if it asks for less than all.
    pub(crate) batches: Vec<(i64, Bytes)>,
    /// The next offset, which every batch of one record moves by one.
    pub(crate) next: i64,
    /// Topics that clients have asked for by name: a real broker might create them.
    pub(crate) asked_for: Vec<String>,
    /// Produce requests seen.
    pub(crate) produced: usize,
}

/// A running broker; it ends when dropped.
pub(crate) struct Broker {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    cut: watch::Sender<()>,
    _tasks: JoinSet<()>,
}

impl Broker {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let mut tasks = JoinSet::new();
        let (cut, cuts) = watch::channel(());
        tasks.spawn(accept(listener, Arc::clone(&state), cuts));
        Self {
            address,
            state,
            cut,
            _tasks: tasks,
        }
    }

    /// Closes every connection, as a broker does with idle ones and when it restarts.
    pub(crate) fn cut(&self) {
        self.cut.send_replace(());
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>, cuts: watch::Receiver<()>) {
    let address = listener.local_addr().unwrap();
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (state, mut cuts) = (Arc::clone(&state), cuts.clone());
        cuts.mark_unchanged();
        connections.spawn(async move {
            tokio::select! {
                () = converse(stream, address, state) => {}
                _ = cuts.changed() => {}
            }
        });
    }
}

/// Answers until the client goes, or a step ends it.
async fn converse(mut stream: TcpStream, address: SocketAddr, state: Arc<Mutex<State>>) {
    let mut silent = state.lock().unwrap().silent;
    while let Ok(length) = stream.read_i32().await {
        let mut frame = vec![0; usize::try_from(length).unwrap()];
        if stream.read_exact(&mut frame).await.is_err() {
            return;
        }
        if silent {
            continue;
        }
        let answer = answer(&mut state.lock().unwrap(), address, Bytes::from(frame));
        match answer {
            Answer::Send(response) => {
                if stream.write_all(&response).await.is_err() {
                    return;
                }
            }
            Answer::Cut => return,
            Answer::Silence => silent = true,
        }
    }
}

enum Answer {
    Send(Bytes),
    Cut,
    Silence,
}

fn answer(state: &mut State, address: SocketAddr, mut frame: Bytes) -> Answer {
    let key = ApiKey::try_from((&frame[..]).get_i16()).unwrap();
    let version = (&frame[2..]).get_i16();
    let header = RequestHeader::decode(&mut frame, key.request_header_version(version)).unwrap();
    let mut body = BytesMut::new();
    match key {
        ApiKey::ApiVersions => {
            // A version that is not spoken here is answered by version 0 with an error.
            let error_code = if version == 0 { 0 } else { 35 };
            versions(error_code).encode(&mut body, 0).unwrap();
        }
        ApiKey::Metadata => {
            let request = MetadataRequest::decode(&mut frame, version).unwrap();
            let response = metadata(state, address, request);
            response.encode(&mut body, version).unwrap();
        }
        ApiKey::Produce => {
            ProduceRequest::decode(&mut frame, version).unwrap();
            match produce(state) {
                Ok(response) => response.encode(&mut body, version).unwrap(),
                Err(end) => return end,
            }
        }
        ApiKey::Fetch => {
            let request = FetchRequest::decode(&mut frame, version).unwrap();
            fetch(state, &request).encode(&mut body, version).unwrap();
        }
        ApiKey::SaslHandshake => SaslHandshakeResponse::default()
            .with_mechanisms(vec![StrBytes::from_static_str("PLAIN")])
            .encode(&mut body, version)
            .unwrap(),
        ApiKey::SaslAuthenticate => match state.login {
            Some(error_code) => SaslAuthenticateResponse::default()
                .with_error_code(error_code)
                .encode(&mut body, version)
                .unwrap(),
            None => return Answer::Cut,
        },
        ApiKey::ListOffsets => list_offsets(state).encode(&mut body, version).unwrap(),
        other => panic!("{other:?} is not in the script"),
    }
    let mut response = BytesMut::new();
    ResponseHeader::default()
        .with_correlation_id(header.correlation_id)
        .encode(&mut response, key.response_header_version(version))
        .unwrap();
    let mut framed = BytesMut::new();
    framed.put_i32(i32::try_from(response.len() + body.len()).unwrap());
    framed.put(response);
    framed.put(body);
    Answer::Send(framed.freeze())
}

fn topic() -> TopicName {
    TopicName(StrBytes::from_static_str(TOPIC))
}

fn versions(error_code: i16) -> ApiVersionsResponse {
    let keys = VERSIONS.iter().map(|(key, version)| {
        ApiVersion::default()
            .with_api_key(*key as i16)
            .with_min_version(*version)
            .with_max_version(*version)
    });
    ApiVersionsResponse::default()
        .with_error_code(error_code)
        .with_api_keys(keys.collect())
}

fn metadata(state: &mut State, address: SocketAddr, request: MetadataRequest) -> MetadataResponse {
    let named = request.topics.unwrap_or_default().into_iter();
    let named = named
        .filter_map(|topic| topic.name)
        .map(|name| name.to_string());
    state.asked_for.extend(named);
    let address = state.leader.unwrap_or(address);
    let broker = MetadataResponseBroker::default()
        .with_node_id(BrokerId(1))
        .with_host(StrBytes::from_string(address.ip().to_string()))
        .with_port(i32::from(address.port()));
    let partition = MetadataResponsePartition::default()
        .with_leader_id(BrokerId(1))
        .with_replica_nodes(vec![BrokerId(1)])
        .with_isr_nodes(vec![BrokerId(1)]);
    let topic = MetadataResponseTopic::default()
        .with_name(Some(topic()))
        .with_partitions(vec![partition]);
    MetadataResponse::default()
        .with_brokers(vec![broker])
        .with_controller_id(BrokerId(1))
        .with_topics(vec![topic])
}

fn produce(state: &mut State) -> Result<ProduceResponse, Answer> {
    state.produced += 1;
    let step = state.produce.pop_front();
    if !matches!(step, Some(Step::Error(_))) {
        state.next += 1;
    }
    let error_code = match step {
        None => 0,
        Some(Step::Error(code) | Step::AppendThenError(code)) => code,
        Some(Step::AppendThenCut) => return Err(Answer::Cut),
        Some(Step::AppendThenSilence) => return Err(Answer::Silence),
    };
    let partition = PartitionProduceResponse::default()
        .with_error_code(error_code)
        .with_base_offset(state.next - 1);
    let topic = TopicProduceResponse::default()
        .with_name(topic())
        .with_partition_responses(vec![partition]);
    Ok(ProduceResponse::default().with_responses(vec![topic]))
}

fn fetch(state: &State, request: &FetchRequest) -> FetchResponse {
    let asked = &request.topics[0].partitions[0];
    let from = state
        .batches
        .iter()
        .filter(|(offset, _)| *offset >= asked.fetch_offset);
    let mut found: Vec<_> = from.map(|(_, batch)| batch.clone()).collect();
    let all: usize = found.iter().map(Bytes::len).sum();
    if usize::try_from(asked.partition_max_bytes).unwrap() < all {
        found.truncate(1);
    }
    let partition = PartitionData::default()
        .with_high_watermark(state.next)
        .with_records(Some(found.concat().into()));
    let topic = FetchableTopicResponse::default()
        .with_topic(topic())
        .with_partitions(vec![partition]);
    FetchResponse::default().with_responses(vec![topic])
}

fn list_offsets(state: &mut State) -> ListOffsetsResponse {
    let partition = ListOffsetsPartitionResponse::default()
        .with_error_code(state.list_offsets.pop_front().unwrap_or(0))
        .with_offset(state.next);
    let topic = ListOffsetsTopicResponse::default()
        .with_name(topic())
        .with_partitions(vec![partition]);
    ListOffsetsResponse::default().with_topics(vec![topic])
}
