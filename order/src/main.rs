//! The order service as a program of its own.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use messaging::config::TelemetryArgs;
use messaging::program::Program;

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
        value_name = "IP:PORT",
        default_value = "127.0.0.1:8902"
    )]
    listen: SocketAddr,

    /// Where metrics and readiness are served over HTTP.
    #[arg(
        long,
        env = "SHOP_LISTEN_HTTP",
        value_name = "IP:PORT",
        default_value = "127.0.0.1:9102"
    )]
    listen_http: SocketAddr,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let program = Program {
        name: "order",
        listen: cli.listen,
        listen_http: cli.listen_http,
        telemetry: cli.telemetry,
    };
    program
        .run(|listener, health, shutdown| order::run(cli.order, listener, health, shutdown))
        .await
}
