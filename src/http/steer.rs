//! The admin API: have something said in a living call, or put its caller through.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use super::App;
use super::admin::Operator;
use super::answers::{Error, NotAnOperator};
use super::json::{Asked, Misunderstood, refuse};
use crate::call::Onward;
use crate::hosting::Line;

/// Longest text that is said at an operator's wish, characters: half a minute.
const MAX_SAY_CHARS: usize = 500;

/// What is to be said.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Say {
    /// 1 to 500 characters.
    #[schema(min_length = 1, max_length = 500)]
    text: String,
}

/// Whom a caller is put through to.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Transfer {
    /// The name of a target of the agent's `transfer_call` tool.
    to: String,
}

/// Has a text said in ARIA's voice.
#[utoipa::path(
    post,
    operation_id = "say",
    path = "/api/calls/{sid}/say",
    tag = "living calls",
    security(("bearer" = [])),
    params(("sid" = String, Path, description = "Twilio's id of the call")),
    request_body = Say,
    responses(
        (status = 202, description = "It will be said when ARIA's turn comes"),
        (status = 404, body = Error, description = "There is no such call"),
        (status = 409, body = Error, description = "The call is over"),
        Misunderstood,
        NotAnOperator,
    )
)]
pub(super) async fn say(
    _: Operator,
    State(app): State<Arc<App>>,
    Path(sid): Path<String>,
    Asked { what: Say { text }, .. }: Asked<Say>,
) -> Response {
    let length = text.chars().count();
    if text.trim().is_empty() || length > MAX_SAY_CHARS {
        let why = format!("text has {length} characters; 1 to {MAX_SAY_CHARS} are allowed");
        return refuse(StatusCode::BAD_REQUEST, why);
    }
    match living(&app, &sid) {
        Ok(line) => {
            line.say(text);
            StatusCode::ACCEPTED.into_response()
        }
        Err(refusal) => refusal,
    }
}

/// Puts the caller through to a target by its name. A number is no name: who steals the admin token must not get a telephone along with
/// it.
#[utoipa::path(
    post,
    operation_id = "transfer_call",
    path = "/api/calls/{sid}/transfer",
    tag = "living calls",
    security(("bearer" = [])),
    params(("sid" = String, Path, description = "Twilio's id of the call")),
    request_body = Transfer,
    responses(
        (status = 202, description = "The caller will be put through"),
        (status = 404, body = Error, description = "There is no such call"),
        (status = 409, body = Error, description = "The call is over"),
        Misunderstood,
        NotAnOperator,
    )
)]
pub(super) async fn transfer(
    _: Operator,
    State(app): State<Arc<App>>,
    Path(sid): Path<String>,
    Asked { what: Transfer { to }, .. }: Asked<Transfer>,
) -> Response {
    let line = match living(&app, &sid) {
        Ok(line) => line,
        Err(refusal) => return refusal,
    };
    let settings = app.settings();
    let agent = settings.agents.get(&line.snapshot().agent).cloned();
    let agent = agent.unwrap_or_else(|| settings.agent_for(""));
    let Some(number) = agent.transfer_target(&to) else {
        let names: Vec<&str> = agent.transfer_targets().map(|(name, _)| name.as_str()).collect();
        let why = match names.is_empty() {
            true => "this agent has no targets: name some in its transfer_call tool".to_owned(),
            false => format!("to is none of the targets: {}", names.join(", ")),
        };
        return refuse(StatusCode::BAD_REQUEST, why);
    };
    line.transfer(Onward { name: to, to: number.expose().to_owned(), summary: None });
    StatusCode::ACCEPTED.into_response()
}

/// A call that goes on, or why there is none.
#[expect(clippy::result_large_err, reason = "it is the answer itself, made once")]
pub(super) fn living(app: &App, sid: &str) -> Result<Arc<dyn Line>, Response> {
    match app.registry.line(sid) {
        Some(line) => Ok(line),
        None if app.registry.snapshot(sid).is_some() => Err(refuse(StatusCode::CONFLICT, "the call is over")),
        None => Err(no_such_call()),
    }
}

/// 404.
pub(super) fn no_such_call() -> Response {
    refuse(StatusCode::NOT_FOUND, "there is no such call")
}
