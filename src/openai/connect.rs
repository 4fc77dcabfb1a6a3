//! Asking for a session: `POST {base}/realtime/calls` with the offer and the full session settings, and hanging up again; or the upgrade of
//! `GET {base}/realtime` to a WebSocket.
//!
//! Source: OpenAI's API reference, "Create call" and "Hang up call" (GA, no `OpenAI-Beta` header).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use reqwest::multipart::{Form, Part};
use reqwest::{StatusCode, Upgraded, header};
use sha2::Sha256;
use url::Url;

use super::sdp::{self, Answer, MAX_ANSWER_BYTES, Reach, SdpError};
use super::wire::ApiError;
use crate::config::{OpenAiSettings, Secret, is_loopback};

/// Attempts per session, the first included.
pub const MAX_ATTEMPTS: u32 = 3;
/// All attempts together. The caller hears an apology after it, so it is short.
pub const BUDGET: Duration = Duration::from_secs(3);
/// First pause between attempts; doubled each time, ±50 %.
const BACKOFF: Duration = Duration::from_millis(150);
/// Connections kept for the next calls: a warm one saves a call two round trips. Each is some 20 kB, with TLS more.
const IDLE_CONNECTIONS: usize = 8;
/// Hanging up is tidiness, not part of the call.
const HANGUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Codes that no retry can change: an operator must act.
const FATAL_CODES: [&str; 4] =
    ["insufficient_quota", "invalid_api_key", "account_deactivated", "billing_hard_limit_reached"];

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The server said no: key, quota, model or settings. `code` is OpenAI's.
    #[error("refused with HTTP {status} {code}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// `error.code`, or `error.type`, or empty.
        code: String,
        /// What the server asks us to wait.
        retry_after: Option<Duration>,
    },
    /// No usable response: connection, TLS, time-out, a body cut off or too large.
    #[error("no response: {0}")]
    Network(&'static str),
    /// 201, but the answer is unusable.
    #[error("bad answer: {0}")]
    BadAnswer(#[from] SdpError),
    /// The session is there and of no use.
    #[error("unusable: {0}")]
    Unusable(&'static str),
    /// The local side could not make an offer.
    #[error("cannot make an offer: {0}")]
    Local(String),
    /// All attempts failed in time, or time ran out.
    #[error("no session within the budget")]
    Budget,
}

impl ConnectError {
    /// Whether another attempt may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Refused { status, code, .. } => {
                (*status == 429 || *status >= 500) && !FATAL_CODES.contains(&code.as_str())
            }
            Self::Network(_) | Self::BadAnswer(_) => true,
            Self::Unusable(_) | Self::Local(_) | Self::Budget => false,
        }
    }

    /// Whether another way to the model would be refused as well: it is about the key or the account, not about the way.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Refused { status, code, .. }
            if matches!(status, 401 | 429) || FATAL_CODES.contains(&code.as_str()))
    }

    /// The label in metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Refused { status: 400, .. } => "bad_request",
            Self::Refused { status: 401, .. } => "unauthorized",
            Self::Refused { status: 403, .. } => "forbidden",
            Self::Refused { status: 429, .. } => "rate_limited",
            Self::Refused { status: 500.., .. } => "server_error",
            Self::Refused { .. } => "refused",
            Self::Network(_) => "network",
            Self::BadAnswer(_) => "bad_answer",
            Self::Unusable(_) => "unusable",
            Self::Local(_) => "local",
            Self::Budget => "budget",
        }
    }
}

/// A session that was granted.
#[derive(Debug)]
pub struct Granted {
    /// The checked answer.
    pub answer: Answer,
    /// The claim to it.
    pub hold: Hold,
}

/// A session that the server holds for us. Dropped it is hung up, whatever the reason: the call is over, an answer never came whole or
/// cannot be used, a budget ran out, a caller has gone.
#[derive(Debug)]
pub struct Hold {
    client: Client,
    call_id: Option<String>,
}

impl Hold {
    /// `rtc_…`, to hang up with. `None` if the server sent no `Location`.
    pub fn call_id(&self) -> Option<&str> {
        self.call_id.as_deref()
    }

    /// Hangs up, and waits for it.
    pub async fn hang_up(mut self) {
        if let Some(id) = self.call_id.take() {
            self.client.hang_up(&id).await;
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // Without a runtime the process is ending; the server drops sessions that never connect.
        if let Some(id) = self.call_id.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let client = self.client.clone();
            runtime.spawn(async move { client.hang_up(&id).await });
        }
    }
}

/// The HTTP side of OpenAI. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base_url: Url,
    key: Secret,
    reach: Reach,
}

impl Client {
    /// A client for `settings` with `key`, which may be the simulated model's.
    pub fn new(settings: &OpenAiSettings, key: Secret) -> Result<Self, ConnectError> {
        let http = reqwest::Client::builder()
            // A redirect could send the key and the caller's voice elsewhere.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(2))
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .tcp_nodelay(true)
            // An upgrade to a WebSocket needs it, and one request a connection at a time is all that a call needs.
            .http1_only()
            .build()
            .map_err(|e| ConnectError::Local(e.to_string()))?;
        let reach = if is_loopback(&settings.base_url) { Reach::Private } else { Reach::Public };
        Ok(Self { http, base_url: settings.base_url.clone(), key, reach })
    }

    /// Where answers may point: public addresses, unless the endpoint itself is on this machine.
    pub fn reach(&self) -> Reach {
        self.reach
    }

    /// A stable name for a caller that tells nothing about the number (`OpenAI-Safety-Identifier`).
    pub fn safety_identifier(&self, caller: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.expose().as_bytes())
            .expect("HMAC takes keys of any length");
        mac.update(caller.as_bytes());
        mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect()
    }

    /// One attempt.
    pub async fn create(
        &self,
        offer: &str,
        session: &str,
        safety_identifier: &str,
    ) -> Result<Granted, ConnectError> {
        let part = |text: &str, mime| Part::text(text.to_owned()).mime_str(mime);
        let form = part(offer, "application/sdp")
            .and_then(|sdp| {
                Ok(Form::new().part("sdp", sdp).part("session", part(session, "application/json")?))
            })
            .map_err(|e| ConnectError::Local(e.to_string()))?;
        let response = self
            .http
            .post(self.endpoint(&["realtime", "calls"]))
            .bearer_auth(self.key.expose())
            .header(header::ACCEPT, "application/sdp")
            .header("OpenAI-Safety-Identifier", safety_identifier)
            .multipart(form)
            .send()
            .await
            .map_err(network)?;
        let status = response.status();
        let header = |name| response.headers().get(name).and_then(|v| v.to_str().ok());
        let is_granted = status == StatusCode::CREATED || status == StatusCode::OK;
        let call_id = header(header::LOCATION).and_then(|l| l.rsplit('/').next()).map(str::to_owned);
        // From here on the session exists on the server, whatever becomes of the answer.
        let hold = Hold { client: self.clone(), call_id: call_id.filter(|_| is_granted) };
        let retry_after = header(header::RETRY_AFTER).and_then(|s| s.parse().ok()).map(Duration::from_secs);
        let body = read_capped(response).await?;
        // The status comes first: the body of an error is JSON, not SDP.
        if !is_granted {
            return Err(refusal(status.as_u16(), &body, retry_after));
        }
        let text = std::str::from_utf8(&body).map_err(|_| SdpError::NotSdp)?;
        Ok(Granted { answer: sdp::read(text, self.reach)?, hold })
    }

    /// One attempt at a WebSocket: the upgraded connection, and the server's answer to `key` (RFC 6455, 4.1).
    pub async fn upgrade(
        &self,
        model: &str,
        safety_identifier: &str,
        key: &str,
    ) -> Result<(Upgraded, String), ConnectError> {
        let mut url = self.endpoint(&["realtime"]);
        url.query_pairs_mut().append_pair("model", model);
        let response = self
            .http
            .get(url)
            .bearer_auth(self.key.expose())
            .header("OpenAI-Safety-Identifier", safety_identifier)
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, key)
            .send()
            .await
            .map_err(network)?;
        let header = |name| response.headers().get(name).and_then(|v| v.to_str().ok());
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let retry_after =
                header(header::RETRY_AFTER).and_then(|s| s.parse().ok()).map(Duration::from_secs);
            let status = response.status().as_u16();
            return Err(refusal(status, &read_capped(response).await?, retry_after));
        }
        let accept = header(header::SEC_WEBSOCKET_ACCEPT).unwrap_or_default().to_owned();
        Ok((response.upgrade().await.map_err(network)?, accept))
    }

    /// Ends a session. The peer is closed as well; this keeps it from lingering until the server's own time-out.
    pub async fn hang_up(&self, call_id: &str) {
        let request = self
            .http
            .post(self.endpoint(&["realtime", "calls", call_id, "hangup"]))
            .bearer_auth(self.key.expose())
            .timeout(HANGUP_TIMEOUT)
            .send();
        let outcome = match request.await {
            Ok(r) if r.status().is_success() => "ok",
            // Already gone.
            Ok(r) if r.status() == StatusCode::NOT_FOUND => "gone",
            Ok(_) => "refused",
            Err(_) => "network",
        };
        metrics::counter!("aria_model_hangups_total", "outcome" => outcome).increment(1);
    }

    fn endpoint(&self, path: &[&str]) -> Url {
        let mut url = self.base_url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }
}

/// Attempts until one succeeds or is refused for good, nobody wants it any more, or `deadline` has passed.
pub(super) async fn attempts<T, F>(
    deadline: Instant,
    wanted: &AtomicBool,
    attempt: impl Fn() -> F,
) -> Result<T, ConnectError>
where
    F: Future<Output = Result<T, ConnectError>>,
{
    let attempts = async {
        let mut last: Option<ConnectError> = None;
        for n in 0..MAX_ATTEMPTS {
            if let Some(error) = last.take() {
                let asked = match &error {
                    ConnectError::Refused { retry_after, .. } => *retry_after,
                    _ => None,
                };
                let pause = backoff(n, asked);
                // Who is told to come back later than the caller can wait need not wait for it.
                if !wanted.load(Ordering::Relaxed) || Instant::now() + pause >= deadline {
                    return Err(error);
                }
                tokio::time::sleep(pause).await;
            }
            match attempt().await {
                Ok(granted) => return Ok(granted),
                Err(error) => {
                    metrics::counter!("aria_model_connect_errors_total", "reason" => error.reason())
                        .increment(1);
                    tracing::warn!(attempt = n + 1, %error, "the model did not take the call");
                    if !error.is_transient() {
                        return Err(error);
                    }
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or(ConnectError::Budget))
    };
    tokio::time::timeout_at(deadline.into(), attempts).await.unwrap_or_else(|_| {
        metrics::counter!("aria_model_connect_errors_total", "reason" => "budget").increment(1);
        Err(ConnectError::Budget)
    })
}

/// How long to wait before attempt `n` (1 = the second one).
pub fn backoff(n: u32, asked: Option<Duration>) -> Duration {
    let base = BACKOFF * 2u32.saturating_pow(n.saturating_sub(1));
    asked.unwrap_or_else(|| base.mul_f64(rand::random_range(0.5..1.5)))
}

fn network(error: reqwest::Error) -> ConnectError {
    ConnectError::Network(if error.is_timeout() {
        "timed out"
    } else if error.is_connect() {
        "cannot connect"
    } else {
        "connection lost"
    })
}

async fn read_capped(mut response: reqwest::Response) -> Result<Vec<u8>, ConnectError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(network)? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(SdpError::TooLarge.into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

pub(super) fn refusal(status: u16, body: &[u8], retry_after: Option<Duration>) -> ConnectError {
    #[derive(serde::Deserialize)]
    struct Body {
        error: ApiError,
    }
    let error = serde_json::from_slice::<Body>(body).map(|b| b.error).unwrap_or_default();
    let code = if error.code.is_empty() { error.kind } else { error.code };
    // It goes into logs and metrics: a word, not a text of the server's choosing.
    let code = code.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(48).collect();
    ConnectError::Refused { status, code, retry_after }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_worth_a_retry() {
        let refused =
            |status, code: &str| ConnectError::Refused { status, code: code.into(), retry_after: None };
        for status in [400, 401, 403, 404, 302] {
            assert!(!refused(status, "").is_transient(), "{status}");
        }
        for status in [429, 500, 503] {
            assert!(refused(status, "").is_transient(), "{status}");
            assert!(!refused(status, "insufficient_quota").is_transient());
        }
    }

    #[test]
    fn a_refusal_is_read_from_openais_error_body() {
        let body = br#"{"error":{"message":"m","type":"invalid_request_error","param":null,"code":"invalid_offer"}}"#;
        assert_eq!(refusal(400, body, None).to_string(), "refused with HTTP 400 invalid_offer");
        assert_eq!(refusal(502, b"<html>", None).to_string(), "refused with HTTP 502 ");
    }

    #[test]
    fn the_safety_identifier_is_stable_and_hides_the_number() {
        let settings =
            OpenAiSettings { api_key: None, base_url: Url::parse("http://127.0.0.1:1/v1").unwrap() };
        let client = Client::new(&settings, Secret::new("sk-1")).unwrap();
        let id = client.safety_identifier("+15551230000");
        assert_eq!(id, client.safety_identifier("+15551230000"));
        assert_ne!(id, client.safety_identifier("+15551230001"));
        assert!(id.len() == 64 && !id.contains("5551230000"));
        assert_eq!(client.endpoint(&["realtime", "calls"]).as_str(), "http://127.0.0.1:1/v1/realtime/calls");
    }
}
