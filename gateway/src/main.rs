//! The gateway as a process of its own.

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use messaging::config::TelemetryArgs;
use messaging::health::Health;
use messaging::{server, telemetry};
use tokio_util::sync::CancellationToken;

/// Exit status of a process that cannot start.
const CANNOT_START: u8 = 5;

/// The public edge of the store: gRPC in, commands into the log.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    gateway: gateway::Args,

    /// Address of the public gRPC API.
    #[arg(
        long,
        env = "SHOP_LISTEN",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:8900"
    )]
    listen: SocketAddr,

    /// Address of metrics and readiness (HTTP).
    #[arg(
        long,
        env = "SHOP_LISTEN_HTTP",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:9103"
    )]
    listen_http: SocketAddr,

    #[command(flatten)]
    telemetry: TelemetryArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    telemetry::init_logs(cli.telemetry.log_format);
    match run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway: {error}");
            ExitCode::from(CANNOT_START)
        }
    }
}

async fn run(cli: Cli) -> Result<(), Box<dyn Error>> {
    let grpc = server::bind("--listen", cli.listen)?;
    let http = server::bind("--listen-http", cli.listen_http)?;
    let shutdown = CancellationToken::new();
    let signalled = server::cancel_on_signal(shutdown.clone())?;
    tracing::info!(grpc = %grpc.local_addr()?, http = %http.local_addr()?, "the gateway listens");
    let health = Health::new();
    let parts = vec![("gateway".to_owned(), health.clone())];
    let observed = server::serve_http(http, parts, telemetry::metrics(), shutdown.clone());
    let serve = async {
        // When it cannot go on, everything else ends with it.
        let _stop = shutdown.clone().drop_guard();
        gateway::run(cli.gateway, grpc, health, shutdown.clone()).await
    };
    let (served, observed, ()) = tokio::join!(serve, observed, signalled);
    served?;
    observed?;
    Ok(())
}
