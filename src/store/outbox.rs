//! Webhooks on their way out, in the same database and the same transaction as what they tell of.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sqlx::AnyConnection;
use sqlx::{AnyPool, Row};

use super::apply::{Origin, int, text};

/// What can be told.
pub const EVENTS: [&str; 4] = ["call.started", "call.ended", "transcript.ready", "tool.failed"];
/// Largest body, bytes. Beyond it the receiver is told to fetch the call from the API.
const MAX_BODY_BYTES: usize = 1024 * 1024;
/// Given-up ones that are shown at once.
const MAX_SHOWN: i64 = 200;

/// Which of [`EVENTS`] are wanted.
#[derive(Debug, Clone, Default)]
pub struct Subscriptions(pub BTreeSet<String>);

impl Subscriptions {
    /// Whether anybody wants to hear of it.
    pub fn has(&self, event: &str) -> bool {
        self.0.contains(event)
    }
}

/// Notes that `kind` is to be told, if anybody wants to hear of it. Told twice with one `id` it goes out once.
pub async fn tell(
    to: &mut AnyConnection,
    origin: &Origin<'_>,
    id: &str,
    kind: &str,
    sid: &str,
    data: Value,
) -> sqlx::Result<()> {
    if !origin.wanted.has(kind) {
        return Ok(());
    }
    let whole = |data: Value| {
        json!({ "id": id, "type": kind, "created_ms": origin.now_ms, "data": data }).to_string()
    };
    let mut body = whole(data);
    if body.len() > MAX_BODY_BYTES {
        body = whole(json!({ "call_sid": sid, "truncated": true }));
    }
    let sql = "INSERT INTO outbox (id, type, call_sid, body, created_ms, attempts, next_ms) VALUES ($1, $2, $3, $4, $5, 0, $5) \
               ON CONFLICT (id) DO NOTHING";
    let query = sqlx::query(sql).bind(text(id)).bind(kind.to_owned()).bind(text(sid));
    query.bind(text(&body)).bind(int(origin.now_ms)).execute(to).await.map(drop)
}

/// One that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Its id: the receiver tells repetitions by it.
    pub id: String,
    /// JSON.
    pub body: String,
    /// Tries so far, with this one.
    pub attempts: u32,
}

/// Takes up to `limit` whose time has come. Until `lease_ms` nobody else gets them.
pub async fn claim(pool: &AnyPool, now_ms: u64, lease_ms: u64, limit: u32) -> sqlx::Result<Vec<Due>> {
    let sql = "SELECT id, body, attempts FROM outbox WHERE next_ms <= $1 ORDER BY next_ms LIMIT $2";
    let rows = sqlx::query(sql).bind(int(now_ms)).bind(i64::from(limit)).fetch_all(pool).await?;
    let mut due = Vec::new();
    for row in rows {
        let (id, attempts): (String, i64) = (row.try_get("id")?, row.try_get("attempts")?);
        // Another bridge may see the same row: one of the two changes it.
        let sql = "UPDATE outbox SET attempts = attempts + 1, next_ms = $3 WHERE id = $1 AND attempts = $2 AND next_ms <= $4";
        let query = sqlx::query(sql).bind(id.clone()).bind(attempts).bind(int(lease_ms)).bind(int(now_ms));
        if query.execute(pool).await?.rows_affected() == 1 {
            due.push(Due { id, body: row.try_get("body")?, attempts: attempts as u32 + 1 });
        }
    }
    Ok(due)
}

/// The receiver has it.
pub async fn delivered(pool: &AnyPool, id: &str) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM outbox WHERE id = $1").bind(id.to_owned()).execute(pool).await.map(drop)
}

/// The receiver does not have it: again at `next_ms`, or never.
pub async fn failed(pool: &AnyPool, id: &str, next_ms: Option<u64>, error: &str) -> sqlx::Result<()> {
    let sql = "UPDATE outbox SET next_ms = $2, last_error = $3 WHERE id = $1";
    sqlx::query(sql)
        .bind(id.to_owned())
        .bind(next_ms.map(int))
        .bind(text(error))
        .execute(pool)
        .await
        .map(drop)
}

/// Those that were given up, the latest first.
pub async fn dead(pool: &AnyPool) -> sqlx::Result<Vec<Value>> {
    let sql = "SELECT id, type, call_sid, created_ms, attempts, last_error FROM outbox WHERE next_ms IS NULL \
               ORDER BY created_ms DESC LIMIT $1";
    let rows = sqlx::query(sql).bind(MAX_SHOWN).fetch_all(pool).await?;
    let letter = |row: &sqlx::any::AnyRow| {
        Ok(json!({
            "id": row.try_get::<String, _>("id")?, "type": row.try_get::<String, _>("type")?,
            "call_sid": row.try_get::<String, _>("call_sid")?, "created_ms": row.try_get::<i64, _>("created_ms")?,
            "attempts": row.try_get::<i64, _>("attempts")?, "last_error": row.try_get::<Option<String>, _>("last_error")?,
        }))
    };
    rows.iter().map(letter).collect()
}

/// Sends one that was given up again, from the first try on. Whether there was one.
pub async fn revive(pool: &AnyPool, id: &str, now_ms: u64) -> sqlx::Result<bool> {
    let sql = "UPDATE outbox SET attempts = 0, next_ms = $2 WHERE id = $1 AND next_ms IS NULL";
    let done = sqlx::query(sql).bind(text(id)).bind(int(now_ms)).execute(pool).await?;
    Ok(done.rows_affected() == 1)
}
