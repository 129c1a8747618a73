//! The gRPC server: hyper's HTTP/2 with every limit set, and the layers around the services.

use std::convert::Infallible;
use std::io::Cursor;
use std::pin::pin;

use ::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::service::{Routes, RoutesBuilder};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_http::catch_panic::CatchPanicLayer;

use super::layers::{deadline, methods, observe, panic, shed};
use super::share::Share;
use super::{Error, Limits, Listener, connections, health_service};
use crate::health::Health;
use crate::tls;
use crate::trace::Tracer;

/// What every HTTP/2 client sends first (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The health service's name.
const HEALTH: &str = "grpc.health.v1.Health";

/// Routes that already hold health and reflection (v1 and v1alpha); the caller adds its services.
///
/// `services` are the names that health answers for beside `""`, and that reflection lists; `descriptors` are encoded
/// `FileDescriptorSet`s of the services to be added.
///
/// # Errors
/// When a descriptor set cannot be read.
pub fn routes(
    health: &Health,
    services: &[&'static str],
    descriptors: &[&'static [u8]],
) -> Result<RoutesBuilder, Error> {
    let reflection = |own_name: &str| {
        // The descriptors may describe more than is served here: only what is served is listed.
        let listed = services.iter().copied().chain([HEALTH, own_name]);
        let builder = listed.fold(
            tonic_reflection::server::Builder::configure(),
            tonic_reflection::server::Builder::with_service_name,
        );
        descriptors
            .iter()
            .fold(builder, |builder, set| {
                builder.register_encoded_file_descriptor_set(set)
            })
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let v1 = reflection("grpc.reflection.v1.ServerReflection").build_v1();
    let v1alpha = reflection("grpc.reflection.v1alpha.ServerReflection").build_v1alpha();
    for set in descriptors {
        methods::serve(set, |service| services.contains(&service));
    }
    for set in [
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ] {
        methods::serve(set, |_| true);
    }
    let mut routes = RoutesBuilder::default();
    routes
        .add_service(health_service(health, services))
        .add_service(v1.map_err(Error::Descriptors)?)
        .add_service(v1alpha.map_err(Error::Descriptors)?);
    Ok(routes)
}

/// Serves `routes` on `listener` until `shutdown`, within the default [`Limits`], then drains.
///
/// # Errors
/// When the listener cannot be used.
pub async fn serve_grpc(
    listener: impl Into<Listener>,
    routes: impl Into<RoutesBuilder>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    serve_grpc_within(Limits::default(), listener, routes, shutdown).await
}

/// As [`serve_grpc`], within `limits`.
///
/// # Errors
/// As [`serve_grpc`].
pub async fn serve_grpc_within(
    limits: Limits,
    listener: impl Into<Listener>,
    routes: impl Into<RoutesBuilder>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let Listener {
        socket,
        tls,
        tracer,
    } = listener.into();
    let routes: RoutesBuilder = routes.into();
    let service = layered(routes.routes().prepare(), &limits, tracer, &shutdown);
    let http = http2_settings(&limits);
    connections::serve(socket, &limits, &shutdown, |stream| {
        connection(
            opened(stream, tls.clone()),
            http.clone(),
            service.clone(),
            limits.clone(),
            shutdown.clone(),
        )
    })
    .await
}

/// The services behind their defences, the outermost first: count and trace calls, shed what is too much, watch the
/// deadline, turn a panic into INTERNAL.
fn layered(
    routes: Routes,
    limits: &Limits,
    tracer: Tracer,
    shutdown: &CancellationToken,
) -> impl Service<
    Request<Incoming>,
    Response = Response<Body>,
    Error = Infallible,
    Future: Send + 'static,
> + Clone
+ Send
+ 'static {
    ServiceBuilder::new()
        .map_request(|request: Request<Incoming>| request.map(Body::new))
        .layer(observe::Layer::new(tracer))
        .layer(shed::Layer::new(limits))
        .layer(deadline::Layer::new(
            limits.call_deadline_max,
            limits.stream_drain_max,
            shutdown.clone(),
        ))
        .map_response(|response: Response<_>| response.map(Body::new))
        .layer(CatchPanicLayer::custom(panic::response))
        .service(routes)
}

fn http2_settings(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams_per_connection_max)
        .max_local_error_reset_streams(limits.local_resets_max)
        .max_header_list_size(limits.header_list_bytes_max)
        .keep_alive_interval(limits.keepalive_interval)
        .keep_alive_timeout(limits.keepalive_timeout);
    http
}

/// One connection from its beginning, which `opening` awaits, to its end.
async fn connection<S, I>(
    opening: impl Future<Output = Option<I>>,
    http: http2::Builder<TokioExecutor>,
    service: S,
    limits: Limits,
    shutdown: CancellationToken,
) where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let _open = observe::Connection::opened();
    let opening = tokio::time::timeout(limits.handshake_max, opening);
    let Some(Ok(Some(io))) = shutdown.run_until_cancelled(opening).await else {
        tracing::debug!("closed a connection that did not begin as it must");
        return;
    };
    let share = Share::default();
    let shared = share.clone();
    let service = service.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(shared.clone());
        request
    });
    let connection = http.serve_connection(TokioIo::new(io), TowerToHyperService::new(service));
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return log_end(ended),
        () = share.stalled(limits.answer_taken_max) => {
            tracing::debug!("closed a connection that takes no answers");
            return;
        }
        () = shutdown.cancelled() => {}
        () = tokio::time::sleep(limits.connection_age_max) => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        ended = connection.as_mut() => log_end(ended),
        () = tokio::time::sleep(limits.connection_age_grace) => {
            tracing::debug!("closed an aged connection with calls in flight");
        }
    }
}

fn log_end(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection failed");
    }
}

/// A new connection after its handshake, if it has one, and its preface; `None` when something else
/// came.
async fn opened(
    mut stream: TcpStream,
    tls: Option<tls::Server>,
) -> Option<impl AsyncRead + AsyncWrite + Unpin + Send + 'static> {
    let preface = Cursor::new(PREFACE);
    let Some(tls) = tls else {
        read_preface(&mut stream).await?;
        let (reader, writer) = stream.into_split();
        let whole = tokio::io::join(preface.chain(reader), writer);
        return Some(Either::Left(whole));
    };
    let secured = tls.accept(stream).await;
    let refused = |error| tracing::debug!(%error, "refused a connection: no TLS as it must be");
    let mut stream = secured.map_err(refused).ok()?;
    read_preface(&mut stream).await?;
    let (reader, writer) = tokio::io::split(stream);
    let whole = tokio::io::join(preface.chain(reader), writer);
    Some(Either::Right(whole))
}

/// Takes the preface off the connection; `None` when something else comes.
///
/// hyper would wait for the rest of half a preface without limit.
async fn read_preface(stream: &mut (impl AsyncRead + Unpin)) -> Option<()> {
    let mut buffer = [0; PREFACE.len()];
    let mut filled = 0;
    while filled < buffer.len() {
        let read = stream.read(&mut buffer[filled..]).await.ok()?;
        filled += read;
        if read == 0 || !PREFACE.starts_with(&buffer[..filled]) {
            return None;
        }
    }
    Some(())
}
