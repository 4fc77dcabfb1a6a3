//! What is written down of a call, as it happens. Nothing here waits: the store takes a record and the call goes on.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::session::Session;
use super::{CallEnd, CallEvent, Inbound, Latency, Snapshot, Speaker, Usage};
use crate::config::{Agent, Price, Tokens};
use crate::store::{self, Begun, Ended, Record, Spent, Store, unix_ms};

/// Writes one call down. Dropped before the call's end it notes that the bridge failed.
pub(super) struct Recorder {
    store: Option<Arc<Store>>,
    sid: String,
    price: Option<Price>,
    spent: Spent,
    /// Turns as they were last written down: a hash of each.
    written: HashMap<String, Written>,
    ended: bool,
}

/// Of a turn, what may change after its text is complete.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Written {
    position: usize,
    to_ms: u64,
    interrupted: bool,
    text_bytes: usize,
    latency: Option<Latency>,
}

impl Recorder {
    /// A call has begun. Without a store nothing is written down.
    pub(super) fn begin(
        store: Option<Arc<Store>>,
        inbound: &Inbound,
        agent: &Agent,
        price: Option<Price>,
    ) -> Self {
        let recorder = Self {
            store,
            sid: inbound.call_sid.clone(),
            price,
            spent: Spent::default(),
            written: HashMap::new(),
            ended: false,
        };
        recorder.record(|| {
            Record::Begun(Begun {
                sid: inbound.call_sid.clone(),
                account: inbound.account_sid.clone(),
                direction: inbound.direction.as_str().into(),
                agent: agent.name.clone(),
                model: agent.model.clone(),
                from: inbound.from.clone(),
                to: inbound.to.clone(),
                started_ms: unix_ms().saturating_sub(inbound.at.elapsed().as_millis() as u64),
                boot: String::new(),
            })
        });
        recorder
    }

    /// Something has happened; `session` is how the conversation stands after it.
    pub(super) fn tell(&mut self, event: &CallEvent, session: &Session) {
        if self.store.is_none() {
            return;
        }
        match event {
            CallEvent::Transcript { done: false, .. } | CallEvent::Ended { .. } => {}
            CallEvent::Transcript { item_id, .. } => self.turn(item_id, session),
            CallEvent::Replied { latency, .. } => {
                let reply = session.transcript().turns().iter().rfind(|t| t.speaker == Speaker::Aria);
                if let Some(item_id) = reply.map(|turn| turn.item_id.clone()) {
                    let known = self.written.entry(item_id.clone()).or_insert(Written::NOTHING);
                    known.latency = Some(*latency);
                    // To be written even if nothing else of it changes.
                    known.position = usize::MAX;
                    self.turn(&item_id, session);
                }
            }
            CallEvent::ToolStarted { call_id, name, arguments, at_ms } => {
                self.record(|| Record::ToolStarted {
                    sid: self.sid.clone(),
                    call_id: call_id.clone(),
                    name: name.clone(),
                    arguments: arguments.clone(),
                    at_ms: *at_ms,
                })
            }
            CallEvent::ToolEnded { call_id, name, ok, output, took_ms } => {
                self.record(|| Record::ToolEnded {
                    sid: self.sid.clone(),
                    call_id: call_id.clone(),
                    name: name.clone(),
                    ok: *ok,
                    output: output.clone(),
                    took_ms: *took_ms,
                })
            }
            other => self.record(|| event_record(&self.sid, other)),
        }
        let spent = self.spent_by(&session.usage());
        if spent != self.spent {
            // So that a call whose bridge dies is not free of charge.
            self.spent = spent;
            self.record(|| Record::Spent { sid: self.sid.clone(), spent });
        }
    }

    /// The call is over, as `snapshot` shows it.
    pub(super) fn end(&mut self, reason: CallEnd, snapshot: &Snapshot, session: &Session) {
        if self.store.is_none() || std::mem::replace(&mut self.ended, true) {
            return;
        }
        // Where it stands, and whether it was cut off, may have become known after its text.
        for turn in session.transcript().turns().iter().filter(|turn| !turn.text.is_empty()) {
            self.turn(&turn.item_id, session);
        }
        let spent = self.spent_by(&snapshot.usage);
        let mut detail = serde_json::to_value(snapshot).unwrap_or_default();
        if let Some(detail) = detail.as_object_mut() {
            detail.remove("transcript");
            detail.insert("ended".into(), reason.as_str().into());
        }
        self.record(|| {
            Record::Ended(Ended {
                sid: self.sid.clone(),
                ended_ms: unix_ms(),
                end: reason.as_str().into(),
                spent,
                interruptions: snapshot.interruptions,
                uplink_p99_us: snapshot.uplink.map(|delays| delays.p99_us),
                downlink_p99_us: snapshot.downlink.map(|delays| delays.p99_us),
                detail,
            })
        });
    }

    fn turn(&mut self, item_id: &str, session: &Session) {
        let turns = session.transcript().turns();
        let Some(position) = turns.iter().rposition(|turn| turn.item_id == item_id) else { return };
        let turn = &turns[position];
        let known = self.written.get(item_id).copied();
        let now = Written {
            position,
            to_ms: turn.to_ms,
            interrupted: turn.interrupted,
            text_bytes: turn.text.len(),
            latency: known.and_then(|known| known.latency),
        };
        if known == Some(now) {
            return;
        }
        self.written.insert(item_id.to_owned(), now);
        self.record(|| {
            Record::Turn(store::Turn {
                sid: self.sid.clone(),
                item_id: turn.item_id.clone(),
                position: position as u64,
                speaker: match turn.speaker {
                    Speaker::Caller => "caller",
                    Speaker::Aria => "aria",
                }
                .into(),
                text: turn.text.clone(),
                from_ms: turn.from_ms,
                to_ms: turn.to_ms,
                interrupted: turn.interrupted,
                latency: now.latency.map(|latency| store::Latency {
                    created_ms: latency.created_ms,
                    sounding_ms: latency.sounding_ms,
                    sent_ms: latency.sent_ms,
                }),
            })
        });
    }

    fn spent_by(&self, usage: &Usage) -> Spent {
        let tokens = Tokens {
            text_in: usage.text_in,
            cached_text_in: usage.cached_text_in,
            text_out: usage.text_out,
            audio_in: usage.audio_in,
            cached_audio_in: usage.cached_audio_in,
            audio_out: usage.audio_out,
        };
        Spent {
            total_tokens: usage.total_tokens,
            text_in: usage.text_in,
            audio_in: usage.audio_in,
            cached_text_in: usage.cached_text_in,
            cached_audio_in: usage.cached_audio_in,
            text_out: usage.text_out,
            audio_out: usage.audio_out,
            cost_micros: self.price.map(|price| price.micros(&tokens)),
        }
    }

    fn record(&self, make: impl FnOnce() -> Record) {
        if let Some(store) = &self.store {
            store.record(make());
        }
    }
}

impl Written {
    const NOTHING: Self =
        Self { position: usize::MAX, to_ms: 0, interrupted: false, text_bytes: 0, latency: None };
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if !self.ended {
            self.record(|| {
                Record::Ended(Ended {
                    sid: self.sid.clone(),
                    ended_ms: unix_ms(),
                    end: CallEnd::Internal.as_str().into(),
                    spent: self.spent,
                    interruptions: 0,
                    uplink_p99_us: None,
                    downlink_p99_us: None,
                    detail: json!({}),
                })
            });
        }
    }
}

/// An event as it is kept: its own JSON, of which the kind and the time have columns.
fn event_record(sid: &str, event: &CallEvent) -> Record {
    let mut detail = serde_json::to_value(event).unwrap_or_default();
    let mut take =
        |name: &str| detail.as_object_mut().and_then(|fields| fields.remove(name)).unwrap_or(Value::Null);
    let kind = take("type").as_str().unwrap_or_default().to_owned();
    let at_ms = take("at_ms").as_u64().unwrap_or_default();
    Record::Event { sid: sid.into(), kind, at_ms, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_kept_with_its_kind_and_time_apart() {
        let event = CallEvent::Renewed { at_ms: 5, planned: true, gap_ms: 7 };
        let Record::Event { kind, at_ms, detail, .. } = event_record("CA1", &event) else {
            panic!("an event")
        };
        assert_eq!((kind.as_str(), at_ms, detail), ("renewed", 5, json!({ "planned": true, "gap_ms": 7 })));
    }

    #[test]
    fn both_rooms_mean_the_same_by_aborted() {
        assert_eq!(CallEnd::Aborted.as_str(), store::ABORTED);
    }
}
