//! The order service as a program of its own.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use messaging::config::{StoreLocation, TelemetryArgs};
use messaging::program::{self, Program};

/// The order service: takes orders from the log, follows what becomes of them, answers queries.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    order: order::Args,

    /// Bring the database's tables up to date first; its user must be allowed to.
    #[arg(long, env = "SHOP_MIGRATE")]
    migrate: bool,

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

#[derive(Subcommand)]
enum Command {
    /// Brings the tables of a Postgres database up to date, and ends.
    Migrate {
        /// The database, as postgres://USER:PASSWORD@HOST:PORT/DATABASE.
        #[arg(long, env = "SHOP_STORE", hide_env_values = true, value_name = "URL")]
        store: StoreLocation,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(Command::Migrate { store }) = cli.command {
        return program::exit("order", order::migrate(&store).await);
    }
    let program = Program {
        name: "order",
        listen: cli.listen,
        listen_http: cli.listen_http,
        telemetry: cli.telemetry,
    };
    program
        .run(async |listener, health, shutdown| {
            if cli.migrate {
                order::migrate(&cli.order.store).await?;
            }
            order::run(cli.order, listener, health, shutdown).await
        })
        .await
}
