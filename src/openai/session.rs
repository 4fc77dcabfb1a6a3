//! What we ask for: the `session` of the Realtime API, complete at creation so that nothing is heard under default settings.
//!
//! Source: `RealtimeSessionCreateRequestGA`. Unknown fields are refused by the server, so only what is set is sent. The audio formats
//! are left out: over WebRTC the SDP decides.

use pipeline::ModelCodec;
use serde_json::{Map, Value, json};

use crate::config::{Agent, CodecChoice, Interruption, NoiseReduction, TurnDetection};

/// Names the event of [`update`].
pub const UPDATE_ID: &str = "aria_standby";

/// The session of one agent, with the entries of `tools`.
pub fn settings(agent: &Agent, tools: Vec<Value>) -> Value {
    let mut input = Map::new();
    input.insert("turn_detection".into(), turn_detection(&agent.turn_detection, agent.interruption));
    if let Some(kind) = agent.noise_reduction {
        input.insert("noise_reduction".into(), noise_reduction(kind));
    }
    if let Some(model) = &agent.transcription {
        let mut transcription = json!({ "model": model });
        if let Some(language) = &agent.language {
            transcription["language"] = Value::from(language.as_str());
        }
        input.insert("transcription".into(), transcription);
    }

    let mut session = json!({
        "type": "realtime",
        "model": agent.model,
        "output_modalities": ["audio"],
        "audio": { "input": input, "output": { "voice": agent.voice } },
        // Keeps the prompt cache warm in long calls.
        "truncation": { "type": "retention_ratio", "retention_ratio": 0.8 },
    });
    if !agent.instructions.is_empty() {
        session["instructions"] = Value::from(agent.instructions.as_str());
    }
    if let Some(effort) = agent.reasoning_effort {
        session["reasoning"] = json!({ "effort": effort });
    }
    if !tools.is_empty() {
        session["tools"] = Value::from(tools);
        session["tool_choice"] = Value::from("auto");
    }
    session
}

/// The event that makes a session that is up already the one of these [`settings`]. An `error` about it names [`UPDATE_ID`].
pub fn update(settings: &Value) -> String {
    let mut session = settings.clone();
    if let Some(session) = session.as_object_mut() {
        // It never changes, and is refused if it is in there.
        session.remove("model");
        // What is not in there stays as it is.
        session.entry("instructions").or_insert_with(|| Value::from(""));
        session.entry("tools").or_insert_with(|| json!([]));
    }
    json!({ "type": "session.update", "event_id": UPDATE_ID, "session": session }).to_string()
}

/// What is offered over WebRTC, in order. G.711 is taken only if the answer lists it, so Opus is always behind it.
pub fn codecs(choice: CodecChoice) -> &'static [ModelCodec] {
    match choice {
        CodecChoice::Opus => &[ModelCodec::Opus],
        CodecChoice::Pcmu | CodecChoice::Auto => &[ModelCodec::Pcmu, ModelCodec::Opus],
    }
}

fn turn_detection(kind: &TurnDetection, interruption: Interruption) -> Value {
    // The server makes the response at the end of a turn and cancels it when the caller speaks: it owns the playout buffer. Where not
    // every sound of the caller's may do that, the bridge decides, and asks for each response itself.
    let by_server = interruption == Interruption::Always;
    match kind {
        TurnDetection::ServerVad { threshold, prefix_padding_ms, silence_duration_ms } => json!({
            "type": "server_vad",
            "threshold": threshold,
            "prefix_padding_ms": prefix_padding_ms,
            "silence_duration_ms": silence_duration_ms,
            "create_response": by_server,
            "interrupt_response": by_server,
        }),
        TurnDetection::SemanticVad { eagerness } => json!({
            "type": "semantic_vad",
            "eagerness": eagerness,
            "create_response": by_server,
            "interrupt_response": by_server,
        }),
    }
}

fn noise_reduction(kind: NoiseReduction) -> Value {
    json!({ "type": kind })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    #[test]
    fn an_update_leaves_nothing_of_another_call() {
        let settings = json!({ "type": "realtime", "model": "m", "audio": {} });
        let update: Value = serde_json::from_str(&update(&settings)).expect("it is JSON");
        assert_eq!(
            update,
            json!({
                "type": "session.update", "event_id": UPDATE_ID,
                "session": { "type": "realtime", "audio": {}, "instructions": "", "tools": [] }
            })
        );
    }

    #[test]
    fn the_default_agent_asks_for_this() {
        let settings_ = load(&Sources { text: Some(String::new()), ..Sources::default() }).unwrap();
        let session = settings(&settings_.agent_for("+15551230000"), Vec::new());
        assert_eq!(
            session,
            json!({
                "type": "realtime", "model": "gpt-realtime-2.1", "output_modalities": ["audio"],
                "audio": {
                    "input": {
                        "turn_detection": {
                            "type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300,
                            "silence_duration_ms": 500, "create_response": true, "interrupt_response": true
                        },
                        "transcription": { "model": "gpt-realtime-whisper" }
                    },
                    "output": { "voice": "marin" }
                },
                "truncation": { "type": "retention_ratio", "retention_ratio": 0.8 }
            })
        );
    }
}
