//! The inventory service as a program of its own.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use messaging::config::TelemetryArgs;
use messaging::program::Program;

/// The inventory service: holds stock for orders, serves those who wait, answers queries.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    inventory: inventory::Args,

    #[command(flatten)]
    telemetry: TelemetryArgs,

    /// Where the gRPC queries and health are served.
    #[arg(
        long,
        env = "SHOP_LISTEN",
        value_name = "IP:PORT",
        default_value = "127.0.0.1:8901"
    )]
    listen: SocketAddr,

    /// Where metrics and readiness are served over HTTP.
    #[arg(
        long,
        env = "SHOP_LISTEN_HTTP",
        value_name = "IP:PORT",
        default_value = "127.0.0.1:9101"
    )]
    listen_http: SocketAddr,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let program = Program {
        name: "inventory",
        listen: cli.listen,
        listen_http: cli.listen_http,
        telemetry: cli.telemetry,
    };
    program
        .run(|listener, health, shutdown| inventory::run(cli.inventory, listener, health, shutdown))
        .await
}
