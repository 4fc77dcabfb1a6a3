//! `GET /v1/realtime?model=…`: the WebSocket.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{Shared, auth, calls, faulty, refuse};
use crate::model::record::{Happening, Request as Asking};
use crate::model::refusal::Refusal;
use crate::model::settings::Settings;
use crate::model::socket::{self, Socket};

pub(crate) async fn create(State(shared): State<Arc<Shared>>, mut request: Request) -> Response {
    let received = Instant::now();
    if let Some(refused) = shared.config.faults.websocket_refused.and_then(faulty::refused) {
        return refused.await;
    }
    let index = shared.calls.fetch_add(1, Ordering::Relaxed);
    if let Some(early) = shared.config.faults.http.of(index).and_then(faulty::before) {
        return early.await;
    }
    let key = match auth::check(&shared, request.headers()) {
        Ok(key) => key,
        Err(refused) => return *refused,
    };
    let Some(accept) = accept_key(request.headers()) else {
        return (StatusCode::UPGRADE_REQUIRED, [(header::UPGRADE, "websocket")]).into_response();
    };
    let query = request.uri().query().unwrap_or_default();
    let asked = |name: &str| {
        let pairs = form_urlencoded::parse(query.as_bytes());
        pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    if asked("call_id").is_some() {
        let message = "No session found for the provided call_id";
        return refuse(StatusCode::NOT_FOUND, &Refusal::new("call_id_not_found", message, None));
    }
    let Some(model) = asked("model") else {
        return refuse(StatusCode::BAD_REQUEST, &Refusal::missing("model"));
    };
    let session = match &key {
        auth::Key::Ephemeral(session) => session.clone(),
        auth::Key::Standard => json!({"type": "realtime", "model": model}),
    };
    let settings = match Settings::new(&session, &shared.config.unverified) {
        Ok(settings) => settings,
        Err(refusal) => return refuse(StatusCode::BAD_REQUEST, &refusal),
    };
    let asking = Asking {
        safety_identifier: calls::header(request.headers(), "openai-safety-identifier"),
        ephemeral_key: matches!(key, auth::Key::Ephemeral(_)),
        ..Asking::default()
    };
    let number = shared.number();
    let log = socket::log(&shared.config, &shared.watchers, asking, received, number);
    let socket = Socket::new(&shared.config, &shared.plans, settings, Arc::clone(&log), number);
    calls::remember(&shared, &log);
    log.tell(Happening::Requested);
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => socket.run(TokioIo::new(upgraded)).await,
            Err(_) => log.end(crate::model::record::End::Lost),
        }
    });
    let headers = [
        (header::CONNECTION, HeaderValue::from_static("Upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

/// The answer to a WebSocket handshake's key (RFC 6455, 4.2.2); `None` if the request is no such handshake.
fn accept_key(headers: &HeaderMap) -> Option<HeaderValue> {
    let names = |name: header::HeaderName, token: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token))
    };
    if !names(header::CONNECTION, "upgrade") || !names(header::UPGRADE, "websocket") {
        return None;
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION)? != "13" {
        return None;
    }
    derive_accept_key(headers.get(header::SEC_WEBSOCKET_KEY)?.as_bytes()).parse().ok()
}
