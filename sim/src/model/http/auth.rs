//! Who may ask.

use std::time::Instant;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use serde_json::Value;

use super::{Shared, refuse};
use crate::model::refusal::Refusal;

/// A key that was accepted.
pub(crate) enum Key {
    Standard,
    /// An ephemeral key, with the session it was minted for.
    Ephemeral(Value),
}

/// Checks `Authorization: Bearer …`, or gives the 401 to answer with.
pub(crate) fn check(shared: &Shared, headers: &HeaderMap) -> Result<Key, Box<Response>> {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(token) = header.and_then(|value| value.strip_prefix("Bearer ")).filter(|t| !t.is_empty()) else {
        let message = "You didn't provide an API key. You need to provide your API key in an Authorization header \
                       using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).";
        return Err(unauthorised(None, message));
    };
    if token.starts_with("ek_") {
        let keys = shared.keys();
        return match keys.get(token).filter(|key| key.expires > Instant::now()) {
            Some(key) => Ok(Key::Ephemeral(key.session.clone())),
            None => {
                Err(unauthorised(Some("invalid_api_key"), "Incorrect or expired ephemeral key provided."))
            }
        };
    }
    let good = match &shared.config.api_key {
        Some(key) => token == key,
        None => token != "sk-invalid",
    };
    if good {
        return Ok(Key::Standard);
    }
    let message = "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys.";
    Err(unauthorised(Some("invalid_api_key"), message))
}

fn unauthorised(code: Option<&str>, message: &str) -> Box<Response> {
    let refusal = Refusal {
        kind: "invalid_request_error",
        code: code.map(str::to_owned),
        message: message.to_owned(),
        param: None,
    };
    Box::new(refuse(StatusCode::UNAUTHORIZED, &refusal))
}
