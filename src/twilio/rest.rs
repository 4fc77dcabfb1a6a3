//! Twilio's REST API, as far as a running call needs it: hanging up.
//!
//! <https://www.twilio.com/docs/voice/api/call-resource>

use std::fmt;
use std::time::Duration;

use reqwest::{StatusCode, redirect};
use serde::Deserialize;
use url::Url;

use crate::config::{Secret, TwilioSettings, is_loopback};

/// Connecting, and the whole of one request.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(4);
/// Tries in all. Hanging up twice is hanging up.
const TRIES: u32 = 4;
/// Before the second try; doubled before each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause, whatever `Retry-After` says: a caller is on the line.
const MAX_PAUSE: Duration = Duration::from_secs(2);
/// Share by which a pause is made longer or shorter, so that a restart's hang-ups do not come in step.
const JITTER: f64 = 0.1;
/// Largest answer read.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// "Call is not in-progress": it is over already.
const CODE_NOT_IN_PROGRESS: u32 = 21220;
/// "The requested resource was not found": it is over for long.
const CODE_NOT_FOUND: u32 = 20404;

/// Why Twilio did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestError {
    /// It refused for good: wrong credentials, wrong id.
    #[error("Twilio refused: HTTP {status}, code {code:?}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Twilio's error code.
        code: Option<u32>,
    },
    /// It was busy or failing on every try.
    #[error("Twilio failed: HTTP {status}")]
    Failing {
        /// HTTP status of the last try.
        status: u16,
    },
    /// It was not reached, or did not answer in time.
    #[error("Twilio was not reached")]
    Unreachable,
}

/// A client for one account. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    api_url: Url,
    account_sid: String,
    auth_token: Secret,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("api_url", &self.api_url.as_str()).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Problem {
    code: Option<u32>,
}

enum Tried {
    Done,
    Final(RestError),
    Again { error: RestError, after: Option<Duration> },
}

impl Client {
    /// `None` without an account and its token: then nothing can be asked of Twilio.
    pub fn new(settings: &TwilioSettings) -> Option<Self> {
        let (account_sid, auth_token) = (settings.account_sid.clone()?, settings.auth_token.clone()?);
        let mut http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            // Credentials go where they were meant to go.
            .redirect(redirect::Policy::none());
        if is_loopback(&settings.api_url) {
            http = http.no_proxy();
        }
        let http = http.build().expect("these options are valid, and rustls is compiled in");
        Some(Self { http, api_url: settings.api_url.clone(), account_sid, auth_token })
    }

    /// Ends a call. A call that is over already counts as ended. `account_sid` is the account that owns the call, which may be a
    /// subaccount.
    pub async fn hang_up(&self, account_sid: &str, call_sid: &str) -> Result<(), RestError> {
        let mut url = self.api_url.clone();
        // An HTTP URL can always hold a path.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend([
                "2010-04-01",
                "Accounts",
                account_sid,
                "Calls",
                &format!("{call_sid}.json"),
            ]);
        }
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            let (error, after) = match self.post_once(&url, &[("Status", "completed")]).await {
                Tried::Done => return Ok(()),
                Tried::Final(error) => return Err(error),
                Tried::Again { error, after } => (error, after),
            };
            if attempt == TRIES {
                metrics::counter!("aria_twilio_rest_failures_total", "reason" => "gave_up").increment(1);
                return Err(error);
            }
            metrics::counter!("aria_twilio_rest_retries_total").increment(1);
            let jitter = 1.0 + JITTER * rand::random_range(-1.0..=1.0);
            tokio::time::sleep(after.unwrap_or(pause).min(MAX_PAUSE).mul_f64(jitter)).await;
            pause *= 2;
        }
        unreachable!("the loop returns at its last try")
    }

    async fn post_once(&self, url: &Url, form: &[(&str, &str)]) -> Tried {
        let request = self
            .http
            .post(url.clone())
            .basic_auth(&self.account_sid, Some(self.auth_token.expose()))
            .form(form);
        let mut answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => {
                // The error's own text holds the URL, and that the account.
                let kind = if error.is_timeout() { "timeout" } else { "connect" };
                tracing::warn!(kind, "Twilio's REST API was not reached");
                return Tried::Again { error: RestError::Unreachable, after: None };
            }
        };
        let status = answer.status();
        let header = |name: &str| answer.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let request_id = header("twilio-request-id").unwrap_or_default();
        let after = header("retry-after").and_then(|s| s.parse().ok()).map(Duration::from_secs);
        if status.is_success() {
            tracing::debug!(%request_id, "Twilio's REST API did as asked");
            return Tried::Done;
        }
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = answer.chunk().await {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                break;
            }
            body.extend_from_slice(&chunk);
        }
        let code = serde_json::from_slice::<Problem>(&body).ok().and_then(|problem| problem.code);
        tracing::warn!(status = status.as_u16(), code, %request_id, "Twilio's REST API refused");
        match (status, code) {
            (_, Some(CODE_NOT_IN_PROGRESS | CODE_NOT_FOUND)) | (StatusCode::NOT_FOUND, None) => Tried::Done,
            (StatusCode::TOO_MANY_REQUESTS, _) => {
                Tried::Again { error: RestError::Failing { status: status.as_u16() }, after }
            }
            _ if status.is_server_error() => {
                Tried::Again { error: RestError::Failing { status: status.as_u16() }, after }
            }
            _ => Tried::Final(RestError::Refused { status: status.as_u16(), code }),
        }
    }
}
