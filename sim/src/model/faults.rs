//! Everything that can go wrong on OpenAI's side, as switches. The default is a service without faults.

use std::net::SocketAddr;
use std::time::Duration;

/// All faults of a [`ModelServer`](super::ModelServer).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults {
    /// Faults of the requests that set a session up: `POST /v1/realtime/calls`, and of the WebSocket's upgrade those that need no
    /// answer in SDP.
    pub http: HttpFaults,
    /// A hostile or broken answer in an otherwise good `201`.
    pub answer: Option<AnswerFault>,
    /// Faults of the peer connection and of its sound.
    pub media: MediaFaults,
    /// Faults of the conversation's events.
    pub events: EventFaults,
    /// How many sessions meet the faults of peer and events; all if nothing is said.
    pub sessions: Option<u64>,
    /// `POST /v1/realtime/calls` is refused with this status: there is no WebRTC to be had.
    pub webrtc_refused: Option<u16>,
    /// The WebSocket's upgrade is refused with this status: there is nothing but WebRTC.
    pub websocket_refused: Option<u16>,
}

impl Faults {
    /// The faults of peer and events that session number `number`, from 0, meets.
    pub(crate) fn of(&self, number: u64) -> (MediaFaults, EventFaults) {
        if self.sessions.is_some_and(|sessions| number >= sessions) {
            return Default::default();
        }
        (self.media.clone(), self.events.clone())
    }
}

/// Faults of the set-up request, in the order of the requests the server gets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HttpFaults {
    /// The first requests meet these, one each. `vec![HttpFault::status(503); 2]` refuses two and takes the third.
    pub first: Vec<HttpFault>,
    /// All later requests meet this.
    pub then: Option<HttpFault>,
}

impl HttpFaults {
    /// The fault that request number `index`, from 0, meets.
    pub fn of(&self, index: usize) -> Option<&HttpFault> {
        self.first.get(index).or(self.then.as_ref())
    }
}

/// One way a set-up request fails.
#[derive(Debug, Clone, PartialEq)]
pub enum HttpFault {
    /// No fault: lets a list of [`HttpFaults::first`] skip a request.
    None,
    /// An error status with the JSON body the service gives.
    Status {
        /// 401, 403, 404, 429, 500, 503 …
        status: u16,
        /// `error.code`; the usual one of the status if absent.
        code: Option<String>,
        /// The header `Retry-After` in seconds.
        retry_after: Option<u32>,
    },
    /// The request is read and never answered.
    Hang,
    /// A good answer whose body arrives this many bytes at a time, one piece every interval.
    SlowBody {
        /// Bytes a piece.
        bytes: usize,
        /// Time between pieces.
        every: Duration,
    },
    /// A good answer whose `Content-Length` promises more than comes.
    TruncatedBody,
    /// A `201` with this many bytes of nonsense.
    HugeBody {
        /// Size of the body.
        bytes: usize,
    },
    /// `307` to this address.
    Redirect {
        /// The header `Location`.
        to: String,
    },
    /// A good answer labelled `text/html`.
    WrongContentType,
    /// A `201` without the header `Location`.
    NoLocation,
}

impl HttpFault {
    /// An error status with its usual code and no `Retry-After`.
    pub fn status(status: u16) -> Self {
        Self::Status { status, code: None, retry_after: None }
    }
}

/// One way an answer is broken or hostile.
#[derive(Debug, Clone, PartialEq)]
pub enum AnswerFault {
    /// No `a=fingerprint` at all.
    NoFingerprint,
    /// A SHA-1 fingerprint (RFC 8827 section 6.5 forbids it).
    Sha1Fingerprint,
    /// A SHA-256 fingerprint of another certificate.
    WrongFingerprint,
    /// Candidates at these addresses only: private, multicast, metadata services …
    Candidates(Vec<SocketAddr>),
    /// This many unreachable candidates before the good one.
    ManyCandidates(usize),
    /// The audio line refused with port 0.
    NoAudio,
    /// No audio line at all.
    MissingAudio,
    /// `a=setup:actpass`, which an answer must not say (RFC 8842 section 5.3).
    SetupActpass,
    /// `a=setup:passive` while the server still acts as the DTLS client.
    SetupPassive,
    /// Two codecs under one payload type.
    PayloadReuse,
    /// Not SDP.
    Nonsense,
    /// The last line end cut off.
    Trimmed,
}

/// Faults of the peer. Times are since the data channel or the WebSocket opened unless said otherwise. What concerns RTP or the way it
/// takes has no meaning over a WebSocket.
#[derive(Debug, Clone, PartialEq)]
pub struct MediaFaults {
    /// No packet is read or sent from this time after the request on. Zero: ICE never connects.
    pub silent_after: Option<Duration>,
    /// Data-channel packets are thrown away: ICE and DTLS come up, the channel never opens.
    pub channel_never_opens: bool,
    /// The channel's `session.created` is held back this long.
    pub channel_speaks_after: Duration,
    /// The data channel is closed, the sound goes on; over a WebSocket an orderly close frame, 1000.
    pub channel_closes_after: Option<Duration>,
    /// DTLS `close_notify` and the end of the peer; over a WebSocket a close frame with 1011.
    pub peer_closes_after: Option<Duration>,
    /// The WebSocket's connection ends without a close frame.
    pub socket_cut_after: Option<Duration>,
    /// No datagram is read or sent, from the beginning: ICE never connects. A WebSocket goes on.
    pub udp_blocked: bool,
    /// No RTP leaves for a while; the reply then goes on where it stopped.
    pub pause: Option<Pause>,
    /// Speed of the sound: 1.0 is real time, 2.0 sends twice as fast.
    pub pace: f64,
    /// Every n-th packet carries a malformed payload.
    pub malformed_every: Option<u32>,
    /// Foreign packets sent to the client from another port.
    pub spray: Option<Spray>,
}

impl Default for MediaFaults {
    fn default() -> Self {
        Self {
            silent_after: None,
            channel_never_opens: false,
            channel_speaks_after: Duration::ZERO,
            channel_closes_after: None,
            peer_closes_after: None,
            socket_cut_after: None,
            udp_blocked: false,
            pause: None,
            pace: 1.0,
            malformed_every: None,
            spray: None,
        }
    }
}

/// A pause of the RTP stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// Since the data channel opened.
    pub at: Duration,
    /// How long.
    pub length: Duration,
}

/// Packets from an address that ICE never checked: DTLS ClientHellos, alerts, STUN junk and forged RTP in turn (CVE-2023-51443).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spray {
    /// Packets a second.
    pub per_second: u32,
    /// Since the data channel opened.
    pub at: Duration,
    /// How long.
    pub length: Duration,
}

/// Faults of the events. Times are since the data channel opened.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EventFaults {
    /// An event type nobody knows before every response, and a field nobody knows in every event.
    pub unknown: bool,
    /// One message that is not JSON.
    pub invalid_json_at: Option<Duration>,
    /// One valid event of this many bytes.
    pub huge: Option<Huge>,
    /// An `error` event with this code at this time (`server_error`, `rate_limit_exceeded` …).
    pub error: Option<(Duration, String)>,
    /// The n-th response, from 0, ends with `status: failed` and this code.
    pub fail_response: Option<(usize, String)>,
    /// Input transcription fails (`conversation.item.input_audio_transcription.failed`).
    pub transcription_fails: bool,
    /// Every `session.update` is refused.
    pub update_refused: bool,
}

/// One very large event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Huge {
    /// When.
    pub at: Duration,
    /// Size of the message.
    pub bytes: usize,
}
