//! The gateway as a program of its own.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use messaging::config::TelemetryArgs;
use messaging::program::Program;

/// The public edge of the store: gRPC in, commands into the log.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    gateway: gateway::Args,

    #[command(flatten)]
    telemetry: TelemetryArgs,

    /// Where the public gRPC API is served.
    #[arg(
        long,
        env = "SHOP_LISTEN",
        value_name = "IP:PORT",
        default_value = "127.0.0.1:8900"
    )]
    listen: SocketAddr,

    /// Where metrics and readiness are served over HTTP.
    #[arg(
        long,
        env = "SHOP_LISTEN_HTTP",
        value_name = "IP:PORT",
        default_value = "127.0.0.1:9103"
    )]
    listen_http: SocketAddr,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let program = Program {
        name: "gateway",
        listen: cli.listen,
        listen_http: cli.listen_http,
        telemetry: cli.telemetry,
    };
    program
        .run(|listener, health, shutdown| gateway::run(cli.gateway, listener, health, shutdown))
        .await
}
