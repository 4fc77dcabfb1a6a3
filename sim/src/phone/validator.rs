//! The strict reader of what the bridge sends on a media stream.
//!
//! Twilio ignores what it cannot use, with a warning once per stream (31950, 31951); a bridge that relies on that is wrong in ways nobody hears. So every departure is
//! written down, including a few that Twilio tolerates and this project does not (payloads that are not whole 20 ms frames, empty ones).

use serde::Deserialize;
use serde_json::Value;

use super::playback::FRAME;

/// The largest message the bridge may send. Twilio documents no limit; whole frames of 20 to 100 ms stay far below it.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// The ways in which a message can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ViolationKind {
    /// A binary message. Twilio: warning 31950.
    Binary,
    /// Not JSON, or not an object. Twilio: warning 31951, as for all that follow down to [`ViolationKind::BadPayload`].
    NotJson,
    /// No `event`, or one that a server may not send.
    UnknownEvent,
    /// A field of the message is missing.
    MissingField,
    /// A field more than the message has.
    ExtraField,
    /// A field of another type, or given twice.
    WrongType,
    /// `streamSid` is not this stream's.
    WrongStream,
    /// `media.payload` is not standard base64 with padding.
    BadPayload,
    /// `media.payload` is empty. Twilio's answer is unknown; field reports blame it for error 31924.
    EmptyPayload,
    /// `media.payload` is not a multiple of 160 bytes: allowed, but heard as stutter.
    OddPayload,
    /// Sent before `start` was: the bridge cannot know the stream yet.
    BeforeStart,
    /// Larger than [`MAX_MESSAGE_BYTES`].
    Oversized,
    /// A message in several frames.
    Fragmented,
    /// The framing itself is not what RFC 6455 allows a server. Twilio: error 31924.
    Framing,
    /// Something in the HTTP answers, e.g. a subprotocol nobody asked for.
    Http,
}

impl ViolationKind {
    /// The number Twilio's debugger would show, if it would show one.
    pub fn twilio_code(self) -> Option<u32> {
        use ViolationKind::*;
        match self {
            Binary => Some(31_950),
            NotJson | UnknownEvent | MissingField | ExtraField | WrongType | WrongStream | BadPayload => {
                Some(31_951)
            }
            Framing => Some(31_924),
            Http => Some(31_920),
            EmptyPayload | OddPayload | BeforeStart | Oversized | Fragmented => None,
        }
    }
}

/// A message that the stream can act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// Audio to queue, mu-law at 8 kHz.
    Media(Vec<u8>),
    /// A mark to echo.
    Mark(String),
    /// Empty the queue.
    Clear,
}

/// What a message means, and what is wrong with it, each with an explanation.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What Twilio would do with it; nothing if it would ignore it.
    pub incoming: Option<Incoming>,
    /// What is wrong.
    pub violations: Vec<(ViolationKind, String)>,
}

impl Verdict {
    fn ignored(kind: ViolationKind, detail: impl Into<String>) -> Self {
        Self { incoming: None, violations: vec![(kind, detail.into())] }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MediaMessage {
    #[serde(rename = "event")]
    _event: String,
    #[serde(rename = "streamSid")]
    stream_sid: String,
    media: MediaBody,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MediaBody {
    payload: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MarkMessage {
    #[serde(rename = "event")]
    _event: String,
    #[serde(rename = "streamSid")]
    stream_sid: String,
    mark: MarkBody,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MarkBody {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClearMessage {
    #[serde(rename = "event")]
    _event: String,
    #[serde(rename = "streamSid")]
    stream_sid: String,
}

/// Reads one text message of the stream `stream_sid`.
pub fn read_text(text: &str, stream_sid: &str) -> Verdict {
    if text.len() > MAX_MESSAGE_BYTES {
        return Verdict::ignored(ViolationKind::Oversized, format!("{} bytes", text.len()));
    }
    let event = match serde_json::from_str::<Value>(text) {
        Err(error) => return Verdict::ignored(ViolationKind::NotJson, error.to_string()),
        Ok(Value::Object(fields)) => match fields.get("event") {
            Some(Value::String(event)) => event.clone(),
            _ => return Verdict::ignored(ViolationKind::UnknownEvent, "no event"),
        },
        Ok(_) => return Verdict::ignored(ViolationKind::NotJson, "not an object"),
    };
    let read = match event.as_str() {
        "media" => {
            serde_json::from_str::<MediaMessage>(text).map(|m| (m.stream_sid, read_payload(&m.media.payload)))
        }
        "mark" => serde_json::from_str::<MarkMessage>(text).map(|m| {
            (m.stream_sid, Verdict { incoming: Some(Incoming::Mark(m.mark.name)), violations: vec![] })
        }),
        "clear" => serde_json::from_str::<ClearMessage>(text)
            .map(|m| (m.stream_sid, Verdict { incoming: Some(Incoming::Clear), violations: vec![] })),
        _ => return Verdict::ignored(ViolationKind::UnknownEvent, excerpt(&event)),
    };
    match read {
        Err(error) => Verdict::ignored(field_kind(&error.to_string()), format!("{event}: {error}")),
        Ok((sid, _)) if sid != stream_sid => Verdict::ignored(ViolationKind::WrongStream, excerpt(&sid)),
        Ok((_, verdict)) => verdict,
    }
}

/// A binary message: there is none in this protocol.
pub fn read_binary(length: usize) -> Verdict {
    Verdict::ignored(ViolationKind::Binary, format!("{length} bytes"))
}

fn read_payload(payload: &str) -> Verdict {
    match base64_simd::STANDARD.decode_to_vec(payload) {
        Err(_) => Verdict::ignored(ViolationKind::BadPayload, format!("{} characters", payload.len())),
        Ok(bytes) if bytes.is_empty() => Verdict::ignored(ViolationKind::EmptyPayload, "no audio"),
        Ok(bytes) => {
            let odd = !bytes.len().is_multiple_of(FRAME);
            let violations = odd.then(|| (ViolationKind::OddPayload, format!("{} bytes", bytes.len())));
            Verdict { incoming: Some(Incoming::Media(bytes)), violations: violations.into_iter().collect() }
        }
    }
}

/// serde tells its kinds of data errors apart only in words.
fn field_kind(error: &str) -> ViolationKind {
    if error.starts_with("missing field") {
        ViolationKind::MissingField
    } else if error.starts_with("unknown field") {
        ViolationKind::ExtraField
    } else {
        ViolationKind::WrongType
    }
}

fn excerpt(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SID: &str = "MZ0123";

    fn media(bytes: usize) -> String {
        let payload = base64_simd::STANDARD.encode_to_string(vec![0x7F; bytes]);
        format!(r#"{{"event":"media","streamSid":"{SID}","media":{{"payload":"{payload}"}}}}"#)
    }

    #[test]
    fn the_three_messages_of_a_server_pass() {
        let verdict = read_text(&media(320), SID);
        assert_eq!(verdict, Verdict { incoming: Some(Incoming::Media(vec![0x7F; 320])), violations: vec![] });
        let mark = read_text(r#"{"event":"mark","streamSid":"MZ0123","mark":{"name":"r1:2"}}"#, SID);
        assert_eq!(mark.incoming, Some(Incoming::Mark("r1:2".into())));
        let clear = read_text(r#"{"streamSid":"MZ0123","event":"clear"}"#, SID);
        assert_eq!(clear, Verdict { incoming: Some(Incoming::Clear), violations: vec![] });
    }

    #[test]
    fn every_departure_has_its_kind_and_is_ignored() {
        use ViolationKind::*;
        let cases = [
            ("hello", NotJson),
            ("[1]", NotJson),
            (r#"{"streamSid":"MZ0123"}"#, UnknownEvent),
            (r#"{"event":"ping","streamSid":"MZ0123"}"#, UnknownEvent),
            (r#"{"event":"Clear","streamSid":"MZ0123"}"#, UnknownEvent),
            (r#"{"event":"clear"}"#, MissingField),
            (r#"{"event":"media","streamSid":"MZ0123","media":{}}"#, MissingField),
            (r#"{"event":"mark","streamSid":"MZ0123"}"#, MissingField),
            (r#"{"event":"clear","streamSid":"MZ0123","reason":"x"}"#, ExtraField),
            (
                r#"{"event":"media","streamSid":"MZ0123","media":{"payload":"","track":"outbound"}}"#,
                ExtraField,
            ),
            (r#"{"event":"mark","streamSid":"MZ0123","mark":{"name":7}}"#, WrongType),
            (r#"{"event":"clear","streamSid":"MZ0123","streamSid":"MZ0123"}"#, WrongType),
            (r#"{"event":"clear","streamSid":"MZ9999"}"#, WrongStream),
            (r#"{"event":"media","streamSid":"MZ0123","media":{"payload":"a*b="}}"#, BadPayload),
            (r#"{"event":"media","streamSid":"MZ0123","media":{"payload":"YQ"}}"#, BadPayload),
            (r#"{"event":"media","streamSid":"MZ0123","media":{"payload":""}}"#, EmptyPayload),
        ];
        for (text, kind) in cases {
            let verdict = read_text(text, SID);
            assert_eq!(verdict.incoming, None, "{text}");
            assert_eq!(verdict.violations.iter().map(|v| v.0).collect::<Vec<_>>(), [kind], "{text}");
        }
        assert_eq!(read_binary(3).violations[0].0.twilio_code(), Some(31_950));
    }

    #[test]
    fn odd_sizes_are_heard_but_written_down() {
        let verdict = read_text(&media(161), SID);
        assert!(matches!(verdict.incoming, Some(Incoming::Media(ref b)) if b.len() == 161));
        assert_eq!(verdict.violations[0].0, ViolationKind::OddPayload);
    }

    #[test]
    fn a_message_above_the_limit_is_not_even_read() {
        let verdict = read_text(&media(60_000), SID);
        assert_eq!(verdict.violations[0].0, ViolationKind::Oversized);
    }
}
