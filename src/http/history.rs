//! Calls as operators look them up: those that are here from the registry, those that were from the store.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::IntoParams;

use super::App;
use super::admin::Operator;
use super::answers::{self, DeadLetters, Error, NotAnOperator, Removed};
use super::json::refuse;
use super::steer::no_such_call;
use crate::call::{CallEnd, Direction, Snapshot};
use crate::store::{Begun, Cursor, DEFAULT_PAGE, Filter, MAX_PAGE, Unavailable, Which};

/// What the database says when it says nothing in time.
const UNAVAILABLE: &str = "the database does not answer: past calls are missing";
/// What is said where no records are kept at all.
pub(super) const UNRECORDED: &str = "this bridge keeps no records";

/// Which calls. All are optional.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Calls of the past at most, 1 to 200. Default 50.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next` of the page before.
    before: Option<String>,
    /// From or to this number, whole.
    number: Option<String>,
    /// Who called whom.
    direction: Option<Direction>,
    /// An agent's name.
    agent: Option<String>,
    /// The label of an end, or `live`.
    outcome: Option<String>,
    /// Began at or after this Unix time in ms.
    since: Option<u64>,
    /// Began before this Unix time in ms.
    until: Option<u64>,
}

impl Wanted {
    fn filter(&self) -> Result<(Filter, u32), &'static str> {
        let limit = self.limit.unwrap_or(DEFAULT_PAGE);
        if !(1..=MAX_PAGE).contains(&limit) {
            return Err("limit: 1 to 200");
        }
        let before = match &self.before {
            Some(text) => Some(Cursor::parse(text).ok_or("before: the `next` of an earlier answer")?),
            None => None,
        };
        let filter = Filter {
            // A plus sign in a query is a space.
            number: self.number.as_ref().map(|number| number.replacen(' ', "+", 1)),
            direction: self.direction.map(|direction| direction.as_str().to_owned()),
            agent: self.agent.clone(),
            outcome: self.outcome.clone(),
            since_ms: self.since,
            until_ms: self.until,
            before,
        };
        Ok((filter, limit))
    }
}

/// Whether a call that the database does not have yet is among those wanted.
fn suits(begun: &Begun, shown: &Shown, filter: &Filter) -> bool {
    let outcome = shown.snapshot.ended.map_or("live", CallEnd::as_str);
    filter.before.is_none()
        && filter.number.as_ref().is_none_or(|number| *number == begun.from || *number == begun.to)
        && filter.direction.as_ref().is_none_or(|direction| *direction == begun.direction)
        && filter.agent.as_ref().is_none_or(|agent| *agent == begun.agent)
        && filter.outcome.as_ref().is_none_or(|wanted| wanted == outcome)
        && filter.since_ms.is_none_or(|since| begun.started_ms >= since)
        && filter.until_ms.is_none_or(|until| begun.started_ms < until)
}

/// A call of the registry, with what the store knows beside it.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    snapshot: Snapshot,
    started_ms: u64,
    direction: String,
    from_number: String,
    to_number: String,
}

impl Shown {
    fn of(app: &App, begun: &Begun) -> Option<Self> {
        Some(Self {
            snapshot: app.registry.snapshot(&begun.sid)?,
            started_ms: begun.started_ms,
            direction: begun.direction.clone(),
            from_number: begun.from.clone(),
            to_number: begun.to.clone(),
        })
    }
}

/// A call of the list. Those that are here go straight into the answer's text: hundreds of them as values would be megabytes.
#[derive(Serialize)]
#[serde(untagged)]
#[expect(clippy::large_enum_variant, reason = "a page of them lives for a moment")]
enum Listed {
    Here(Shown),
    Past(Value),
}

/// A page of calls, as [`answers::Calls`] has it.
#[derive(Serialize)]
struct Listing {
    calls: Vec<Listed>,
    next: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

/// Living calls, then those of the past, the latest first. `next` leads to the next page. If the database does not
/// answer in time, `error` says so and what is known without it is there.
#[utoipa::path(
    get,
    operation_id = "list_calls",
    path = "/api/calls",
    tag = "records",
    security(("bearer" = [])),
    params(Wanted),
    responses(
        (status = 200, body = answers::Calls, description = "A page of calls"),
        (status = 400, body = Error, description = "A parameter is unknown or has a value that is not allowed"),
        NotAnOperator,
    )
)]
pub(super) async fn list(
    _: Operator,
    State(app): State<Arc<App>>,
    wanted: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let wanted = match wanted {
        Ok(Query(wanted)) => wanted,
        Err(rejection) => return refuse(StatusCode::BAD_REQUEST, rejection.body_text()),
    };
    let (filter, limit) = match wanted.filter() {
        Ok(filter) => filter,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, error),
    };
    let Some(store) = &app.store else {
        return Json(json!({ "calls": app.registry.snapshots(), "next": null })).into_response();
    };
    // Before the database is asked: what ends meanwhile is in one of the two, or in both.
    let here: Vec<(Begun, Shown)> = store
        .unsettled()
        .into_iter()
        .filter_map(|begun| Shown::of(&app, &begun).map(|call| (begun, call)))
        .collect();
    let (past, error) = match store.calls(&filter, limit).await {
        Ok(page) => (page, None),
        Err(Unavailable) => (Default::default(), Some(UNAVAILABLE)),
    };
    let mut calls: Vec<Listed> = here
        .into_iter()
        .filter(|(begun, call)| {
            suits(begun, call, &filter) && !past.calls.iter().any(|c| c["call_sid"] == *begun.sid)
        })
        .map(|(_, call)| Listed::Here(call))
        .collect();
    calls.extend(past.calls.into_iter().map(Listed::Past));
    Json(Listing { calls, next: past.next.map(|cursor| cursor.to_string()), error }).into_response()
}

/// One call, with its transcript; of the past also its tool calls and events.
#[utoipa::path(
    get,
    operation_id = "show_call",
    path = "/api/calls/{sid}",
    tag = "records",
    security(("bearer" = [])),
    params(("sid" = String, Path, description = "Twilio's id of the call")),
    responses(
        (status = 200, body = answers::Call, description = "The call"),
        (status = 404, body = Error, description = "There is no such call"),
        (status = 503, body = Error, description = "It is not a living call, and the database does not answer"),
        NotAnOperator,
    )
)]
pub(super) async fn show(_: Operator, State(app): State<Arc<App>>, Path(sid): Path<String>) -> Response {
    let here = app.registry.snapshot(&sid);
    let Some(store) = &app.store else {
        return here.map_or_else(no_such_call, |call| Json(call).into_response());
    };
    let here = here.map(|snapshot| {
        let begun = store.unsettled().into_iter().find(|begun| begun.sid == sid);
        let with_more = begun.and_then(|begun| serde_json::to_value(Shown::of(&app, &begun)?).ok());
        with_more.unwrap_or_else(|| serde_json::to_value(snapshot).unwrap_or_default())
    });
    if let Some(call) = &here
        && call["ended"].is_null()
    {
        return Json(call).into_response();
    }
    match (store.call(&sid).await, here) {
        // It is over, and its end is in the database.
        (Ok(Some(call)), None) => Json(call).into_response(),
        (Ok(Some(call)), Some(_)) if !call["ended"].is_null() => Json(call).into_response(),
        (_, Some(call)) => Json(call).into_response(),
        (Ok(None), None) => no_such_call(),
        (Err(Unavailable), None) => refuse(StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE),
    }
}

/// Whose records go: one of the two.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Unwanted {
    /// From or to this number, whole.
    number: Option<String>,
    /// Began before this Unix time in ms.
    before: Option<u64>,
}

/// Removes the records of a number, or those of a time. Calls that go on stay.
#[utoipa::path(
    delete,
    operation_id = "delete_calls",
    path = "/api/calls",
    tag = "records",
    security(("bearer" = [])),
    params(Unwanted),
    responses(
        (status = 200, body = Removed, description = "They are gone"),
        (status = 400, body = Error, description = "Neither of the parameters, both, or one with a value that is not allowed"),
        (status = 503, body = Error, description = "The database does not answer"),
        NotAnOperator,
    )
)]
pub(super) async fn delete(
    _: Operator,
    State(app): State<Arc<App>>,
    unwanted: Result<Query<Unwanted>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let which = match unwanted {
        Ok(Query(Unwanted { number: Some(number), before: None })) => {
            Which::Number(number.replacen(' ', "+", 1))
        }
        Ok(Query(Unwanted { number: None, before: Some(before) })) => Which::Before(before),
        Ok(_) => return refuse(StatusCode::BAD_REQUEST, "number or before: one of them"),
        Err(rejection) => return refuse(StatusCode::BAD_REQUEST, rejection.body_text()),
    };
    let Some(store) = &app.store else { return refuse(StatusCode::SERVICE_UNAVAILABLE, UNRECORDED) };
    match store.prune(&which).await {
        Ok(calls) => Json(json!({ "calls": calls })).into_response(),
        Err(Unavailable) => refuse(StatusCode::SERVICE_UNAVAILABLE, "the database does not answer"),
    }
}

/// Webhooks that were given up, the latest first.
#[utoipa::path(
    get,
    operation_id = "list_dead_webhooks",
    path = "/api/webhooks/dead",
    tag = "webhooks",
    security(("bearer" = [])),
    responses(
        (status = 200, body = DeadLetters, description = "200 of them at most"),
        (status = 503, body = Error, description = "The database does not answer"),
        NotAnOperator,
    )
)]
pub(super) async fn dead_letters(_: Operator, State(app): State<Arc<App>>) -> Response {
    let Some(store) = &app.store else { return refuse(StatusCode::SERVICE_UNAVAILABLE, UNRECORDED) };
    match store.dead_letters().await {
        Ok(webhooks) => Json(json!({ "webhooks": webhooks })).into_response(),
        Err(Unavailable) => refuse(StatusCode::SERVICE_UNAVAILABLE, "the database does not answer"),
    }
}

/// Sends a webhook that was given up again.
#[utoipa::path(
    post,
    operation_id = "retry_dead_webhook",
    path = "/api/webhooks/dead/{id}/retry",
    tag = "webhooks",
    security(("bearer" = [])),
    params(("id" = String, Path, description = "The webhook's id")),
    responses(
        (status = 202, description = "It will be sent"),
        (status = 404, body = Error, description = "No webhook of this id was given up"),
        (status = 503, body = Error, description = "The database does not answer"),
        NotAnOperator,
    )
)]
pub(super) async fn retry(_: Operator, State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    let Some(store) = &app.store else { return refuse(StatusCode::SERVICE_UNAVAILABLE, UNRECORDED) };
    match store.revive(&id).await {
        Ok(true) => StatusCode::ACCEPTED.into_response(),
        Ok(false) => refuse(StatusCode::NOT_FOUND, "no webhook of this id was given up"),
        Err(Unavailable) => refuse(StatusCode::SERVICE_UNAVAILABLE, "the database does not answer"),
    }
}
