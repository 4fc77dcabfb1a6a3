//! The web server: routes for Twilio, load balancers, Prometheus and operators.
//!
//! hyper with a loop of our own, because its limits are ours to set: who may stay how long, how large a header may be, and what the
//! media socket's buffers cost. axum does the routing.

mod admin;
mod answers;
mod app;
mod calls;
mod dispatch;
mod health;
mod history;
mod json;
mod openapi;
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
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use app::App;
pub use openapi::document;
pub use server::{bind, serve};
pub use tls::{Tls, TlsError};

/// All routes, each with its description: [`routes!`] takes no handler without one.
fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(openapi::frame())
        .routes(routes!(history::list, history::delete, outbound::place))
        .routes(routes!(history::show))
        .routes(routes!(recording::play))
        .routes(routes!(calls::events))
        .routes(routes!(calls::hang_up))
        .routes(routes!(calls::sounds))
        .routes(routes!(steer::say))
        .routes(routes!(steer::transfer))
        .routes(routes!(history::dead_letters))
        .routes(routes!(history::retry))
        .routes(routes!(profile::show))
        .routes(routes!(openapi::show))
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
        .routes(routes!(webhooks::inbound))
        .routes(routes!(webhooks::after))
        .routes(routes!(webhooks::status))
        .routes(routes!(webhooks::summary))
        .routes(routes!(webhooks::machine))
        .routes(routes!(webhooks::stream_status))
        .routes(routes!(upgrade::media))
}

fn router(app: Arc<App>) -> Router {
    Router::from(routes()).with_state(app)
}
