//! What nobody could check about the real service, as switches.

use std::time::Duration;

/// One field per fact that the public sources leave open (marked "unverified" in the OpenAI pages and captures this simulation is built from).
/// The default is what the evidence favours; a test that passes only with the default relies on a guess.
#[derive(Debug, Clone, PartialEq)]
pub struct Unverified {
    /// What travels on RTP while the model says nothing. Pion-based servers stop; some senders keep a silent stream.
    pub idle: Idle,
    /// The codec the model sends when the answer lists several. Pion sends the first of the answer.
    pub sends: SendCodec,
    /// The length of one RTP packet of speech in milliseconds: 10, 20, 40 or 60. Observers saw 20.
    pub frame_ms: u32,
    /// RTP timestamps after a stopped stream: follow the clock on the wall, or carry on as if nothing had passed.
    pub after_pause: AfterPause,
    /// The marker bit on the first packet of every reply (RFC 3551 section 4.1 asks for it).
    pub marker: bool,
    /// RTCP sender and receiver reports every five seconds. None were captured; Pion sends them by default.
    pub rtcp: bool,
    /// Where `rate_limits.updated` comes in a response: the type documentation and the guides disagree.
    pub rate_limits: RateLimits,
    /// `conversation.created` after `session.created`. Seen in traces, absent in others.
    pub conversation_created: bool,
    /// The legacy `conversation.item.created` beside every `conversation.item.added`.
    pub item_created: bool,
    /// How much sound one `response.output_audio.delta` of the WebSocket carries, ms.
    pub delta_ms: u32,
    /// `conversation.item.truncated` that the server makes itself when the caller interrupts over WebRTC.
    pub truncated: Truncated,
    /// Whether a cancelled response closes its open item (`response.output_item.done` with `status: incomplete`, and its parts)
    /// before `response.done`.
    pub cancel_closes_item: bool,
    /// Whether `conversation.item.truncate` from the client works over WebRTC. The schema allows it. Off: error `unsupported_content_type`.
    pub client_truncate: bool,
    /// The unknown field `obfuscation` that some deltas carry.
    pub obfuscation: bool,
    /// Whether a session that reached its age says so in an `error` event before the peer closes.
    pub expiry_event: bool,
    /// The longest item id a client may choose, if there is such a limit.
    pub item_id_limit: Option<usize>,
    /// `silence_duration_ms` when the session does not say: examples of `session.created` show 200, the documentation says 500.
    pub silence_duration_ms: u32,
    /// What an offer without any codec of the answer's choice gets (a G.711-only offer to an Opus-only server).
    pub no_common_codec: NoCommonCodec,
    /// Whether a bare `application/sdp` body is taken with a standard key, the session then being the default one.
    pub bare_offer_with_standard_key: bool,
    /// Whether the server goes on by itself with another response once a hosted MCP tool has answered. The guide does not say.
    pub hosted_continues: bool,
    /// How long after its `201` a call id is unknown to `/hangup` (the race seen on the sideband).
    pub call_id_unknown_for: Duration,
}

/// RTP between replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// Nothing is sent.
    Stop,
    /// Silent frames keep the beat.
    Silence,
}

/// Which of the answer's codecs carries the model's voice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendCodec {
    /// The first of the answer.
    FirstInAnswer,
    /// Opus if it is there.
    PreferOpus,
    /// The last of the answer, to catch a receiver that trusts the order.
    LastInAnswer,
}

/// RTP timestamps over a pause of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterPause {
    /// The pause is in the timestamps.
    WallClock,
    /// The pause is not in the timestamps.
    Continuous,
}

/// The place of `rate_limits.updated`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateLimits {
    /// Right after `response.created`.
    Start,
    /// Right before `response.done`.
    BeforeDone,
    /// Right after `response.done`.
    AfterDone,
    /// Never.
    Absent,
}

/// The server's own truncation on an interruption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truncated {
    /// After `output_audio_buffer.cleared`, as the guide's order suggests.
    AfterCleared,
    /// Before it.
    BeforeCleared,
    /// Not announced.
    Absent,
}

/// The fate of an offer that shares no codec with the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoCommonCodec {
    /// `400 invalid_offer`.
    Refuse,
    /// `201` with a refused audio line (`m=audio 0`).
    RejectLine,
}

impl Default for Unverified {
    fn default() -> Self {
        Self {
            idle: Idle::Stop,
            sends: SendCodec::FirstInAnswer,
            frame_ms: 20,
            after_pause: AfterPause::WallClock,
            marker: true,
            rtcp: true,
            rate_limits: RateLimits::Start,
            conversation_created: true,
            item_created: false,
            delta_ms: 200,
            truncated: Truncated::AfterCleared,
            cancel_closes_item: true,
            client_truncate: true,
            obfuscation: true,
            expiry_event: true,
            item_id_limit: Some(32),
            silence_duration_ms: 200,
            no_common_codec: NoCommonCodec::Refuse,
            bare_offer_with_standard_key: false,
            hosted_continues: false,
            call_id_unknown_for: Duration::ZERO,
        }
    }
}
