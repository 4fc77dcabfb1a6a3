//! The part of Twilio's REST API that a bridge uses: calls, messages, numbers and the account, version 2010-04-01.
//!
//! Source: <https://www.twilio.com/docs/voice/api/call-resource>. Forms in, JSON out, errors in Twilio's shape with its numbers.

mod answer;
mod registry;

use std::sync::{Arc, Weak};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use tokio::net::TcpListener;

pub use registry::{Registry, RestFault, RestRequest};

use super::answering::Order;
use super::call::{Command, Opening};
use super::config::PhoneConfig;
use super::form::Params;
use super::twiml::Target;
use super::{Inner, Phone};
use answer::{Answer, ApiError};

/// The largest form read; Twilio's own limit is not documented, a `Twiml` parameter of 4 000 characters is the largest that is useful.
const MAX_FORM_BYTES: usize = 64 * 1024;

/// Numbers that Twilio's own test credentials refuse, with the error of each.
/// <https://www.twilio.com/docs/iam/test-credentials>
const MAGIC: [(&str, u32); 3] =
    [("+15005550001", 21_217), ("+15005550002", 21_214), ("+15005550003", 21_215)];

/// The longest message, in characters.
const MAX_MESSAGE_CHARS: usize = 1_600;

/// The longest `Twiml` parameter, in characters.
const MAX_TWIML_CHARS: usize = 4_000;

#[derive(Clone)]
struct Api {
    config: Arc<PhoneConfig>,
    registry: Registry,
    phone: Weak<Inner>,
}

pub(super) async fn serve(
    listener: TcpListener,
    config: Arc<PhoneConfig>,
    registry: Registry,
    phone: Weak<Inner>,
) {
    let router = Router::new().fallback(handle).with_state(Api { config, registry, phone });
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the simulated REST API ended");
    }
}

/// One way in, so that faults, authorisation and the list of requests cover everything.
async fn handle(State(api): State<Api>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let (path, query) = (head.uri.path().to_owned(), head.uri.query().unwrap_or_default().to_owned());
    let form = axum::body::to_bytes(body, MAX_FORM_BYTES).await.unwrap_or_default();
    let source = if head.method == Method::GET { query.as_bytes() } else { &form[..] };
    let params: Params = form_urlencoded::parse(source).into_owned().collect();
    let fault = api.registry.next_fault();
    if let Some(wait) = fault.as_ref().map(|f| f.latency).filter(|l| !l.is_zero()) {
        tokio::time::sleep(wait).await;
    }
    let result = match fault.and_then(|f| f.status.map(|status| (status, f.retry_after))) {
        Some((status, retry_after)) => Err(ApiError::injected(status, retry_after)),
        None if !authorised(&api.config, &head.headers) => Err(ApiError::new(401, 20_003, "Authenticate")),
        None => api.route(&head.method, &path, &params),
    };
    let status = result.as_ref().map_or_else(|e| e.status, |a| a.status);
    let request_id = api.registry.note(RestRequest { method: head.method.to_string(), path, params, status });
    match result {
        Ok(answer) => answer.into_response(&request_id),
        Err(error) => error.into_response(&request_id),
    }
}

/// Basic authorisation with the account and its token; anybody if no token is set.
fn authorised(config: &PhoneConfig, headers: &HeaderMap) -> bool {
    let Some(token) = &config.auth_token else { return true };
    let expected = base64_simd::STANDARD.encode_to_string(format!("{}:{token}", config.account_sid));
    let given = headers.get("authorization").and_then(|v| v.to_str().ok());
    given.and_then(|v| v.strip_prefix("Basic ")) == Some(expected.as_str())
}

impl Api {
    fn route(&self, method: &Method, path: &str, params: &Params) -> Result<Answer, ApiError> {
        let not_found =
            || ApiError::new(404, 20_404, &format!("The requested resource {path} was not found"));
        let rest = path.strip_prefix("/2010-04-01/Accounts/").ok_or_else(not_found)?;
        let mut parts = rest.strip_suffix(".json").unwrap_or(rest).split('/');
        if parts.next() != Some(self.config.account_sid.as_str()) {
            return Err(not_found());
        }
        let parts: Vec<&str> = parts.collect();
        match (method.as_str(), parts.as_slice()) {
            ("GET", []) => Ok(self.registry.account(&self.config)),
            ("POST", ["Messages"]) => self.message(params),
            ("POST", ["Calls"]) => self.create(params),
            ("GET", ["Calls", sid]) => self.registry.describe(&self.config, sid).ok_or_else(not_found),
            ("POST", ["Calls", sid]) => {
                self.modify(sid, params)?;
                self.registry.describe(&self.config, sid).ok_or_else(not_found)
            }
            ("GET", ["IncomingPhoneNumbers"]) => {
                Ok(self.registry.numbers(&self.config, get(params, "PhoneNumber")))
            }
            ("POST", ["IncomingPhoneNumbers", sid]) => {
                self.registry.set_number(&self.config, sid, params).ok_or_else(not_found)
            }
            _ => Err(not_found()),
        }
    }

    /// `POST Calls.json`: 201 with a queued call; the call itself follows on its own.
    fn create(&self, params: &Params) -> Result<Answer, ApiError> {
        let need = |name: &str, code| {
            get(params, name)
                .filter(|v| !v.is_empty())
                .ok_or_else(|| ApiError::new(400, code, &format!("{name} is required")))
        };
        let (to, from) = (need("To", 21_201)?.to_owned(), need("From", 21_213)?.to_owned());
        if let Some((_, code)) = MAGIC.iter().find(|(number, _)| *number == to) {
            return Err(ApiError::new(400, *code, &format!("The number {to} cannot be called")));
        }
        let opening = match (get(params, "Url"), get(params, "Twiml")) {
            (Some(url), _) => Opening::Fetch(target(url, get(params, "Method"))),
            (None, Some(text)) => Opening::Run(inline(text)?),
            (None, None) => return Err(ApiError::new(400, 21_205, "Url or Twiml is required")),
        };
        let status =
            get(params, "StatusCallback").map(|url| target(url, get(params, "StatusCallbackMethod")));
        let all = |name: &str| params.iter().filter(|(n, _)| n == name).map(|(_, v)| v.clone()).collect();
        let detection = get(params, "MachineDetection").zip(get(params, "AsyncAmdStatusCallback"));
        let order = Order {
            answering: self.config.answering.clone(),
            events: all("StatusCallbackEvent"),
            detection: detection.map(|(mode, url)| {
                (mode.to_owned(), target(url, get(params, "AsyncAmdStatusCallbackMethod")))
            }),
        };
        let gone = || ApiError::new(500, 20_500, "the phone is gone");
        let phone = Phone { inner: self.phone.upgrade().ok_or_else(gone)? };
        let mut plan = self.config.outbound.clone();
        (plan.to, plan.from) = (to, from);
        let sid = super::sid::Dice::new(rand::random()).sid("CA");
        let answer = self.registry.queued(&self.config, &sid, &plan);
        let reports = phone.inner.outbound.clone();
        let phone = Arc::downgrade(&phone.inner);
        tokio::spawn(async move {
            let Some(inner) = phone.upgrade() else { return };
            let report = inner.run(plan, "outbound-api", opening, status, Some(sid), Some(order)).await;
            reports.lock().expect("nothing panics while it holds the reports").push(report);
        });
        Ok(answer)
    }

    /// `POST Messages.json`: 201 with a queued message, which nobody gets.
    fn message(&self, params: &Params) -> Result<Answer, ApiError> {
        let need = |name: &str, code| {
            get(params, name)
                .filter(|v| !v.is_empty())
                .ok_or_else(|| ApiError::new(400, code, &format!("{name} is required")))
        };
        let (to, from, body) = (need("To", 21_604)?, need("From", 21_603)?, need("Body", 21_602)?);
        if body.chars().count() > MAX_MESSAGE_CHARS {
            return Err(ApiError::new(400, 21_617, "The message body exceeds 1600 characters"));
        }
        Ok(self.registry.message(&self.config, from, to, body))
    }

    /// `POST Calls/{sid}.json`: hang up or run something else.
    fn modify(&self, sid: &str, params: &Params) -> Result<(), ApiError> {
        let command = match (get(params, "Status"), get(params, "Twiml"), get(params, "Url")) {
            (Some("completed" | "canceled"), ..) => Command::Complete,
            (Some(other), ..) => {
                return Err(ApiError::new(400, 20_001, &format!("Status {other} is not possible")));
            }
            (None, Some(text), _) => Command::Run(inline(text)?),
            (None, None, Some(url)) => Command::Fetch(target(url, get(params, "Method"))),
            (None, None, None) => return Err(ApiError::new(400, 20_001, "nothing to change")),
        };
        self.registry.order(sid, command)
    }
}

fn inline(text: &str) -> Result<String, ApiError> {
    if text.chars().count() > MAX_TWIML_CHARS {
        return Err(ApiError::new(400, 21_620, "Twiml has more than 4000 characters"));
    }
    Ok(text.to_owned())
}

fn target(url: &str, method: Option<&str>) -> Target {
    Target { url: url.to_owned(), post: method != Some("GET") }
}

fn get<'a>(params: &'a Params, name: &str) -> Option<&'a str> {
    params.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
}
