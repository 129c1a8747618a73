//! A collector of OpenTelemetry's own making, as far as its messages go: OTLP over gRPC in, one JSON
//! object per span into a file.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use messaging::config::tls::ServerTlsArgs;
use messaging::health::Health;
use messaging::server::{self, Listener};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};

use crate::seen::{self, Seen};
use crate::support::wait_for;

/// A collector that listens as long as it is not dropped.
pub(crate) struct Collector {
    url: String,
    file: PathBuf,
    _runtime: Runtime,
    _folder: TempDir,
}

impl Collector {
    pub(crate) fn start() -> Self {
        Self::answering(None, &ServerTlsArgs::default())
    }

    /// One that wants no spans.
    pub(crate) fn refusing() -> Self {
        Self::answering(Some(Code::InvalidArgument), &ServerTlsArgs::default())
    }

    /// One that shows a certificate, of what `shop certs` has made in `dir`.
    pub(crate) fn secured(dir: &Path) -> Self {
        let tls = ServerTlsArgs {
            tls_cert: Some(dir.join("server.pem")),
            tls_key: Some(dir.join("server.key")),
            tls_client_ca: None,
        };
        Self::answering(None, &tls)
    }

    fn answering(refusal: Option<Code>, tls: &ServerTlsArgs) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("spans.jsonl");
        let writer = Writer::into_file(&file, refusal);
        let socket = server::bind("--test", "127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        let tls = tls.server().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let mut routes = server::routes(&Health::new(), &[], &[]).unwrap();
        routes.add_service(TraceServiceServer::new(writer));
        let runtime = Runtime::new().unwrap();
        runtime.spawn(async move {
            let listener = Listener::new(socket, tls);
            let served = server::serve_grpc(listener, routes, CancellationToken::new());
            served.await.unwrap();
        });
        Self {
            url: format!("{scheme}://{address}"),
            file,
            _runtime: runtime,
            _folder: folder,
        }
    }

    /// Its URL, for `--otlp-endpoint`.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// The spans that have come.
    pub(crate) fn spans(&self) -> Vec<Seen> {
        seen::read(&self.file)
    }

    /// The spans that have come once there are such as `found` wants.
    pub(crate) fn spans_with(&self, what: &str, found: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        wait_for(what, || Some(self.spans()).filter(|spans| found(spans)))
    }
}

struct Writer {
    file: Mutex<File>,
    refusal: Option<Code>,
}

impl Writer {
    fn into_file(path: &Path, refusal: Option<Code>) -> Self {
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).open(path).unwrap();
        Self {
            file: Mutex::new(file),
            refusal,
        }
    }
}

#[tonic::async_trait]
impl TraceService for Writer {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        if let Some(code) = self.refusal {
            return Err(Status::new(code, "no spans, please"));
        }
        let mut lines = String::new();
        for of_program in request.into_inner().resource_spans {
            let resource = attributes(of_program.resource.unwrap_or_default().attributes);
            let spans = of_program.scope_spans.into_iter();
            for span in spans.flat_map(|of_scope| of_scope.spans) {
                lines += &format!("{}\n", line(&resource, span));
            }
        }
        // One write, so that a reader sees whole lines.
        self.file
            .lock()
            .unwrap()
            .write_all(lines.as_bytes())
            .unwrap();
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn line(resource: &Map<String, Value>, span: Span) -> Value {
    let links: Vec<_> = span
        .links
        .iter()
        .map(|link| json!([hex(&link.trace_id), hex(&link.span_id)]))
        .collect();
    json!({
        "resource": resource,
        "trace_id": hex(&span.trace_id),
        "span_id": hex(&span.span_id),
        "parent": hex(&span.parent_span_id),
        "kind": span.kind().as_str_name(),
        "name": span.name,
        "began": span.start_time_unix_nano,
        "ended": span.end_time_unix_nano,
        "status": span.status.unwrap_or_default().code().as_str_name(),
        "attributes": attributes(span.attributes),
        "links": links,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attributes(pairs: Vec<KeyValue>) -> Map<String, Value> {
    let value = |pair: KeyValue| match pair.value.and_then(|value| value.value) {
        Some(any_value::Value::StringValue(text)) => (pair.key, json!(text)),
        Some(any_value::Value::IntValue(number)) => (pair.key, json!(number)),
        other => panic!("{} is {other:?}", pair.key),
    };
    pairs.into_iter().map(value).collect()
}
