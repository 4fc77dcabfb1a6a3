//! An agent: what ARIA is on one number.

use serde::Deserialize;

use super::Tool;

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
    /// What the model may call.
    pub tools: Vec<Tool>,
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
