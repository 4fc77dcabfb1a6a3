//! The web server: routes for Twilio, load balancers, Prometheus and operators.
//!
//! hyper with a loop of our own, because its limits are ours to set: who may stay how long, how large a header may be, and what the
//! media socket's buffers cost. axum does the routing.

mod admin;
mod app;
mod calls;
mod dispatch;
mod health;
mod history;
mod json;
mod outbound;
mod pool;
mod profile;
mod recording;
mod server;
mod steer;
mod tls;
mod unanswered;
mod upgrade;
mod webhook;
mod webhooks;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

pub use app::App;
pub use server::{bind, serve};
pub use tls::{Tls, TlsError};

use crate::twilio::public_url::{
    AFTER_PATH, AMD_PATH, INBOUND_PATH, MEDIA_PATH, STATUS_PATH, STREAM_STATUS_PATH, SUMMARY_PATH,
};

/// All routes.
fn router(app: Arc<App>) -> Router {
    Router::new()
        .route(INBOUND_PATH, post(webhooks::inbound))
        .route(AFTER_PATH, post(webhooks::after))
        .route(STATUS_PATH, post(webhooks::status))
        .route(SUMMARY_PATH, post(webhooks::summary))
        .route(AMD_PATH, post(webhooks::machine))
        .route(STREAM_STATUS_PATH, post(webhooks::stream_status))
        .route(MEDIA_PATH, get(upgrade::media))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/api/calls", get(history::list).delete(history::delete).post(outbound::place))
        .route("/api/calls/{sid}", get(history::show))
        .route("/api/calls/{sid}/recording", get(recording::play))
        .route("/api/webhooks/dead", get(history::dead_letters))
        .route("/api/webhooks/dead/{id}/retry", post(history::retry))
        .route("/api/calls/{sid}/events", get(calls::events))
        .route("/api/calls/{sid}/hangup", post(calls::hang_up))
        .route("/api/calls/{sid}/say", post(steer::say))
        .route("/api/calls/{sid}/transfer", post(steer::transfer))
        .route("/api/profile", get(profile::show))
        .with_state(app)
}
