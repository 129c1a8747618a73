//! `shop schemas`: the event schemas, checked before they ship.

use std::io::{Write, stdout};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use evolution::Complaint;
use evolution::changes::changes;
use evolution::files::{History, Version};
use messaging::config::registry::RegistryAccessArgs;
use messaging::registry;

use crate::exit::{Exit, Failure};
use crate::schemas::registry::{Registered, Registry};
use crate::schemas::{self, next, released};

/// What to do with the schemas.
#[derive(Debug, Subcommand)]
pub enum SchemasCommand {
    /// Check every version of every schema: needs no registry and no network.
    ///
    /// Every version must read every earlier one and be read by it (FULL_TRANSITIVE), keep the
    /// rules of the house, read its golden bytes as the value they were written from; the newest
    /// must be what this program writes. Exit status 1 with file, field, rule and a fix for each
    /// breach.
    Check(CheckArgs),
    /// Set every subject to FULL_TRANSITIVE and register the versions that a registry lacks. Twice
    /// changes nothing.
    Register(RegisterArgs),
    /// Copy the newest version of a schema to the next.
    New(NameArgs),
    /// Write the golden bytes of new versions, from the examples in contracts/src/examples.rs.
    Golden(Directory),
    /// Show what changed from version to version.
    Diff(DiffArgs),
}

/// Where the schemas are.
#[derive(clap::Args, Debug)]
pub struct Directory {
    /// The directory of schemas: <namespace.Name>/v<N>.avsc, with v<N>.bin beside each.
    #[arg(long = "dir", value_name = "DIR", default_value = "schemas")]
    path: PathBuf,
}

/// The flags of `shop schemas check`.
#[derive(clap::Args, Debug)]
pub struct CheckArgs {
    #[command(flatten)]
    directory: Directory,

    /// A commit, branch or tag whose versions were released: they must not have changed.
    #[arg(long, value_name = "GIT_REF")]
    against: Vec<String>,

    /// A registry to compare with: its versions must be among the files, its levels
    /// FULL_TRANSITIVE.
    #[arg(long, value_name = "URL")]
    registry: Option<String>,

    #[command(flatten)]
    access: RegistryAccessArgs,
}

/// The flags of `shop schemas register`.
#[derive(clap::Args, Debug)]
pub struct RegisterArgs {
    /// The directory of schemas, checked first; without it, those that this program was built with.
    #[arg(long = "dir", value_name = "DIR")]
    directory: Option<PathBuf>,

    /// The registry.
    #[arg(
        long,
        value_name = "URL",
        env = "SHOP_REGISTRY",
        default_value = "http://127.0.0.1:8081"
    )]
    registry: String,

    #[command(flatten)]
    access: RegistryAccessArgs,
}

/// The flags of `shop schemas new`.
#[derive(clap::Args, Debug)]
pub struct NameArgs {
    /// The schema, in full (shop.order.PlaceOrder) or without its namespace.
    name: String,

    #[command(flatten)]
    directory: Directory,
}

/// The flags of `shop schemas diff`.
#[derive(clap::Args, Debug)]
pub struct DiffArgs {
    /// The schema, in full or without its namespace; all of them without it.
    name: Option<String>,

    #[command(flatten)]
    directory: Directory,
}

/// Carries out `command`.
pub(super) async fn run(command: &SchemasCommand) -> Result<(), Failure> {
    match command {
        SchemasCommand::Check(args) => check(args).await,
        SchemasCommand::Register(args) => register(args).await,
        SchemasCommand::New(args) => new(args),
        SchemasCommand::Golden(directory) => golden(&directory.path),
        SchemasCommand::Diff(args) => diff(args),
    }
}

async fn check(args: &CheckArgs) -> Result<(), Failure> {
    let directory = &args.directory.path;
    let histories = schemas::read(directory)?;
    let mut complaints = schemas::check(directory, &histories);
    for commit in &args.against {
        complaints.extend(released::check(directory, commit).await?);
    }
    if let Some(url) = &args.registry {
        let registry = registry_at(url, &args.access)?;
        for history in &histories {
            let found = registry.check(history).await;
            complaints.extend(found.map_err(|error| failed(&error))?);
            let status = registry.status(history).await;
            tell(&status.map_err(|error| failed(&error))?)?;
        }
    }
    verdict(&histories, &complaints)
}

fn registry_at(url: &str, access: &RegistryAccessArgs) -> Result<Registry, Failure> {
    let access = access.access(url);
    let access = access.map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    Registry::new(url, &access).map_err(|error| failed(&error))
}

async fn register(args: &RegisterArgs) -> Result<(), Failure> {
    let histories = match &args.directory {
        Some(directory) => {
            let histories = schemas::read(directory)?;
            verdict(&histories, &schemas::check(directory, &histories))?;
            histories
        }
        None => schemas::built_in(),
    };
    let registry = registry_at(&args.registry, &args.access)?;
    for history in &histories {
        let done = registry.register(history).await;
        tell(&done.map_err(|error| failed(&error))?)?;
    }
    Ok(())
}

fn new(args: &NameArgs) -> Result<(), Failure> {
    let directory = &args.directory.path;
    let histories = schemas::read(directory)?;
    let file = next::copy(directory, next::find(&histories, &args.name)?)?;
    writeln!(
        stdout(),
        "{}\n\nchange it, the Rust type in contracts/src, and append an example to \
         contracts/src/examples.rs; then\n  cargo shop schemas golden\n  cargo shop schemas check",
        file.display()
    )?;
    Ok(())
}

fn golden(directory: &Path) -> Result<(), Failure> {
    for history in &schemas::read(directory)? {
        if let Some(file) = next::write_golden(history)? {
            writeln!(stdout(), "{}", file.display())?;
        }
    }
    Ok(())
}

fn diff(args: &DiffArgs) -> Result<(), Failure> {
    let histories = schemas::read(&args.directory.path)?;
    let chosen = match &args.name {
        Some(name) => vec![next::find(&histories, name)?],
        None => histories.iter().collect(),
    };
    for history in chosen {
        if let [only] = history.versions.as_slice() {
            let number = only.number;
            writeln!(
                stdout(),
                "{}: version {number} is the only one",
                history.name
            )?;
        }
        for pair in history.versions.windows(2) {
            if let [old, new] = pair {
                compare(history, old, new)?;
            }
        }
    }
    Ok(())
}

fn compare(history: &History, old: &Version, new: &Version) -> Result<(), Failure> {
    let mut out = stdout().lock();
    let (name, before, now) = (&history.name, old.number, new.number);
    writeln!(out, "{name}: version {before} -> version {now}")?;
    let lines = changes(&old.text, &new.text);
    let lines = lines.map_err(|error| Failure::new(Exit::Refused, format!("{name}: {error}")))?;
    for line in lines {
        writeln!(out, "  {line}")?;
    }
    Ok(())
}

/// One line per version of a subject.
fn tell(versions: &[Registered]) -> Result<(), Failure> {
    let mut out = stdout().lock();
    for version in versions {
        let Registered {
            subject,
            version: number,
            ..
        } = version;
        match (version.id, version.before) {
            (Some(id), true) => writeln!(out, "{subject} version {number}: there as id {id}")?,
            (Some(id), false) => {
                writeln!(out, "{subject} version {number}: registered as id {id}")?
            }
            (None, _) => writeln!(out, "{subject} version {number}: not registered")?,
        }
    }
    Ok(())
}

fn verdict(histories: &[History], complaints: &[Complaint]) -> Result<(), Failure> {
    let mut out = stdout().lock();
    for complaint in complaints {
        writeln!(out, "{complaint}")?;
    }
    let versions: usize = histories.iter().map(|history| history.versions.len()).sum();
    let judged = format!("{} schemas, {versions} versions", histories.len());
    match complaints.len() {
        0 => Ok(writeln!(out, "{judged}: nothing to complain about")?),
        count => {
            let message = format!("{judged}: {count} to put right before they ship");
            Err(Failure::new(Exit::Refused, message))
        }
    }
}

fn failed(error: &registry::Error) -> Failure {
    let exit = match error.kind {
        registry::ErrorKind::Retry => Exit::Unreachable,
        registry::ErrorKind::Invalid => Exit::Usage,
        registry::ErrorKind::NotFound | registry::ErrorKind::Incompatible => Exit::Refused,
    };
    Failure::new(exit, error.to_string())
}
