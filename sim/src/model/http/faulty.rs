//! Answers that go wrong on purpose.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use super::refuse;
use crate::model::faults::HttpFault;
use crate::model::refusal::Refusal;

pub(super) type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;

/// Bytes of one piece of a huge body.
const PIECE: usize = 64 * 1024;
/// From the first half of a truncated body to the break.
const CUT_AFTER: Duration = Duration::from_millis(20);

/// The answer of a fault that needs no session.
pub(super) fn before(fault: &HttpFault) -> Option<Answer> {
    let response = match fault {
        HttpFault::Status { status, code, retry_after } => {
            self::status(*status, code.as_deref(), *retry_after)
        }
        HttpFault::Hang => return Some(Box::pin(std::future::pending())),
        HttpFault::HugeBody { bytes } => {
            let pieces =
                (0..bytes.div_ceil(PIECE)).map(|_| Ok::<_, io::Error>(Bytes::from_static(&[b'x'; PIECE])));
            answer(Body::from_stream(stream::iter(pieces)), Some("rtc_u1_huge"), "application/sdp")
        }
        HttpFault::Redirect { to } => {
            let mut response = StatusCode::TEMPORARY_REDIRECT.into_response();
            if let Ok(to) = HeaderValue::from_str(to) {
                response.headers_mut().insert(header::LOCATION, to);
            }
            response
        }
        HttpFault::None
        | HttpFault::SlowBody { .. }
        | HttpFault::TruncatedBody
        | HttpFault::WrongContentType
        | HttpFault::NoLocation => return None,
    };
    Some(Box::pin(std::future::ready(response)))
}

/// A refusal with this status.
pub(super) fn refused(status: u16) -> Option<Answer> {
    before(&HttpFault::status(status))
}

fn status(status: u16, code: Option<&str>, retry_after: Option<u32>) -> Response {
    let (kind, usual, message) = match status {
        401 => ("invalid_request_error", Some("invalid_api_key"), "Incorrect API key provided."),
        403 => {
            ("invalid_request_error", Some("model_not_found"), "Project does not have access to the model.")
        }
        404 => ("invalid_request_error", None, "Not found."),
        429 => ("insufficient_quota", Some("insufficient_quota"), "You exceeded your current quota."),
        400..=499 => ("invalid_request_error", Some("invalid_value"), "Invalid request."),
        _ => ("server_error", None, "The server had an error while processing your request."),
    };
    let refusal =
        Refusal { kind, code: code.or(usual).map(str::to_owned), message: message.to_owned(), param: None };
    let mut response = refuse(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY), &refusal);
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// The good answer, with the fault that concerns its delivery.
pub(super) fn after(fault: Option<&HttpFault>, call_id: &str, sdp: String) -> Response {
    let (id, kind) = (Some(call_id), "application/sdp");
    match fault {
        Some(HttpFault::SlowBody { bytes, every }) => answer(slow(sdp, *bytes, *every), id, kind),
        Some(HttpFault::TruncatedBody) => {
            let length = sdp.len();
            let half = Bytes::from(sdp.into_bytes()).slice(..length / 2);
            let pieces = stream::unfold(Some(half), |half| async move {
                if let Some(half) = half {
                    return Some((Ok(half), None));
                }
                // The head and the first half must leave before the connection breaks.
                tokio::time::sleep(CUT_AFTER).await;
                Some((Err(io::Error::other("cut on purpose")), None))
            });
            let mut response = answer(Body::from_stream(pieces), id, kind);
            response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
            response
        }
        Some(HttpFault::WrongContentType) => answer(sdp.into(), id, "text/html"),
        Some(HttpFault::NoLocation) => answer(sdp.into(), None, kind),
        _ => answer(sdp.into(), id, kind),
    }
}

fn slow(sdp: String, bytes: usize, every: Duration) -> Body {
    let pieces = stream::unfold(Bytes::from(sdp), move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(every).await;
        let piece = rest.split_to(bytes.clamp(1, rest.len()));
        Some((Ok::<_, io::Error>(piece), rest))
    });
    Body::from_stream(pieces)
}

fn answer(body: Body, call_id: Option<&str>, content_type: &'static str) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::CREATED;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Some(id) = call_id {
        let location = HeaderValue::from_str(&format!("/v1/realtime/calls/{id}"));
        headers.insert(header::LOCATION, location.expect("call ids are letters, digits and _"));
    }
    response
}
