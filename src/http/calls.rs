//! The admin API for living calls: watch one, end one.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, broadcast};

use super::App;
use super::admin::Operator;
use crate::call::{CallEnd, CallEvent, Snapshot};

/// How often a quiet stream of events says that it is alive: below what proxies call idle.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What an observer gets beside the call's own events.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Notice {
    /// How the call stands; always first.
    Snapshot { call: Box<Snapshot> },
    /// The observer was too slow.
    Missed { events: u64 },
}

/// `POST /api/calls/{sid}/hangup`: ends a living call.
pub(super) async fn hang_up(_: Operator, State(app): State<Arc<App>>, Path(sid): Path<String>) -> StatusCode {
    match app.registry.line(&sid) {
        Some(line) => {
            line.end(CallEnd::OperatorHungUp);
            StatusCode::ACCEPTED
        }
        None if app.registry.snapshot(&sid).is_some() => StatusCode::CONFLICT,
        None => StatusCode::NOT_FOUND,
    }
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

/// `GET /api/calls/{sid}/events`: server-sent events, JSON with a `type` each; a `snapshot` first, `ended` last.
pub(super) async fn events(_: Operator, State(app): State<Arc<App>>, Path(sid): Path<String>) -> Response {
    let Ok(permit) = app.watchers.clone().try_acquire_owned() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    // Subscribed before the snapshot is taken: an event may come twice but none is missed.
    let events = app.registry.line(&sid).map(|line| line.subscribe());
    let Some(snapshot) = app.registry.snapshot(&sid) else { return StatusCode::NOT_FOUND.into_response() };
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
            Next::First(call) => Some(json(&Notice::Snapshot { call })),
            Next::Rest => match self.events.as_mut()?.recv().await {
                Ok(event) => {
                    if matches!(event, CallEvent::Ended { .. }) {
                        self.next = Next::Done;
                    }
                    Some(json(&event))
                }
                Err(broadcast::error::RecvError::Lagged(events)) => Some(json(&Notice::Missed { events })),
                Err(broadcast::error::RecvError::Closed) => None,
            },
            Next::Done => None,
        }
    }
}

fn json(value: &impl Serialize) -> Event {
    Event::default().json_data(value).expect("these types have string keys and no other way to fail")
}
