//! The command line of the order service.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use messaging::config::{StoreLocation, TelemetryArgs};
use messaging::program::{self, Program};

/// The order service: takes orders from the log, follows what becomes of them, answers queries.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    order: crate::Args,

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
            return program::exit("order", crate::migrate(&store).await);
        }
        let program = Program {
            name: "order",
            listen: self.listen,
            listen_http: self.listen_http,
            telemetry: self.telemetry,
        };
        program
            .run(async |listener, health, shutdown| {
                if self.migrate {
                    crate::migrate(&self.order.store).await?;
                }
                crate::run(self.order, listener, health, shutdown).await
            })
            .await
    }
}
