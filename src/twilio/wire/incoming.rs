//! Twilio to us. One flat struct of borrowed, optional fields: a tagged enum costs three times the parse and an allocation.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use super::number::Number;
use super::plain;
use super::{MAX_DEPTH, MAX_MESSAGE_BYTES, MediaFormat, Start};

/// Longest id (`MZ…`, `CA…`, `AC…` are 34 characters).
const MAX_SID_BYTES: usize = 64;
/// Longest mark name that can be ours.
const MAX_MARK_BYTES: usize = 256;

/// One message of the stream.
#[derive(Debug, PartialEq)]
pub struct Message<'a> {
    /// Counts all messages of the stream from `start`, which has 1. `connected` has none.
    pub sequence: Option<u64>,
    /// The stream it belongs to. `connected` has none.
    pub stream_sid: Option<Cow<'a, str>>,
    /// What it says.
    pub event: Event<'a>,
}

/// What a message says.
#[derive(Debug, PartialEq)]
pub enum Event<'a> {
    /// The socket is open.
    Connected,
    /// The stream begins.
    Start(Start),
    /// Sound of the caller.
    Media(Media<'a>),
    /// The caller pressed a key. `None`: not a key.
    Dtmf(Option<char>),
    /// Everything before our mark has been played or discarded.
    Mark(Cow<'a, str>),
    /// The stream ends.
    Stop,
    /// An event we do not know: ignored, as Twilio adds events without notice.
    Unknown,
}

/// Sound of the caller, still in base64.
#[derive(Debug, PartialEq)]
pub struct Media<'a> {
    /// Whether this is the caller's track. Only it is ever asked for; anything else must not reach the model.
    pub inbound: bool,
    /// Counts the messages of a track from 1.
    pub chunk: Option<u64>,
    /// Presentation time since the stream's start, ms.
    pub timestamp_ms: Option<u64>,
    /// Standard base64 with padding. Empty if the field was missing.
    pub payload: Cow<'a, str>,
}

/// Why a message was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not JSON, or a known field has the wrong type, or comes twice.
    #[error("not the JSON that was expected")]
    Json,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested too deep")]
    TooDeep,
    /// Larger than [`MAX_MESSAGE_BYTES`].
    #[error("too large")]
    TooLarge,
    /// A field that the event cannot do without is missing or out of bounds.
    #[error("{0} is missing or out of bounds")]
    Field(&'static str),
}

/// Text borrowed from the message unless it was escaped. A type of its own because serde borrows a `Cow` only where it is
/// named directly, not inside an `Option`.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct RawMessage<'a> {
    #[serde(borrow)]
    event: Option<Text<'a>>,
    #[serde(borrow, rename = "streamSid")]
    stream_sid: Option<Text<'a>>,
    #[serde(default, rename = "sequenceNumber")]
    sequence: Number,
    #[serde(borrow)]
    media: Option<RawMedia<'a>>,
    #[serde(borrow)]
    mark: Option<RawMark<'a>>,
    #[serde(borrow)]
    dtmf: Option<RawDtmf<'a>>,
    #[serde(borrow)]
    start: Option<RawStart<'a>>,
}

#[derive(Deserialize)]
struct RawEvent<'a> {
    #[serde(borrow)]
    event: Text<'a>,
}

#[derive(Deserialize)]
struct RawMedia<'a> {
    #[serde(borrow)]
    track: Option<Text<'a>>,
    #[serde(default)]
    chunk: Number,
    #[serde(default)]
    timestamp: Number,
    #[serde(borrow)]
    payload: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct RawMark<'a> {
    #[serde(borrow)]
    name: Text<'a>,
}

#[derive(Deserialize)]
struct RawDtmf<'a> {
    #[serde(borrow)]
    digit: Text<'a>,
}

#[derive(Deserialize)]
struct RawStart<'a> {
    #[serde(borrow, rename = "streamSid")]
    stream_sid: Option<Text<'a>>,
    #[serde(borrow, rename = "callSid")]
    call_sid: Text<'a>,
    #[serde(borrow, rename = "accountSid")]
    account_sid: Text<'a>,
    #[serde(default)]
    tracks: Vec<String>,
    #[serde(rename = "mediaFormat")]
    media_format: Option<RawFormat>,
    #[serde(default, rename = "customParameters")]
    parameters: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct RawFormat {
    encoding: String,
    #[serde(default, rename = "sampleRate")]
    sample_rate: Number,
    #[serde(default)]
    channels: Number,
}

/// Reads one text message. Allocates only for `start` and for text that JSON had to escape.
pub fn parse(text: &str) -> Result<Message<'_>, Malformed> {
    if text.len() > MAX_MESSAGE_BYTES {
        return Err(Malformed::TooLarge);
    }
    plain::media(text).map_or_else(|| general(text), Ok)
}

/// Reads a message of any form.
pub(super) fn general(text: &str) -> Result<Message<'_>, Malformed> {
    if too_deep(text) {
        return Err(Malformed::TooDeep);
    }
    match serde_json::from_str::<RawMessage<'_>>(text) {
        Ok(raw) => read(raw),
        // A future event may use a name we know for something else.
        Err(_) => match serde_json::from_str::<RawEvent<'_>>(text) {
            Ok(raw) if !is_known(&raw.event.0) => {
                Ok(Message { sequence: None, stream_sid: None, event: Event::Unknown })
            }
            _ => Err(Malformed::Json),
        },
    }
}

fn is_known(event: &str) -> bool {
    matches!(event, "connected" | "start" | "media" | "dtmf" | "mark" | "stop")
}

fn read(raw: RawMessage<'_>) -> Result<Message<'_>, Malformed> {
    let event = raw.event.ok_or(Malformed::Field("event"))?.0;
    let stream_sid = raw.stream_sid.map(|sid| sid.0);
    let event = match &*event {
        "media" => {
            let media = raw.media.ok_or(Malformed::Field("media"))?;
            Event::Media(Media {
                inbound: media.track.is_none_or(|track| matches!(&*track.0, "inbound" | "inbound_track")),
                chunk: media.chunk.0,
                timestamp_ms: media.timestamp.0,
                payload: media.payload.map_or(Cow::Borrowed(""), |payload| payload.0),
            })
        }
        "mark" => {
            let name = raw.mark.ok_or(Malformed::Field("mark"))?.name.0;
            if name.len() > MAX_MARK_BYTES {
                return Err(Malformed::Field("mark.name"));
            }
            Event::Mark(name)
        }
        "dtmf" => Event::Dtmf(key(&raw.dtmf.ok_or(Malformed::Field("dtmf"))?.digit.0)),
        "start" => {
            Event::Start(read_start(raw.start.ok_or(Malformed::Field("start"))?, stream_sid.as_deref())?)
        }
        "connected" => Event::Connected,
        "stop" => Event::Stop,
        _ => Event::Unknown,
    };
    Ok(Message { sequence: raw.sequence.0, stream_sid, event })
}

fn read_start(raw: RawStart<'_>, outer_sid: Option<&str>) -> Result<Start, Malformed> {
    let stream_sid = match (raw.stream_sid.as_ref().map(|sid| &*sid.0), outer_sid) {
        (Some(inner), Some(outer)) if inner != outer => return Err(Malformed::Field("streamSid")),
        (inner, outer) => inner.or(outer).ok_or(Malformed::Field("streamSid"))?,
    };
    let format = raw.media_format.ok_or(Malformed::Field("start.mediaFormat"))?;
    Ok(Start {
        stream_sid: sid(stream_sid, "streamSid")?,
        call_sid: sid(&raw.call_sid.0, "start.callSid")?,
        account_sid: sid(&raw.account_sid.0, "start.accountSid")?,
        tracks: raw.tracks,
        media_format: MediaFormat {
            encoding: format.encoding,
            sample_rate: format.sample_rate.0.and_then(|hz| hz.try_into().ok()).unwrap_or(0),
            channels: format.channels.0.and_then(|n| n.try_into().ok()).unwrap_or(0),
        },
        parameters: raw.parameters.unwrap_or_default(),
    })
}

/// An id as Twilio makes them: it is echoed into every message we send and into logs, so nothing else may be in it.
fn sid(text: &str, field: &'static str) -> Result<String, Malformed> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    if text.is_empty() || text.len() > MAX_SID_BYTES || !text.bytes().all(plain) {
        return Err(Malformed::Field(field));
    }
    Ok(text.to_owned())
}

fn key(digit: &str) -> Option<char> {
    let mut chars = digit.chars();
    let key = chars.next().filter(|c| matches!(c, '0'..='9' | '*' | '#' | 'A'..='D'))?;
    chars.next().is_none().then_some(key)
}

/// Whether arrays and objects nest deeper than [`MAX_DEPTH`]. serde_json stops at 128 for what it builds and nowhere for what
/// it skips.
fn too_deep(text: &str) -> bool {
    // Every level costs an opening bracket; with few of them in the text there is nothing to look for.
    if memchr::memchr2_iter(b'{', b'[', text.as_bytes()).nth(MAX_DEPTH).is_none() {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return true;
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests;
