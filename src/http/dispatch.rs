//! The dispatch hook: before each call somebody else's service may choose the agent and fill in the variables of its texts.
//!
//! `POST {url}` with `{"call_sid","from","to"}`, signed as our webhooks are (`docs/records.md`); the answer is
//! `{"agent": "name", "variables": {"name": "Ada"}}`, both optional. Whatever goes wrong, the call goes on as without it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::json;

use crate::config::variables::Values;
use crate::config::{DispatchSettings, Settings, is_loopback};
use crate::store::{SIGNATURE_HEADER, sign};

/// Largest answer read, bytes.
const MAX_ANSWER_BYTES: usize = 16 * 1024;
/// Variables taken of an answer, and bytes of each.
const MAX_VARIABLES: usize = 32;
const MAX_VALUE_BYTES: usize = 1024;

/// What the hook says of a call.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Choice {
    /// The agent; the number decides if absent.
    pub agent: Option<String>,
    /// What its texts are filled with.
    pub variables: Values,
}

/// The hook.
pub struct Dispatch {
    http: reqwest::Client,
    settings: DispatchSettings,
}

impl Dispatch {
    /// `None` if none is configured.
    pub fn new(settings: &Settings) -> Option<Self> {
        let settings = settings.dispatch.clone()?;
        let mut http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        if is_loopback(&settings.url) {
            http = http.no_proxy();
        }
        let http = http.build().expect("these options are valid, and rustls is compiled in");
        Some(Self { http, settings })
    }

    /// Asks about a call. Takes no longer than the hook is given.
    pub async fn ask(&self, call_sid: &str, from: &str, to: &str) -> Choice {
        let (outcome, choice) =
            match tokio::time::timeout(self.settings.timeout, self.exchange(call_sid, from, to)).await {
                Ok(Some(choice)) => ("ok", choice),
                Ok(None) => ("failed", Choice::default()),
                Err(_) => ("timed_out", Choice::default()),
            };
        if outcome != "ok" {
            tracing::warn!(call = %call_sid, outcome, "the dispatch hook did not choose; the number decides");
        }
        metrics::counter!("aria_dispatch_total", "outcome" => outcome).increment(1);
        choice
    }

    async fn exchange(&self, call_sid: &str, from: &str, to: &str) -> Option<Choice> {
        let body = json!({ "call_sid": call_sid, "from": from, "to": to }).to_string();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        let mut request =
            self.http.post(self.settings.url.clone()).header("content-type", "application/json");
        if let Some(secret) = &self.settings.secret {
            request = request.header(SIGNATURE_HEADER, sign(secret.expose(), now, &body));
        }
        let mut answer =
            request.body(body).send().await.ok().filter(|answer| answer.status().is_success())?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.ok()? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return None;
            }
            body.extend_from_slice(&chunk);
        }
        let choice: Choice = serde_json::from_slice(&body).ok()?;
        let small = |(_, value): &(String, String)| value.len() <= MAX_VALUE_BYTES;
        let variables: BTreeMap<_, _> =
            choice.variables.into_iter().filter(small).take(MAX_VARIABLES).collect();
        Some(Choice { variables, ..choice })
    }
}
