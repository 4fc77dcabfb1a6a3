//! What load balancers and Prometheus ask.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::App;
use crate::telemetry::audio;

/// Whether the process can answer.
#[utoipa::path(
    get,
    operation_id = "healthz",
    path = "/healthz",
    tag = "operation",
    responses((status = 200, content_type = "text/plain", body = String, description = "It can"))
)]
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// Whether calls are taken.
#[utoipa::path(
    get,
    operation_id = "readyz",
    path = "/readyz",
    tag = "operation",
    responses(
        (status = 200, content_type = "text/plain", body = String, description = "They are"),
        (status = 503, content_type = "text/plain", body = String, description = "They are not, and why"),
    )
)]
pub(super) async fn ready(State(app): State<Arc<App>>) -> Response {
    app.registry.recording(app.switchboard.recording());
    match app.registry.open() {
        Err(refusal) => (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", refusal.as_str())).into_response(),
        Ok(()) if !app.switchboard.ready() => {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response()
        }
        Ok(()) => "ready\n".into_response(),
    }
}

/// Figures for Prometheus, in its text format.
#[utoipa::path(
    get,
    operation_id = "metrics",
    path = "/metrics",
    tag = "operation",
    responses((status = 200, content_type = "text/plain", body = String, description = "Text format 0.0.4"))
)]
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let mut text = app.prometheus.as_ref().map(|prometheus| prometheus.render()).unwrap_or_default();
    text.push_str(&audio::render(&app.switchboard.audio()));
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
