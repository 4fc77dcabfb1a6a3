//! The message that comes fifty times a second and call, read without a parser for the rest of JSON.
//!
//! The general parser took an eighth of the instructions of a call's network thread, this takes less than half of those (callgrind).
//! Whatever is not exactly what Twilio sends (another field, an escape, a number that is not in quotes) is left to it: nothing is accepted here that it would
//! refuse, and nothing is read otherwise.

use std::borrow::Cow;

use memchr::memchr2;

use super::incoming::{Event, Media, Message};

/// Of a text, so many bytes are looked through one by one: all but the sound and the stream's id is shorter, and a search by vectors took some
/// 200 instructions a text.
const SHORT: usize = 16;

/// Reads a `media` message in Twilio's own form: the fields that it documents, in any order, each text in quotes and without escapes.
/// `None`: something else.
pub(super) fn media(text: &str) -> Option<Message<'_>> {
    let (mut event, mut sequence, mut stream_sid, mut media) = (None, None, None, None);
    let mut scan = Scan { text, at: 0 };
    scan.object(|scan, key| match key {
        "event" => scan.text_into(&mut event),
        "sequenceNumber" => scan.text_into(&mut sequence),
        "streamSid" => scan.text_into(&mut stream_sid),
        "media" if media.is_none() => {
            media = Some(fields(scan)?);
            Some(())
        }
        _ => None,
    })?;
    scan.end()?;
    (event? == "media").then_some(())?;
    Some(Message {
        sequence: sequence.and_then(number),
        stream_sid: stream_sid.map(Cow::Borrowed),
        event: Event::Media(media?),
    })
}

fn fields<'a>(scan: &mut Scan<'a>) -> Option<Media<'a>> {
    let (mut track, mut chunk, mut timestamp, mut payload) = (None, None, None, None);
    scan.object(|scan, key| match key {
        "track" => scan.text_into(&mut track),
        "chunk" => scan.text_into(&mut chunk),
        "timestamp" => scan.text_into(&mut timestamp),
        "payload" => scan.text_into(&mut payload),
        _ => None,
    })?;
    Some(Media {
        inbound: track.is_none_or(|track| matches!(track, "inbound" | "inbound_track")),
        chunk: chunk.and_then(number),
        timestamp_ms: timestamp.and_then(number),
        payload: Cow::Borrowed(payload.unwrap_or_default()),
    })
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok()
}

/// A place in a text.
struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    /// An object, whose values `value` reads.
    fn object(&mut self, mut value: impl FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        self.take(b'{')?;
        loop {
            let key = self.string()?;
            self.take(b':')?;
            value(self, key)?;
            match self.next()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    /// A string, for a field that has not come before.
    fn text_into(&mut self, field: &mut Option<&'a str>) -> Option<()> {
        field.replace(self.string()?).is_none().then_some(())
    }

    /// A string without escapes.
    fn string(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let rest = &self.text.as_bytes()[self.at..];
        let ends = |b: &u8| matches!(b, b'"' | b'\\' | 0..b' ');
        let end = match rest.iter().take(SHORT).position(ends) {
            Some(end) => end,
            None => SHORT + memchr2(b'"', b'\\', rest.get(SHORT..)?)?,
        };
        // Control characters are no JSON (RFC 8259, 7).
        let long = rest[..end].get(SHORT..).unwrap_or_default();
        let is_plain = rest[end] == b'"' && long.iter().fold(true, |plain, b| plain & (*b >= b' '));
        let string = &self.text[self.at..self.at + end];
        self.at += end + 1;
        is_plain.then_some(string)
    }

    /// The next byte that is no white space must be this one.
    fn take(&mut self, wanted: u8) -> Option<()> {
        (self.next()? == wanted).then_some(())
    }

    fn next(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.as_bytes().get(self.at)?;
            self.at += 1;
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
        }
    }

    fn end(&mut self) -> Option<()> {
        self.next().is_none().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::incoming::general;
    use super::*;

    const MESSAGE: &str = r#"{"event":"media","sequenceNumber":"2","media":{"track":"inbound","chunk":"1","timestamp":"155","payload":"f39/"},"streamSid":"MZ1"}"#;

    #[test]
    fn what_twilio_sends_is_read_here_in_any_order_and_spacing() {
        for text in [
            MESSAGE,
            "{ \"event\" : \"media\",\n\t\"media\": {\"payload\":\"f39/\", \"track\" :\"outbound\"} }\r\n",
            r#"{"streamSid":"MZé","media":{"timestamp":"","chunk":"-1","payload":""},"event":"media"}"#,
        ] {
            assert_eq!(Ok(media(text).unwrap()), general(text), "{text}");
        }
    }

    #[test]
    fn anything_else_is_left_to_the_general_parser() {
        for (from, to) in [
            ("\"1\"", "1"),
            ("MZ1", "MZ\\u0031"),
            ("MZ1", "MZ\u{1}"),
            ("f39/", "f39/f39/f39/f39/f3\u{1}/"),
            ("streamSid", "tag"),
            ("timestamp", "chunk"),
            ("}", ",}"),
            (",\"stream", ",,\"stream"),
            ("\"event\":\"media\",", ""),
            ("\"event\":\"media\"", "\"event\":\"stop\""),
            ("\"MZ1\"}", "\"MZ1\"} x"),
            ("\"MZ1\"}", "\"MZ1\","),
            ("\"MZ1\"}", "\"MZ1"),
        ] {
            let text = MESSAGE.replace(from, to);
            assert_ne!(text, MESSAGE);
            assert_eq!(media(&text), None, "{text}");
        }
    }

    /// Every byte is replaced, left out and doubled: what is taken here is taken by the general parser, and read alike.
    #[test]
    fn a_damaged_message_is_never_read_otherwise_than_by_the_general_parser() {
        let mut taken = 0;
        let mut try_one = |bytes: &[u8]| {
            let Ok(text) = std::str::from_utf8(bytes) else { return };
            if let Some(message) = media(text) {
                assert_eq!(general(text), Ok(message), "{text}");
                taken += 1;
            }
        };
        for at in 0..MESSAGE.len() {
            let (before, after) = MESSAGE.as_bytes().split_at(at);
            for byte in 0..128 {
                try_one(&[before, &[byte], &after[1..]].concat());
                try_one(&[before, &[byte], after].concat());
            }
            try_one(&[before, &after[1..]].concat());
            try_one(before);
        }
        assert!(taken > 1_000, "{taken} were taken");
    }
}
