//! A call's recording, for operators.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use url::Url;

use super::App;
use super::admin::Operator;
use super::answers::{Error, NotAnOperator};
use super::history::UNRECORDED;
use super::json::refuse;
use super::steer::no_such_call;
use crate::recording::{self, MIME_TYPES};
use crate::store::Unavailable;

/// The sound of a call that is over, from wherever its record links to: the caller left, ARIA right.
#[utoipa::path(
    get,
    operation_id = "play_recording",
    path = "/api/calls/{sid}/recording",
    tag = "records",
    security(("bearer" = [])),
    params(("sid" = String, Path, description = "Twilio's id of the call")),
    responses(
        (status = 200, description = "The recording", content(
            (Vec<u8> = "audio/ogg"),
            (Vec<u8> = "audio/wav"),
        )),
        (status = 404, body = Error, description = "There is no such call, or no recording of it, or not yet"),
        (status = 502, body = Error, description = "The store of recordings does not answer"),
        (status = 503, body = Error, description = "The database does not answer"),
        NotAnOperator,
    )
)]
pub(super) async fn play(_: Operator, State(app): State<Arc<App>>, Path(sid): Path<String>) -> Response {
    let Some(store) = &app.store else { return refuse(StatusCode::SERVICE_UNAVAILABLE, UNRECORDED) };
    let call = match store.call(&sid).await {
        Ok(Some(call)) => call,
        Ok(None) => return no_such_call(),
        Err(Unavailable) => {
            return refuse(StatusCode::SERVICE_UNAVAILABLE, "the database does not answer");
        }
    };
    let Some(url) = call["recording"].as_str().and_then(|link| Url::parse(link).ok()) else {
        return refuse(StatusCode::NOT_FOUND, "there is no recording of this call, or not yet");
    };
    let ending = url.path().rsplit('.').next().unwrap_or_default();
    let mime =
        MIME_TYPES.iter().find(|(name, _)| *name == ending).map_or("application/octet-stream", |m| m.1);
    match recording::get(&url).await {
        Ok(Some(found)) => {
            let length = found.meta.size;
            let headers =
                [(header::CONTENT_TYPE, mime.to_owned()), (header::CONTENT_LENGTH, length.to_string())];
            (headers, Body::from_stream(found.into_stream())).into_response()
        }
        Ok(None) => refuse(StatusCode::NOT_FOUND, "the recording was removed"),
        Err(error) => {
            tracing::warn!(call = %sid, %error, "a recording cannot be read");
            refuse(StatusCode::BAD_GATEWAY, "the store of recordings does not answer")
        }
    }
}
