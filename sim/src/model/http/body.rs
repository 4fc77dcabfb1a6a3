//! The two bodies of a set-up request.

use axum::extract::{FromRequest, Multipart, Request};
use axum::http::{StatusCode, header};
use axum::response::Response;
use serde_json::Value;

use super::auth::Key;
use super::{Shared, refuse};
use crate::model::refusal::Refusal;
use crate::model::setup::default_session;

/// An offer and a session, not yet checked.
pub(crate) struct Body {
    pub(crate) content_type: String,
    pub(crate) offer: String,
    pub(crate) session: Option<Value>,
}

impl Body {
    /// The session to make: the key's, the request's, or the default one.
    pub(crate) fn session(&self, key: &Key) -> Value {
        match (key, &self.session) {
            (_, Some(session)) => session.clone(),
            (Key::Ephemeral(session), None) => session.clone(),
            (Key::Standard, None) => default_session(),
        }
    }
}

/// Reads either body, or gives the 400 to answer with.
pub(crate) async fn read(shared: &Shared, key: &Key, request: Request) -> Result<Body, Box<Response>> {
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let content_type = content_type.and_then(|v| v.split(';').next()).unwrap_or_default().trim().to_owned();
    match content_type.as_str() {
        "application/sdp" => {
            if matches!(key, Key::Standard) && !shared.config.unverified.bare_offer_with_standard_key {
                return Err(bad(&Refusal::missing("session")));
            }
            let offer = String::from_request(request, &()).await;
            let offer = offer.map_err(|e| bad(&Refusal::new("invalid_offer", e.body_text(), None)))?;
            Ok(Body { content_type, offer, session: None })
        }
        "multipart/form-data" => {
            let parts = Multipart::from_request(request, &()).await;
            let parts = parts.map_err(|e| bad(&Refusal::new("invalid_value", e.body_text(), None)))?;
            multipart(content_type, parts).await
        }
        other => {
            let message = format!(
                "Unsupported content type: '{other}'. This API method only accepts 'multipart/form-data' and \
                 'application/sdp' requests."
            );
            Err(bad(&Refusal::new("unsupported_content_type", message, None)))
        }
    }
}

async fn multipart(content_type: String, mut parts: Multipart) -> Result<Body, Box<Response>> {
    let unreadable = |error: axum::extract::multipart::MultipartError| {
        bad(&Refusal::new("invalid_value", format!("Could not parse multipart form: {error}"), None))
    };
    let (mut offer, mut session) = (None, None);
    while let Some(part) = parts.next_field().await.map_err(unreadable)? {
        // Parts need neither a file name nor a type of their own.
        let name = part.name().unwrap_or_default().to_owned();
        let text = part.text().await.map_err(unreadable)?;
        match name.as_str() {
            "sdp" => offer = Some(text),
            "session" => {
                let value = serde_json::from_str(&text).map_err(|error| {
                    let message = format!("Could not parse 'session' as JSON: {error}");
                    bad(&Refusal::new("invalid_value", message, Some("session")))
                })?;
                session = Some(value);
            }
            other => return Err(bad(&Refusal::unknown_parameter(other))),
        }
    }
    let offer = offer.ok_or_else(|| bad(&Refusal::missing("sdp")))?;
    Ok(Body { content_type, offer, session })
}

fn bad(refusal: &Refusal) -> Box<Response> {
    Box::new(refuse(StatusCode::BAD_REQUEST, refusal))
}
