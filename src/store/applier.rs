//! Brings the journal into the database, batch by batch, whenever the database is there.
//!
//! A batch is one transaction that begins by moving the journal's mark from where it was: whoever else brings in the same journal, a
//! statement of ours that was given up as lost for instance, either has moved it before, and ours changes nothing, or cannot any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sqlx::AnyConnection;
use sqlx::{Connection, Row};
use tokio::sync::{Notify, watch};

use super::apply::{self, Origin, int};
use super::database::{Database, migrate};
use super::outbox::Subscriptions;
use super::segments::{Numbered, Place, Segments};
use super::{Unsettled, record::Record, unix_ms};

/// Records in one transaction: few enough for a slow database to take them in time, many enough to share a sync.
const BATCH: usize = 256;
/// How long one transaction may take before its connection is given up.
const BATCH_TIMEOUT: Duration = Duration::from_secs(20);
/// How often a database that is not there is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// How often the database is told that this bridge lives.
const SEEN_EVERY: Duration = Duration::from_secs(30);
/// A bridge that was not seen for so long is dead, and its calls with it.
const DEAD_AFTER: Duration = Duration::from_secs(600);
/// Calls closed in one transaction.
const CLOSED_AT_ONCE: i64 = 200;

/// What the rest of the store sees of it.
#[derive(Debug)]
pub struct Standing {
    /// The database answers.
    pub connected: AtomicBool,
    /// The number of the last record that is in the database; `None` until the journal of earlier runs is, and their calls are closed.
    pub applied: watch::Sender<Option<u64>>,
    /// Rung when webhooks may have come.
    pub news: Notify,
}

impl Default for Standing {
    fn default() -> Self {
        Self { connected: AtomicBool::new(false), applied: watch::Sender::new(None), news: Notify::new() }
    }
}

/// Brings one journal in.
pub struct Applier {
    pub segments: Arc<Segments>,
    pub journal: String,
    pub boot: String,
    pub database: Database,
    pub wanted: Subscriptions,
    pub standing: Arc<Standing>,
    pub unsettled: Arc<Unsettled>,
}

/// Why work on the database stopped.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{0}")]
    Database(#[from] sqlx::Error),
    #[error("migration: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    #[error("it does not answer")]
    TimedOut,
    #[error("somebody else brings in this journal")]
    Overtaken,
    #[error("reading the journal: {0}")]
    Journal(#[from] std::io::Error),
}

impl Applier {
    /// Works until it is aborted.
    pub async fn run(self) {
        self.retry(false).await;
    }

    /// Works until nothing of the journal is left, for one that nobody writes to.
    pub async fn finish(self) {
        self.retry(true).await;
    }

    async fn retry(&self, once: bool) {
        let mut told = false;
        loop {
            let trouble = match self.work(once, &mut told).await {
                Ok(()) => return,
                Err(trouble) => trouble,
            };
            self.standing.connected.store(false, Ordering::Relaxed);
            metrics::gauge!("aria_database_connected").set(0.0);
            metrics::counter!("aria_database_errors_total").increment(1);
            if !std::mem::replace(&mut told, true) {
                tracing::error!(error = %trouble, "the database is not there: records wait in the journal");
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn work(&self, once: bool, told: &mut bool) -> Result<(), Trouble> {
        let mut connection = self.database.connect().await?;
        let mut applied = in_time(self.prepare(&mut connection)).await?;
        if std::mem::take(told) {
            tracing::warn!("the database is there again");
        }
        self.standing.connected.store(true, Ordering::Relaxed);
        metrics::gauge!("aria_database_connected").set(1.0);
        let (since, mut place, mut closed, mut seen) =
            (Instant::now(), Place::default(), false, Instant::now());
        loop {
            let (segments, at) = (Arc::clone(&self.segments), place);
            let reading = tokio::task::spawn_blocking(move || segments.read(at, BATCH));
            let (mut records, behind) = reading.await.map_err(std::io::Error::other)??;
            let empty = records.is_empty();
            records.retain(|(number, _)| *number > applied);
            if let Some((last, _)) = records.last() {
                let last = *last;
                in_time(self.bring_in(&mut connection, applied, last, &records)).await?;
                applied = last;
                metrics::counter!("aria_records_written_total").increment(records.len() as u64);
                self.unsettled.settle(&records);
            }
            place = behind;
            if closed {
                self.standing.applied.send_replace(Some(applied));
                self.standing.news.notify_one();
            }
            if let Err(error) = self.segments.forget(place) {
                tracing::warn!(%error, "a segment of the journal could not be removed");
            }
            metrics::gauge!("aria_journal_bytes").set(self.segments.total_bytes() as f64);
            if seen.elapsed() >= SEEN_EVERY {
                seen = Instant::now();
                in_time(self.seen(&mut connection, since)).await?;
            }
            if !empty {
                continue;
            }
            if !std::mem::replace(&mut closed, true) {
                // What earlier runs left open is closed once all they recorded is there.
                let open =
                    "SELECT sid FROM calls WHERE call_end IS NULL AND journal = $1 AND boot <> $2 LIMIT $3";
                while in_time(self.close(&mut connection, open, &self.journal, &self.boot)).await? {}
                if once {
                    return Ok(());
                }
                self.standing.applied.send_replace(Some(applied));
                self.standing.news.notify_one();
            }
            // Nobody grows a journal of the dead, and this one is told.
            let _ = tokio::time::timeout(SEEN_EVERY, self.segments.grown()).await;
        }
    }

    /// The tables, and how far this journal is in them.
    async fn prepare(&self, connection: &mut AnyConnection) -> Result<u64, Trouble> {
        migrate(connection).await?;
        let sql = "INSERT INTO journals (id, applied, seen_ms) VALUES ($1, 0, $2) \
                   ON CONFLICT (id) DO UPDATE SET seen_ms = excluded.seen_ms";
        sqlx::query(sql).bind(self.journal.clone()).bind(int(unix_ms())).execute(&mut *connection).await?;
        let sql = "SELECT applied FROM journals WHERE id = $1";
        let row = sqlx::query(sql).bind(self.journal.clone()).fetch_one(connection).await?;
        Ok(row.try_get::<i64, _>("applied")? as u64)
    }

    async fn bring_in(
        &self,
        connection: &mut AnyConnection,
        from: u64,
        to: u64,
        records: &[Numbered],
    ) -> Result<(), Trouble> {
        let mut transaction = connection.begin().await?;
        let sql = "UPDATE journals SET applied = $3 WHERE id = $1 AND applied = $2";
        let query = sqlx::query(sql).bind(self.journal.clone()).bind(int(from)).bind(int(to));
        if query.execute(&mut *transaction).await?.rows_affected() != 1 {
            return Err(Trouble::Overtaken);
        }
        let origin = self.origin();
        for (number, record) in records {
            apply::apply(&mut transaction, &origin, *number, record).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Tells that this bridge lives, and closes the calls of those that do not.
    async fn seen(&self, connection: &mut AnyConnection, since: Instant) -> Result<(), Trouble> {
        let now = unix_ms();
        let sql = "UPDATE journals SET seen_ms = $2 WHERE id = $1";
        sqlx::query(sql).bind(self.journal.clone()).bind(int(now)).execute(&mut *connection).await?;
        // After an outage nobody was seen for a while, and everybody may be well.
        if since.elapsed() < DEAD_AFTER {
            return Ok(());
        }
        let dead = "SELECT sid FROM calls WHERE call_end IS NULL AND journal IN \
                    (SELECT id FROM journals WHERE seen_ms < CAST($1 AS BIGINT) AND id <> $2) LIMIT $3";
        let cutoff = now.saturating_sub(DEAD_AFTER.as_millis() as u64).to_string();
        while self.close(connection, dead, &cutoff, &self.journal).await? {}
        Ok(())
    }

    /// Closes calls that `open` finds. Whether there were any.
    async fn close(
        &self,
        connection: &mut AnyConnection,
        open: &'static str,
        first: &str,
        second: &str,
    ) -> Result<bool, Trouble> {
        let mut transaction = connection.begin().await?;
        let query = sqlx::query(open).bind(first.to_owned()).bind(second.to_owned()).bind(CLOSED_AT_ONCE);
        let rows = query.fetch_all(&mut *transaction).await?;
        let origin = self.origin();
        let mut closed = 0;
        for row in rows {
            closed += u64::from(apply::abort(&mut transaction, &origin, row.try_get("sid")?).await?);
        }
        transaction.commit().await?;
        if closed > 0 {
            metrics::counter!("aria_calls_ended_total", "reason" => super::ABORTED).increment(closed);
            tracing::warn!(calls = closed, "calls that a dead bridge had left open are closed");
        }
        Ok(closed > 0)
    }

    fn origin(&self) -> Origin<'_> {
        Origin { journal: &self.journal, boot: &self.boot, wanted: &self.wanted, now_ms: unix_ms() }
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    tokio::time::timeout(BATCH_TIMEOUT, work).await.unwrap_or(Err(Trouble::TimedOut))
}

impl Unsettled {
    fn settle(&self, records: &[Numbered]) {
        for (_, record) in records {
            if let Record::Ended(ended) = record {
                self.remove(&ended.sid);
            }
        }
    }
}
