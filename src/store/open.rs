//! Opening the records at start: takes a journal, begins what works on it.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::RngExt;
use sqlx::AnyPool;
use tokio::task::JoinSet;

use super::applier::{Applier, Standing};
use super::database::{Database, migrate};
use super::delivery::Courier;
use super::disk::Disk;
use super::outbox::Subscriptions;
use super::prune::{Which, prune};
use super::segments::Segments;
use super::slot::Slot;
use super::{Store, Unsettled, journal, unix_ms};
use crate::config::RecordSettings;
use crate::recording::Eraser;

/// How often records that are too old are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
/// How long after the start they are for the first time: the journal comes first.
const PRUNE_FIRST: Duration = Duration::from_secs(60);
const DAY_MS: u64 = 24 * 3600 * 1000;

/// Why records cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder of the journal.
    #[error("the journal in {}: {source} (it is beside the database; records.journal or ARIA_RECORDS_JOURNAL puts it elsewhere)", folder.display())]
    Journal {
        /// Where.
        folder: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The database's URL.
    #[error("DATABASE_URL / database_url: {0}")]
    Url(sqlx::Error),
    /// The client that sends webhooks.
    #[error("webhooks: {0}")]
    Webhooks(reqwest::Error),
}

impl Store {
    /// Opens the journal and begins to bring it into the database. Whether that is there does not matter yet. Must be called within a
    /// tokio runtime; `disk` is what the journal is written to.
    pub fn open(settings: &RecordSettings, disk: Arc<dyn Disk>) -> Result<Arc<Self>, OpenError> {
        let folder = settings.journal.clone();
        let journal_error = |source| OpenError::Journal { folder: folder.clone(), source };
        let database = Database::new(settings.database_url.expose()).map_err(OpenError::Url)?;
        let slot = Slot::take(&folder).map_err(journal_error)?;
        let id = slot.id.clone();
        let (segments, found) = Segments::recover(&slot.folder).map_err(journal_error)?;
        if found.torn_bytes > 0 {
            metrics::counter!("aria_journal_torn_bytes_total").increment(found.torn_bytes);
            tracing::warn!(
                bytes = found.torn_bytes,
                "the end of the journal was cut off: it was being written"
            );
        }
        let segments = Arc::new(segments);
        let max_bytes = settings.journal_mb * 1024 * 1024;
        let started = journal::start(Arc::clone(&segments), disk, max_bytes, slot).map_err(journal_error)?;

        let boot = format!("{:016x}", rand::rng().random::<u64>());
        let wanted = Subscriptions(settings.webhooks.as_ref().map(|w| w.events.clone()).unwrap_or_default());
        let store = Arc::new(Self {
            journal: Mutex::new(Some(started)),
            healthy_at_close: AtomicBool::new(true),
            segments: Arc::clone(&segments),
            pool: database.pool(),
            eraser: Eraser::new(settings.spool.clone()),
            standing: Arc::new(Standing::default()),
            unsettled: Arc::new(Unsettled::default()),
            boot: boot.clone(),
            opened: Instant::now(),
            tasks: Mutex::default(),
        });
        let applier = |segments, journal, standing| Applier {
            segments,
            journal,
            boot: boot.clone(),
            database: database.clone(),
            wanted: wanted.clone(),
            standing,
            unsettled: Arc::clone(&store.unsettled),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(applier(segments, id, Arc::clone(&store.standing)).run());
        // What is taken is held until it is brought in; nobody else may, meanwhile.
        for slot in Slot::left_behind(&folder).map_err(journal_error)? {
            let (segments, _) = Segments::recover(&slot.folder).map_err(journal_error)?;
            let bringing = applier(Arc::new(segments), slot.id.clone(), Arc::default()).finish();
            tasks.spawn(async move {
                bringing.await;
                drop(slot);
            });
        }
        if let Some(webhooks) = &settings.webhooks {
            let courier = Courier::new(webhooks, store.pool.clone()).map_err(OpenError::Webhooks)?;
            tasks.spawn(courier.run(Arc::clone(&store.standing)));
        }
        if let Some(days) = settings.keep_days {
            tasks.spawn(keep(store.pool.clone(), store.eraser.clone(), days));
        }
        *store.tasks.lock().unwrap_or_else(|e| e.into_inner()) = tasks;
        Ok(store)
    }
}

/// Removes what is older than `days`, again and again.
async fn keep(pool: AnyPool, eraser: Eraser, days: u64) {
    tokio::time::sleep(PRUNE_FIRST).await;
    loop {
        match prune(&pool, &eraser, &Which::Before(unix_ms().saturating_sub(days * DAY_MS))).await {
            Ok(0) => {}
            Ok(calls) => tracing::info!(calls, days, "old records removed"),
            Err(error) => tracing::warn!(%error, "old records could not be removed"),
        }
        tokio::time::sleep(PRUNE_EVERY).await;
    }
}

/// Removes records from a database without opening a journal, beside a bridge that serves or without one. How many calls they were.
pub async fn delete(settings: &RecordSettings, which: &Which) -> Result<u64, String> {
    let database = Database::new(settings.database_url.expose()).map_err(|e| e.to_string())?;
    let mut connection = database.connect().await.map_err(|e| e.to_string())?;
    migrate(&mut connection).await.map_err(|e| e.to_string())?;
    let eraser = Eraser::new(settings.spool.clone());
    prune(&database.pool(), &eraser, which).await.map_err(|e| e.to_string())
}
