//! The database behind `database_url`: SQLite or Postgres through one driver and one set of statements.
//!
//! `sqlx::Any` takes `$1` for both and knows integers, floats and text; that is all the schema uses.

use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, AnyPool, ConnectOptions, Connection, Executor, SqlSafeStr};

/// Connections for the API, the outbox and retention together. The journal has one of its own.
const CONNECTIONS: u32 = 4;
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request for a record may wait for a connection: below [`super::QUERY_TIMEOUT`], which also has to read.
const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(1_500);

/// For each SQLite connection. A commit is synced (FULL), because the journal is dropped once the database has its records; readers
/// never wait for the writer (WAL); a writer waits 2 s for another.
const SQLITE: &str = "PRAGMA busy_timeout = 2000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;";
/// For each Postgres connection: the same promise, whatever the server's own default.
const POSTGRES: &str = "SET synchronous_commit = on";

/// Where records are kept.
#[derive(Debug, Clone)]
pub struct Database {
    options: AnyConnectOptions,
    greeting: &'static str,
}

impl Database {
    /// For a URL that the configuration has found valid: `sqlite:` and a path, or `postgres://`.
    pub fn new(url: &str) -> sqlx::Result<Self> {
        sqlx::any::install_default_drivers();
        let sqlite = url.starts_with("sqlite:");
        let url = match (sqlite, url.contains('?')) {
            // A file that is not there is made.
            (true, false) => format!("{url}?mode=rwc"),
            (true, true) if !url.contains("mode=") => format!("{url}&mode=rwc"),
            _ => url.to_owned(),
        };
        // Statements are logged nowhere: what they carry is personal.
        let options = url.parse::<AnyConnectOptions>()?.disable_statement_logging();
        Ok(Self { options, greeting: if sqlite { SQLITE } else { POSTGRES } })
    }

    /// A connection of one's own. Dropped in the middle of anything, it takes its transaction with it.
    pub async fn connect(&self) -> sqlx::Result<AnyConnection> {
        let connecting = async {
            let mut connection = AnyConnection::connect_with(&self.options).await?;
            connection.execute(self.greeting).await?;
            Ok(connection)
        };
        tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    /// Connections for everybody else. None is made before it is needed.
    pub fn pool(&self) -> AnyPool {
        let greeting = self.greeting;
        AnyPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(move |connection, _| {
                Box::pin(async move { connection.execute(greeting).await.map(drop) })
            })
            .connect_lazy_with(self.options.clone())
    }
}

/// Brings the tables up to what this version needs. What is there already stays.
pub async fn migrate(connection: &mut AnyConnection) -> Result<(), sqlx::migrate::MigrateError> {
    let records = Migration::new(
        1,
        "records".into(),
        MigrationType::Simple,
        include_str!("schema/0001_records.sql").into_sql_str(),
        false,
    );
    Migrator::with_migrations(vec![records]).run_direct(None, connection, false).await
}
