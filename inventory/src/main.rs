//! The inventory service as a program of its own.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use messaging::config::{StoreLocation, TelemetryArgs};
use messaging::program::{self, Program};

/// The inventory service: holds stock for orders, serves those who wait, answers queries.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    inventory: inventory::Args,

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
        return program::exit("inventory", inventory::migrate(&store).await);
    }
    let program = Program {
        name: "inventory",
        listen: cli.listen,
        listen_http: cli.listen_http,
        telemetry: cli.telemetry,
    };
    program
        .run(async |listener, health, shutdown| {
            if cli.migrate {
                inventory::migrate(&cli.inventory.store).await?;
            }
            inventory::run(cli.inventory, listener, health, shutdown).await
        })
        .await
}
