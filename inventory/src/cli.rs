//! The command line of the inventory service.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use messaging::config::{StoreLocation, TelemetryArgs};
use messaging::program::{self, Program};

/// The inventory service: holds stock for orders, serves those who wait, answers queries.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    inventory: crate::Args,

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

#[derive(Debug, Subcommand)]
enum Command {
    /// Brings the tables of a Postgres database up to date, and ends.
    Migrate {
        /// The database, as postgres://USER:PASSWORD@HOST:PORT/DATABASE.
        #[arg(long, env = "SHOP_STORE", hide_env_values = true, value_name = "URL")]
        store: StoreLocation,
    },
}

impl Cli {
    /// Runs the program; the exit status says how it ended.
    pub async fn run(self) -> ExitCode {
        if let Some(Command::Migrate { store }) = self.command {
            return program::exit("inventory", crate::migrate(&store).await);
        }
        let program = Program {
            name: "inventory",
            listen: self.listen,
            listen_http: self.listen_http,
            telemetry: self.telemetry,
        };
        program
            .run(async |listener, health, shutdown| {
                if self.migrate {
                    crate::migrate(&self.inventory.store).await?;
                }
                crate::run(self.inventory, listener, health, shutdown).await
            })
            .await
    }
}
