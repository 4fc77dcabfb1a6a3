//! What a session does at a later time.

use std::ops::Range;
use std::time::Duration;

use serde_json::{Value, json};

use super::Session;
use super::respond::Part;
use crate::model::conversation::item;
use crate::model::output::Utterance;
use crate::model::record::{Note, Transport};

/// One entry of the agenda.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    Introduce,
    Expire,
    InvalidJson,
    Huge(usize),
    Error(String),
    TranscriptDelta {
        item_id: String,
        delta: String,
    },
    TranscriptDone {
        item_id: String,
        text: String,
        seconds: f64,
    },
    TranscriptFailed {
        item_id: String,
    },
    /// A response begins, goes on with, or ends one of its parts.
    Begin {
        response: String,
        part: usize,
    },
    Delta {
        response: String,
        part: usize,
        delta: String,
    },
    End {
        response: String,
        part: usize,
    },
    /// A hosted server is being asked.
    Hosted {
        response: String,
        part: usize,
    },
    /// Frames of a part's sound, as one delta.
    Sound {
        response: String,
        part: usize,
        frames: Range<usize>,
    },
    Finish {
        response: String,
    },
    Fail {
        response: String,
        code: String,
    },
}

impl Step {
    /// The response that this step belongs to.
    pub(super) fn response(&self) -> Option<&str> {
        match self {
            Self::Begin { response, .. }
            | Self::Delta { response, .. }
            | Self::End { response, .. }
            | Self::Hosted { response, .. }
            | Self::Sound { response, .. }
            | Self::Finish { response }
            | Self::Fail { response, .. } => Some(response),
            _ => None,
        }
    }
}

/// What every hosted server answers: the service asks it beside the session, and the bridge sees no more of that than this.
const HOSTED_OUTPUT: &str = r#"{"free":["10:00","16:00"]}"#;

impl Session {
    pub(super) fn step(&mut self, step: Step, now: Duration) {
        match step {
            Step::Introduce => self.introduce(now),
            Step::Expire => self.expire(),
            Step::InvalidJson => self.send_raw("{\"type\":\"response.done\",\"event_id\":".to_owned()),
            Step::Huge(bytes) => self.send("x_huge.event", json!({"padding": "x".repeat(bytes)})),
            Step::Error(code) => {
                let kind = if code == "server_error" { "server_error" } else { "invalid_request_error" };
                let message = "The server had an error while processing your request.";
                let error =
                    json!({"type": kind, "code": code, "message": message, "param": null, "event_id": null});
                self.send("error", json!({"error": error}));
            }
            Step::TranscriptDelta { item_id, delta } => self.send(
                "conversation.item.input_audio_transcription.delta",
                json!({"item_id": item_id, "content_index": 0, "delta": delta}),
            ),
            Step::TranscriptDone { item_id, text, seconds } => {
                if let Some(item) = self.conversation.get_mut(&item_id) {
                    item.value["content"][0]["transcript"] = text.clone().into();
                }
                let (heard, words) = ((seconds * 10.0) as u64, text.split(' ').count());
                self.send(
                    "conversation.item.input_audio_transcription.completed",
                    json!({"item_id": item_id, "content_index": 0, "transcript": text,
                           "usage": {"type": "tokens", "total_tokens": heard + words as u64, "input_tokens": heard,
                                     "input_token_details": {"text_tokens": 0, "audio_tokens": heard},
                                     "output_tokens": words}}),
                );
            }
            Step::TranscriptFailed { item_id } => self.send(
                "conversation.item.input_audio_transcription.failed",
                json!({"item_id": item_id, "content_index": 0,
                       "error": {"type": "transcription_error", "code": "audio_unintelligible",
                                 "message": "The audio could not be transcribed.", "param": null}}),
            ),
            Step::Begin { response, part } => self.begin(&response, part, now),
            Step::Delta { response, part, delta } => self.delta(&response, part, &delta),
            Step::End { response, part } => self.end(&response, part, "completed"),
            Step::Sound { response, part, frames } => self.speak(&response, part, frames),
            Step::Hosted { response, part } => self.ask_hosted(&response, part),
            Step::Finish { response } => self.finish(&response, "completed", Value::Null, now),
            Step::Fail { response, code } => {
                let error =
                    json!({"type": "server_error", "code": code, "message": "The model could not answer."});
                self.finish(&response, "failed", json!({"type": "failed", "error": error}), now);
            }
        }
    }

    /// The response of this id, with the index it has now.
    pub(super) fn index(&self, response: &str) -> Option<usize> {
        self.responses.iter().position(|r| r.id == response)
    }

    fn begin(&mut self, id: &str, part: usize, now: Duration) {
        let Some(index) = self.index(id) else { return };
        self.responses[index].open = Some(part);
        self.responses[index].so_far.clear();
        let (in_conversation, muted) = (self.responses[index].in_conversation, self.responses[index].muted);
        let part_value = self.responses[index].parts[part].clone();
        let started = part_value.item("in_progress", "");
        self.send(
            "response.output_item.added",
            json!({"response_id": id, "output_index": part, "item": started}),
        );
        if in_conversation {
            let added = self.add_item(started, 0, None);
            debug_assert!(added.is_ok(), "an item at the end always finds its place");
        }
        let Some(empty) = part_value.content("") else { return };
        let fields = json!({"response_id": id, "item_id": part_value.item_id(), "output_index": part,
                            "content_index": 0, "part": empty});
        self.send("response.content_part.added", fields);
        if let Part::Speech { item_id, spoken } = part_value {
            let (sound, speed) = (spoken.sound, self.setup.timing.generation_speed.max(1.0));
            self.note(Note::ReplyBegun {
                response_id: id.to_owned(),
                item_id: item_id.clone(),
                text: spoken.text,
                total_ms: sound.duration_ms(),
            });
            if muted || sound.frames.is_empty() {
                return self.note(Note::ReplyEnded { item_id, played_ms: 0, truncated: muted });
            }
            if self.setup.transport == Transport::WebSocket {
                // The deltas are on the agenda; the client plays them.
                return;
            }
            self.output.push(Utterance {
                response_id: id.to_owned(),
                item_id,
                begun: now,
                generation: Duration::from_millis(sound.duration_ms().into()).div_f64(speed),
                next: 0,
                limit: sound.frames.len(),
                sound,
            });
        }
    }

    fn delta(&mut self, id: &str, part: usize, delta: &str) {
        let Some(index) = self.index(id) else { return };
        let response = &mut self.responses[index];
        response.so_far.push_str(delta);
        let (kind, mut fields) = response.parts[part].delta_event(delta);
        fields["response_id"] = id.into();
        fields["output_index"] = part.into();
        self.send(kind, fields);
    }

    /// The arguments are whole: the service asks the server itself.
    fn ask_hosted(&mut self, id: &str, part: usize) {
        let Some(index) = self.index(id) else { return };
        let response = &self.responses[index];
        let place =
            json!({"response_id": id, "item_id": response.parts[part].item_id(), "output_index": part});
        let mut whole = place.clone();
        whole["arguments"] = response.so_far.clone().into();
        self.send("response.mcp_call_arguments.done", whole);
        self.send("response.mcp_call.in_progress", place);
    }

    /// Closes an open part: its own `done`, the content part's, the item's.
    pub(super) fn end(&mut self, id: &str, part: usize, status: &str) {
        let Some(index) = self.index(id) else { return };
        let response = &mut self.responses[index];
        response.open = None;
        let said = std::mem::take(&mut response.so_far);
        let (in_conversation, muted) = (response.in_conversation, response.muted);
        let part_value = response.parts[part].clone();
        let whole = part_value.item(status, &said);
        response.output.push(whole.clone());
        let place = json!({"response_id": id, "item_id": part_value.item_id(), "output_index": part,
                           "content_index": 0});
        for (kind, extra) in part_value.done_events(&said) {
            let mut fields = place.clone();
            for (name, value) in extra.as_object().into_iter().flatten() {
                fields[name] = value.clone();
            }
            self.send(kind, fields);
        }
        if let Some(content) = part_value.content(&said) {
            let mut fields = place;
            fields["part"] = content;
            self.send("response.content_part.done", fields);
        }
        self.send(
            "response.output_item.done",
            json!({"response_id": id, "output_index": part, "item": whole}),
        );
        if let (Part::Hosted { .. }, "completed") = (&part_value, status) {
            self.tool_output = Some(HOSTED_OUTPUT.to_owned());
        }
        self.spoken(&part_value, status);
        if !in_conversation {
            return;
        }
        let before = self.conversation.before(part_value.item_id());
        if let Some(item) = self.conversation.get_mut(part_value.item_id()) {
            item.value = whole.clone();
            if let Part::Speech { spoken, .. } = &part_value
                && !muted
                && self.setup.transport == Transport::WebRtc
            {
                item.audio_ms = spoken.sound.duration_ms();
            }
        }
        self.send("conversation.item.done", json!({"previous_item_id": before, "item": whole}));
    }
}

impl Part {
    pub(super) fn item_id(&self) -> &str {
        match self {
            Self::Speech { item_id, .. }
            | Self::Text { item_id, .. }
            | Self::Call { item_id, .. }
            | Self::Hosted { item_id, .. } => item_id,
        }
    }

    /// The item as items show it, holding what has been made so far.
    fn item(&self, status: &str, so_far: &str) -> Value {
        let message = |kind: &str, field: &str| {
            let mut part = json!({"type": kind});
            part[field] = so_far.into();
            let content = if status == "in_progress" { json!([]) } else { json!([part]) };
            json!({"role": "assistant", "content": content})
        };
        match self {
            Self::Speech { item_id, .. } => {
                item(item_id, "message", status, message("output_audio", "transcript"))
            }
            Self::Text { item_id, .. } => item(item_id, "message", status, message("output_text", "text")),
            Self::Call { item_id, call_id, name, .. } => item(
                item_id,
                "function_call",
                status,
                json!({"call_id": call_id, "name": name, "arguments": so_far}),
            ),
            Self::Hosted { item_id, label, name, .. } => {
                let output = if status == "completed" { HOSTED_OUTPUT.into() } else { Value::Null };
                item(
                    item_id,
                    "mcp_call",
                    status,
                    json!({"server_label": label, "name": name, "arguments": so_far, "output": output,
                           "error": null, "approval_request_id": null}),
                )
            }
        }
    }

    /// The part as content-part events show it; calls have none.
    fn content(&self, so_far: &str) -> Option<Value> {
        match self {
            Self::Speech { .. } => Some(json!({"type": "audio", "transcript": so_far})),
            Self::Text { .. } => Some(json!({"type": "text", "text": so_far})),
            Self::Call { .. } | Self::Hosted { .. } => None,
        }
    }

    fn delta_event(&self, delta: &str) -> (&'static str, Value) {
        match self {
            Self::Speech { item_id, .. } => (
                "response.output_audio_transcript.delta",
                json!({"item_id": item_id, "content_index": 0, "delta": delta}),
            ),
            Self::Text { item_id, .. } => (
                "response.output_text.delta",
                json!({"item_id": item_id, "content_index": 0, "delta": delta}),
            ),
            Self::Call { item_id, call_id, .. } => (
                "response.function_call_arguments.delta",
                json!({"item_id": item_id, "call_id": call_id, "delta": delta}),
            ),
            Self::Hosted { item_id, .. } => {
                ("response.mcp_call_arguments.delta", json!({"item_id": item_id, "delta": delta}))
            }
        }
    }

    fn done_events(&self, so_far: &str) -> Vec<(&'static str, Value)> {
        match self {
            Self::Speech { .. } => vec![
                ("response.output_audio.done", json!({})),
                ("response.output_audio_transcript.done", json!({"transcript": so_far})),
            ],
            Self::Text { .. } => vec![("response.output_text.done", json!({"text": so_far}))],
            Self::Call { call_id, name, .. } => vec![(
                "response.function_call_arguments.done",
                json!({"call_id": call_id, "name": name, "arguments": so_far}),
            )],
            // They come before the server is asked.
            Self::Hosted { .. } => vec![("response.mcp_call.completed", json!({}))],
        }
    }
}
