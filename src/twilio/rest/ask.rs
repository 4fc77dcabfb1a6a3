//! One request, and when it is made again.
//!
//! 429 was not processed, so it may always be repeated. Whether anything else may depends on what is asked: hanging up twice is hanging
//! up, but Twilio has no idempotency key for new calls and messages.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::{Client, RestError};

/// The whole of one request that ends a call: nobody is to wait on a dead line.
const SHORT_TIMEOUT: Duration = Duration::from_secs(4);
/// The whole of one request of the others.
const LONG_TIMEOUT: Duration = Duration::from_secs(10);
/// Tries in all.
const TRIES: u32 = 4;
/// Before the second try; doubled before each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause, whatever `Retry-After` says: a caller is on the line.
const MAX_PAUSE: Duration = Duration::from_secs(2);
/// Share by which a pause is made longer or shorter, so that a restart's hang-ups do not come in step.
const JITTER: f64 = 0.1;
/// Largest answer read, bytes. A page of 50 numbers has some 100 kB.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// What asking twice means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Twice {
    /// The same as asking once.
    Harmless,
    /// The same, and a caller is on the line.
    HarmlessAndUrgent,
    /// Perhaps a second call or message: only what was surely not done is asked again.
    Costly,
}

/// A request.
#[derive(Debug)]
pub(super) struct Question<'a> {
    pub method: Method,
    pub url: Url,
    /// The body of a POST.
    pub form: &'a [(&'a str, &'a str)],
    pub twice: Twice,
}

#[derive(Deserialize)]
struct Problem {
    code: Option<u32>,
}

enum Tried {
    Done(Vec<u8>),
    Final(RestError),
    Again { error: RestError, after: Option<Duration> },
}

impl Client {
    /// Asks, and reads the answer.
    pub(super) async fn ask<T: DeserializeOwned>(&self, question: Question<'_>) -> Result<T, RestError> {
        let body = self.ask_bytes(question).await?;
        serde_json::from_slice(&body).map_err(|_| RestError::Unreadable)
    }

    /// Asks where the answer says nothing new.
    pub(super) async fn order(&self, question: Question<'_>) -> Result<(), RestError> {
        self.ask_bytes(question).await.map(|_| ())
    }

    async fn ask_bytes(&self, question: Question<'_>) -> Result<Vec<u8>, RestError> {
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            let (error, after) = match self.ask_once(&question).await {
                Tried::Done(body) => return Ok(body),
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

    async fn ask_once(&self, question: &Question<'_>) -> Tried {
        let timeout = match question.twice {
            Twice::HarmlessAndUrgent => SHORT_TIMEOUT,
            Twice::Harmless | Twice::Costly => LONG_TIMEOUT,
        };
        let mut request = self
            .http
            .request(question.method.clone(), question.url.clone())
            .timeout(timeout)
            .basic_auth(&self.account_sid, Some(self.auth_token.expose()));
        if question.method == Method::POST {
            request = request.form(question.form);
        }
        let costly = question.twice == Twice::Costly;
        let repeat = |error| match costly {
            true => Tried::Final(error),
            false => Tried::Again { error, after: None },
        };
        let mut answer = match request.send().await {
            Ok(answer) => answer,
            // The error's own text holds the URL, and that the account.
            Err(error) if error.is_connect() => {
                tracing::warn!(kind = "connect", "Twilio's REST API was not reached");
                return Tried::Again { error: RestError::Unreachable, after: None };
            }
            Err(error) => {
                let kind = if error.is_timeout() { "timeout" } else { "broken" };
                tracing::warn!(kind, "Twilio's REST API did not answer");
                return repeat(RestError::Unanswered);
            }
        };
        let status = answer.status();
        let header = |name: &str| answer.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let request_id = header("twilio-request-id").unwrap_or_default();
        let after = header("retry-after").and_then(|s| s.parse().ok()).map(Duration::from_secs);
        let mut body = Vec::new();
        let whole = loop {
            match answer.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > MAX_ANSWER_BYTES => break false,
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        if status.is_success() {
            tracing::debug!(%request_id, "Twilio's REST API did as asked");
            // It did; what is missing is only its report.
            return if whole { Tried::Done(body) } else { repeat(RestError::Unanswered) };
        }
        let code = serde_json::from_slice::<Problem>(&body).ok().and_then(|problem| problem.code);
        tracing::warn!(status = status.as_u16(), code, %request_id, "Twilio's REST API refused");
        let failing = RestError::Failing { status: status.as_u16() };
        match status {
            StatusCode::TOO_MANY_REQUESTS => Tried::Again { error: failing, after },
            _ if status.is_server_error() && costly => Tried::Final(failing),
            _ if status.is_server_error() => Tried::Again { error: failing, after },
            _ => Tried::Final(RestError::Refused { status: status.as_u16(), code }),
        }
    }
}
