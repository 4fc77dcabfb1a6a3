//! Records that must go: those that are too old and those of a person who asks for it. With a call go its turns, tool calls, events, its
//! recording and the webhooks that would tell of it.

use sqlx::{AnyPool, Row};

use super::apply::{int, text};
use crate::recording::{Eraser, ShelfError};

/// Calls removed in one transaction: nobody waits long for the database because of it.
const AT_ONCE: i64 = 100;

/// Whose records go. Calls that go on stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// Of calls from or to this number.
    Number(String),
    /// Of calls that began before this Unix time in ms.
    Before(u64),
}

/// What could not be removed; nothing of its call is then.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// Rows.
    #[error("{0}")]
    Database(#[from] sqlx::Error),
    /// A recording.
    #[error("a recording cannot be removed: {0}")]
    Recording(#[from] ShelfError),
}

/// Removes them, each call's recording before the record that links to it; how many calls they were.
pub async fn prune(pool: &AnyPool, eraser: &Eraser, which: &Which) -> Result<u64, PruneError> {
    let mut removed = 0;
    loop {
        let query = match which {
            Which::Number(number) => sqlx::query(
                "SELECT sid, recording FROM calls WHERE call_end IS NOT NULL AND (from_number = $1 OR to_number = $1) LIMIT $2",
            )
            .bind(text(number)),
            Which::Before(ms) => {
                sqlx::query(
                    "SELECT sid, recording FROM calls WHERE call_end IS NOT NULL AND started_ms < $1 LIMIT $2",
                )
                .bind(int(*ms))
            }
        };
        let rows = query.bind(AT_ONCE).fetch_all(pool).await?;
        if rows.is_empty() {
            return Ok(removed);
        }
        for row in &rows {
            let link: Option<String> = row.try_get("recording")?;
            eraser.erase(&row.try_get::<String, _>("sid")?, link.as_deref()).await?;
        }
        let mut transaction = pool.begin().await?;
        for row in rows {
            let sid: String = row.try_get("sid")?;
            for sql in [
                "DELETE FROM turns WHERE call_sid = $1",
                "DELETE FROM tool_calls WHERE call_sid = $1",
                "DELETE FROM events WHERE call_sid = $1",
                "DELETE FROM outbox WHERE call_sid = $1",
                "DELETE FROM calls WHERE sid = $1",
            ] {
                sqlx::query(sql).bind(sid.clone()).execute(&mut *transaction).await?;
            }
            removed += 1;
        }
        transaction.commit().await?;
    }
}
