//! The command line of the gateway.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use messaging::config::TelemetryArgs;
use messaging::program::Program;

/// The public edge of the store: gRPC in, commands into the log.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Cli {
    #[command(flatten)]
    gateway: crate::Args,

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

impl Cli {
    /// Runs the program; the exit status says how it ended.
    pub async fn run(self) -> ExitCode {
        let program = Program {
            name: "gateway",
            listen: self.listen,
            listen_http: self.listen_http,
            telemetry: self.telemetry,
        };
        program
            .run(|listener, health, shutdown| crate::run(self.gateway, listener, health, shutdown))
            .await
    }
}
