//! Sound as it rides a WebSocket: base64 in events, in both directions.
//!
//! Source: OpenAI's Realtime API, `input_audio_buffer.append` and `response.output_audio.delta`.

use std::borrow::Cow;

use serde::Deserialize;

/// What a message of the server says about sound.
#[derive(Debug, PartialEq, Eq)]
pub enum SoundEvent {
    /// `response.created`: sound of it may follow.
    Created {
        /// `resp_…`.
        response_id: String,
        /// Its items are in the conversation: they can be truncated.
        in_conversation: bool,
    },
    /// `response.output_audio.delta`: more sound.
    Delta {
        /// `resp_…`.
        response_id: String,
        /// The reply's item.
        item_id: String,
        /// In the session's output format.
        audio: Vec<u8>,
    },
    /// `response.output_audio.done`: the item's sound is complete.
    AudioDone {
        /// The reply's item.
        item_id: String,
    },
    /// `response.done`: nothing more of it follows.
    ResponseDone {
        /// `resp_…`.
        response_id: String,
        /// The caller's speech cancelled it.
        interrupted: bool,
    },
    /// `error` about an event with this id of ours.
    Refused {
        /// The id that we gave the event.
        event_id: String,
    },
    /// Nothing about sound.
    Other,
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    response_id: String,
    item_id: String,
    #[serde(borrow)]
    delta: Cow<'a, str>,
}

#[derive(Deserialize)]
struct AudioDone {
    item_id: String,
}

#[derive(Deserialize)]
struct Carrier {
    response: Response,
}

#[derive(Deserialize)]
struct Response {
    id: String,
    #[serde(default = "unsaid")]
    conversation_id: Option<String>,
    status_details: Option<StatusDetails>,
}

/// A response that does not say is one of the conversation; `null` is beside it.
fn unsaid() -> Option<String> {
    Some(String::new())
}

#[derive(Deserialize)]
struct StatusDetails {
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Failed {
    error: Failure,
}

#[derive(Deserialize)]
struct Failure {
    event_id: Option<String>,
}

/// Reads one message. What is not as it should be is [`SoundEvent::Other`]: the call judges it.
pub fn read(text: &str) -> SoundEvent {
    let Ok(Kind { kind }) = serde_json::from_str(text) else { return SoundEvent::Other };
    let read = match kind.as_ref() {
        "response.output_audio.delta" => delta(text),
        "response.output_audio.done" => {
            serde_json::from_str(text).ok().map(|AudioDone { item_id }| SoundEvent::AudioDone { item_id })
        }
        "response.created" => {
            serde_json::from_str(text).ok().map(|Carrier { response }| SoundEvent::Created {
                response_id: response.id,
                in_conversation: response.conversation_id.is_some(),
            })
        }
        "response.done" => serde_json::from_str(text).ok().map(|Carrier { response }| {
            let reason = response.status_details.and_then(|details| details.reason);
            let interrupted = reason.as_deref() == Some("turn_detected");
            SoundEvent::ResponseDone { response_id: response.id, interrupted }
        }),
        "error" => serde_json::from_str(text)
            .ok()
            .and_then(|Failed { error }| Some(SoundEvent::Refused { event_id: error.event_id? })),
        _ => None,
    };
    read.unwrap_or(SoundEvent::Other)
}

fn delta(text: &str) -> Option<SoundEvent> {
    let Delta { response_id, item_id, delta } = serde_json::from_str(text).ok()?;
    let audio = base64_simd::STANDARD.decode_to_vec(delta.as_bytes()).ok()?;
    Some(SoundEvent::Delta { response_id, item_id, audio })
}

/// `input_audio_buffer.append`. Not acknowledged by the server.
pub fn append(audio: &[u8]) -> String {
    const PREFIX: &str = r#"{"type":"input_audio_buffer.append","audio":""#;
    let mut text = String::with_capacity(PREFIX.len() + audio.len().div_ceil(3) * 4 + 2);
    text.push_str(PREFIX);
    base64_simd::STANDARD.encode_append(audio, &mut text);
    text.push_str("\"}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_is_read_from_the_events_of_the_api_description() {
        let text = r#"{"type":"response.output_audio.delta","event_id":"event_4950","response_id":"resp_001",
            "item_id":"msg_008","output_index":0,"content_index":0,"delta":"AP\/\/"}"#;
        let (response_id, item_id) = ("resp_001".to_owned(), "msg_008".to_owned());
        assert_eq!(read(text), SoundEvent::Delta { response_id, item_id, audio: vec![0, 0xff, 0xff] });
        let text = r#"{"type":"response.output_audio.done","event_id":"e","response_id":"r","item_id":"i"}"#;
        assert_eq!(read(text), SoundEvent::AudioDone { item_id: "i".into() });
        let created = |rest: &str| {
            read(&format!(
                r#"{{"type":"response.created","response":{{"id":"r","status":"in_progress"{rest}}}}}"#
            ))
        };
        let made = |in_conversation| SoundEvent::Created { response_id: "r".into(), in_conversation };
        assert_eq!(created(""), made(true));
        assert_eq!(created(r#","conversation_id":"conv_1""#), made(true));
        assert_eq!(created(r#","conversation_id":null"#), made(false));
        let done = |details: &str| {
            read(&format!(r#"{{"type":"response.done","response":{{"id":"r","status_details":{details}}}}}"#))
        };
        let over = |interrupted| SoundEvent::ResponseDone { response_id: "r".into(), interrupted };
        assert_eq!(done("null"), over(false));
        assert_eq!(done(r#"{"type":"cancelled","reason":"turn_detected"}"#), over(true));
        assert_eq!(done(r#"{"type":"cancelled","reason":"client_cancelled"}"#), over(false));
    }

    #[test]
    fn what_is_none_or_broken_is_left_to_the_call() {
        for text in [
            "",
            "[]",
            r#"{"type":7}"#,
            r#"{"type":"session.created","session":{}}"#,
            r#"{"type":"response.output_audio.delta","response_id":"r","item_id":"i","delta":"?"}"#,
            r#"{"type":"response.output_audio.delta","response_id":"r","delta":"AAAA"}"#,
            r#"{"type":"response.done"}"#,
            r#"{"type":"error","error":{"code":"x","event_id":null}}"#,
        ] {
            assert_eq!(read(text), SoundEvent::Other, "{text}");
        }
        let refused = r#"{"type":"error","error":{"code":"x","event_id":"mine"}}"#;
        assert_eq!(read(refused), SoundEvent::Refused { event_id: "mine".into() });
    }

    #[test]
    fn what_the_caller_says_is_appended_as_it_is() {
        assert_eq!(append(&[0, 0xff, 0xff]), r#"{"type":"input_audio_buffer.append","audio":"AP//"}"#);
    }
}
