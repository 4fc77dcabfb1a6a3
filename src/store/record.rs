//! What is written down of a call. Each record is small, so that little is lost with one, and tells all it needs: records are replayed
//! after a restart by a bridge that knows nothing of the call.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One thing to be written down. Fields may be added, none may change its meaning: a newer bridge replays an older one's journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// A call began. Always its first record.
    Begun(Begun),
    /// A turn of the conversation, whole; a later one of the same item replaces it.
    Turn(Turn),
    /// The model called a tool.
    ToolStarted {
        /// The call.
        sid: String,
        /// The model's id of the function call.
        call_id: String,
        /// The tool.
        name: String,
        /// As the model wrote them.
        arguments: String,
        /// Milliseconds since the call began.
        at_ms: u64,
    },
    /// The tool answered or failed.
    ToolEnded {
        /// The call.
        sid: String,
        /// The model's id of the function call.
        call_id: String,
        /// The tool.
        name: String,
        /// Whether the model got a result rather than an error.
        ok: bool,
        /// What the model was told.
        output: String,
        /// How long it took, ms.
        took_ms: u64,
    },
    /// Something happened.
    Event {
        /// The call.
        sid: String,
        /// What, in one word.
        kind: String,
        /// Milliseconds since the call began.
        at_ms: u64,
        /// The rest of it.
        detail: Value,
    },
    /// What the call has cost so far; a later one replaces it.
    Spent {
        /// The call.
        sid: String,
        /// What.
        spent: Spent,
    },
    /// A call is over. Only its recording may follow.
    Ended(Ended),
    /// The call's recording is put away.
    Recorded {
        /// The call.
        sid: String,
        /// Where: a `file` or `s3` URL.
        url: String,
    },
}

/// How a call began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Begun {
    /// Twilio's id of the call.
    pub sid: String,
    /// Twilio's id of the account.
    pub account: String,
    /// `inbound` or `outbound`.
    pub direction: String,
    /// Who answers.
    pub agent: String,
    /// The realtime model, as OpenAI names it.
    pub model: String,
    /// The caller, E.164 or whatever the carrier said. Never logged.
    pub from: String,
    /// The number that was called. Never logged.
    pub to: String,
    /// When, Unix time in ms.
    pub started_ms: u64,
    /// The run of the process that holds the call; filled in by the store.
    #[serde(default)]
    pub boot: String,
}

/// One turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// The call.
    pub sid: String,
    /// The model's id of the item.
    pub item_id: String,
    /// Its place in the conversation, as far as it is known.
    pub position: u64,
    /// `caller` or `aria`.
    pub speaker: String,
    /// What was said.
    pub text: String,
    /// When it began, ms since the call began.
    pub from_ms: u64,
    /// When it ended, ms since the call began.
    pub to_ms: u64,
    /// ARIA was cut off.
    pub interrupted: bool,
    /// Of a reply: how long the caller waited, ms from the end of his speech.
    pub latency: Option<Latency>,
}

/// The parts of a wait, each ms since the model heard the caller stop.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// The model began to answer.
    pub created_ms: u64,
    /// The sound began to come.
    pub sounding_ms: u64,
    /// Its first frame went to Twilio; 0 if that was not seen.
    pub sent_ms: u64,
}

/// Tokens by kind and what they cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// All together.
    pub total_tokens: u64,
    /// Text that went in.
    pub text_in: u64,
    /// Sound that went in.
    pub audio_in: u64,
    /// Of the text that went in, what was cached.
    pub cached_text_in: u64,
    /// Of the sound that went in, what was cached.
    pub cached_audio_in: u64,
    /// Text that came out.
    pub text_out: u64,
    /// Sound that came out.
    pub audio_out: u64,
    /// In millionths of a US dollar; `None` where the model has no price.
    pub cost_micros: Option<u64>,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// The call.
    pub sid: String,
    /// When, Unix time in ms.
    pub ended_ms: u64,
    /// Why: the label of a `CallEnd`.
    pub end: String,
    /// What it cost.
    pub spent: Spent,
    /// How often the caller cut ARIA off.
    pub interruptions: u64,
    /// 99th percentile of the delay added from caller to model, microseconds.
    pub uplink_p99_us: Option<u64>,
    /// The same from model to caller.
    pub downlink_p99_us: Option<u64>,
    /// The call's last snapshot without its transcript, as the API shows it.
    pub detail: Value,
}

impl Record {
    /// The call it is about.
    pub fn sid(&self) -> &str {
        match self {
            Self::Begun(Begun { sid, .. })
            | Self::Turn(Turn { sid, .. })
            | Self::ToolStarted { sid, .. }
            | Self::ToolEnded { sid, .. }
            | Self::Event { sid, .. }
            | Self::Spent { sid, .. }
            | Self::Recorded { sid, .. }
            | Self::Ended(Ended { sid, .. }) => sid,
        }
    }

    /// About how much memory it holds, bytes: what a queue reckons with.
    pub fn weight(&self) -> usize {
        const FIXED: usize = 512;
        FIXED
            + match self {
                Self::Turn(turn) => turn.text.len(),
                Self::ToolStarted { arguments, .. } => arguments.len(),
                Self::ToolEnded { output, .. } => output.len(),
                _ => 0,
            }
    }
}
