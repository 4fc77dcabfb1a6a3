//! The conversation's state machine: client events, sound and the time go in; server events, frames and notes come out.
//!
//! Knows no socket and no clock. Times are since the session was requested; audio positions are media time, counted in samples received.

mod client;
mod play;
mod respond;
pub(super) mod sound;
mod steps;
mod turn;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use self::respond::Response;
use self::steps::Step;
use super::config::Timing;
use super::conversation::{Conversation, item};
use super::faults::EventFaults;
use super::ids::Ids;
use super::output::OutputBuffer;
use super::record::{Note, Transport};
use super::refusal::Refusal;
use super::settings::Settings;
use super::sound::Plan;
use super::unverified::{RateLimits, Unverified};
use super::vad::Vad;

/// Steps and outputs that wait at once. A response makes a step a word; far beyond what one can hold, further ones are dropped.
const MAX_WAITING: usize = 65_536;

/// What leaves the session.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Output {
    /// An event for the data channel.
    Event(Value),
    /// Sound for the WebSocket, in a delta of this many milliseconds.
    Sound(Value, u32),
    /// A message that is no event at all.
    Raw(String),
    /// For the record.
    Note(Note),
    /// The session has reached its age: close the peer.
    Expired,
}

/// What a session is made of.
pub(crate) struct Setup {
    pub(crate) transport: Transport,
    pub(crate) settings: Settings,
    pub(crate) plan: Arc<Plan>,
    pub(crate) timing: Timing,
    pub(crate) unverified: Unverified,
    pub(crate) faults: EventFaults,
    pub(crate) limit: Duration,
    pub(crate) speaks_after: Duration,
    pub(crate) seed: u64,
}

pub(crate) struct Session {
    setup: Setup,
    settings: Settings,
    ids: Ids,
    conversation_id: String,
    conversation: Conversation,
    outputs: VecDeque<Output>,
    agenda: BTreeMap<(Duration, u64), Step>,
    order: u64,
    opened: Option<Duration>,
    introduced: bool,
    // What is heard.
    vad: Option<Vad>,
    heard_samples: u64,
    uncommitted_samples: u64,
    heard_ms_total: u64,
    user_item: Option<(String, u64)>,
    /// Media time at which speech began that is older than the session's introduction.
    early_speech: Option<u64>,
    last_sign: Duration,
    // What is said.
    responses: Vec<Response>,
    output: OutputBuffer,
    next_turn: usize,
    next_response: u32,
    greeted: bool,
    spoke: bool,
    last_words: Option<usize>,
    unanswered: bool,
    tool_output: Option<String>,
}

impl Session {
    pub(crate) fn new(setup: Setup) -> Self {
        let mut ids = Ids::new(setup.seed);
        Self {
            settings: setup.settings.clone(),
            conversation_id: ids.of("conv"),
            ids,
            conversation: Conversation::default(),
            outputs: VecDeque::new(),
            agenda: BTreeMap::new(),
            order: 0,
            opened: None,
            introduced: false,
            vad: setup.settings.vad().map(|settings| Vad::new(settings, 0)),
            heard_samples: 0,
            uncommitted_samples: 0,
            heard_ms_total: 0,
            user_item: None,
            early_speech: None,
            last_sign: Duration::ZERO,
            responses: Vec::new(),
            output: OutputBuffer::default(),
            next_turn: 0,
            next_response: 0,
            greeted: false,
            spoke: false,
            last_words: None,
            unanswered: false,
            tool_output: None,
            setup,
        }
    }

    /// The data channel is open: the session introduces itself.
    pub(crate) fn open(&mut self, now: Duration) {
        if self.opened.is_some() {
            return;
        }
        self.opened = Some(now);
        self.last_sign = now;
        let speaks = now + self.setup.speaks_after;
        self.schedule(speaks, Step::Introduce);
        self.schedule(self.setup.limit, Step::Expire);
        let faults = self.setup.faults.clone();
        if let Some(at) = faults.invalid_json_at {
            self.schedule(now + at, Step::InvalidJson);
        }
        if let Some(huge) = faults.huge {
            self.schedule(now + huge.at, Step::Huge(huge.bytes));
        }
        if let Some((at, code)) = faults.error {
            self.schedule(now + at, Step::Error(code));
        }
        self.timeout(now);
    }

    fn introduce(&mut self, now: Duration) {
        self.introduced = true;
        let session = self.settings.value().clone();
        self.send("session.created", json!({"session": session}));
        if self.setup.unverified.conversation_created {
            let id = self.conversation_id.clone();
            let conversation = json!({"id": id, "object": "realtime.conversation"});
            self.send("conversation.created", json!({"conversation": conversation}));
        }
        self.list_hosted();
        if let Some(audio_start_ms) = self.early_speech.take() {
            self.speech_started(audio_start_ms, now);
        }
    }

    /// The tools of hosted MCP servers, as the service lists them once the session is there.
    fn list_hosted(&mut self) {
        let tools = self.settings.value()["tools"].as_array().cloned().unwrap_or_default();
        for server in tools.iter().filter(|tool| tool["type"] == "mcp") {
            let id = self.ids.of("mcpl");
            self.send("mcp_list_tools.in_progress", json!({"item_id": id}));
            let allowed = server["allowed_tools"].as_array().cloned().unwrap_or_default();
            let listed: Vec<Value> = allowed
                .iter()
                .map(|name| json!({"name": name, "input_schema": {"type": "object"}}))
                .collect();
            let list = json!({"server_label": server["server_label"], "tools": listed});
            let added = self.add_item(item(&id, "mcp_list_tools", "completed", list), 0, None);
            debug_assert!(added.is_ok(), "an item at the end always finds its place");
            self.send("mcp_list_tools.completed", json!({"item_id": id}));
        }
    }

    /// The next thing to send or to note.
    pub(crate) fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Session::timeout`] has something to do.
    pub(crate) fn next_timeout(&self) -> Option<Duration> {
        let step = self.agenda.first_key_value().map(|((at, _), _)| *at);
        step.into_iter().chain(self.idle_deadline()).min()
    }

    /// Does what is due.
    pub(crate) fn timeout(&mut self, now: Duration) {
        while let Some(entry) = self.agenda.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let step = entry.remove();
            self.step(step, now);
        }
        if self.idle_deadline().is_some_and(|at| at <= now) {
            self.idle_timeout(now);
        }
    }

    fn schedule(&mut self, at: Duration, step: Step) {
        if self.agenda.len() < MAX_WAITING {
            self.order += 1;
            self.agenda.insert((at, self.order), step);
        }
    }

    fn put(&mut self, output: Output) {
        if self.outputs.len() < MAX_WAITING {
            self.outputs.push_back(output);
        }
    }

    fn note(&mut self, note: Note) {
        self.put(Output::Note(note));
    }

    fn remark(&mut self, remark: impl Into<String>) {
        self.note(Note::Remark(remark.into()));
    }

    /// Sends an event with an id of its own.
    fn send(&mut self, kind: &str, fields: Value) {
        let event = self.event(kind, fields);
        self.put(Output::Event(event));
    }

    fn event(&mut self, kind: &str, fields: Value) -> Value {
        let mut event = json!({"type": kind, "event_id": self.ids.of("event")});
        for (name, value) in fields.as_object().into_iter().flatten() {
            event[name] = value.clone();
        }
        if self.setup.unverified.obfuscation && kind.ends_with("transcription.delta") {
            event["obfuscation"] = self.ids.word(13).into();
        }
        if self.setup.faults.unknown {
            event["x_unknown_field"] = json!({"nested": [1, null, "text"]});
        }
        event
    }

    fn refuse(&mut self, refusal: &Refusal, client_event_id: Option<&str>) {
        let error = refusal.event(client_event_id);
        self.remark(format!("refused: {}", refusal.message));
        self.send("error", json!({"error": error}));
    }

    fn send_rate_limits(&mut self, place: RateLimits) {
        if self.setup.unverified.rate_limits == place {
            let remaining = 5_000 - i64::from(self.next_response);
            self.send(
                "rate_limits.updated",
                json!({"rate_limits": [
                    {"name": "requests", "limit": 5000, "remaining": remaining, "reset_seconds": 0.012},
                    {"name": "tokens", "limit": 400_000, "remaining": 400_000 - 250 * i64::from(self.next_response), "reset_seconds": 0.7}]}),
            );
        }
    }

    /// Adds an item at the end, or after `previous`, and announces it; `done` too unless the model is still making it.
    fn add_item(&mut self, item: Value, audio_ms: u32, previous: Option<&str>) -> Result<(), Refusal> {
        let before = self.conversation.insert(item.clone(), audio_ms, previous)?;
        let fields = json!({"previous_item_id": before, "item": item});
        if self.setup.unverified.item_created {
            self.send("conversation.item.created", fields.clone());
        }
        self.send("conversation.item.added", fields.clone());
        if item["status"] != "in_progress" {
            self.send("conversation.item.done", fields);
        }
        Ok(())
    }

    fn media_ms(&self) -> u64 {
        self.heard_samples / 8
    }
}
