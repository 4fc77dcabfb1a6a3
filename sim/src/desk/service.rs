//! The desk's addresses: the customer system and the calendar over HTTP, and all of it once more over MCP.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Bytes;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::store::DeskError;
use super::{Shared, answer, mcp};

pub(super) fn router(shared: Arc<Shared>) -> Router {
    let guarded = Router::new()
        .route("/contacts/{phone}", get(find_contact).patch(update_contact))
        .route("/slots", get(free_slots))
        .route("/appointments", post(book))
        .route("/appointments/{id}", delete(cancel))
        .route("/mcp", post(speak).get(|| async { StatusCode::METHOD_NOT_ALLOWED }))
        .layer(from_fn_with_state(Arc::clone(&shared), only_with_the_token));
    Router::new().route("/lookup", post(lookup)).merge(guarded).with_state(shared)
}

async fn only_with_the_token(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    if let Some(token) = &shared.config.token {
        let given = request.headers().get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
        if given != Some(&format!("Bearer {token}")) {
            return (StatusCode::UNAUTHORIZED, Json(json!({ "error": "who are you?" }))).into_response();
        }
    }
    shared.requests.fetch_add(1, Ordering::Relaxed);
    next.run(request).await
}

async fn lookup(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let index = shared.requests.fetch_add(1, Ordering::Relaxed);
    let fault = shared.config.first.get(index).unwrap_or(&shared.config.then);
    answer::of(fault, &body).await
}

/// What a question for free times holds.
#[derive(Deserialize)]
struct Day {
    day: String,
}

async fn find_contact(State(shared): State<Arc<Shared>>, Path(phone): Path<String>) -> Response {
    told(shared.store.find_contact(&phone).await)
}

async fn update_contact(
    State(shared): State<Arc<Shared>>,
    Path(phone): Path<String>,
    Json(change): Json<Value>,
) -> Response {
    told(shared.store.update_contact(&phone, &change).await)
}

async fn free_slots(State(shared): State<Arc<Shared>>, Query(Day { day }): Query<Day>) -> Response {
    told(shared.store.free_slots(&day).await)
}

async fn book(State(shared): State<Arc<Shared>>, Json(question): Json<Value>) -> Response {
    let text = |field: &str| question[field].as_str().unwrap_or_default();
    told(shared.store.book(text("phone"), text("day"), text("time"), text("what")).await)
}

async fn cancel(State(shared): State<Arc<Shared>>, Path(id): Path<i64>) -> Response {
    told(shared.store.cancel(id).await)
}

fn told(done: Result<Value, DeskError>) -> Response {
    match done {
        Ok(value) => Json(value).into_response(),
        Err(error) => {
            let status = match error {
                DeskError::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
                DeskError::Unknown(_) => StatusCode::NOT_FOUND,
                DeskError::Database(_) => StatusCode::INTERNAL_SERVER_ERROR,
            };
            (status, Json(json!({ "error": error.to_string() }))).into_response()
        }
    }
}

/// One message of an MCP client (Transports, 2.1: a request is answered in the body, everything else with 202).
async fn speak(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: String) -> Response {
    let takes = |kind: &str| {
        headers
            .get(header::ACCEPT)
            .and_then(|v| v.to_str().ok())
            .is_some_and(|accepted| accepted.contains(kind))
    };
    if !takes("application/json") || !takes("text/event-stream") {
        return StatusCode::NOT_ACCEPTABLE.into_response();
    }
    match mcp::answer(&shared.store, &body).await {
        Some(answer) => Json(answer).into_response(),
        None => StatusCode::ACCEPTED.into_response(),
    }
}
