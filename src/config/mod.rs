//! What the bridge was told: `aria.toml` and the environment, resolved into settings that need no further checks.
//!
//! The environment wins over the file. Nothing here is reachable by a caller.

mod agent;
mod e164;
mod faults;
mod live;
mod outbound;
mod overlay;
mod place;
mod price;
mod raw;
mod recording;
mod records;
mod resolve;
mod secret;
mod template;
mod tls;
mod tool;
mod typed;
pub mod variables;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use url::Url;

pub use agent::{
    Agent, CodecChoice, Eagerness, Interruption, Key, NoiseReduction, ReasoningEffort, Recording, Transport,
    TurnDetection,
};
pub use e164::{E164, NotE164};
pub use faults::ConfigError;
pub use live::{LOOK_EVERY, Live, Watch};
pub use outbound::{Allowed, Outbound};
pub use price::{Price, Tokens};
pub use recording::{RecordingSettings, SoundFormat};
pub use records::{RecordSettings, WebhookSettings};
pub use resolve::load;
pub use secret::Secret;
pub use template::TEMPLATE;
pub use tls::TlsFiles;
pub use tool::{
    Builtin, Endpoint, HttpMethod, HttpTool, KEYS_AT_ONCE, MAX_ANSWER_BYTES, McpLink, McpServer, Schema,
    Tool, ToolAction, Unfilled,
};

/// The file that is read if none is named.
const DEFAULT_FILE: &str = "aria.toml";

/// Everything the bridge was told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// HTTP listen address (`ARIA_LISTEN`).
    pub listen: SocketAddr,
    /// How the internet reaches us (`ARIA_PUBLIC_URL`): stream URLs are built from it and signatures checked against it.
    pub public_url: Url,
    /// Bearer token of console and admin API (`ARIA_ADMIN_TOKEN`). `None`: admin from loopback only.
    pub admin_token: Option<Secret>,
    /// Twilio's account.
    pub twilio: TwilioSettings,
    /// The model's endpoint.
    pub openai: OpenAiSettings,
    /// What the bridge takes on.
    pub limits: Limits,
    /// The audio threads.
    pub audio: AudioSettings,
    /// Where records of calls are kept and who is told of them.
    pub records: RecordSettings,
    /// How calls are recorded whose agent says so. `None`: none is.
    pub recording: Option<RecordingSettings>,
    /// What tokens cost, by model.
    pub prices: BTreeMap<String, Price>,
    /// The service that may choose a call's agent, if there is one.
    pub dispatch: Option<DispatchSettings>,
    /// Hosts in private or loopback ranges that tools may reach.
    pub tool_private_hosts: Vec<String>,
    /// Prefixes of numbers, with `+`, that are never called or written to, beside those that are built in.
    pub tool_denied_prefixes: Vec<String>,
    /// Whom the bridge may call.
    pub outbound: Outbound,
    /// The listener's certificate; `None`: plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Agents by name; `default` is always there.
    pub agents: BTreeMap<String, Arc<Agent>>,
    /// Phone number (E.164), or the beginning of one and `*`, to agent name.
    pub numbers: BTreeMap<String, String>,
}

/// Twilio's account (`TWILIO_*`).
#[derive(Debug, Clone)]
pub struct TwilioSettings {
    /// `AC…`; calls of another account are refused when it is set.
    pub account_sid: Option<String>,
    /// Primary auth token: signs webhooks and authorises REST requests.
    pub auth_token: Option<Secret>,
    /// Accepted beside the primary one while a rotation lasts.
    pub auth_token_secondary: Option<Secret>,
    /// REST base, `https://api.twilio.com`.
    pub api_url: Url,
}

/// The model's endpoint (`OPENAI_*`).
#[derive(Debug, Clone)]
pub struct OpenAiSettings {
    /// `None`: the built-in simulated model.
    pub api_key: Option<Secret>,
    /// `https://api.openai.com/v1`, without a slash at its end.
    pub base_url: Url,
}

/// The service that may choose a call's agent.
#[derive(Debug, Clone)]
pub struct DispatchSettings {
    /// Where it is asked.
    pub url: Url,
    /// What it is given; then the number decides.
    pub timeout: Duration,
    /// What the questions are signed with (`ARIA_DISPATCH_SECRET`).
    pub secret: Option<Secret>,
}

/// What the bridge takes on.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Calls at once. More cost admission, not quality: the caller hears a sentence and is not connected.
    pub max_calls: usize,
    /// New calls per second, sustained.
    pub calls_per_second: u32,
    /// How long live calls may go on after SIGTERM.
    pub drain: Duration,
    /// How long one call may last.
    pub max_call: Duration,
    /// The age at which a session of the model is replaced by another. OpenAI ends it after an hour.
    pub renew_session: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_calls: 200,
            calls_per_second: 30,
            drain: Duration::from_secs(3600),
            // Twilio ends calls after 4 hours by itself; an OpenAI session ends after one.
            max_call: Duration::from_secs(3600),
            renew_session: Duration::from_secs(55 * 60),
        }
    }
}

/// The audio threads.
#[derive(Debug, Clone)]
pub struct AudioSettings {
    /// Cores that serve calls, each by an audio thread and a network thread. `None`: all.
    pub cores: Option<Vec<usize>>,
    /// Calls a core from which on cores are kept from sleeping; 0: never. A call wakes its core some 200 times a second, so with four a core
    /// sleeps for a millisecond at a time. Fewer would spend the power of cores that poll on less sound; more would leave few calls dear.
    pub awake_from_calls: usize,
    /// libopus complexity, 0 to 10.
    pub opus_complexity: u8,
    /// Opus bit rate toward the model, bit/s.
    pub opus_bitrate: u32,
}

impl Default for AudioSettings {
    fn default() -> Self {
        // 8 kHz at complexity 1 scores within 0.02 MOS of complexity 5 for half of its CPU.
        Self { cores: None, awake_from_calls: 4, opus_complexity: 1, opus_bitrate: 24_000 }
    }
}

impl Settings {
    /// The agent that answers `number`: that of its own row, else of the longest prefix (`"+1555*"`), else `default`.
    pub fn agent_for(&self, number: &str) -> Arc<Agent> {
        let prefixes = self.numbers.iter().filter_map(|(row, agent)| Some((row.strip_suffix('*')?, agent)));
        let longest =
            prefixes.filter(|(prefix, _)| number.starts_with(prefix)).max_by_key(|(prefix, _)| prefix.len());
        let name = self.numbers.get(number).or(longest.map(|(_, agent)| agent));
        self.agent(name.map_or("default", String::as_str))
    }

    /// The agent of this name, else `default`.
    pub fn agent(&self, name: &str) -> Arc<Agent> {
        self.agents
            .get(name)
            .or_else(|| self.agents.get("default"))
            .cloned()
            .expect("load() always adds default")
    }

    /// Whether the public URL leads back to this machine: only then may checks be relaxed.
    pub fn public_url_is_loopback(&self) -> bool {
        is_loopback(&self.public_url)
    }
}

/// Whether `url` names this machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Where configuration is read from.
#[derive(Debug, Default, Clone)]
pub struct Sources {
    /// `--config` or `ARIA_CONFIG`; absent: `aria.toml` if it is there, else defaults.
    pub file: Option<PathBuf>,
    /// The file's text, instead of any file.
    pub text: Option<String>,
    /// The environment, as name and value.
    pub environment: BTreeMap<String, String>,
}

impl Sources {
    /// The process's own environment.
    pub fn from_process(file: Option<PathBuf>) -> Self {
        Self { file, text: None, environment: std::env::vars().collect() }
    }

    /// Variables of the environment that look like ours and name nothing: most likely mistyped.
    pub fn strangers(&self) -> Vec<String> {
        overlay::strangers(&self.environment)
    }

    /// The file that is read, if any is.
    pub fn path(&self) -> Option<PathBuf> {
        if self.text.is_some() {
            return None;
        }
        let named = self.file.clone().or_else(|| self.environment.get("ARIA_CONFIG").map(PathBuf::from));
        named.or_else(|| Path::new(DEFAULT_FILE).exists().then(|| PathBuf::from(DEFAULT_FILE)))
    }
}
