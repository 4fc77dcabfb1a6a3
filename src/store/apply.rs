//! A record becomes rows. Everything here happens within the transaction that also notes how far the journal has been read, so each
//! record is in the database exactly once, and with it the webhooks that tell of it.

use serde_json::{Value, json};
use sqlx::AnyConnection;

use super::outbox::{self, Subscriptions};
use super::query;
use super::record::{Begun, Ended, Record, Spent, Turn};

/// Where a record comes from and who wants to hear of it.
pub struct Origin<'a> {
    /// The journal's name.
    pub journal: &'a str,
    /// This run of the process: calls of an earlier one are not held any more.
    pub boot: &'a str,
    /// Which webhooks are wanted.
    pub wanted: &'a Subscriptions,
    /// Now, Unix time in ms.
    pub now_ms: u64,
}

/// Text as both databases take it: Postgres knows no NUL.
pub fn text(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}

/// Integers are signed there. Nothing that is counted comes near the limit.
pub fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Writes one record.
pub async fn apply(
    to: &mut AnyConnection,
    origin: &Origin<'_>,
    number: u64,
    record: &Record,
) -> sqlx::Result<()> {
    match record {
        Record::Begun(begun) => begin(to, origin, number, begun).await,
        Record::Turn(turn) => say(to, turn).await,
        Record::ToolStarted { sid, call_id, name, arguments, at_ms } => {
            let sql = "INSERT INTO tool_calls (call_sid, call_id, name, arguments, at_ms) VALUES ($1, $2, $3, $4, $5) \
                       ON CONFLICT (call_sid, call_id) DO UPDATE SET arguments = excluded.arguments, at_ms = excluded.at_ms";
            let query = sqlx::query(sql).bind(text(sid)).bind(text(call_id)).bind(text(name));
            query.bind(text(arguments)).bind(int(*at_ms)).execute(to).await.map(drop)
        }
        Record::ToolEnded { sid, call_id, name, ok, output, took_ms } => {
            let sql = "INSERT INTO tool_calls (call_sid, call_id, name, ok, output, took_ms) VALUES ($1, $2, $3, $4, $5, $6) \
                       ON CONFLICT (call_sid, call_id) DO UPDATE SET ok = excluded.ok, output = excluded.output, \
                       took_ms = excluded.took_ms";
            let query = sqlx::query(sql).bind(text(sid)).bind(text(call_id)).bind(text(name));
            query.bind(i64::from(*ok)).bind(text(output)).bind(int(*took_ms)).execute(&mut *to).await?;
            if *ok {
                return Ok(());
            }
            let data = json!({ "call_sid": sid, "tool_call_id": call_id, "name": name, "output": output, "took_ms": took_ms });
            outbox::tell(to, origin, &id(origin, number, "t"), "tool.failed", sid, data).await
        }
        Record::Event { sid, kind, at_ms, detail } => {
            let sql = "INSERT INTO events (call_sid, journal, number, type, at_ms, detail) VALUES ($1, $2, $3, $4, $5, $6) \
                       ON CONFLICT (call_sid, journal, number) DO NOTHING";
            let query = sqlx::query(sql).bind(text(sid)).bind(origin.journal.to_owned()).bind(int(number));
            query
                .bind(text(kind))
                .bind(int(*at_ms))
                .bind(text(&detail.to_string()))
                .execute(to)
                .await
                .map(drop)
        }
        Record::Spent { sid, spent } => spend(to, sid, spent).await,
        Record::Ended(ended) => end(to, origin, number, ended).await,
        Record::Recorded { sid, url } => {
            let sql = "UPDATE calls SET recording = $2 WHERE sid = $1";
            sqlx::query(sql).bind(text(sid)).bind(text(url)).execute(to).await.map(drop)
        }
    }
}

/// A webhook's id: the same whenever the record is replayed.
fn id(origin: &Origin<'_>, number: u64, kind: &str) -> String {
    format!("evt_{}_{number}{kind}", origin.journal)
}

async fn begin(to: &mut AnyConnection, origin: &Origin<'_>, number: u64, begun: &Begun) -> sqlx::Result<()> {
    // Twilio may offer a call again to a bridge that has restarted: then it lives again, and its end will be another.
    let sql = "INSERT INTO calls (sid, account, direction, agent, model, from_number, to_number, started_ms, journal, boot) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
               ON CONFLICT (sid) DO UPDATE SET ended_ms = NULL, call_end = NULL, journal = excluded.journal, boot = excluded.boot";
    sqlx::query(sql)
        .bind(text(&begun.sid))
        .bind(text(&begun.account))
        .bind(text(&begun.direction))
        .bind(text(&begun.agent))
        .bind(text(&begun.model))
        .bind(text(&begun.from))
        .bind(text(&begun.to))
        .bind(int(begun.started_ms))
        .bind(origin.journal.to_owned())
        .bind(text(&begun.boot))
        .execute(&mut *to)
        .await?;
    let data = json!({
        "call_sid": begun.sid, "account_sid": begun.account, "direction": begun.direction, "agent": begun.agent,
        "model": begun.model, "from": begun.from, "to": begun.to, "started_ms": begun.started_ms,
    });
    outbox::tell(to, origin, &id(origin, number, "s"), "call.started", &begun.sid, data).await
}

async fn say(to: &mut AnyConnection, turn: &Turn) -> sqlx::Result<()> {
    let sql = "INSERT INTO turns (call_sid, item_id, position, speaker, text, from_ms, to_ms, interrupted, created_ms, \
               sounding_ms, sent_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
               ON CONFLICT (call_sid, item_id) DO UPDATE SET position = excluded.position, text = excluded.text, \
               from_ms = excluded.from_ms, to_ms = excluded.to_ms, interrupted = excluded.interrupted, \
               created_ms = excluded.created_ms, sounding_ms = excluded.sounding_ms, sent_ms = excluded.sent_ms";
    sqlx::query(sql)
        .bind(text(&turn.sid))
        .bind(text(&turn.item_id))
        .bind(int(turn.position))
        .bind(text(&turn.speaker))
        .bind(text(&turn.text))
        .bind(int(turn.from_ms))
        .bind(int(turn.to_ms))
        .bind(i64::from(turn.interrupted))
        .bind(turn.latency.map(|l| int(l.created_ms)))
        .bind(turn.latency.map(|l| int(l.sounding_ms)))
        .bind(turn.latency.map(|l| int(l.sent_ms)))
        .execute(to)
        .await
        .map(drop)
}

async fn spend(to: &mut AnyConnection, sid: &str, spent: &Spent) -> sqlx::Result<()> {
    let sql = "UPDATE calls SET total_tokens = $2, text_in = $3, audio_in = $4, cached_text_in = $5, cached_audio_in = $6, \
               text_out = $7, audio_out = $8, cost_micros = $9 WHERE sid = $1";
    sqlx::query(sql)
        .bind(text(sid))
        .bind(int(spent.total_tokens))
        .bind(int(spent.text_in))
        .bind(int(spent.audio_in))
        .bind(int(spent.cached_text_in))
        .bind(int(spent.cached_audio_in))
        .bind(int(spent.text_out))
        .bind(int(spent.audio_out))
        .bind(spent.cost_micros.map(int))
        .execute(to)
        .await
        .map(drop)
}

async fn end(to: &mut AnyConnection, origin: &Origin<'_>, number: u64, ended: &Ended) -> sqlx::Result<()> {
    spend(&mut *to, &ended.sid, &ended.spent).await?;
    let sql = "UPDATE calls SET ended_ms = $2, call_end = $3, interruptions = $4, uplink_p99_us = $5, downlink_p99_us = $6, \
               detail = $7 WHERE sid = $1";
    sqlx::query(sql)
        .bind(text(&ended.sid))
        .bind(int(ended.ended_ms))
        .bind(text(&ended.end))
        .bind(int(ended.interruptions))
        .bind(ended.uplink_p99_us.map(int))
        .bind(ended.downlink_p99_us.map(int))
        .bind(text(&ended.detail.to_string()))
        .execute(&mut *to)
        .await?;
    tell_of_end(to, origin, &id(origin, number, ""), &ended.sid).await
}

/// Closes a call that nobody holds any more. It lasted, as far as anybody knows, until the last thing that was recorded of it. Whether
/// it was still open.
pub async fn abort(to: &mut AnyConnection, origin: &Origin<'_>, sid: &str) -> sqlx::Result<bool> {
    let sql = "UPDATE calls SET call_end = $2, ended_ms = started_ms + COALESCE(\
               (SELECT MAX(at_ms) FROM events WHERE events.call_sid = calls.sid), 0) WHERE sid = $1 AND call_end IS NULL";
    let closed = sqlx::query(sql).bind(sid.to_owned()).bind(super::ABORTED).execute(&mut *to).await?;
    if closed.rows_affected() == 0 {
        return Ok(false);
    }
    tell_of_end(to, origin, &format!("evt_{}_{sid}_", origin.boot), sid).await?;
    Ok(true)
}

async fn tell_of_end(to: &mut AnyConnection, origin: &Origin<'_>, id: &str, sid: &str) -> sqlx::Result<()> {
    if origin.wanted.has("call.ended")
        && let Some(call) = query::call(to, sid).await?
    {
        outbox::tell(to, origin, &format!("{id}e"), "call.ended", sid, call).await?;
    }
    if origin.wanted.has("transcript.ready") {
        let turns = query::turns(to, sid).await?;
        let data: Value = json!({ "call_sid": sid, "transcript": turns });
        outbox::tell(to, origin, &format!("{id}x"), "transcript.ready", sid, data).await?;
    }
    Ok(())
}
