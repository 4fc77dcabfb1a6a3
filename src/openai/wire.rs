//! Events of the Realtime API, as they ride the data channel `oai-events`.
//!
//! Source: the event types of OpenAI's own SDK (`openai` 3.54.0, `types/realtime`). Unknown events, unknown fields and fields
//! that are absent are harmless: the server adds some without notice.

mod client;
pub mod sound;
mod usage;

use serde::Deserialize;

use usage::Billed;

pub use client::{Aside, ClientEvent};
pub use usage::Usage;

/// Larger messages are dropped unread. `session.created` with long instructions and tools stays below. The WebRTC stack holds a buffer
/// of this size for every call, so raising it raises what a call costs.
pub const MAX_EVENT_BYTES: usize = 96 * 1024;

/// Our events are called by this and their number.
pub const EVENT_ID: &str = "aria_";

/// What the server said, reduced to what the bridge uses.
#[derive(Debug, Clone, PartialEq)]
pub enum ServerEvent {
    /// `session.created`: the session exists with these settings.
    SessionCreated {
        /// `sess_…`.
        session_id: String,
        /// Unix time at which the session ends, s; 0 if not told.
        expires_at: u64,
    },
    /// `session.updated`.
    SessionUpdated,
    /// `input_audio_buffer.speech_started`: the caller began to speak.
    SpeechStarted {
        /// The future item of the caller's turn.
        item_id: String,
        /// Since the first audio of the session, prefix padding included, ms.
        audio_start_ms: u64,
    },
    /// `input_audio_buffer.speech_stopped`.
    SpeechStopped {
        /// The future item of the caller's turn.
        item_id: String,
    },
    /// `conversation.item.added` or its older twin `created`: where an item stands in the conversation.
    ItemAdded {
        /// The item.
        item_id: String,
        /// The item before it; `None` for the first.
        previous_item_id: Option<String>,
        /// `user`, `assistant` or `system`; empty for items that are not messages.
        role: String,
    },
    /// `conversation.item.input_audio_transcription.delta`.
    CallerTranscriptDelta {
        /// The caller's item.
        item_id: String,
        /// More text.
        delta: String,
    },
    /// `conversation.item.input_audio_transcription.completed`.
    CallerTranscript {
        /// The caller's item.
        item_id: String,
        /// The whole text.
        transcript: String,
    },
    /// `conversation.item.input_audio_transcription.failed`.
    CallerTranscriptFailed {
        /// The caller's item.
        item_id: String,
    },
    /// `conversation.item.truncated`: the model forgot what was not heard.
    ItemTruncated {
        /// The reply's item.
        item_id: String,
        /// How much the model believes was heard, ms.
        audio_end_ms: u64,
    },
    /// `response.created`.
    ResponseCreated {
        /// `resp_…`.
        response_id: String,
        /// Of a response beside the conversation, what we asked it for.
        aside: Option<Aside>,
    },
    /// `response.output_audio_transcript.delta`. Runs ahead of the sound.
    ReplyTranscriptDelta {
        /// The reply's item.
        item_id: String,
        /// More text.
        delta: String,
    },
    /// `response.output_audio_transcript.done`.
    ReplyTranscript {
        /// The reply's item.
        item_id: String,
        /// The whole text.
        transcript: String,
    },
    /// `response.function_call_arguments.done`: a tool is to be called.
    FunctionCall {
        /// `call_…`.
        call_id: String,
        /// The tool.
        name: String,
        /// JSON text, made by the model: not yet validated.
        arguments: String,
    },
    /// `response.mcp_call.in_progress`: OpenAI asks an MCP server that is passed to the model.
    HostedStarted,
    /// `response.mcp_call.completed` or `failed`: it has answered, or has not.
    HostedEnded,
    /// `response.done`: generation ended. The sound goes on until `output_audio_buffer.stopped`.
    ResponseDone {
        /// `resp_…`.
        response_id: String,
        /// Of a response beside the conversation, what we asked it for.
        aside: Option<Aside>,
        /// How.
        status: ResponseStatus,
        /// What was written, if it was asked for text; empty otherwise.
        text: String,
        /// Tokens billed for it.
        usage: Usage,
    },
    /// `output_audio_buffer.started`: the reply's sound begins on RTP.
    PlayoutStarted {
        /// `resp_…`.
        response_id: String,
    },
    /// `output_audio_buffer.stopped`: the reply was sent to its end.
    PlayoutStopped {
        /// `resp_…`.
        response_id: String,
    },
    /// `output_audio_buffer.cleared`: the rest of the reply was dropped by the server.
    PlayoutCleared {
        /// `resp_…`.
        response_id: String,
    },
    /// `error`. Most leave the session open.
    Error(ApiError),
    /// Known and of no use here.
    Ignored,
    /// Not in the list of events that this bridge was written against.
    Unknown {
        /// Its type, as far as it could be read.
        kind: String,
    },
}

/// `response.status` with its details.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponseStatus {
    /// Finished.
    Completed,
    /// By the caller's speech (`turn_detected`) or by us.
    Cancelled,
    /// Cut by a limit or a filter.
    Incomplete,
    /// The reason, `code` or else `type` of the error.
    Failed(String),
}

/// The body of an `error` event and of a refused HTTP request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ApiError {
    /// `invalid_request_error`, `server_error`, …
    #[serde(rename = "type", deserialize_with = "null_as_empty")]
    pub kind: String,
    /// `session_expired`, `response_cancel_not_active`, …; may be absent.
    #[serde(deserialize_with = "null_as_empty")]
    pub code: String,
    /// For people.
    #[serde(deserialize_with = "null_as_empty")]
    pub message: String,
    /// Our event that caused it.
    #[serde(deserialize_with = "null_as_empty")]
    pub event_id: String,
}

impl ApiError {
    /// The number of our event that caused it, if it names one.
    pub fn number(&self) -> Option<u64> {
        self.event_id.strip_prefix(EVENT_ID)?.parse().ok()
    }
}

fn null_as_empty<'de, D: serde::Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(d)?.unwrap_or_default())
}

/// Why a message is not an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Above [`MAX_EVENT_BYTES`].
    #[error("event too large")]
    TooLarge,
    /// Not a JSON object with a `type`, or a known event of the wrong shape.
    #[error("not an event")]
    Malformed,
}

/// All fields that any event of interest carries, so that one pass reads any of them.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields {
    #[serde(rename = "type")]
    kind: String,
    session: Option<Session>,
    item: Option<Item>,
    response: Option<Response>,
    error: Option<ApiError>,
    item_id: Option<String>,
    previous_item_id: Option<String>,
    response_id: Option<String>,
    call_id: Option<String>,
    name: Option<String>,
    arguments: Option<String>,
    delta: Option<String>,
    transcript: Option<String>,
    audio_start_ms: Option<u64>,
    audio_end_ms: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Session {
    id: Option<String>,
    expires_at: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Item {
    id: Option<String>,
    role: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Response {
    id: Option<String>,
    status: Option<String>,
    status_details: Option<StatusDetails>,
    usage: Option<Billed>,
    metadata: Option<Metadata>,
    output: Option<Vec<Output>>,
}

impl Response {
    fn aside(&self) -> Option<Aside> {
        Aside::of(self.metadata.as_ref()?.aria.as_deref()?)
    }

    fn text(&self) -> String {
        let parts = self.output.iter().flatten().flat_map(|output| output.content.iter().flatten());
        parts.filter_map(|part| part.text.as_deref()).collect()
    }
}

/// What we gave a response to tell it by.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    aria: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Output {
    content: Option<Vec<Part>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Part {
    text: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StatusDetails {
    error: Option<ApiError>,
}

/// Reads one message of the data channel.
pub fn parse(text: &str) -> Result<ServerEvent, WireError> {
    if text.len() > MAX_EVENT_BYTES {
        return Err(WireError::TooLarge);
    }
    let fields: Fields = match serde_json::from_str(text) {
        Ok(fields) => fields,
        // A new event may use one of our field names for another type: then only its name matters.
        Err(_) => {
            #[derive(Deserialize)]
            struct Named {
                #[serde(rename = "type")]
                kind: String,
            }
            let named: Named = serde_json::from_str(text).map_err(|_| WireError::Malformed)?;
            return if is_used(&named.kind) { Err(WireError::Malformed) } else { Ok(unused(named.kind)) };
        }
    };
    if fields.kind.is_empty() {
        return Err(WireError::Malformed);
    }
    event(fields).ok_or(WireError::Malformed)
}

/// `None`: a field without which the event means nothing is missing.
fn event(f: Fields) -> Option<ServerEvent> {
    use ServerEvent as E;
    Some(match f.kind.as_str() {
        "session.created" => {
            let session = f.session.unwrap_or_default();
            E::SessionCreated {
                session_id: session.id.unwrap_or_default(),
                expires_at: session.expires_at.unwrap_or_default(),
            }
        }
        "session.updated" => E::SessionUpdated,
        "input_audio_buffer.speech_started" => E::SpeechStarted {
            item_id: f.item_id.unwrap_or_default(),
            audio_start_ms: f.audio_start_ms.unwrap_or_default(),
        },
        "input_audio_buffer.speech_stopped" => E::SpeechStopped { item_id: f.item_id.unwrap_or_default() },
        "conversation.item.added" | "conversation.item.created" => {
            let item = f.item?;
            E::ItemAdded {
                item_id: item.id?,
                previous_item_id: f.previous_item_id,
                role: item.role.unwrap_or_default(),
            }
        }
        "conversation.item.input_audio_transcription.delta" => {
            E::CallerTranscriptDelta { item_id: f.item_id?, delta: f.delta.unwrap_or_default() }
        }
        "conversation.item.input_audio_transcription.completed" => {
            E::CallerTranscript { item_id: f.item_id?, transcript: f.transcript.unwrap_or_default() }
        }
        "conversation.item.input_audio_transcription.failed" => {
            E::CallerTranscriptFailed { item_id: f.item_id? }
        }
        "conversation.item.truncated" => {
            E::ItemTruncated { item_id: f.item_id?, audio_end_ms: f.audio_end_ms.unwrap_or_default() }
        }
        "response.created" => {
            let response = f.response?;
            E::ResponseCreated { aside: response.aside(), response_id: response.id? }
        }
        "response.output_audio_transcript.delta" => {
            E::ReplyTranscriptDelta { item_id: f.item_id?, delta: f.delta.unwrap_or_default() }
        }
        "response.output_audio_transcript.done" => {
            E::ReplyTranscript { item_id: f.item_id?, transcript: f.transcript.unwrap_or_default() }
        }
        "response.function_call_arguments.done" => E::FunctionCall {
            call_id: f.call_id?,
            name: f.name.unwrap_or_default(),
            arguments: f.arguments.unwrap_or_default(),
        },
        "response.mcp_call.in_progress" => E::HostedStarted,
        "response.mcp_call.completed" | "response.mcp_call.failed" => E::HostedEnded,
        "response.done" => response_done(f.response?)?,
        "output_audio_buffer.started" => E::PlayoutStarted { response_id: f.response_id.unwrap_or_default() },
        "output_audio_buffer.stopped" => E::PlayoutStopped { response_id: f.response_id.unwrap_or_default() },
        "output_audio_buffer.cleared" => E::PlayoutCleared { response_id: f.response_id.unwrap_or_default() },
        "error" => E::Error(f.error.unwrap_or_default()),
        _ => unused(f.kind),
    })
}

fn response_done(response: Response) -> Option<ServerEvent> {
    let status = match response.status.as_deref() {
        Some("cancelled") => ResponseStatus::Cancelled,
        Some("incomplete") => ResponseStatus::Incomplete,
        Some("failed") => {
            let error = response.status_details.as_ref().and_then(|d| d.error.clone()).unwrap_or_default();
            ResponseStatus::Failed(if error.code.is_empty() { error.kind } else { error.code })
        }
        _ => ResponseStatus::Completed,
    };
    Some(ServerEvent::ResponseDone {
        aside: response.aside(),
        status,
        text: response.text(),
        usage: response.usage.unwrap_or_default().into(),
        response_id: response.id?,
    })
}

/// Events that change something in the bridge.
const USED: &[&str] = &[
    "session.created",
    "session.updated",
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "conversation.item.added",
    "conversation.item.created",
    "conversation.item.input_audio_transcription.delta",
    "conversation.item.input_audio_transcription.completed",
    "conversation.item.input_audio_transcription.failed",
    "conversation.item.truncated",
    "response.created",
    "response.output_audio_transcript.delta",
    "response.output_audio_transcript.done",
    "response.function_call_arguments.done",
    "response.mcp_call.completed",
    "response.mcp_call.failed",
    "response.mcp_call.in_progress",
    "response.done",
    "output_audio_buffer.started",
    "output_audio_buffer.stopped",
    "output_audio_buffer.cleared",
    "error",
];

/// Events that are known and change nothing here.
const IGNORED: &[&str] = &[
    "conversation.created",
    "conversation.item.deleted",
    "conversation.item.done",
    "conversation.item.input_audio_transcription.segment",
    "conversation.item.retrieved",
    "input_audio_buffer.cleared",
    "input_audio_buffer.committed",
    "input_audio_buffer.dtmf_event_received",
    "input_audio_buffer.timeout_triggered",
    "mcp_list_tools.completed",
    "mcp_list_tools.failed",
    "mcp_list_tools.in_progress",
    "rate_limits.updated",
    "response.content_part.added",
    "response.content_part.done",
    "response.function_call_arguments.delta",
    "response.mcp_call_arguments.delta",
    "response.mcp_call_arguments.done",
    "response.output_audio.delta",
    "response.output_audio.done",
    "response.output_item.added",
    "response.output_item.done",
    "response.output_text.delta",
    "response.output_text.done",
];

fn is_used(kind: &str) -> bool {
    USED.contains(&kind)
}

fn unused(kind: String) -> ServerEvent {
    if IGNORED.contains(&kind.as_str()) { ServerEvent::Ignored } else { ServerEvent::Unknown { kind } }
}

#[cfg(test)]
mod tests;
