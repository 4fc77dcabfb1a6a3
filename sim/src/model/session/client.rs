//! The client's events: what each is answered with.

use std::time::Duration;

use serde_json::{Value, json};

use super::respond::Cause;
use super::{Output, Session};
use crate::model::conversation::not_found;
use crate::model::record::{Note, Transport};
use crate::model::refusal::Refusal;
use crate::model::schema::{Field, Shape, may, must, or_null};
use crate::model::settings;

const EVENT_ID: Field = may("event_id", Shape::ShortText(512));
const TYPE: Field = must("type", Shape::Text);

/// A response that a client asks for.
const RESPONSE: Shape = Shape::Object(&[
    may("instructions", or_null!(Shape::Text)),
    may("conversation", Shape::Word(&["auto", "none"])),
    may("input", or_null!(Shape::List(&Shape::Free))),
    may("output_modalities", settings::MODALITIES),
    may("audio", settings::OUTPUT_AUDIO),
    may("tools", settings::TOOLS),
    may("tool_choice", settings::TOOL_CHOICE),
    may("parallel_tool_calls", or_null!(Shape::Flag)),
    may("reasoning", settings::REASONING),
    may("max_output_tokens", settings::MAX_TOKENS),
    may("metadata", or_null!(Shape::Free)),
    may("prompt", or_null!(Shape::Free)),
]);

const EVENTS: &[(&str, &[Field])] = &[
    ("session.update", &[TYPE, EVENT_ID, must("session", Shape::Free)]),
    ("input_audio_buffer.append", &[TYPE, EVENT_ID, must("audio", Shape::Text)]),
    ("input_audio_buffer.commit", &[TYPE, EVENT_ID]),
    ("input_audio_buffer.clear", &[TYPE, EVENT_ID]),
    (
        "conversation.item.create",
        &[TYPE, EVENT_ID, must("item", Shape::Free), may("previous_item_id", or_null!(Shape::Text))],
    ),
    ("conversation.item.retrieve", &[TYPE, EVENT_ID, must("item_id", Shape::Text)]),
    (
        "conversation.item.truncate",
        &[
            TYPE,
            EVENT_ID,
            must("item_id", Shape::Text),
            must("content_index", Shape::Whole(0, 0)),
            must("audio_end_ms", Shape::Whole(0, i64::MAX)),
        ],
    ),
    ("conversation.item.delete", &[TYPE, EVENT_ID, must("item_id", Shape::Text)]),
    ("response.create", &[TYPE, EVENT_ID, may("response", or_null!(RESPONSE))]),
    ("response.cancel", &[TYPE, EVENT_ID, may("response_id", or_null!(Shape::Text))]),
    ("output_audio_buffer.clear", &[TYPE, EVENT_ID]),
];

/// A commit needs this much audio.
const MIN_COMMIT_MS: u64 = 100;

impl Session {
    /// Takes one message of the data channel.
    pub(crate) fn receive(&mut self, message: &str, now: Duration) {
        let event: Value = match serde_json::from_str(message) {
            Ok(event) => event,
            Err(error) => {
                let text = format!("Could not parse the message as JSON: {error}");
                return self.refuse(&Refusal::new("invalid_json", text, None), None);
            }
        };
        let id = event["event_id"].as_str();
        if let Err(refusal) = self.obey(&event, now) {
            self.refuse(&refusal, id);
        }
    }

    fn obey(&mut self, event: &Value, now: Duration) -> Result<(), Refusal> {
        let Some(kind) = event.get("type") else {
            return Err(Refusal::new("invalid_event", "The 'type' field is missing.", None));
        };
        let kind = kind.as_str().ok_or_else(|| Refusal::invalid_type("type", "a string", kind))?;
        Shape::Tagged("type", EVENTS).check("", event)?;
        let text = |name: &str| event[name].as_str().unwrap_or_default();
        match kind {
            "session.update" => self.update_session(&event["session"], now)?,
            "input_audio_buffer.append" => {
                // Over WebRTC the sound is RTP; the event is in the schema and is not acknowledged. Over a WebSocket only what is no sound
                // comes here.
                if base64_simd::STANDARD.decode_to_vec(text("audio")).is_err() {
                    let message = "Invalid 'audio'. Expected base64-encoded audio bytes.";
                    return Err(Refusal::new("invalid_value", message, Some("audio")));
                }
                self.remark("input_audio_buffer.append is not used over WebRTC");
            }
            "input_audio_buffer.commit" => self.commit_by_client(now)?,
            "input_audio_buffer.clear" => {
                self.uncommitted_samples = 0;
                self.send("input_audio_buffer.cleared", json!({}));
            }
            "conversation.item.create" => self.create_item(event)?,
            "conversation.item.retrieve" => {
                let item = self.conversation.get(text("item_id")).map(|item| item.value.clone());
                let item = item.ok_or_else(|| Refusal {
                    code: Some("item_retrieve_invalid_item_id".to_owned()),
                    ..not_found("item_id", text("item_id"))
                })?;
                self.send("conversation.item.retrieved", json!({"item": item}));
            }
            "conversation.item.truncate" => {
                self.truncate_by_client(text("item_id"), event["audio_end_ms"].as_u64().unwrap_or(0), now)?;
            }
            "conversation.item.delete" => {
                self.conversation.remove(text("item_id"))?;
                self.send("conversation.item.deleted", json!({"item_id": event["item_id"]}));
            }
            "response.create" => self.create_response(&event["response"], Cause::Client, now)?,
            "response.cancel" => self.cancel_by_client(event["response_id"].as_str(), now)?,
            "output_audio_buffer.clear" if self.setup.transport == Transport::WebSocket => {
                let message = "output_audio_buffer.clear is only supported over WebRTC and SIP.";
                return Err(Refusal::new("invalid_event", message, Some("type")));
            }
            "output_audio_buffer.clear" => self.clear_output(now),
            _ => unreachable!("the table of events has been checked against"),
        }
        Ok(())
    }

    fn update_session(&mut self, request: &Value, now: Duration) -> Result<(), Refusal> {
        if self.setup.faults.update_refused {
            return Err(Refusal::new("invalid_value", "The session cannot be updated.", Some("session")));
        }
        self.settings.update(request, self.spoke)?;
        match (self.settings.vad(), &mut self.vad) {
            (Some(settings), Some(vad)) if settings != vad.settings() => vad.set(settings),
            (Some(settings), None) => {
                self.vad = Some(crate::model::vad::Vad::new(settings, self.heard_samples / 8));
            }
            (None, Some(_)) => self.vad = None,
            _ => {}
        }
        self.last_sign = now;
        let session = self.settings.value().clone();
        self.send("session.updated", json!({"session": session}));
        Ok(())
    }

    fn commit_by_client(&mut self, now: Duration) -> Result<(), Refusal> {
        let buffered_ms = match &self.vad {
            Some(vad) if !vad.is_speaking() => 0,
            _ => self.uncommitted_samples / 8,
        };
        if buffered_ms < MIN_COMMIT_MS {
            let message = format!(
                "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, \
                 but buffer only has {buffered_ms}.00ms of audio."
            );
            return Err(Refusal::new("input_audio_buffer_commit_empty", message, None));
        }
        let id = self.user_item.take().map_or_else(|| self.ids.of("item"), |(id, _)| id);
        self.commit(&id, now);
        Ok(())
    }

    fn create_item(&mut self, event: &Value) -> Result<(), Refusal> {
        self.conversation.check(&event["item"], self.setup.unverified.item_id_limit)?;
        let mut item = event["item"].clone();
        if item["id"].is_null() {
            item["id"] = self.ids.of("item").into();
        }
        item["object"] = "realtime.item".into();
        item["status"] = "completed".into();
        self.add_item(item.clone(), 0, event["previous_item_id"].as_str())?;
        if item["type"] == "function_call_output" {
            self.tool_output = item["output"].as_str().map(str::to_owned);
        } else if item["role"] == "user" {
            self.unanswered = true;
        }
        Ok(())
    }

    fn truncate_by_client(&mut self, id: &str, audio_end_ms: u64, now: Duration) -> Result<(), Refusal> {
        if self.setup.transport == Transport::WebRtc && !self.setup.unverified.client_truncate {
            let message = "Only model output audio messages can be truncated";
            return Err(Refusal::new("unsupported_content_type", message, None));
        }
        if let Some(playing) = self.output.utterance(id) {
            let generated = playing.generated_ms(now);
            if let Some(item) = self.conversation.get_mut(id) {
                item.audio_ms = generated;
            }
        }
        self.conversation.truncate(id, audio_end_ms)?;
        self.note(Note::Truncated { item_id: id.to_owned(), audio_end_ms: audio_end_ms as u32 });
        self.send(
            "conversation.item.truncated",
            json!({"item_id": id, "content_index": 0, "audio_end_ms": audio_end_ms}),
        );
        Ok(())
    }

    /// `output_audio_buffer.clear`: nothing happens if nothing is buffered.
    fn clear_output(&mut self, now: Duration) {
        self.cut_output(now);
    }

    /// A message that is not an event, for the fault of that name.
    pub(super) fn send_raw(&mut self, text: String) {
        self.put(Output::Raw(text));
    }
}
