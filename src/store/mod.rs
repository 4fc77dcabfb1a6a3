//! Records of calls: a journal on the local disk first, the database behind it, webhooks out of that.
//!
//! ```text
//! call ─ record() ─► queue ─► journal (thread: write, sync) ─► segments ─► applier (task) ─► database ─► outbox ─► webhooks
//!        never waits            acknowledged                                one transaction a batch
//! ```
//!
//! A call hands its records over and goes on. What the journal has synced is acknowledged: it reaches the database exactly once, even if
//! that is away for hours, the process is killed or the power fails. docs/records.md tells the rest.

mod applier;
mod apply;
mod database;
mod delivery;
mod disk;
mod frame;
mod journal;
mod open;
mod outbox;
mod prune;
mod query;
mod record;
mod segments;
mod sign;
mod slot;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use sqlx::AnyConnection;
use sqlx::AnyPool;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

pub use disk::{Append, Disk, System};
pub use open::{OpenError, delete};
pub use outbox::EVENTS;
pub use prune::Which;
pub use query::{Cursor, DEFAULT_PAGE, Filter, MAX_PAGE, Page};
pub use record::{Begun, Ended, Latency, Record, Spent, Turn};
pub use sign::{SIGNATURE_HEADER, sign};

use crate::recording::Eraser;
use applier::Standing;
use journal::Journal;

/// How a call ended that its bridge did not live to end: the label of `CallEnd::Aborted`.
pub const ABORTED: &str = "aborted";
/// How long the API waits for the database before it says so.
pub const QUERY_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a start may hold back `/readyz` while the journal of an earlier run is brought in.
const START_GRACE: Duration = Duration::from_millis(1_500);
/// Calls remembered because their end is not in the database yet. Beyond it the oldest is left to the database alone.
const MAX_UNSETTLED: usize = 4_096;

/// Records, written and read.
#[derive(Debug)]
pub struct Store {
    // Taken when the store closes: then nothing is recorded any more.
    journal: Mutex<Option<(Journal, JoinHandle<()>)>>,
    healthy_at_close: AtomicBool,
    segments: Arc<segments::Segments>,
    pool: AnyPool,
    eraser: Eraser,
    standing: Arc<Standing>,
    unsettled: Arc<Unsettled>,
    boot: String,
    opened: Instant,
    tasks: Mutex<JoinSet<()>>,
}

/// The database does not answer within [`QUERY_TIMEOUT`], or answers with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the database does not answer")]
pub struct Unavailable;

/// Calls that have begun and whose end is not in the database yet.
#[derive(Debug, Default)]
struct Unsettled(Mutex<BTreeMap<String, Begun>>);

impl Unsettled {
    fn add(&self, begun: &Begun) {
        let mut calls = self.0.lock().unwrap_or_else(|e| e.into_inner());
        if calls.len() >= MAX_UNSETTLED
            && let Some(oldest) = calls.values().min_by_key(|b| b.started_ms).map(|b| b.sid.clone())
        {
            calls.remove(&oldest);
        }
        calls.insert(begun.sid.clone(), begun.clone());
    }

    fn remove(&self, sid: &str) {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).remove(sid);
    }
}

/// Unix time in ms.
pub fn unix_ms() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

impl Store {
    /// A call that rings: it is among the [`Self::unsettled`] ones from here on. Nothing is written down before somebody answers or nobody
    /// does; either is recorded by whoever knows.
    pub fn announce(&self, begun: &Begun) {
        self.unsettled.add(begun);
    }

    /// Takes a record. Never waits.
    pub fn record(&self, record: Record) {
        self.hand_over(record, None);
    }

    /// Takes a record; resolves when it is acknowledged. An error: it will not be.
    pub fn record_durably(&self, record: Record) -> oneshot::Receiver<()> {
        let (durable, confirmed) = oneshot::channel();
        self.hand_over(record, Some(durable));
        confirmed
    }

    fn hand_over(&self, mut record: Record, durable: Option<oneshot::Sender<()>>) {
        if let Record::Begun(begun) = &mut record {
            begun.boot.clone_from(&self.boot);
            self.unsettled.add(begun);
        }
        match &*self.journal.lock().unwrap_or_else(|e| e.into_inner()) {
            Some((journal, _)) => journal.record(record, durable),
            None => {
                metrics::counter!("aria_records_lost_total").increment(1);
                tracing::error!(call = record.sid(), "a record came after the end");
            }
        }
    }

    /// Whether what is recorded is safe. If not, no call should begin; living ones go on.
    pub fn healthy(&self) -> bool {
        match &*self.journal.lock().unwrap_or_else(|e| e.into_inner()) {
            Some((journal, _)) => journal.healthy(),
            None => self.healthy_at_close.load(Ordering::Relaxed),
        }
    }

    /// Whether calls should be sent here: [`Self::healthy`], and what an earlier run left is in order or cannot be for now.
    pub fn ready(&self) -> bool {
        self.healthy() && (self.standing.applied.borrow().is_some() || self.opened.elapsed() >= START_GRACE)
    }

    /// Whether the database answers.
    pub fn connected(&self) -> bool {
        self.standing.connected.load(Ordering::Relaxed)
    }

    /// Resolves when all that was acknowledged before is in the database.
    pub async fn settled(&self) {
        let last = self.segments.next_number() - 1;
        let mut applied = self.standing.applied.subscribe();
        // The sender lives in `self`: waiting cannot fail.
        let _ = applied.wait_for(|applied| applied.is_some_and(|applied| applied >= last)).await;
    }

    /// Writes what waits in the queue, gives the database `limit` to take it, and ends. What it does not take is brought in at the
    /// next start.
    pub async fn close(&self, limit: Duration) {
        let taken = self.journal.lock().unwrap_or_else(|e| e.into_inner()).take();
        if let Some((journal, thread)) = taken {
            self.healthy_at_close.store(journal.healthy(), Ordering::Relaxed);
            drop(journal);
            // The thread syncs and ends; should it panic there is nobody left to tell but the log, which it has told.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        let _ = tokio::time::timeout(limit, self.settled()).await;
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(|e| e.into_inner()));
        tasks.shutdown().await;
        self.pool.close().await;
    }

    /// Calls that have begun and whose end is not in the database yet, the latest first.
    pub fn unsettled(&self) -> Vec<Begun> {
        let calls = self.unsettled.0.lock().unwrap_or_else(|e| e.into_inner());
        let mut calls: Vec<Begun> = calls.values().cloned().collect();
        calls.sort_by(|a, b| (b.started_ms, &b.sid).cmp(&(a.started_ms, &a.sid)));
        calls
    }

    /// Calls that are over, the latest first; `limit` at most.
    pub async fn calls(&self, filter: &Filter, limit: u32) -> Result<Page, Unavailable> {
        self.ask(async |connection| query::page(connection, filter, limit).await).await
    }

    /// One call with its `transcript`, `tool_calls` and `events`.
    pub async fn call(&self, sid: &str) -> Result<Option<Value>, Unavailable> {
        self.ask(async |connection| {
            let Some(mut call) = query::call(connection, sid).await? else { return Ok(None) };
            call["transcript"] = query::turns(connection, sid).await?.into();
            call["tool_calls"] = query::tool_calls(connection, sid).await?.into();
            call["events"] = query::events(connection, sid).await?.into();
            Ok(Some(call))
        })
        .await
    }

    /// Removes records; how many calls they were.
    pub async fn prune(&self, which: &Which) -> Result<u64, Unavailable> {
        prune::prune(&self.pool, &self.eraser, which).await.map_err(|error| {
            tracing::warn!(%error, "records could not be removed");
            Unavailable
        })
    }

    /// Webhooks that were given up, the latest first.
    pub async fn dead_letters(&self) -> Result<Vec<Value>, Unavailable> {
        tokio::time::timeout(QUERY_TIMEOUT, outbox::dead(&self.pool))
            .await
            .map_err(|_| Unavailable)?
            .map_err(complain)
    }

    /// Sends a webhook that was given up again. Whether there is one of this id.
    pub async fn revive(&self, id: &str) -> Result<bool, Unavailable> {
        let revived = outbox::revive(&self.pool, id, unix_ms());
        let revived =
            tokio::time::timeout(QUERY_TIMEOUT, revived).await.map_err(|_| Unavailable)?.map_err(complain)?;
        self.standing.news.notify_one();
        Ok(revived)
    }

    async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&mut AnyConnection) -> sqlx::Result<T>,
    ) -> Result<T, Unavailable> {
        let asking = async {
            let mut connection = self.pool.acquire().await?;
            question(&mut connection).await
        };
        tokio::time::timeout(QUERY_TIMEOUT, asking).await.map_err(|_| Unavailable)?.map_err(complain)
    }
}

fn complain(error: sqlx::Error) -> Unavailable {
    metrics::counter!("aria_database_errors_total").increment(1);
    tracing::warn!(%error, "the database could not be read");
    Unavailable
}
