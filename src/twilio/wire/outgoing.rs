//! Us to Twilio: `media`, `mark` and `clear` with exactly Twilio's fields. A missing or extra one is warning 31951 and a
//! message ignored.

use base64_simd::{AsOut, STANDARD};
use bytes::{BufMut, BytesMut};
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// Room for half a dozen frames: a message is handed out as a piece of this buffer and comes back when it has been written, so
/// a steady stream of messages allocates nothing.
const BUFFER_BYTES: usize = 2048;

/// Writes one stream's messages.
#[derive(Debug)]
pub struct Outgoing {
    media_prefix: String,
    mark_prefix: String,
    clear: Utf8Bytes,
    buffer: BytesMut,
}

impl Outgoing {
    /// `stream_sid` as the stream's `start` gave it.
    pub fn new(stream_sid: &str) -> Self {
        let sid = quoted(stream_sid);
        Self {
            media_prefix: format!(r#"{{"event":"media","streamSid":{sid},"media":{{"payload":""#),
            mark_prefix: format!(r#"{{"event":"mark","streamSid":{sid},"mark":{{"name":"#),
            clear: format!(r#"{{"event":"clear","streamSid":{sid}}}"#).into(),
            buffer: BytesMut::with_capacity(BUFFER_BYTES),
        }
    }

    /// Sound for the caller in the stream's format, raw and without a header.
    pub fn media(&mut self, payload: &[u8]) -> Utf8Bytes {
        let encoded = STANDARD.encoded_length(payload.len());
        self.buffer.reserve(self.media_prefix.len() + encoded + 3);
        self.buffer.put_slice(self.media_prefix.as_bytes());
        let at = self.buffer.len();
        self.buffer.resize(at + encoded, 0);
        let _ = STANDARD.encode(payload, self.buffer[at..].as_out());
        self.buffer.put_slice(b"\"}}");
        self.take()
    }

    /// Asks for `name` to be echoed when everything before it has been played.
    pub fn mark(&mut self, name: &str) -> Utf8Bytes {
        self.buffer.reserve(self.mark_prefix.len() + name.len() + 4);
        self.buffer.put_slice(self.mark_prefix.as_bytes());
        serde_json::to_writer((&mut self.buffer).writer(), name).expect("text is JSON, and the buffer grows");
        self.buffer.put_slice(b"}}");
        self.take()
    }

    /// Empties Twilio's queue. It echoes all marks that were waiting.
    pub fn clear(&self) -> Utf8Bytes {
        self.clear.clone()
    }

    fn take(&mut self) -> Utf8Bytes {
        let text = self.buffer.split().freeze();
        Utf8Bytes::try_from(text).expect("JSON of text and base64 is UTF-8")
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_messages_to_twilio() {
        let mut out = Outgoing::new("MZ1");
        assert_eq!(
            &*out.media(&[0x7f, 0x7f, 0x7f]),
            r#"{"event":"media","streamSid":"MZ1","media":{"payload":"f39/"}}"#
        );
        assert_eq!(&*out.media(&[0xff]), r#"{"event":"media","streamSid":"MZ1","media":{"payload":"/w=="}}"#);
        assert_eq!(&*out.mark("g3:150"), r#"{"event":"mark","streamSid":"MZ1","mark":{"name":"g3:150"}}"#);
        assert_eq!(&*out.clear(), r#"{"event":"clear","streamSid":"MZ1"}"#);
    }

    #[test]
    fn names_are_escaped() {
        let mut out = Outgoing::new("MZ1");
        let text = out.mark("a\"}}\n");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["mark"]["name"], "a\"}}\n");
    }

    #[test]
    fn written_messages_give_their_room_back() {
        let mut out = Outgoing::new("MZ1");
        let first = out.media(&[0; 160]).as_ptr() as usize;
        for _ in 0..1000 {
            let at = out.media(&[0; 160]).as_ptr() as usize;
            assert!(at.abs_diff(first) < BUFFER_BYTES, "a message was allocated");
        }
    }
}
