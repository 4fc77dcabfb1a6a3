//! The admin API for living calls: watch one, end one.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, broadcast};

use super::admin::Operator;
use super::answers::{Error, NotAnOperator, Notice, Sounding, Sounds, Told};
use super::app::{App, MAX_WATCHERS};
use super::json::refuse;
use super::steer::{living, no_such_call};
use crate::call::{CallEnd, CallEvent, Snapshot};

/// How often a quiet stream of events says that it is alive: below what proxies call idle.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Ends a living call.
#[utoipa::path(
    post,
    operation_id = "hang_up",
    path = "/api/calls/{sid}/hangup",
    tag = "living calls",
    security(("bearer" = [])),
    params(("sid" = String, Path, description = "Twilio's id of the call")),
    responses(
        (status = 202, description = "It will end"),
        (status = 404, body = Error, description = "There is no such call"),
        (status = 409, body = Error, description = "The call is over"),
        NotAnOperator,
    )
)]
pub(super) async fn hang_up(_: Operator, State(app): State<Arc<App>>, Path(sid): Path<String>) -> Response {
    match living(&app, &sid) {
        Ok(line) => {
            line.end(CallEnd::OperatorHungUp);
            StatusCode::ACCEPTED.into_response()
        }
        Err(refusal) => refusal,
    }
}

/// How the sound of every living call stands: its counters as they are at this moment. Cheap enough to be asked for several times a second,
/// which the list of calls is not.
#[utoipa::path(
    get,
    operation_id = "list_sounds",
    path = "/api/sound",
    tag = "living calls",
    security(("bearer" = [])),
    responses(
        (status = 200, body = Sounds, description = "Living calls that have a stream, in no order"),
        NotAnOperator,
    )
)]
pub(super) async fn sounds(_: Operator, State(app): State<Arc<App>>) -> Json<Sounds> {
    let sounding = |(call_sid, sound)| Sounding { call_sid, sound };
    Json(Sounds { calls: app.registry.sounds().into_iter().map(sounding).collect() })
}

enum Next {
    First(Box<Snapshot>),
    Rest,
    Done,
}

struct Watch {
    next: Next,
    events: Option<broadcast::Receiver<CallEvent>>,
    _permit: OwnedSemaphorePermit,
}

/// What happens in a living call, as it happens: server-sent events, JSON with a `type` each; a `snapshot` first, `ended` last.
#[utoipa::path(
    get,
    operation_id = "watch_call",
    path = "/api/calls/{sid}/events",
    tag = "living calls",
    security(("bearer" = [])),
    params(("sid" = String, Path, description = "Twilio's id of the call")),
    responses(
        (status = 200, content_type = "text/event-stream", body = Told, description = "The `data` of each event"),
        (status = 404, body = Error, description = "There is no such call"),
        (status = 503, body = Error, description = "Too many look on already"),
        NotAnOperator,
    )
)]
pub(super) async fn events(_: Operator, State(app): State<Arc<App>>, Path(sid): Path<String>) -> Response {
    let Ok(permit) = app.watchers.clone().try_acquire_owned() else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, format!("{MAX_WATCHERS} look on already"));
    };
    // Subscribed before the snapshot is taken: an event may come twice but none is missed.
    let events = app.registry.line(&sid).map(|line| line.subscribe());
    let Some(snapshot) = app.registry.snapshot(&sid) else { return no_such_call() };
    let watch = Watch { next: Next::First(Box::new(snapshot)), events, _permit: permit };
    let stream = stream::unfold(watch, |mut watch| async {
        let event = watch.next().await?;
        Some((Ok::<_, Infallible>(event), watch))
    });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

impl Watch {
    async fn next(&mut self) -> Option<Event> {
        match std::mem::replace(&mut self.next, Next::Rest) {
            Next::First(call) => Some(json(Told::Notice(Notice::Snapshot { call }))),
            Next::Rest => match self.events.as_mut()?.recv().await {
                Ok(event) => {
                    if matches!(event, CallEvent::Ended { .. }) {
                        self.next = Next::Done;
                    }
                    Some(json(Told::Event(event)))
                }
                Err(broadcast::error::RecvError::Lagged(events)) => {
                    Some(json(Told::Notice(Notice::Missed { events })))
                }
                Err(broadcast::error::RecvError::Closed) => None,
            },
            Next::Done => None,
        }
    }
}

fn json(told: Told) -> Event {
    Event::default().json_data(told).expect("these types have string keys and no other way to fail")
}
