//! `POST /v1/realtime/calls` and `POST /v1/realtime/calls/{id}/hangup`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::{Shared, auth, body, faulty, refuse};
use crate::model::record::{Happening, Request as Asking};
use crate::model::refusal::Refusal;
use crate::model::sdp::Offer;
use crate::model::settings::Settings;
use crate::model::setup::{self, Asked, Ready};

pub(crate) async fn create(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let received = Instant::now();
    if let Some(refused) = shared.config.faults.webrtc_refused.and_then(faulty::refused) {
        return refused.await;
    }
    let index = shared.calls.fetch_add(1, Ordering::Relaxed);
    let fault = shared.config.faults.http.of(index).cloned();
    if let Some(early) = fault.as_ref().and_then(faulty::before) {
        // The body is read first, as a service that fails behind its front does.
        let _ = axum::body::to_bytes(request.into_body(), super::MAX_BODY_BYTES).await;
        return early.await;
    }
    let answered = match make(&shared, request, received).await {
        Ok(ready) => ready,
        Err(refused) => return *refused,
    };
    let (call_id, answer) = answered;
    faulty::after(fault.as_ref(), &call_id, answer)
}

/// Sets a session up and hands it to a thread. Gives its call id and the answer.
async fn make(
    shared: &Shared,
    request: Request,
    received: Instant,
) -> Result<(String, String), Box<Response>> {
    let key = auth::check(shared, request.headers())?;
    let safety_identifier = header(request.headers(), "openai-safety-identifier");
    let body = body::read(shared, &key, request).await?;
    let bad = |refusal: Refusal| {
        let status = match refusal.kind {
            "server_error" => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        };
        Box::new(refuse(status, &refusal))
    };
    let offer = Offer::read(&body.offer).map_err(bad)?;
    let settings = Settings::new(&body.session(&key), &shared.config.unverified).map_err(bad)?;
    let number = shared.number();
    let asked = Asked {
        request: Asking {
            content_type: body.content_type,
            session: body.session,
            offer: body.offer,
            safety_identifier,
            ephemeral_key: matches!(key, auth::Key::Ephemeral(_)),
        },
        offer,
        settings,
        received,
        number,
    };
    let ready = setup::set_up(&shared.config, &shared.plans, &shared.watchers, asked);
    let Ready { peer, log, answer } = ready.map_err(bad)?;
    let call_id = log.call_id.clone();
    remember(shared, &log);
    log.tell(Happening::Requested);
    if !shared.engines[number as usize % shared.engines.len()].add(peer) {
        let refusal = Refusal {
            kind: "server_error",
            code: None,
            message: "The server is overloaded.".to_owned(),
            param: None,
        };
        return Err(Box::new(refuse(StatusCode::SERVICE_UNAVAILABLE, &refusal)));
    }
    Ok((call_id, answer))
}

/// Keeps the record, and forgets the oldest ended ones beyond the configured number.
pub(super) fn remember(shared: &Shared, log: &Arc<crate::model::record::Log>) {
    let mut sessions = shared.sessions();
    sessions.push(Arc::clone(log));
    while sessions.len() > shared.config.keep_sessions.max(1) {
        let Some(oldest) = sessions.iter().position(|log| log.record().ended.is_some()) else { break };
        sessions.remove(oldest);
    }
}

pub(super) fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

pub(crate) async fn hangup(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    if let Err(refused) = auth::check(&shared, &headers) {
        return *refused;
    }
    let young = shared.config.unverified.call_id_unknown_for;
    let log = shared.sessions().iter().find(|log| log.call_id == id).cloned();
    let known = log.is_some_and(|log| log.record().ended.is_none() && log.requested.elapsed() >= young);
    if !known {
        let message = "No session found for the provided call_id";
        return refuse(StatusCode::NOT_FOUND, &Refusal::new("call_id_not_found", message, None));
    }
    for engine in &shared.engines {
        engine.hangup(&id);
    }
    StatusCode::OK.into_response()
}
