//! The HTTP side: `POST /v1/realtime/calls` and its neighbours.

mod auth;
mod body;
mod calls;
mod faulty;
mod secrets;
mod upgrade;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::sync::broadcast;

use super::config::ModelConfig;
use super::engine::Engine;
use super::record::{Log, SimEvent};
use super::refusal::Refusal;
use super::setup::Plans;

/// Largest request body: an offer and a session with long instructions and many tools.
const MAX_BODY_BYTES: usize = 1024 * 1024;
/// Requests kept in the log; later ones are only answered.
pub const MAX_REQUESTS: usize = 65_536;

/// One HTTP request as the server saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// When it came.
    pub at: Instant,
    /// Its path.
    pub path: String,
    /// The status it got; 0 if it was left hanging.
    pub status: u16,
}

/// A key minted by `POST /realtime/client_secrets`.
pub(crate) struct Ephemeral {
    pub(crate) session: Value,
    pub(crate) expires: Instant,
}

/// What the handlers share.
pub(crate) struct Shared {
    pub(crate) config: ModelConfig,
    pub(crate) plans: Plans,
    pub(crate) engines: Vec<Engine>,
    pub(crate) watchers: broadcast::Sender<SimEvent>,
    pub(crate) sessions: Mutex<Vec<Arc<Log>>>,
    pub(crate) requests: Mutex<Vec<HttpRequest>>,
    pub(crate) keys: Mutex<HashMap<String, Ephemeral>>,
    pub(crate) calls: AtomicUsize,
    pub(crate) numbers: AtomicU64,
}

impl Shared {
    pub(crate) fn sessions(&self) -> MutexGuard<'_, Vec<Arc<Log>>> {
        self.sessions.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn requests(&self) -> MutexGuard<'_, Vec<HttpRequest>> {
        self.requests.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<String, Ephemeral>> {
        self.keys.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A number no other session of this server has.
    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }
}

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/realtime", get(upgrade::create))
        .route("/v1/realtime/calls", post(calls::create))
        .route("/v1/realtime/calls/{id}/hangup", post(calls::hangup))
        .route("/v1/realtime/client_secrets", post(secrets::create))
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), record))
        .with_state(shared)
}

async fn unknown(request: Request) -> Response {
    let message = format!("Invalid URL ({} {})", request.method(), request.uri().path());
    let refusal = Refusal { kind: "invalid_request_error", code: None, message, param: None };
    refuse(StatusCode::NOT_FOUND, &refusal)
}

/// An error in the service's form.
fn refuse(status: StatusCode, refusal: &Refusal) -> Response {
    (status, axum::Json(refusal.body())).into_response()
}

async fn record(State(shared): State<Arc<Shared>>, uri: Uri, request: Request, next: Next) -> Response {
    let index = {
        let mut requests = shared.requests();
        if requests.len() < MAX_REQUESTS {
            requests.push(HttpRequest { at: Instant::now(), path: uri.path().to_owned(), status: 0 });
        }
        requests.len() - 1
    };
    let response = next.run(request).await;
    if let Some(entry) = shared.requests().get_mut(index) {
        entry.status = response.status().as_u16();
    }
    response
}
