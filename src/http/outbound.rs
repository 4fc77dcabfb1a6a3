//! The admin API: place a call.
//!
//! Twilio is given the URL of our own inbound webhook with a one-time token, not the TwiML itself: the answer then begins the call in
//! the same place as a caller's, the model's session is asked for when somebody is there to talk to, and it comes up while Twilio
//! opens the stream. Inline TwiML would spare the webhook's round trip, but the first we heard of the answer would be the stream.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::App;
use super::admin::Operator;
use super::answers::{Error, NotPlaced, Placed};
use super::json::{Asked, Misunderstood, refuse, respond};
use super::unanswered;
use crate::call::{Direction, mask};
use crate::config::variables::Values;
use crate::config::{Agent, E164, Settings};
use crate::hosting::outbound::{Answer, Errand, Forbidden, KeyError, MAX_KEY_BYTES, Ordered};
use crate::hosting::registry::Reservation;
use crate::hosting::{Line, Ringing};
use crate::store::{Begun, unix_ms};
use crate::twilio::public_url::{AMD_PATH, INBOUND_PATH, STATUS_PATH};
use crate::twilio::rest::{self, Document, MachineDetection, NewCall, RestError};

/// The header by which a repeated request is known.
const IDEMPOTENCY_HEADER: &str = "idempotency-key";
/// The query of our URLs that carries the order's token.
pub(super) const TOKEN_QUERY: &str = "out";
/// Variables a call.
const MAX_VARIABLES: usize = 32;
/// Longest name of a variable, bytes.
const MAX_NAME_BYTES: usize = 64;
/// Longest value, bytes.
const MAX_VALUE_BYTES: usize = 1024;
/// What Twilio is to end a call at, beyond the bridge's own limit: it is only the back-stop.
const LIMIT_SLACK: Duration = Duration::from_secs(60);
/// Longest `TimeLimit` of an account without an agreement.
const MAX_LIMIT: Duration = Duration::from_secs(4 * 3600);

/// Whom to call, and what for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    /// The number to call, E.164. It must be among `outbound.allow`.
    #[schema(example = "+15551230000")]
    to: String,
    /// Who talks. Default: `outbound.agent`, else the agent of the number that calls.
    agent: Option<String>,
    /// Which of the account's numbers calls. Default: `outbound.from`.
    from: Option<String>,
    /// What the agent's texts are filled with: at most 32, named by 1 to 64 letters, digits or `_`, with at most 1024 bytes each.
    #[serde(default)]
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    variables: Values,
}

/// A wish that makes sense.
struct Order {
    to: E164,
    from: E164,
    agent: Arc<Agent>,
    variables: Values,
    settings: Arc<Settings>,
}

/// Places a call.
#[utoipa::path(
    post,
    operation_id = "place_call",
    path = "/api/calls",
    tag = "outbound calls",
    security(("bearer" = [])),
    params((
        "Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
        description = "Repeated with the same body it gets the same answer, and no second call is placed"
    )),
    request_body = Wish,
    responses(
        (status = 201, body = Placed, description = "Twilio calls"),
        (status = 401, description = "The bearer token is missing or wrong"),
        (status = 403, body = NotPlaced, description = "The number may not be called; without a body: this is not the bridge's own machine, and no token is configured"),
        (status = 409, body = Error, description = "The request with this key is under way"),
        (status = 422, body = Error, description = "The key was used for another request"),
        (
            status = 429, body = NotPlaced, description = "Too many calls of late",
            headers(("Retry-After" = u64, description = "Seconds until another one may be placed"))
        ),
        (status = 500, body = Error, description = "A defect in the bridge"),
        (status = 502, body = NotPlaced, description = "Twilio refuses, or cannot be understood"),
        (status = 503, body = NotPlaced, description = "There is no room, or no account with Twilio"),
        (status = 504, body = NotPlaced, description = "Twilio does not answer: the call may have been placed all the same"),
        Misunderstood,
    )
)]
pub(super) async fn place(
    _: Operator,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    asked: Asked<Wish>,
) -> Response {
    let key = match headers.get(IDEMPOTENCY_HEADER).map(|key| key.to_str().unwrap_or_default()) {
        None => None,
        Some(key) if key.is_empty() || key.len() > MAX_KEY_BYTES => {
            let why = format!("Idempotency-Key must have 1 to {MAX_KEY_BYTES} ASCII characters");
            return refuse(StatusCode::BAD_REQUEST, why);
        }
        Some(key) => match app.outbound.begin(key, &asked.bytes, Instant::now()) {
            Ok(key) => Some(key),
            Err(KeyError::Answered(answer)) => {
                let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
                return (status, [(header::CONTENT_TYPE, "application/json")], answer.body).into_response();
            }
            Err(KeyError::UnderWay) => {
                return refuse(StatusCode::CONFLICT, "the request with this Idempotency-Key is under way");
            }
            Err(KeyError::OtherRequest) => {
                let why = "this Idempotency-Key was used for another request";
                return refuse(StatusCode::UNPROCESSABLE_ENTITY, why);
            }
        },
    };
    // In a task of its own: who has asked may go away, the call may not be lost.
    let placed = tokio::spawn(async move {
        let outcome = attempt(&app, asked.what).await;
        if let Some(key) = &key {
            // What Twilio may have done must not be done twice; what was surely not done may be tried again.
            let kept = outcome
                .kept
                .then(|| Answer { status: outcome.status.as_u16(), body: outcome.body.to_string() });
            app.outbound.settle(key, kept);
        }
        outcome
    });
    match placed.await {
        Ok(outcome) => outcome.into_response(),
        Err(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "placing the call failed"),
    }
}

/// What became of a wish.
struct Outcome {
    status: StatusCode,
    body: Value,
    retry_after: Option<Duration>,
    /// Whether a repetition gets the same answer.
    kept: bool,
}

impl Outcome {
    fn refused(status: StatusCode, why: impl std::fmt::Display) -> Self {
        Self { status, body: json!({ "error": why.to_string() }), retry_after: None, kept: false }
    }

    fn into_response(self) -> Response {
        let mut response = respond(self.status, &self.body);
        if let Some(after) = self.retry_after {
            let seconds = after.as_secs_f64().ceil() as u64;
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

async fn attempt(app: &Arc<App>, wish: Wish) -> Outcome {
    let outcome = match prepare(app, wish) {
        Ok((order, twilio, room)) => dial(app, order, twilio, room).await,
        Err(outcome) => outcome,
    };
    if !outcome.status.is_success() {
        tracing::warn!(status = outcome.status.as_u16(), why = %outcome.body["error"], "an outbound call was not placed");
    }
    outcome
}

/// Everything that can be refused before Twilio hears of it.
fn prepare(app: &Arc<App>, wish: Wish) -> Result<(Order, rest::Client, Reservation), Outcome> {
    let order = understand(app, wish)?;
    let Some(twilio) = app.twilio.clone() else {
        let why = "TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN are not set: Twilio cannot be asked";
        return Err(Outcome::refused(StatusCode::SERVICE_UNAVAILABLE, why));
    };
    let now = Instant::now();
    let room = app.registry.reserve(now).map_err(|refusal| {
        counted(refusal.as_str());
        let why = format!("no room for another call: {refusal}");
        Outcome::refused(StatusCode::SERVICE_UNAVAILABLE, why)
    })?;
    let settings = &order.settings;
    app.outbound.permit(&settings.outbound, &settings.tool_denied_prefixes, &order.to, now).map_err(
        |forbidden| {
            counted(forbidden.as_str());
            let (status, retry_after) = match forbidden {
                Forbidden::TooFast { after } | Forbidden::DayFull { after } => {
                    (StatusCode::TOO_MANY_REQUESTS, Some(after))
                }
                _ => (StatusCode::FORBIDDEN, None),
            };
            Outcome { retry_after, ..Outcome::refused(status, forbidden) }
        },
    )?;
    Ok((order, twilio, room))
}

fn understand(app: &App, wish: Wish) -> Result<Order, Outcome> {
    let bad = |why: String| Outcome::refused(StatusCode::BAD_REQUEST, why);
    let number = |field: &str, text: &str| {
        text.parse::<E164>().map_err(|error| bad(format!("{field} must be {error}")))
    };
    let settings = app.settings();
    let to = number("to", &wish.to)?;
    let from = match wish.from {
        Some(from) => number("from", &from)?,
        None => settings.outbound.from.clone().ok_or_else(|| {
            bad("from is missing: give it, or set outbound.from in the configuration".into())
        })?,
    };
    let agent = match wish.agent.as_ref().or(settings.outbound.agent.as_ref()) {
        None => settings.agent_for(from.expose()),
        Some(name) => settings.agents.get(name).cloned().ok_or_else(|| {
            let known = settings.agents.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            bad(format!("agent must be one of: {known}"))
        })?,
    };
    let plain = |name: &str| {
        (1..=MAX_NAME_BYTES).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let good = wish.variables.len() <= MAX_VARIABLES
        && wish.variables.iter().all(|(name, value)| plain(name) && value.len() <= MAX_VALUE_BYTES);
    if !good {
        return Err(bad(format!(
            "variables: at most {MAX_VARIABLES}, named by 1 to {MAX_NAME_BYTES} letters, digits or _, with at most {MAX_VALUE_BYTES} bytes each"
        )));
    }
    Ok(Order { to, from, agent, variables: wish.variables, settings })
}

async fn dial(app: &Arc<App>, order: Order, twilio: rest::Client, room: Reservation) -> Outcome {
    let Order { to, from, agent, variables, settings } = order;
    let errand = Errand { agent: agent.name.clone(), variables };
    let token = app.outbound.order(errand, Instant::now());
    let url = |path: &str| format!("{}?{TOKEN_QUERY}={token}", app.public.http(path));
    let (answered, status, verdict) = (url(INBOUND_PATH), url(STATUS_PATH), app.public.http(AMD_PATH));
    // A message is left after the beep; without one a machine is left as soon as it is known to be one.
    let detection = match agent.voicemail {
        Some(_) => MachineDetection::AtTheBeep { callback: &verdict },
        None => MachineDetection::AtOnce { callback: &verdict },
    };
    let longest = agent.max_call.unwrap_or(settings.limits.max_call).min(settings.limits.max_call);
    let call = NewCall {
        to: to.expose(),
        from: from.expose(),
        document: Document::Url(&answered),
        status_callback: &status,
        machine_detection: settings.outbound.detect_machines.then_some(detection),
        ring: settings.outbound.ring,
        limit: (longest + LIMIT_SLACK).min(MAX_LIMIT),
    };
    let placed = match twilio.create_call(&call).await {
        Ok(placed) => placed,
        Err(error) => return rejected(app, &token, error),
    };
    counted("placed");
    tracing::info!(call = %placed.sid, agent = %agent.name, to = %to, "calling");
    let ringing = Ringing::new(&placed.sid, &agent.name, from.expose(), to.expose(), twilio);
    if app.registry.ring(room, Arc::clone(&ringing)) {
        let begun = Begun {
            sid: placed.sid.clone(),
            account: ringing.account_sid().to_owned(),
            direction: Direction::Outbound.as_str().to_owned(),
            agent: agent.name.clone(),
            model: agent.model.clone(),
            from: from.expose().to_owned(),
            to: to.expose().to_owned(),
            started_ms: unix_ms(),
            boot: String::new(),
        };
        unanswered::watch(app, Arc::clone(&ringing), settings.outbound.ring, begun);
        if let Ordered::Over(end) = app.outbound.named(&token, &placed.sid, Instant::now()) {
            ringing.end(end);
        }
    }
    let body = json!({
        "call_sid": placed.sid,
        "status": placed.status,
        "agent": agent.name,
        "from": mask(from.expose()),
        "to": mask(to.expose()),
    });
    Outcome { status: StatusCode::CREATED, body, retry_after: None, kept: true }
}

fn rejected(app: &App, token: &str, error: RestError) -> Outcome {
    counted("rejected");
    let unsure = matches!(error, RestError::Unanswered | RestError::Failing { .. } | RestError::Unreadable);
    if !unsure {
        // Otherwise Twilio may yet come with it.
        app.outbound.forget(token);
    }
    let status =
        if error == RestError::Unanswered { StatusCode::GATEWAY_TIMEOUT } else { StatusCode::BAD_GATEWAY };
    let mut outcome = Outcome::refused(status, &error);
    if let Some(code) = error.code() {
        outcome.body["twilio_code"] = code.into();
        outcome.body["more_info"] = format!("https://www.twilio.com/docs/errors/{code}").into();
    }
    if unsure {
        outcome.body["error"] = format!("{error}: the call may have been placed all the same").into();
        outcome.kept = true;
    }
    outcome
}

fn counted(outcome: &'static str) {
    metrics::counter!("aria_outbound_total", "outcome" => outcome).increment(1);
}
