//! The HTTP server for operators: metrics, liveness, readiness.

use std::pin::pin;
use std::sync::Arc;

use ::http::StatusCode;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::{Error, Limits, connections};
use crate::health::{Condition, Health};
use crate::telemetry::Metrics;

/// Serves `/metrics` (Prometheus text), `/livez` (200 while the process answers) and `/readyz`
/// (200 when every part of every service in `health` runs, else 503; the body is JSON with the
/// condition of each part) until `shutdown`.
///
/// # Errors
/// When the listener cannot be used.
pub async fn serve_http(
    listener: std::net::TcpListener,
    health: Vec<(String, Health)>,
    metrics: Metrics,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    serve_http_within(Limits::default(), listener, health, metrics, shutdown).await
}

/// As [`serve_http`], within `limits`.
///
/// # Errors
/// As [`serve_http`].
pub async fn serve_http_within(
    limits: Limits,
    listener: std::net::TcpListener,
    health: Vec<(String, Health)>,
    metrics: Metrics,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let health = Arc::new(health);
    let observed = (metrics.clone(), Arc::clone(&health));
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .with_state(health)
        .route("/metrics", get(render).with_state(observed));
    let mut http = http1::Builder::new();
    // A connection is not kept after its answer: its whole life is bounded, and who does not take the
    // answer holds no place for long.
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.handshake_max)
        .keep_alive(false);
    let serving = connections::serve(listener, &limits, &shutdown, |stream| {
        let connection = connection(stream, http.clone(), router.clone(), shutdown.clone());
        let within = tokio::time::timeout(limits.call_deadline_max, connection);
        async move {
            if within.await.is_err() {
                tracing::debug!("closed an HTTP connection that took too long");
            }
        }
    });
    tokio::select! {
        served = serving => served,
        never = metrics.upkeep() => match never {},
    }
}

async fn connection(
    stream: TcpStream,
    http: http1::Builder,
    router: Router,
    shutdown: CancellationToken,
) {
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection failed");
    }
}

type Services = Arc<Vec<(String, Health)>>;

async fn render(
    State((metrics, services)): State<(Metrics, Services)>,
) -> ([(&'static str, &'static str); 1], String) {
    for (name, health) in services.iter() {
        let ready = f64::from(u8::from(health.is_ready()));
        metrics::gauge!("service_ready", "service" => name.clone()).set(ready);
    }
    (
        [("content-type", "text/plain; version=0.0.4")],
        metrics.render(),
    )
}

async fn readyz(State(services): State<Services>) -> (StatusCode, Json<serde_json::Value>) {
    let ready = !services.is_empty() && services.iter().all(|(_, health)| health.is_ready());
    let code = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let report: serde_json::Map<_, _> = services
        .iter()
        .map(|(name, health)| (name.clone(), report(health)))
        .collect();
    (
        code,
        Json(serde_json::json!({ "ready": ready, "services": report })),
    )
}

/// One service's parts: `{"ready": false, "parts": {"log": {"condition": "stalled", ...}}}`.
fn report(health: &Health) -> serde_json::Value {
    let parts: serde_json::Map<_, _> = health
        .report()
        .into_iter()
        .map(|(part, condition)| (part, describe(&condition)))
        .collect();
    serde_json::json!({ "ready": health.is_ready(), "parts": parts })
}

fn describe(condition: &Condition) -> serde_json::Value {
    match condition {
        Condition::Starting => serde_json::json!({ "condition": "starting" }),
        Condition::Running => serde_json::json!({ "condition": "running" }),
        Condition::Stalled { reason } => {
            serde_json::json!({ "condition": "stalled", "reason": reason })
        }
        Condition::Stopped { reason } => {
            serde_json::json!({ "condition": "stopped", "reason": reason })
        }
    }
}
