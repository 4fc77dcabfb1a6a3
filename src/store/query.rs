//! Reading records: a page of calls, one call with all that belongs to it.

use serde_json::{Map, Value, json};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use super::apply::{int, text};

/// Calls a page holds at most.
pub const MAX_PAGE: u32 = 200;
/// Calls a page holds if nothing is said.
pub const DEFAULT_PAGE: u32 = 50;
/// Turns, tool calls and events of one call that are read, each.
const MAX_ROWS: i64 = 5_000;

/// Which calls, the latest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// From or to this number, whole.
    pub number: Option<String>,
    /// `inbound` or `outbound`.
    pub direction: Option<String>,
    /// Answered by this agent.
    pub agent: Option<String>,
    /// Ended for this reason.
    pub outcome: Option<String>,
    /// Began at or after this Unix time in ms.
    pub since_ms: Option<u64>,
    /// Began before this Unix time in ms.
    pub until_ms: Option<u64>,
    /// Behind this call, in the order of the list.
    pub before: Option<Cursor>,
}

/// A call's place in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// When it began, Unix time in ms.
    pub started_ms: u64,
    /// Its id: several may begin in one millisecond.
    pub sid: String,
}

impl Cursor {
    /// As a request carries it: `1764072000000.CA…`.
    pub fn parse(text: &str) -> Option<Self> {
        let (started_ms, sid) = text.split_once('.')?;
        Some(Self { started_ms: started_ms.parse().ok()?, sid: sid.into() })
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.started_ms, self.sid)
    }
}

/// A part of the list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    /// The calls, as `call` gives them.
    pub calls: Vec<Value>,
    /// Where the next page begins; `None`: there are no more.
    pub next: Option<Cursor>,
}

const CALLS: &str = "SELECT sid, account, direction, agent, model, from_number, to_number, started_ms, ended_ms, call_end, \
                     total_tokens, text_in, audio_in, cached_text_in, cached_audio_in, text_out, audio_out, cost_micros, \
                     interruptions, uplink_p99_us, downlink_p99_us, recording, detail FROM calls";

/// Calls that are over, the latest first; `limit` of them at most.
pub async fn page(from: &mut AnyConnection, filter: &Filter, limit: u32) -> sqlx::Result<Page> {
    let limit = limit.clamp(1, MAX_PAGE);
    let mut sql = format!("{CALLS} WHERE call_end IS NOT NULL");
    let (mut texts, mut numbers): (Vec<String>, Vec<i64>) = (Vec::new(), Vec::new());
    let mut next = 0;
    let mut place = || {
        next += 1;
        format!("${next}")
    };
    // Texts are bound first, numbers behind them.
    if let Some(number) = &filter.number {
        let at = place();
        sql += &format!(" AND (from_number = {at} OR to_number = {at})");
        texts.push(text(number));
    }
    for (column, value) in
        [("direction", &filter.direction), ("agent", &filter.agent), ("call_end", &filter.outcome)]
    {
        if let Some(value) = value {
            sql += &format!(" AND {column} = {}", place());
            texts.push(text(value));
        }
    }
    if let Some(Cursor { started_ms, sid }) = &filter.before {
        let (sid_at, ms_at) = (place(), int(*started_ms));
        // A number of ours: it needs no place of its own.
        sql += &format!(" AND (started_ms < {ms_at} OR (started_ms = {ms_at} AND sid < {sid_at}))");
        texts.push(text(sid));
    }
    for (compare, value) in [(">=", filter.since_ms), ("<", filter.until_ms)] {
        if let Some(value) = value {
            sql += &format!(" AND started_ms {compare} {}", place());
            numbers.push(int(value));
        }
    }
    sql += &format!(" ORDER BY started_ms DESC, sid DESC LIMIT {}", limit + 1);
    // Each filter makes another statement: none of them is worth keeping.
    let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
    for value in texts {
        query = query.bind(value);
    }
    for value in numbers {
        query = query.bind(value);
    }
    let rows = query.fetch_all(from).await?;
    let more = rows.len() > limit as usize;
    let calls = rows.iter().take(limit as usize).map(summary).collect::<sqlx::Result<Vec<_>>>()?;
    let next = match (more, rows.get(limit as usize - 1)) {
        (true, Some(last)) => Some(Cursor {
            started_ms: last.try_get::<i64, _>("started_ms")? as u64,
            sid: last.try_get("sid")?,
        }),
        _ => None,
    };
    Ok(Page { calls, next })
}

/// One call without its turns, tool calls and events.
pub async fn call(from: &mut AnyConnection, sid: &str) -> sqlx::Result<Option<Value>> {
    let sql = AssertSqlSafe(format!("{CALLS} WHERE sid = $1"));
    let row = sqlx::query(sql).bind(text(sid)).fetch_optional(from).await?;
    row.as_ref().map(summary).transpose()
}

/// The columns of a call; over them what the call itself told at its end, as the API shows a living call.
fn summary(row: &AnyRow) -> sqlx::Result<Value> {
    let detail: Option<String> = row.try_get("detail")?;
    let mut out: Map<String, Value> =
        detail.and_then(|detail| serde_json::from_str(&detail).ok()).unwrap_or_default();
    let word = |name: &str| row.try_get::<Option<String>, _>(name);
    let number = |name: &str| row.try_get::<Option<i64>, _>(name);
    let own = json!({
        "call_sid": word("sid")?, "account_sid": word("account")?, "direction": word("direction")?,
        "agent": word("agent")?, "model": word("model")?, "from_number": word("from_number")?,
        "to_number": word("to_number")?, "started_ms": number("started_ms")?, "ended_ms": number("ended_ms")?,
        "ended": word("call_end")?, "total_tokens": number("total_tokens")?, "cost_micros": number("cost_micros")?,
        "usage": {
            "total_tokens": number("total_tokens")?, "text_in": number("text_in")?, "audio_in": number("audio_in")?,
            "cached_text_in": number("cached_text_in")?, "cached_audio_in": number("cached_audio_in")?,
            "text_out": number("text_out")?, "audio_out": number("audio_out")?,
        },
        "interruptions": number("interruptions")?, "uplink_p99_us": number("uplink_p99_us")?,
        "downlink_p99_us": number("downlink_p99_us")?, "recording": word("recording")?,
    });
    if let Value::Object(own) = own {
        out.extend(own);
    }
    Ok(Value::Object(out))
}

/// What was said in a call, in order.
pub async fn turns(from: &mut AnyConnection, sid: &str) -> sqlx::Result<Vec<Value>> {
    let sql = "SELECT item_id, speaker, text, from_ms, to_ms, interrupted, created_ms, sounding_ms, sent_ms FROM turns \
               WHERE call_sid = $1 ORDER BY position, from_ms, item_id LIMIT $2";
    let rows = sqlx::query(sql).bind(text(sid)).bind(MAX_ROWS).fetch_all(from).await?;
    let turn = |row: &AnyRow| {
        let latency = match row.try_get::<Option<i64>, _>("created_ms")? {
            None => Value::Null,
            created => {
                json!({ "created_ms": created, "sounding_ms": row.try_get::<Option<i64>, _>("sounding_ms")?,
                               "sent_ms": row.try_get::<Option<i64>, _>("sent_ms")? })
            }
        };
        Ok(json!({
            "item_id": row.try_get::<String, _>("item_id")?, "speaker": row.try_get::<String, _>("speaker")?,
            "text": row.try_get::<String, _>("text")?, "from_ms": row.try_get::<i64, _>("from_ms")?,
            "to_ms": row.try_get::<i64, _>("to_ms")?, "interrupted": row.try_get::<i64, _>("interrupted")? != 0,
            "latency": latency,
        }))
    };
    rows.iter().map(turn).collect()
}

/// What the model asked of tools and was told.
pub async fn tool_calls(from: &mut AnyConnection, sid: &str) -> sqlx::Result<Vec<Value>> {
    let sql = "SELECT call_id, name, arguments, at_ms, ok, output, took_ms FROM tool_calls WHERE call_sid = $1 \
               ORDER BY at_ms, call_id LIMIT $2";
    let rows = sqlx::query(sql).bind(text(sid)).bind(MAX_ROWS).fetch_all(from).await?;
    let tool = |row: &AnyRow| {
        Ok(json!({
            "call_id": row.try_get::<String, _>("call_id")?, "name": row.try_get::<String, _>("name")?,
            "arguments": row.try_get::<Option<String>, _>("arguments")?, "at_ms": row.try_get::<Option<i64>, _>("at_ms")?,
            "ok": row.try_get::<Option<i64>, _>("ok")?.map(|ok| ok != 0),
            "output": row.try_get::<Option<String>, _>("output")?, "took_ms": row.try_get::<Option<i64>, _>("took_ms")?,
        }))
    };
    rows.iter().map(tool).collect()
}

/// What else happened in a call, in order.
pub async fn events(from: &mut AnyConnection, sid: &str) -> sqlx::Result<Vec<Value>> {
    let sql = "SELECT type, at_ms, detail FROM events WHERE call_sid = $1 ORDER BY at_ms, number LIMIT $2";
    let rows = sqlx::query(sql).bind(text(sid)).bind(MAX_ROWS).fetch_all(from).await?;
    let event = |row: &AnyRow| {
        let detail: Value = serde_json::from_str(&row.try_get::<String, _>("detail")?).unwrap_or_default();
        Ok(
            json!({ "type": row.try_get::<String, _>("type")?, "at_ms": row.try_get::<i64, _>("at_ms")?, "detail": detail }),
        )
    };
    rows.iter().map(event).collect()
}
