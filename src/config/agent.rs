//! An agent: what ARIA is on one number.

mod resolve;

use std::time::Duration;

use serde::Deserialize;
use time::{OffsetDateTime, UtcOffset};

pub(super) use resolve::resolve;

use super::variables::{self, Values};
use super::{Builtin, E164, Tool, ToolAction};

/// A persona and its settings, ready to use.
#[derive(Debug, Clone, PartialEq)]
pub struct Agent {
    /// The name of its table, `[agents.NAME]`.
    pub name: String,
    /// Realtime model, as OpenAI names it.
    pub model: String,
    /// Voice, as OpenAI names it. It cannot change after the first audio of a session.
    pub voice: String,
    /// The system prompt. Empty keeps OpenAI's own default.
    pub instructions: String,
    /// How the first response is asked for. `None`: ARIA waits for the caller.
    pub greeting: Option<String>,
    /// Which codec the model leg should speak.
    pub codec: CodecChoice,
    /// When the model takes its turn.
    pub turn_detection: TurnDetection,
    /// Noise reduction on the model's side, before its voice detection.
    pub noise_reduction: Option<NoiseReduction>,
    /// Model that writes down what the caller says. `None`: no transcript of the caller.
    pub transcription: Option<String>,
    /// Language of the caller (ISO 639-1), a hint for the transcription.
    pub language: Option<String>,
    /// How long reasoning models think. Less is faster.
    pub reasoning_effort: Option<ReasoningEffort>,
    /// How to reach the model.
    pub transport: Transport,
    /// How many sessions are kept ready for its calls.
    pub standby: u8,
    /// What the caller's voice does to ARIA's.
    pub interruption: Interruption,
    /// A recorded greeting: it plays from the first frame on, instead of one of the model's.
    pub recorded_greeting: Option<Recording>,
    /// What is played while the model is not there to speak; the built-in "One moment, please." if absent.
    pub wait: Option<Recording>,
    /// How long both may be silent before ARIA asks whether the caller is still there, and again before she ends the call. `None`: for ever.
    pub idle: Option<Duration>,
    /// How long a call may last, if it is less than the bridge's own limit.
    pub max_call: Option<Duration>,
    /// What is left on an answering machine.
    pub voicemail: Option<String>,
    /// Whether its calls are recorded.
    pub record: bool,
    /// What keys do before the model hears of them.
    pub keys: Vec<(char, Key)>,
    /// The clock that `{{time}}` and `{{date}}` show.
    pub utc_offset: UtcOffset,
    /// What the model may call.
    pub tools: Vec<Tool>,
}

/// The number behind a name of a list of people to whom callers are put through.
fn transfer_target<'a>(tools: &'a [Tool], name: &str) -> Option<&'a E164> {
    tools.iter().find_map(|tool| match &tool.action {
        ToolAction::Builtin(Builtin::TransferCall { targets, .. }) => targets.get(name),
        _ => None,
    })
}

impl Agent {
    /// Whom callers may be put through to by this name: a target of the agent's `transfer_call` tool.
    pub fn transfer_target(&self, name: &str) -> Option<&E164> {
        transfer_target(&self.tools, name)
    }

    /// All of them.
    pub fn transfer_targets(&self) -> impl Iterator<Item = (&String, &E164)> {
        let listed = self.tools.iter().filter_map(|tool| match &tool.action {
            ToolAction::Builtin(Builtin::TransferCall { targets, .. }) => Some(targets),
            _ => None,
        });
        listed.flatten()
    }

    /// The agent as it is in one call: its texts with their variables filled in. `more` are the call's own.
    pub fn filled(&self, caller: &str, called: &str, more: &Values) -> Self {
        let values =
            variables::values(&self.name, caller, called, OffsetDateTime::now_utc(), self.utc_offset, more);
        let fill = |text: &Option<String>| text.as_ref().map(|text| variables::fill(text, &values));
        let mut recorded_greeting = self.recorded_greeting.clone();
        if let Some(recording) = &mut recorded_greeting {
            recording.text = variables::fill(&recording.text, &values);
        }
        Self {
            instructions: variables::fill(&self.instructions, &values),
            greeting: fill(&self.greeting),
            voicemail: fill(&self.voicemail),
            recorded_greeting,
            ..self.clone()
        }
    }
}

/// How to reach the model.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// WebRTC, and a WebSocket where that is refused or UDP does not pass.
    #[default]
    Auto,
    /// WebRTC alone.
    WebRtc,
    /// A WebSocket alone.
    WebSocket,
}

/// What the caller's voice does to ARIA's.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interruption {
    /// She stops at once.
    #[default]
    Always,
    /// She speaks on; the turn counts when she is done.
    Never,
    /// She pauses, and speaks on if it was a cough.
    Confirm,
}

/// What a key of the telephone does before the model hears of it. One field is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// The model is told this in the caller's name.
    Say(String),
    /// The caller is put through to a target by its name.
    Transfer(String),
    /// The call ends.
    HangUp,
}

/// A recorded greeting and its words.
#[derive(Clone, PartialEq, Eq)]
pub struct Recording {
    /// Where it was read.
    pub path: std::path::PathBuf,
    /// Mu-law at 8 kHz.
    pub sound: std::sync::Arc<[u8]>,
    /// What is said in it: the model is told that it has said so.
    pub text: String,
}

impl std::fmt::Debug for Recording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recording").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Which codec is offered to the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CodecChoice {
    /// Opus alone: always accepted.
    #[default]
    Opus,
    /// G.711 mu-law first, Opus behind it; used only if the answer lists it.
    Pcmu,
    /// Both, G.711 first: the cheaper one wins if the answer allows it.
    Auto,
}

/// `session.audio.input.turn_detection` of the Realtime API.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum TurnDetection {
    /// Energy and silence, with figures.
    ServerVad {
        /// 0.0 to 1.0.
        #[serde(default = "default_threshold")]
        threshold: f64,
        /// Audio before the first loud frame that still belongs to the turn, ms.
        #[serde(default = "default_prefix_ms")]
        prefix_padding_ms: u32,
        /// Silence that ends a turn, ms.
        #[serde(default = "default_silence_ms")]
        silence_duration_ms: u32,
    },
    /// The model judges whether a thought is finished.
    SemanticVad {
        /// `low`, `medium`, `high` or `auto`.
        #[serde(default)]
        eagerness: Eagerness,
    },
}

impl TurnDetection {
    /// Silence that ends a turn, as far as it is known.
    pub fn silence(&self) -> Duration {
        match self {
            Self::ServerVad { silence_duration_ms, .. } => {
                Duration::from_millis(u64::from(*silence_duration_ms))
            }
            // It depends on what is said; this is where most turns end.
            Self::SemanticVad { .. } => Duration::from_millis(u64::from(default_silence_ms())),
        }
    }
}

/// How soon semantic turn detection takes the turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // The API's own words.
pub enum Eagerness {
    Low,
    Medium,
    High,
    #[default]
    Auto,
}

/// `session.audio.input.noise_reduction.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum NoiseReduction {
    NearField,
    FarField,
}

/// `session.reasoning.effort`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum ReasoningEffort {
    Minimal,
    Low,
    Medium,
    High,
    Xhigh,
}

fn default_threshold() -> f64 {
    0.5
}
fn default_prefix_ms() -> u32 {
    300
}
// OpenAI documents 500 and its own `session.created` examples show 200, so it is always sent.
fn default_silence_ms() -> u32 {
    500
}

impl Default for TurnDetection {
    fn default() -> Self {
        Self::ServerVad {
            threshold: default_threshold(),
            prefix_padding_ms: default_prefix_ms(),
            silence_duration_ms: default_silence_ms(),
        }
    }
}
