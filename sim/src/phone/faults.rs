//! Everything that can be made to go wrong on Twilio's side, on purpose. All off by default.

use std::time::Duration;

/// What goes wrong in one call.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// The signature of the first webhook.
    pub webhook_signature: SignatureFault,
    /// How often the first webhook is sent besides the one whose answer counts, all at once, with the same CallSid and idempotency token.
    pub webhook_repeats: u32,
    /// The signature of the stream's upgrade.
    pub upgrade_signature: SignatureFault,
    /// The custom parameter `token` in `start`.
    pub token: TokenFault,
    /// `start.callSid`, if not the call's.
    pub start_call_sid: Option<String>,
    /// `start.accountSid`, if not the account's.
    pub start_account_sid: Option<String>,
    /// `start.mediaFormat` and `start.tracks`, if not mu-law at 8 kHz and `inbound`.
    pub start_format: Option<(serde_json::Value, serde_json::Value)>,
    /// What goes wrong while the call's first stream is open.
    pub stream: Vec<StreamFault>,
    /// No `stop` at the end.
    pub no_stop: bool,
    /// How the socket is closed at the end.
    pub close: CloseStyle,
    /// Every callback is sent twice.
    pub duplicate_callbacks: bool,
    /// Callbacks are sent in pairs, the later one first.
    pub reorder_callbacks: bool,
}

/// A signature that is not right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SignatureFault {
    /// It is right.
    #[default]
    None,
    /// Made with another token.
    WrongToken,
    /// Made for another URL.
    WrongUrl,
    /// Not base64.
    Garbage,
    /// Not there.
    Missing,
}

/// The one-time token of a stream, tampered with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TokenFault {
    /// As in the TwiML.
    #[default]
    None,
    /// Another one.
    Replace(String),
    /// None at all.
    Drop,
}

/// A fault while the stream is open. Times count from the answer to the upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamFault {
    /// From then on messages are held back until `frames` media messages have come together.
    Burst {
        /// From when.
        at: Duration,
        /// How many come together.
        frames: usize,
    },
    /// Nothing arrives for a while, then everything that was held back at once, as TCP does after a loss.
    Stall {
        /// From when.
        at: Duration,
        /// For how long.
        lasting: Duration,
    },
    /// Frames are lost before Twilio: none arrive and the timestamps jump.
    Gap {
        /// From when.
        at: Duration,
        /// For how long.
        lasting: Duration,
    },
    /// Frames of silence in addition, at once; timestamps run on through them and stay ahead.
    Flood {
        /// When.
        at: Duration,
        /// How many.
        frames: usize,
    },
    /// Every n-th media message is sent twice.
    Repeat {
        /// n.
        every: u64,
    },
    /// Every n-th media message comes after its successor.
    Swap {
        /// n.
        every: u64,
    },
    /// Sequence, chunk and timestamp begin again.
    Restart {
        /// When.
        at: Duration,
    },
    /// `start` comes this long after `connected`.
    LateStart {
        /// How long.
        by: Duration,
    },
    /// The phone stops reading and writing; the socket stays open.
    HalfOpen {
        /// From when.
        at: Duration,
    },
    /// As `HalfOpen`, and Twilio reports error 31924 and takes the call away from the stream.
    ProtocolError {
        /// When.
        at: Duration,
    },
    /// The connection is reset.
    Reset {
        /// When.
        at: Duration,
    },
    /// The phone stops reading, through a small receive buffer, and goes on writing.
    SlowReader {
        /// From when.
        at: Duration,
        /// For how long.
        lasting: Duration,
    },
    /// An arbitrary message.
    Raw {
        /// Its place.
        when: When,
        /// What is sent.
        message: RawMessage,
    },
}

/// The place of an injected message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Before `connected`.
    First,
    /// Between `connected` and `start`.
    BeforeStart,
    /// Right after `start`.
    AfterStart,
    /// With the first frame at or after this time.
    At(Duration),
    /// After `stop`.
    AfterStop,
}

/// An injected message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RawMessage {
    /// A text message; `{streamSid}`, `{callSid}`, `{accountSid}` and `{token}` in it are replaced.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// Bytes below WebSocket framing.
    Bytes(Vec<u8>),
    /// A frame of its own: the first header byte (FIN, reserved bits, opcode) and the payload; masked as a client must.
    Frame(u8, Vec<u8>),
}

/// The end of the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CloseStyle {
    /// Close frame with 1000.
    #[default]
    Normal,
    /// Close frame without a code (seen as 1005).
    NoCode,
    /// TCP FIN without a close frame (seen as 1006).
    Abrupt,
    /// Not at all; the socket stays open until the phone is dropped.
    Never,
}
