//! The order service as a program of its own.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use messaging::config::TelemetryArgs;
use messaging::health::Health;
use messaging::{server, telemetry};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit status of a service that cannot start.
const CANNOT_START: u8 = 5;

/// The order service: takes orders from the log, follows what becomes of them, answers queries.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    order: order::Args,

    #[command(flatten)]
    telemetry: TelemetryArgs,

    /// Where the gRPC queries and health are served.
    #[arg(
        long,
        env = "SHOP_LISTEN",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:8902"
    )]
    listen: SocketAddr,

    /// Where metrics and readiness are served over HTTP.
    #[arg(
        long,
        env = "SHOP_LISTEN_HTTP",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:9102"
    )]
    listen_http: SocketAddr,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    telemetry::init_logs(cli.telemetry.log_format);
    match run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("order: {error}");
            ExitCode::from(CANNOT_START)
        }
    }
}

async fn run(cli: Cli) -> Result<(), Box<dyn std::error::Error>> {
    let metrics = telemetry::metrics();
    let grpc = server::bind("--listen", cli.listen)?;
    let http = server::bind("--listen-http", cli.listen_http)?;
    tracing::info!(grpc = %grpc.local_addr()?, http = %http.local_addr()?, "listening");
    let health = Health::new();
    let shutdown = CancellationToken::new();
    let parts = vec![("order".to_owned(), health.clone())];
    let service = async {
        let ended = order::run(cli.order, grpc, health, shutdown.clone()).await;
        // However it ended, nothing is left to report on.
        shutdown.cancel();
        ended.map_err(Into::into)
    };
    let reports = async {
        server::serve_http(http, parts, metrics, shutdown.clone())
            .await
            .map_err(Into::into)
    };
    let signals = async {
        until_told_to_stop(&shutdown).await?;
        shutdown.cancel();
        Ok::<(), Box<dyn std::error::Error>>(())
    };
    tokio::try_join!(service, reports, signals).map(|_| ())
}

/// Completes at SIGINT or SIGTERM, or when the service ends by itself.
async fn until_told_to_stop(shutdown: &CancellationToken) -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => tracing::info!("interrupted, draining"),
        _ = terminate.recv() => tracing::info!("told to stop, draining"),
        () = shutdown.cancelled() => {}
    }
    Ok(())
}
