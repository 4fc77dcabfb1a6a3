//! What the bridge says to the model.
//!
//! Source: OpenAI's Realtime API, client events.

use serde_json::{Value, json};

/// What a response beside the conversation is for: it is made out of the bridge's own words and the conversation does not see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aside {
    /// A phrase while something takes long.
    Filler,
    /// What an operator wants said.
    Say,
    /// A summary of the conversation so far, as text.
    Summary,
}

impl Aside {
    /// Its name in the metadata.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Filler => "filler",
            Self::Say => "say",
            Self::Summary => "summary",
        }
    }

    /// The one of this name.
    pub fn of(name: &str) -> Option<Self> {
        [Self::Filler, Self::Say, Self::Summary].into_iter().find(|aside| aside.as_str() == name)
    }
}

/// An event of ours.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientEvent {
    /// `response.create`, with instructions for this reply alone if there are any.
    ResponseCreate {
        /// For this reply alone.
        instructions: Option<String>,
    },
    /// `response.create` beside the conversation: `conversation: "none"`.
    Aside {
        /// What for.
        aside: Aside,
        /// What to say or write. Of the conversation only a summary sees anything.
        instructions: String,
    },
    /// `conversation.item.create` with a call of a function, as it was made in an earlier session.
    FunctionCall {
        /// The model's id of it.
        call_id: String,
        /// The tool.
        name: String,
        /// JSON text.
        arguments: String,
    },
    /// `conversation.item.create` with the output of a function call.
    FunctionOutput {
        /// The call it answers.
        call_id: String,
        /// Text, usually JSON.
        output: String,
    },
    /// `conversation.item.create` with a message in the caller's name.
    UserText {
        /// The message.
        text: String,
    },
    /// `conversation.item.create` with something ARIA has said. Sound cannot be given back to the model, only its words.
    AssistantText {
        /// What she said.
        text: String,
    },
    /// The same before everything else in the conversation: what a recording has said while the session came up.
    Opening {
        /// What was heard of it.
        text: String,
    },
    /// `conversation.item.create` with a message that neither side said.
    SystemText {
        /// The message.
        text: String,
    },
    /// `conversation.item.truncate`: what of a reply was heard.
    Truncate {
        /// The reply's item.
        item_id: String,
        /// How much was heard, ms. Never more than was generated, or the server refuses it.
        audio_end_ms: u64,
    },
    /// `conversation.item.delete`.
    Delete {
        /// The item.
        item_id: String,
    },
    /// `response.cancel`: only while a response is being generated.
    ResponseCancel,
    /// `session.update` without turn detection: what is heard begins no turn and stops no reply any more.
    StopListening,
    /// `output_audio_buffer.clear`: the server drops what it has not sent. WebRTC only.
    OutputAudioClear,
}

impl ClientEvent {
    /// The JSON text of the event; `event_id` comes back in an `error` that it causes.
    pub fn to_json(&self, event_id: &str) -> String {
        let mut event = match self {
            Self::ResponseCreate { instructions: None } => json!({ "type": "response.create" }),
            Self::ResponseCreate { instructions: Some(text) } => {
                json!({ "type": "response.create", "response": { "instructions": text } })
            }
            Self::Aside { aside, instructions } => beside(*aside, instructions),
            Self::FunctionCall { call_id, name, arguments } => item(json!({
                "type": "function_call", "call_id": call_id, "name": name, "arguments": arguments,
            })),
            Self::FunctionOutput { call_id, output } => {
                item(json!({ "type": "function_call_output", "call_id": call_id, "output": output }))
            }
            Self::UserText { text } => message("user", "input_text", text),
            Self::AssistantText { text } => message("assistant", "output_text", text),
            Self::Opening { text } => {
                let mut event = message("assistant", "output_text", text);
                event["previous_item_id"] = "root".into();
                event
            }
            Self::SystemText { text } => message("system", "input_text", text),
            Self::Truncate { item_id, audio_end_ms } => json!({
                "type": "conversation.item.truncate",
                "item_id": item_id, "content_index": 0, "audio_end_ms": audio_end_ms,
            }),
            Self::Delete { item_id } => json!({ "type": "conversation.item.delete", "item_id": item_id }),
            Self::ResponseCancel => json!({ "type": "response.cancel" }),
            Self::StopListening => json!({
                "type": "session.update",
                "session": { "type": "realtime", "audio": { "input": { "turn_detection": null } } },
            }),
            Self::OutputAudioClear => json!({ "type": "output_audio_buffer.clear" }),
        };
        event["event_id"] = Value::from(event_id);
        event.to_string()
    }
}

fn item(item: Value) -> Value {
    json!({ "type": "conversation.item.create", "item": item })
}

fn message(role: &str, kind: &str, text: &str) -> Value {
    item(json!({ "type": "message", "role": role, "content": [{ "type": kind, "text": text }] }))
}

fn beside(aside: Aside, instructions: &str) -> Value {
    let mut response = json!({
        "conversation": "none",
        "instructions": instructions,
        "metadata": { "aria": aside.as_str() },
        "tool_choice": "none",
    });
    match aside {
        Aside::Summary => response["output_modalities"] = json!(["text"]),
        // An empty input keeps the model to the words it is given.
        Aside::Filler | Aside::Say => response["input"] = json!([]),
    }
    json!({ "type": "response.create", "response": response })
}
