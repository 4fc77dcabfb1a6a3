//! JSON of an operator: the body of a request, and what it is answered with.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use utoipa::IntoResponses;

use super::App;
use super::answers::Error;

/// Largest body, bytes: all the variables that a call may have, escaped.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// Longest a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// How a body is refused.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "it is described, not made")]
pub(super) enum Misunderstood {
    /// The body is not JSON of this shape, or a value in it is not allowed.
    #[response(status = 400)]
    Wrong(Error),
    /// The body did not come in time.
    #[response(status = 408)]
    Late(Error),
    /// The body is too large.
    #[response(status = 413)]
    Large(Error),
    /// The body is not sent as JSON.
    #[response(status = 415)]
    OtherMedia(Error),
}

/// A body, read and parsed. What is wrong with it is told in words.
pub(super) struct Asked<T> {
    pub what: T,
    /// As it came.
    pub bytes: Bytes,
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Asked<T> {
    type Rejection = Response;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self, Response> {
        let mime = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = mime.and_then(|mime| mime.split(';').next()).unwrap_or_default().trim();
        // A page of another site can make a browser here send forms and text, but no JSON.
        if !essence.eq_ignore_ascii_case("application/json") {
            let text = "the body must be JSON, with Content-Type: application/json";
            return Err(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
        }
        let body = Limited::new(request.into_body(), MAX_BODY_BYTES).collect();
        let bytes = match tokio::time::timeout(BODY_TIMEOUT, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => {
                let text = format!("the body could not be read; it may have {MAX_BODY_BYTES} bytes");
                return Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, text));
            }
            Err(_) => return Err(refuse(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")),
        };
        match serde_json::from_slice(&bytes) {
            Ok(what) => Ok(Self { what, bytes }),
            // It names the field and the place, and what was expected.
            Err(error) => {
                Err(refuse(StatusCode::BAD_REQUEST, format!("the body is not as it should be: {error}")))
            }
        }
    }
}

/// JSON with a status.
pub(super) fn respond(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// `{"error": …}`.
pub(super) fn refuse(status: StatusCode, why: impl std::fmt::Display) -> Response {
    respond(status, &json!({ "error": why.to_string() }))
}
