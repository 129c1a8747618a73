//! A store seen from behind: its log, registry and databases, past every proxy and process.

use std::path::PathBuf;

use super::database::Database;
use super::process::Role;
use super::topics::Topics;
use super::unreadable;

/// The services that have a database.
pub(crate) const SERVICES: [Role; 2] = [Role::Order, Role::Inventory];

/// Where a service keeps its data.
#[derive(Clone, Debug)]
pub(crate) enum Location {
    /// A file of SQLite.
    File(PathBuf),
    /// The URL of a database of PostgreSQL.
    Server(String),
}

/// Where everything is that outlives the processes.
#[derive(Clone, Debug)]
pub(crate) struct Backstage {
    pub(crate) brokers: Vec<String>,
    pub(crate) registry: String,
    pub(crate) order: Location,
    pub(crate) inventory: Location,
}

impl Backstage {
    /// Where `role` keeps its data.
    pub(crate) fn location(&self, role: Role) -> &Location {
        match role {
            Role::Order => &self.order,
            Role::Inventory => &self.inventory,
            other => panic!("{} has no database", other.name()),
        }
    }

    /// The database of `role`.
    pub(crate) async fn database(&self, role: Role) -> Result<Database, sqlx::Error> {
        Database::open(self.location(role)).await
    }

    /// What both databases and the log hold, line by line.
    ///
    /// # Errors
    /// With what cannot be read.
    pub(crate) async fn everything(&self) -> Result<Vec<String>, String> {
        let mut all = self.dump().await.map_err(unreadable)?;
        let ends = Topics::of(self).ends().await;
        let ends = ends.map_err(|error| error.to_string())?.into_iter();
        all.extend(ends.map(|end| format!("log: {end:?}")));
        Ok(all)
    }

    async fn dump(&self) -> Result<Vec<String>, sqlx::Error> {
        let mut all = Vec::new();
        for role in SERVICES {
            let lines = self.database(role).await?.dump().await?.into_iter();
            all.extend(lines.map(|line| format!("{}: {line}", role.name())));
        }
        Ok(all)
    }
}
