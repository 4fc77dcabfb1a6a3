//! The `start` message: which call this stream belongs to and how its sound is coded.

use std::collections::BTreeMap;
use std::fmt;

use pipeline::{MediaEncoding, SampleRate};

/// The stream as Twilio announces it, once per stream.
#[derive(Clone, PartialEq, Eq)]
pub struct Start {
    /// `MZ…`: every message we send names it.
    pub stream_sid: String,
    /// `CA…`.
    pub call_sid: String,
    /// `AC…`.
    pub account_sid: String,
    /// `inbound` alone on a `<Connect><Stream>`.
    pub tracks: Vec<String>,
    /// How the sound is coded, both ways.
    pub media_format: MediaFormat,
    /// What the TwiML gave as `<Parameter>`, the one-time token among it.
    pub parameters: BTreeMap<String, String>,
}

/// `start.mediaFormat`, as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaFormat {
    /// `audio/x-mulaw`; `audio/x-L16` with providers that follow Twilio's protocol.
    pub encoding: String,
    /// Hz.
    pub sample_rate: u32,
    /// 1.
    pub channels: u32,
}

impl MediaFormat {
    /// The same in the audio road's words, if it is one it speaks: mono mu-law at 8 kHz, or L16 at 8, 16 or 24 kHz.
    pub fn audio(&self) -> Option<pipeline::MediaFormat> {
        let rate = SampleRate::from_hz(self.sample_rate)?;
        let encoding = if self.encoding.eq_ignore_ascii_case("audio/x-mulaw") && rate == SampleRate::Hz8000 {
            MediaEncoding::Mulaw
        } else if self.encoding.eq_ignore_ascii_case("audio/x-l16") {
            MediaEncoding::L16
        } else {
            return None;
        };
        (self.channels == 1).then_some(pipeline::MediaFormat { encoding, rate })
    }
}

impl Start {
    /// Whether the caller's track is the only one. `<Connect><Stream>` knows no other.
    pub fn is_inbound_only(&self) -> bool {
        self.tracks.iter().all(|track| track == "inbound")
    }
}

impl fmt::Debug for Start {
    // The parameters hold the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start")
            .field("stream_sid", &self.stream_sid)
            .field("call_sid", &self.call_sid)
            .field("media_format", &self.media_format)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_formats_we_speak_are_taken() {
        let audio = |encoding: &str, sample_rate, channels| {
            MediaFormat { encoding: encoding.into(), sample_rate, channels }
                .audio()
                .map(|format| format.frame_bytes())
        };
        assert_eq!(audio("audio/x-mulaw", 8000, 1), Some(160));
        assert_eq!(audio("audio/x-L16", 24_000, 1), Some(960));
        for (encoding, rate, channels) in [
            ("audio/x-mulaw", 16_000, 1),
            ("audio/x-mulaw", 8000, 2),
            ("audio/x-L16", 44_100, 1),
            ("audio/opus", 8000, 1),
        ] {
            assert_eq!(audio(encoding, rate, channels), None, "{encoding} {rate} {channels}");
        }
    }
}
