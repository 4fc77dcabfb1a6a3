//! How a phone is set up, and what a call is to be like.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::answering::Answering;
use super::faults::Faults;
use super::script::Script;
use super::tap::Tap;

/// Twilio's account and the bridge it calls.
#[derive(Clone)]
pub struct PhoneConfig {
    /// Where the bridge really listens, e.g. `http://127.0.0.1:8080`. Plain HTTP; a TLS terminator is what Twilio would meet there.
    pub bridge: Url,
    /// How the internet reaches the bridge: what webhooks are configured with and signed over. URLs of this origin are connected to `bridge`.
    pub public_url: Url,
    /// The path of the number's webhook.
    pub voice_path: String,
    /// The path of the number's status callback; none if nothing is configured.
    pub status_path: Option<String>,
    /// The number's fallback URL, absolute.
    pub fallback_url: Option<String>,
    /// `AC` and 32 hexadecimal digits.
    pub account_sid: String,
    /// What webhooks are signed with and the REST API asks for; without it nothing is signed and anybody may use the API.
    pub auth_token: Option<String>,
    /// What is said and done in calls that the bridge places over the REST API.
    pub outbound: CallPlan,
    /// Who takes them.
    pub answering: Answering,
    /// Numbers of the account, for `IncomingPhoneNumbers`.
    pub numbers: Vec<String>,
}

impl PhoneConfig {
    /// A phone for a bridge on this machine that is reached as it listens, with an account of zeros and no token.
    pub fn new(bridge: Url) -> Self {
        Self {
            public_url: bridge.clone(),
            bridge,
            voice_path: "/api/twilio/voice/inbound".into(),
            status_path: Some("/api/twilio/voice/status".into()),
            fallback_url: None,
            account_sid: "AC00000000000000000000000000000001".into(),
            auth_token: None,
            outbound: CallPlan::default(),
            answering: Answering::default(),
            numbers: vec!["+15551230000".into()],
        }
    }
}

impl std::fmt::Debug for PhoneConfig {
    /// Without the token and the numbers.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PhoneConfig")
            .field("bridge", &self.bridge.as_str())
            .field("public_url", &self.public_url.as_str())
            .field("signs", &self.auth_token.is_some())
            .finish_non_exhaustive()
    }
}

/// One call.
#[derive(Clone)]
pub struct CallPlan {
    /// The caller's number.
    pub from: String,
    /// The number called.
    pub to: String,
    /// What the caller does.
    pub script: Script,
    /// When the caller begins to do it.
    pub begin: Begin,
    /// What goes wrong.
    pub faults: Faults,
    /// What `<Dial>` comes to.
    pub dial: DialOutcome,
    /// The caller hangs up after this time whatever happens.
    pub limit: Duration,
    /// For identifiers and timing; none takes a fresh one for each call.
    pub seed: Option<u64>,
    /// A measurement that speaks in the caller's place; the script goes on beside it.
    pub tap: Option<Arc<dyn Tap>>,
    /// Form parameters in addition to the usual ones; a usual one of the same name is replaced.
    pub extra: Vec<(String, String)>,
}

impl Default for CallPlan {
    fn default() -> Self {
        Self {
            from: "+15551239999".into(),
            to: "+15551230000".into(),
            script: Script::default(),
            begin: Begin::default(),
            faults: Faults::default(),
            dial: DialOutcome::default(),
            limit: Duration::from_secs(120),
            seed: None,
            tap: None,
            extra: vec![],
        }
    }
}

impl std::fmt::Debug for CallPlan {
    /// Without the numbers.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallPlan")
            .field("steps", &self.script.steps.len())
            .field("faults", &self.faults)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// When the script begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Begin {
    /// With the first frame that reaches the bridge: nothing the caller says is lost to the set-up.
    #[default]
    AtFirstMedia,
    /// When the call is answered: what is said before the stream flows is lost, as it is in reality.
    AtAnswer,
}

/// What a `<Dial>` comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialOutcome {
    /// `DialCallStatus`: completed, busy, no-answer, failed or canceled.
    pub status: String,
    /// How long it rings.
    pub ringing: Duration,
    /// How long the two talk, if it is completed.
    pub talking: Duration,
    /// Who answers hangs up once he has heard what it is about: the two are never joined.
    pub declines: bool,
}

impl Default for DialOutcome {
    fn default() -> Self {
        Self {
            status: "completed".into(),
            ringing: Duration::from_millis(500),
            talking: Duration::from_secs(1),
            declines: false,
        }
    }
}
