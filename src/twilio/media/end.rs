//! How a media socket ended: one named outcome each, counted, with the close code the peer is told.

use crate::call::{AttachError, MediaClosed};
use crate::hosting::registry::ClaimError;
use crate::hosting::token::TokenError;

/// The end of a media socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEnd {
    /// Twilio said `stop`.
    Stopped,
    /// The call closed it.
    ClosedByCall {
        /// RFC 6455 close code.
        code: u16,
        /// For Twilio's debugger.
        reason: &'static str,
    },
    /// The call is over.
    CallEnded,
    /// The call's audio has stopped by itself.
    AudioStopped,
    /// Twilio closed it without `stop`.
    ClosedByPeer,
    /// Reset, or ended without a close frame.
    Reset,
    /// Nothing came for 15 s, not even an answer to a ping.
    HalfOpen,
    /// Our message did not leave within 5 s.
    SlowPeer,
    /// Twilio reported the stream as failed, or another stream took its place.
    Superseded,
    /// `start` did not come within 5 s.
    StartTimeout,
    /// A message out of order.
    OutOfOrder,
    /// A text message that is not what it should be.
    Malformed,
    /// A text message that is not UTF-8.
    NotUtf8,
    /// A message larger than 64 KiB.
    TooLarge,
    /// A binary message: the protocol has none.
    Binary,
    /// Broken WebSocket framing.
    Framing,
    /// Too many messages a second.
    Flood,
    /// Too many media messages that could not be decoded.
    BadMedia,
    /// A `start` for a track other than the caller's.
    WrongTrack,
    /// A `start` with a format we do not speak.
    WrongFormat,
    /// A `start` without a token.
    NoToken,
    /// A `start` whose token or call is not good.
    Unclaimed(ClaimError),
    /// A `start` that its call could not take.
    Unattached(AttachError),
}

impl StreamEnd {
    /// The label in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::ClosedByCall { .. } => "closed_by_call",
            Self::CallEnded => "call_ended",
            Self::AudioStopped => "audio_stopped",
            Self::ClosedByPeer => "closed_by_peer",
            Self::Reset => "reset",
            Self::HalfOpen => "half_open",
            Self::SlowPeer => "slow_peer",
            Self::Superseded => "superseded",
            Self::StartTimeout => "start_timeout",
            Self::OutOfOrder => "out_of_order",
            Self::Malformed => "malformed",
            Self::NotUtf8 => "not_utf8",
            Self::TooLarge => "too_large",
            Self::Binary => "binary",
            Self::Framing => "framing",
            Self::Flood => "flood",
            Self::BadMedia => "bad_media",
            Self::WrongTrack => "wrong_track",
            Self::WrongFormat => "wrong_format",
            Self::NoToken => "token_missing",
            Self::Unclaimed(ClaimError::Token(TokenError::Unknown)) => "token_unknown",
            Self::Unclaimed(ClaimError::Token(TokenError::Expired)) => "token_expired",
            Self::Unclaimed(ClaimError::Token(TokenError::OtherCall)) => "token_of_other_call",
            Self::Unclaimed(ClaimError::Ended) | Self::Unattached(AttachError::Ended) => "call_over",
            Self::Unattached(AttachError::Format) => "wrong_format",
            Self::Unattached(AttachError::Full) => "no_worker",
        }
    }

    /// What the close frame says (RFC 6455, 7.4.1). `None`: the peer is gone, or closed first.
    pub fn close(self) -> Option<(u16, &'static str)> {
        Some(match self {
            Self::Stopped => (1000, "stream stopped"),
            Self::ClosedByCall { code, reason } => (code, reason),
            Self::CallEnded | Self::Unattached(AttachError::Ended) | Self::Unclaimed(ClaimError::Ended) => {
                (1000, "call over")
            }
            Self::AudioStopped => (1011, "audio stopped"),
            Self::ClosedByPeer | Self::Reset | Self::HalfOpen | Self::SlowPeer => return None,
            Self::Superseded => (1000, "superseded"),
            Self::StartTimeout => (1008, "no start"),
            Self::OutOfOrder => (1008, "out of order"),
            Self::Malformed => (1008, "malformed message"),
            Self::NotUtf8 => (1007, "not UTF-8"),
            Self::TooLarge => (1009, "message too large"),
            Self::Binary => (1003, "text only"),
            Self::Framing => (1002, "protocol error"),
            Self::Flood => (1008, "too many messages"),
            Self::BadMedia => (1008, "undecodable media"),
            Self::WrongTrack => (1008, "inbound track only"),
            Self::WrongFormat | Self::Unattached(AttachError::Format) => (1008, "unsupported media format"),
            // Which part was wrong is nothing a forger should learn.
            Self::NoToken | Self::Unclaimed(_) => (1008, "not authorised"),
            Self::Unattached(AttachError::Full) => (1013, "no room"),
        })
    }

    /// What the call is told.
    pub fn why(self) -> MediaClosed {
        match self {
            Self::Stopped | Self::ClosedByCall { .. } | Self::CallEnded => MediaClosed::Orderly,
            Self::ClosedByPeer | Self::Reset | Self::HalfOpen | Self::SlowPeer | Self::Superseded => {
                MediaClosed::Lost
            }
            _ => MediaClosed::Refused,
        }
    }
}
