//! The commands with their flags: one file per family.

use clap::{Parser, Subcommand};

use crate::exit::Failure;
use crate::{demo, tail, up};

mod asking;
mod audit;
mod certs;
mod change;
mod explain;
mod load;
mod orders;
mod parked;
mod place;
mod probe;
mod schemas;
mod shards;
pub(crate) mod status;
mod stock;
mod token;

/// An online store whose services talk through a durable log, in one process; and its client.
///
/// Without a command it starts the whole store and puts the walkthrough's stock into it, as
/// `shop up --seed` does.
///
/// Exit status: 0; 1 refused, or --wait ended in another terminal status; 2 usage; 3 unreachable;
/// 4 time ran out with the order standing; 5 cannot start.
#[derive(Debug, Parser)]
#[command(name = "shop", version, verbatim_doc_comment)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the store, or some of its parts, in this process.
    Up(Box<up::Args>),
    /// Receive the walkthrough's stock: twice adds nothing.
    Seed(stock::SeedArgs),
    /// Place an order.
    Place(place::Args),
    /// Show an order.
    Order(orders::OrderArgs),
    /// List orders, newest first.
    Orders(orders::OrdersArgs),
    /// Show an order's states as they come, until a terminal one.
    Watch(orders::WatchArgs),
    /// Ask for an order to be cancelled.
    Cancel(change::CancelArgs),
    /// Ask for an order to be shipped.
    Complete(change::CompleteArgs),
    /// Receive stock.
    Receive(stock::ReceiveArgs),
    /// Show stock.
    Stock(stock::StockArgs),
    /// Show the log's messages, each on a line, as they come.
    Tail(tail::Args),
    /// Prove that the store kept its promises, from its topics and its rows, or name who broke them.
    ///
    /// Works on a store under traffic: what is in flight is said not to be judged yet. Exit status 1
    /// with the offenders.
    Audit(audit::Args),
    /// Tell an order's way through the services, and what it waits for.
    Explain(explain::Args),
    /// Show who owns each shard, its epoch, how far it has read, its lag and its outbox.
    Shards(shards::Args),
    /// List, show, replay or discard messages that the services have set aside.
    #[command(subcommand)]
    Parked(parked::ParkedCommand),
    /// Check, register, continue and compare the event schemas.
    #[command(subcommand)]
    Schemas(schemas::SchemasCommand),
    /// Ask a program whether it is ready, and what is in the way if it is not: exit status 1 then.
    Probe(probe::Args),
    /// Make an authority and certificates for a store with TLS, for development.
    Certs(certs::Args),
    /// Make a token for a store on this machine that demands them, with a key that is made with the first.
    Token(token::Args),
    /// Place many orders, and tell how fast the store is and what it costs.
    Load(Box<load::Args>),
    /// Tell and show what the store promises, in a store of its own.
    Demo(demo::Args),
}

/// Reads the command line; ends the process with status 2 when it cannot be used.
#[must_use]
pub fn parse() -> Command {
    Cli::parse().command.unwrap_or_else(|| {
        let args = up::Args {
            seed: true,
            ..up::Args::default()
        };
        Command::Up(Box::new(args))
    })
}

/// Carries out `command`.
///
/// # Errors
/// What went wrong, with the exit status.
pub async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Up(args) => up::run(*args).await,
        Command::Seed(args) => stock::seed(&args).await,
        Command::Place(args) => place::place(&args).await,
        Command::Order(args) => orders::order(&args).await,
        Command::Orders(args) => orders::orders(&args).await,
        Command::Watch(args) => orders::watch(&args).await,
        Command::Cancel(args) => change::cancel(&args).await,
        Command::Complete(args) => change::complete(&args).await,
        Command::Receive(args) => stock::receive(&args).await,
        Command::Stock(args) => stock::stock(&args).await,
        Command::Tail(args) => tail::run(&args).await,
        Command::Audit(args) => audit::audit(&args).await,
        Command::Explain(args) => explain::explain(&args).await,
        Command::Shards(args) => shards::shards(&args).await,
        Command::Parked(command) => parked::run(&command).await,
        Command::Schemas(command) => schemas::run(&command).await,
        Command::Probe(args) => probe::probe(&args).await,
        Command::Certs(args) => certs::certs(&args),
        Command::Token(args) => token::token(&args),
        Command::Load(args) => load::load(&args).await,
        Command::Demo(args) => demo::run(args).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_are_those_of_the_command_line() {
        let Some(Command::Up(parsed)) = Cli::parse_from(["shop", "up"]).command else {
            panic!("up is a command");
        };
        assert_eq!(format!("{parsed:?}"), format!("{:?}", up::Args::default()));
    }
}
