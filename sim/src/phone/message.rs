//! The messages of Twilio's side of a media stream, in the key order of captures. Sequence numbers, chunks and timestamps are strings, rate and channels are numbers
//! (<https://www.twilio.com/docs/voice/media-streams/websocket-messages>).

use serde_json::{Value, json};

/// The identifiers that a stream's messages carry.
#[derive(Debug, Clone)]
pub struct StreamIds {
    /// `AC` and 32 digits.
    pub account: String,
    /// `CA` and 32 digits.
    pub call: String,
    /// `MZ` and 32 digits.
    pub stream: String,
}

/// The first message; it has no number and no stream.
pub fn connected() -> String {
    r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#.to_owned()
}

/// The second message. `parameters` in the order of the TwiML; a name given twice counts once, the last value.
pub fn start(
    ids: &StreamIds,
    sequence: u64,
    parameters: &[(String, String)],
    format: Option<&(Value, Value)>,
) -> String {
    let custom: serde_json::Map<String, Value> =
        parameters.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect();
    let (media, tracks) = match format {
        Some((media, tracks)) => (media.to_string(), tracks.to_string()),
        None => (
            r#"{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}"#.to_owned(),
            r#"["inbound"]"#.to_owned(),
        ),
    };
    let StreamIds { account, call, stream } = ids;
    format!(
        r#"{{"event":"start","sequenceNumber":"{sequence}","start":{{"accountSid":{},"streamSid":"{stream}","callSid":{},"tracks":{tracks},"mediaFormat":{media},"customParameters":{}}},"streamSid":"{stream}"}}"#,
        json!(account),
        json!(call),
        Value::Object(custom)
    )
}

/// A frame of the caller's voice. `timestamp_ms` since the stream began.
pub fn media(ids: &StreamIds, sequence: u64, chunk: u64, timestamp_ms: u64, mulaw: &[u8]) -> String {
    let payload = base64_simd::STANDARD.encode_to_string(mulaw);
    format!(
        r#"{{"event":"media","sequenceNumber":"{sequence}","media":{{"track":"inbound","chunk":"{chunk}","timestamp":"{timestamp_ms}","payload":"{payload}"}},"streamSid":"{}"}}"#,
        ids.stream
    )
}

/// A key the caller pressed.
pub fn dtmf(ids: &StreamIds, sequence: u64, digit: char) -> String {
    format!(
        r#"{{"event":"dtmf","streamSid":"{}","sequenceNumber":"{sequence}","dtmf":{{"track":"inbound_track","digit":{}}}}}"#,
        ids.stream,
        json!(digit)
    )
}

/// The echo of a mark.
pub fn mark(ids: &StreamIds, sequence: u64, name: &str) -> String {
    format!(
        r#"{{"event":"mark","sequenceNumber":"{sequence}","streamSid":"{}","mark":{{"name":{}}}}}"#,
        ids.stream,
        json!(name)
    )
}

/// The last message.
pub fn stop(ids: &StreamIds, sequence: u64) -> String {
    format!(
        r#"{{"event":"stop","sequenceNumber":"{sequence}","streamSid":"{}","stop":{{"accountSid":{},"callSid":{}}}}}"#,
        ids.stream,
        json!(ids.account),
        json!(ids.call)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> StreamIds {
        StreamIds { account: "AC1".into(), call: "CA1".into(), stream: "MZ1".into() }
    }

    #[test]
    fn the_wire_forms_are_those_of_the_captures() {
        assert_eq!(
            start(&ids(), 1, &[("token".into(), "a\"b".into())], None),
            r#"{"event":"start","sequenceNumber":"1","start":{"accountSid":"AC1","streamSid":"MZ1","callSid":"CA1","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"customParameters":{"token":"a\"b"}},"streamSid":"MZ1"}"#
        );
        assert_eq!(
            media(&ids(), 2, 1, 155, &[0xFF; 3]),
            r#"{"event":"media","sequenceNumber":"2","media":{"track":"inbound","chunk":"1","timestamp":"155","payload":"////"},"streamSid":"MZ1"}"#
        );
        assert_eq!(
            dtmf(&ids(), 5, '#'),
            r##"{"event":"dtmf","streamSid":"MZ1","sequenceNumber":"5","dtmf":{"track":"inbound_track","digit":"#"}}"##
        );
        assert_eq!(
            mark(&ids(), 4, "my label"),
            r#"{"event":"mark","sequenceNumber":"4","streamSid":"MZ1","mark":{"name":"my label"}}"#
        );
        assert_eq!(
            stop(&ids(), 378),
            r#"{"event":"stop","sequenceNumber":"378","streamSid":"MZ1","stop":{"accountSid":"AC1","callSid":"CA1"}}"#
        );
    }

    #[test]
    fn a_full_frame_is_216_characters_of_base64() {
        let text = media(&ids(), 2, 1, 155, &[0x7F; 160]);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["media"]["payload"].as_str().unwrap().len(), 216);
    }
}
