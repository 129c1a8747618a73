//! Places where a store can keep its log and its data: in its own process, on PostgreSQL, on Apache
//! Kafka. What a store does is the same at each.

#![allow(dead_code, reason = "each test file uses its part of this")]

use std::sync::{Mutex, MutexGuard, PoisonError};

use messaging::ids::{Ids, SystemIds};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};

use crate::support::{Elsewhere, Up};
use crate::topics;

/// The topics of a cluster have fixed names: one test at a time.
static CLUSTER: Mutex<()> = Mutex::new(());

/// Where the stores of one test keep what they keep.
pub(crate) struct Place {
    pub(crate) elsewhere: Elsewhere,
    /// A database on the server for each service, to be removed.
    schemas: Vec<String>,
    _cluster: Option<MutexGuard<'static, ()>>,
}

impl Place {
    /// In their own process.
    pub(crate) fn here() -> Self {
        Self {
            elsewhere: Elsewhere::default(),
            schemas: Vec::new(),
            _cluster: None,
        }
    }

    /// The databases on the server that `MESSAGING_TEST_POSTGRES` names, the log in their process.
    pub(crate) fn postgres() -> Self {
        let url = variable("MESSAGING_TEST_POSTGRES");
        let mut place = Self::here();
        for service in ["SHOP_STORE_ORDER", "SHOP_STORE_INVENTORY"] {
            let schema = format!("test_{}", SystemIds.fresh().simple());
            execute(&url, format!("CREATE SCHEMA {schema}"));
            let mark = if url.contains('?') { '&' } else { '?' };
            let store = format!("{url}{mark}options[search_path]={schema}");
            place.elsewhere.0.push((service, store));
            place.schemas.push(schema);
        }
        place.elsewhere.0.push(("SHOP_MIGRATE", "true".to_owned()));
        place
    }

    /// The log on the cluster that `MESSAGING_TEST_KAFKA` names, the databases in their process.
    pub(crate) fn cluster() -> Self {
        let cluster = CLUSTER.lock().unwrap_or_else(PoisonError::into_inner);
        let brokers = variable("MESSAGING_TEST_KAFKA");
        let names = brokers.split(',').map(str::to_owned).collect();
        in_runtime(topics::forget(names, &contracts::topics::ALL));
        Self {
            elsewhere: Elsewhere(vec![("SHOP_LOG", brokers)]),
            schemas: Vec::new(),
            _cluster: Some(cluster),
        }
    }

    /// Both: the databases on the server, the log on the cluster.
    pub(crate) fn servers() -> Self {
        let mut place = Self::cluster();
        let mut databases = Self::postgres();
        place.elsewhere.0.append(&mut databases.elsewhere.0);
        place.schemas.append(&mut databases.schemas);
        place
    }

    /// Changes the database that a variable names.
    pub(crate) fn execute(&self, service: &str, statement: &str) {
        let store = self.elsewhere.get(service).unwrap();
        execute(store, statement.to_owned());
    }

    /// Starts `shop up` and waits until it is ready.
    pub(crate) fn start(&self, arguments: &[&str]) -> Up {
        Up::spawn_beside(&self.elsewhere, arguments).ready()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for schema in &self.schemas {
            let url = variable("MESSAGING_TEST_POSTGRES");
            execute(&url, format!("DROP SCHEMA {schema} CASCADE"));
        }
    }
}

/// What a script under `tests/` has printed.
pub(crate) fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: see tests/"))
}

fn execute(url: &str, statement: String) {
    in_runtime(async {
        let options: PgConnectOptions = url.parse().unwrap();
        let mut connection: PgConnection = options.connect().await.unwrap();
        connection.execute(AssertSqlSafe(statement)).await.unwrap();
    });
}

fn in_runtime<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(work)
}

/// Runs each test at every place.
#[macro_export]
macro_rules! at_every_place {
    ($($test:ident,)*) => {
        mod here {
            $(#[test]
            fn $test() {
                super::$test(&super::Place::here());
            })*
        }

        mod postgres {
            $(#[test]
            #[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
            fn $test() {
                super::$test(&super::Place::postgres());
            })*
        }

        mod cluster {
            $(#[test]
            #[ignore = "needs Kafka: export $(tests/kafka up), which sets MESSAGING_TEST_KAFKA"]
            fn $test() {
                super::$test(&super::Place::cluster());
            })*
        }
    };
}
