//! `POST /v1/realtime/client_secrets`.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{Ephemeral, Shared, auth, refuse};
use crate::model::ids::Ids;
use crate::model::refusal::Refusal;
use crate::model::schema::{Shape, may};
use crate::model::settings::Settings;
use crate::model::setup::default_session;

/// How long a key lives if the request does not say.
const DEFAULT_SECONDS: u64 = 600;
/// Keys kept at once; beyond them minting is refused with 429.
const MAX_KEYS: usize = 10_000;

const REQUEST: Shape = Shape::Object(&[
    may(
        "expires_after",
        Shape::Object(&[may("anchor", Shape::Word(&["created_at"])), may("seconds", Shape::Whole(10, 7200))]),
    ),
    may("session", Shape::Free),
]);

pub(crate) async fn create(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Json(request): Json<Value>,
) -> Response {
    if let Err(refused) = auth::check(&shared, &headers) {
        return *refused;
    }
    let session = request.get("session").cloned().unwrap_or_else(default_session);
    let checked = REQUEST.check("", &request);
    let settings = checked.and_then(|()| Settings::new(&session, &shared.config.unverified));
    let mut settings = match settings {
        Ok(settings) => settings,
        Err(refusal) => return refuse(StatusCode::BAD_REQUEST, &refusal),
    };
    let seconds = request["expires_after"]["seconds"].as_u64().unwrap_or(DEFAULT_SECONDS);
    let mut ids = Ids::new(shared.config.seed ^ shared.number() << 20);
    let value = format!("ek_{}", ids.hex(32));
    settings.identify(&ids.of("sess"), 0);
    let mut keys = shared.keys();
    keys.retain(|_, key| key.expires > Instant::now());
    if keys.len() >= MAX_KEYS {
        let refusal = Refusal::new("rate_limit_exceeded", "Too many client secrets.", None);
        return refuse(StatusCode::TOO_MANY_REQUESTS, &refusal);
    }
    keys.insert(value.clone(), Ephemeral { session, expires: Instant::now() + Duration::from_secs(seconds) });
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let body = json!({"value": value, "expires_at": now + seconds, "session": settings.value()});
    Json(body).into_response()
}
