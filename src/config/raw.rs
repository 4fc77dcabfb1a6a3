//! `aria.toml` as it is typed. Unknown fields are errors; every field is optional.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::agent::{CodecChoice, Interruption, NoiseReduction, ReasoningEffort, Transport, TurnDetection};
use super::price::Price;
use super::records::{RawRecords, RawWebhooks};
use super::tool::typed::Tool;

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
    /// Where the sound of calls goes.
    pub recording: super::recording::Typed,
    /// Who is told of calls.
    pub webhooks: RawWebhooks,
    /// `[prices.MODEL]`: what its tokens cost.
    pub prices: BTreeMap<String, Price>,
    /// The service that may choose a call's agent.
    pub dispatch: Dispatch,
    /// What tools may reach.
    pub tools: Tools,
    /// Whom the bridge may call.
    pub outbound: super::outbound::Typed,
    /// The listener's certificate.
    pub tls: super::tls::Typed,
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
    pub awake_from_calls: Option<usize>,
    pub opus_complexity: Option<u8>,
    pub opus_bitrate: Option<u32>,
}

/// `[dispatch]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Dispatch {
    pub url: Option<String>,
    pub timeout_ms: Option<u64>,
}

/// `[tools]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Tools {
    pub private_hosts: Vec<String>,
    pub deny_prefixes: Vec<String>,
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
    pub transport: Transport,
    pub standby: u8,
    pub interruption: Interruption,
    pub greeting_audio: Option<PathBuf>,
    pub greeting_text: Option<String>,
    pub wait_audio: Option<PathBuf>,
    pub idle_seconds: Option<u64>,
    pub max_call_seconds: Option<u64>,
    pub voicemail: Option<String>,
    pub record: bool,
    pub keys: BTreeMap<String, Key>,
    pub variables: Vec<String>,
    pub utc_offset: Option<String>,
    pub tools: Vec<Tool>,
}

/// `[agents.NAME.keys]`: what a key does. One of the fields is set.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Key {
    pub say: Option<String>,
    pub transfer: Option<String>,
    pub hang_up: bool,
}
