//! The codecs of the media line.

/// A codec that the model can send and hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Codec {
    /// Opus, RTP clock 48 kHz (RFC 7587).
    Opus,
    /// G.711 mu-law, static payload type 0 (RFC 3551).
    Pcmu,
    /// G.711 A-law, static payload type 8 (RFC 3551).
    Pcma,
}

impl Codec {
    /// RTP clock in Hz.
    pub fn clock_hz(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            Self::Pcmu | Self::Pcma => 8_000,
        }
    }

    /// The encoding in `a=rtpmap`.
    pub(crate) fn rtpmap(self) -> &'static str {
        match self {
            Self::Opus => "opus/48000/2",
            Self::Pcmu => "PCMU/8000",
            Self::Pcma => "PCMA/8000",
        }
    }

    /// The codec of an `a=rtpmap` encoding, letter case aside.
    pub(crate) fn of_rtpmap(encoding: &str) -> Option<Self> {
        [Self::Opus, Self::Pcmu, Self::Pcma]
            .into_iter()
            .find(|codec| codec.rtpmap().eq_ignore_ascii_case(encoding))
            .or_else(|| encoding.eq_ignore_ascii_case("PCMU/8000/1").then_some(Self::Pcmu))
            .or_else(|| encoding.eq_ignore_ascii_case("PCMA/8000/1").then_some(Self::Pcma))
    }

    /// The codec of a static payload type.
    pub(crate) fn of_static(payload_type: u8) -> Option<Self> {
        match payload_type {
            0 => Some(Self::Pcmu),
            8 => Some(Self::Pcma),
            _ => None,
        }
    }
}

/// A codec and the payload type it was negotiated under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payload {
    /// RTP payload type, 0 to 127.
    pub payload_type: u8,
    /// The codec.
    pub codec: Codec,
}
