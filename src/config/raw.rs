//! `aria.toml` as it is typed. Unknown fields are errors; every field is optional.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::agent::{CodecChoice, HttpMethod, NoiseReduction, ReasoningEffort, TurnDetection};
use super::price::Price;
use super::records::{RawRecords, RawWebhooks};

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    /// HTTP listen address.
    pub listen: Option<String>,
    /// How the internet reaches the bridge.
    pub public_url: Option<String>,
    /// `sqlite:` path or `postgres://`.
    pub database_url: Option<String>,
    /// Twilio's account.
    pub twilio: Twilio,
    /// The model's endpoint.
    pub openai: OpenAi,
    /// What the bridge takes on.
    pub limits: Limits,
    /// The audio threads.
    pub audio: Audio,
    /// What is kept of calls.
    pub records: RawRecords,
    /// Who is told of calls.
    pub webhooks: RawWebhooks,
    /// `[prices.MODEL]`: what its tokens cost.
    pub prices: BTreeMap<String, Price>,
    /// What tools may reach.
    pub tools: Tools,
    /// Agents by name.
    pub agents: BTreeMap<String, Agent>,
    /// Phone number to agent name.
    pub numbers: BTreeMap<String, String>,
}

/// `[twilio]`: the tokens come from the environment alone.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Twilio {
    pub account_sid: Option<String>,
    pub api_url: Option<String>,
}

/// `[openai]`: the key comes from the environment alone.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct OpenAi {
    pub base_url: Option<String>,
}

/// `[limits]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Limits {
    pub max_calls: Option<usize>,
    pub calls_per_second: Option<u32>,
    pub drain_seconds: Option<u64>,
    pub max_call_seconds: Option<u64>,
    pub renew_session_seconds: Option<u64>,
}

/// `[audio]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Audio {
    pub cores: Option<Vec<usize>>,
    pub opus_complexity: Option<u8>,
    pub opus_bitrate: Option<u32>,
}

/// `[tools]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Tools {
    pub private_hosts: Vec<String>,
}

/// `[agents.NAME]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Agent {
    pub model: Option<String>,
    pub voice: Option<String>,
    pub instructions: Option<String>,
    pub greeting: Option<String>,
    pub codec: CodecChoice,
    pub turn_detection: TurnDetection,
    pub noise_reduction: Option<NoiseReduction>,
    pub transcription: Option<String>,
    pub language: Option<String>,
    pub reasoning_effort: Option<ReasoningEffort>,
    pub tools: Vec<Tool>,
}

/// `[[agents.NAME.tools]]`.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
#[allow(missing_docs)]
pub enum Tool {
    Http {
        name: String,
        #[serde(default)]
        description: String,
        #[serde(default)]
        method: HttpMethod,
        url: String,
        timeout_ms: Option<u64>,
        parameters: Option<toml::Table>,
    },
}
