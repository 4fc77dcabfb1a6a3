//! The admin API: have something said in a living call, or put its caller through.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::App;
use super::admin::Operator;
use super::json::{Asked, refuse};
use crate::call::Onward;
use crate::hosting::Line;

/// Longest text that is said at an operator's wish, characters: half a minute.
const MAX_SAY_CHARS: usize = 500;

/// The body of `/say`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Say {
    text: String,
}

/// The body of `/transfer`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Transfer {
    to: String,
}

/// `POST /api/calls/{sid}/say`: has a text of up to 500 characters said in ARIA's voice.
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

/// `POST /api/calls/{sid}/transfer`: puts the caller through to a target by its name. A number is no name: who steals the admin token
/// must not get a telephone along with it.
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

#[expect(clippy::result_large_err, reason = "it is the answer itself, made once")]
fn living(app: &App, sid: &str) -> Result<Arc<dyn Line>, Response> {
    match app.registry.line(sid) {
        Some(line) => Ok(line),
        None if app.registry.snapshot(sid).is_some() => Err(refuse(StatusCode::CONFLICT, "the call is over")),
        None => Err(refuse(StatusCode::NOT_FOUND, "there is no such call")),
    }
}
