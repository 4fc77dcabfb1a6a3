//! The `start` message: which call this stream belongs to and how its sound is coded.

use std::collections::BTreeMap;
use std::fmt;

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
    /// `audio/x-mulaw`; `audio/x-L16` with providers that follow Twilio's protocol.
    pub encoding: String,
    /// Hz.
    pub sample_rate: u32,
    /// 1.
    pub channels: u32,
    /// What the TwiML gave as `<Parameter>`, the one-time token among it.
    pub parameters: BTreeMap<String, String>,
}

impl fmt::Debug for Start {
    // The parameters hold the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start")
            .field("stream_sid", &self.stream_sid)
            .field("call_sid", &self.call_sid)
            .field("encoding", &self.encoding)
            .field("sample_rate", &self.sample_rate)
            .finish_non_exhaustive()
    }
}
