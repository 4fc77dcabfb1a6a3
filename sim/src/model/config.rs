//! How a simulated model is set up.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::drill::Drill;
use super::faults::Faults;
use super::script::ModelScript;
use super::unverified::Unverified;
use crate::network::NetworkConfig;

/// Everything about a [`ModelServer`](super::ModelServer). The default listens on a free port of 127.0.0.1, takes any key but `sk-invalid`,
/// plays the default script and has no faults.
#[derive(Clone)]
pub struct ModelConfig {
    /// Where the HTTP side listens. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the UDP sockets are bound and what the answer's candidates say: one socket and port a session.
    pub media_ip: IpAddr,
    /// The one key that is accepted. `None`: any `sk-…` but `sk-invalid`, which is refused with 401.
    pub api_key: Option<String>,
    /// What the model hears and says.
    pub script: ModelScript,
    /// A measurement in the place of the script.
    pub drill: Option<Drill>,
    /// The form of the answer.
    pub answer: AnswerForm,
    /// How the model's voice is encoded.
    pub voice: Voice,
    /// How quick the model is.
    pub timing: Timing,
    /// The longest session; the real one ends after 60 minutes.
    pub session_limit: Duration,
    /// What the sources leave open.
    pub unverified: Unverified,
    /// What goes wrong.
    pub faults: Faults,
    /// The path from the model to the client.
    pub network: NetworkConfig,
    /// Threads that carry sessions: sockets, DTLS, pacing. Sessions are spread over them in turn.
    pub media_threads: usize,
    /// How much of what each session heard is kept for [`ModelServer::heard`](super::ModelServer::heard): 16 kB a second.
    pub keep_heard: Duration,
    /// Ended sessions whose records are kept; the oldest are forgotten first.
    pub keep_sessions: usize,
    /// Seed of every random choice: ids, delays, network.
    pub seed: u64,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            media_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            api_key: None,
            script: ModelScript::default(),
            drill: None,
            answer: AnswerForm::default(),
            voice: Voice::default(),
            timing: Timing::default(),
            session_limit: Duration::from_secs(3600),
            unverified: Unverified::default(),
            faults: Faults::default(),
            network: NetworkConfig::default(),
            media_threads: 1,
            keep_heard: Duration::from_secs(600),
            keep_sessions: 1000,
            seed: 1,
        }
    }
}

impl std::fmt::Debug for ModelConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModelConfig")
            .field("listen", &self.listen)
            .field("media_ip", &self.media_ip)
            .field("api_key", &self.api_key.as_ref().map(|_| "(hidden)"))
            .field("turns", &self.script.turns.len())
            .field("answer", &self.answer)
            .field("faults", &self.faults)
            .field("network", &self.network)
            .finish_non_exhaustive()
    }
}

/// The answer's variants that were captured at the real service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerForm {
    /// Which codecs of the offer are taken.
    pub codecs: Codecs,
    /// `a=ice-lite`: present in captures from April 2026 on, absent before.
    pub ice_lite: bool,
    /// List payload types 0 and 8 without `a=rtpmap` and drop `fmtp` and `ssrc`, as the example in OpenAI's API description does.
    pub bare: bool,
    /// `a=max-message-size` of the data channel.
    pub max_message_size: MaxMessageSize,
    /// List a TCP candidate on port 443 beside each UDP one. Nothing listens there.
    pub tcp_candidates: bool,
    /// Further candidates that lead nowhere, after the good one: the real service lists three addresses.
    pub extra_candidates: Vec<SocketAddr>,
}

impl Default for AnswerForm {
    fn default() -> Self {
        Self {
            codecs: Codecs::OpusAndG711,
            ice_lite: true,
            bare: false,
            max_message_size: MaxMessageSize::Large,
            tcp_candidates: true,
            extra_candidates: Vec::new(),
        }
    }
}

/// The codecs an answer takes from the offer, in the offer's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codecs {
    /// Only Opus (capture of August 2026).
    OpusOnly,
    /// Opus, PCMU and PCMA as offered (captures of January and April 2026).
    OpusAndG711,
}

/// `a=max-message-size` (RFC 8841 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxMessageSize {
    /// 1 073 741 823, as captured.
    Large,
    /// No line: the default of 64 KiB applies.
    Absent,
    /// Another number.
    Bytes(u32),
}

/// The encoding of what the model says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Voice {
    /// Opus bit rate in bit/s.
    pub bitrate_bps: u32,
    /// Opus complexity 0 to 10.
    pub complexity: u8,
    /// In-band FEC, tuned for this loss in percent; 0 turns it off.
    pub fec_loss_percent: u8,
}

impl Default for Voice {
    fn default() -> Self {
        Self { bitrate_bps: 28_000, complexity: 5, fec_loss_percent: 10 }
    }
}

/// How long the model thinks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timing {
    /// From `response.created` to the first sound.
    pub first_audio: Delay,
    /// How many times faster than real time speech is generated, at least 1.
    pub generation_speed: f64,
    /// From the end of the caller's turn to its transcript.
    pub transcription: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            first_audio: Delay::Fixed(Duration::from_millis(250)),
            generation_speed: 8.0,
            transcription: Duration::from_millis(400),
        }
    }
}

/// A delay that may vary from response to response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delay {
    /// Always the same.
    Fixed(Duration),
    /// Uniform between two values. Measured at the real service: 1.0 to 2.4 s, mean 1.7 s (693 WebRTC runs, April 2026).
    Between(Duration, Duration),
}

impl Delay {
    /// The delay for a draw between 0.0 and 1.0.
    pub fn draw(&self, draw: f64) -> Duration {
        match *self {
            Self::Fixed(delay) => delay,
            Self::Between(low, high) => low + high.saturating_sub(low).mul_f64(draw.clamp(0.0, 1.0)),
        }
    }
}
