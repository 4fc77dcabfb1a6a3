//! What the desk knows, and how it fails.

use std::io;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};

use super::{DeskFault, bomb};

/// Bytes of one piece of a huge body.
const PIECE: usize = 64 * 1024;
/// From the first half of a cut body to the break.
const CUT_AFTER: Duration = Duration::from_millis(20);

/// The record of a city or a caller; every city has one, so that a script may name any.
pub(super) fn record(question: &Value) -> Option<Value> {
    if let Some(city) = question["city"].as_str().filter(|city| !city.trim().is_empty()) {
        return Some(json!({"city": city, "open": true, "hold_minutes": 2, "agent": "Waldo"}));
    }
    let phone = question["phone"].as_str().filter(|phone| phone.starts_with('+'))?;
    Some(json!({"phone": phone, "name": "Allison", "last_call": "2026-11-20T15:04:00Z", "open_tickets": 1}))
}

pub(super) async fn of(fault: &DeskFault, body: &[u8]) -> Response {
    match fault {
        DeskFault::None => good(body),
        DeskFault::Slow(delay) => {
            tokio::time::sleep(*delay).await;
            good(body)
        }
        DeskFault::Hang => std::future::pending().await,
        DeskFault::Status(status) => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, "the desk is out of order").into_response()
        }
        DeskFault::Drip(every) => drip(body, *every),
        DeskFault::Huge(bytes) => {
            let pieces =
                (0..bytes.div_ceil(PIECE)).map(|_| Ok::<_, io::Error>(Bytes::from_static(&[b' '; PIECE])));
            as_json(Body::from_stream(stream::iter(pieces)))
        }
        DeskFault::Bomb(bytes) => {
            let mut response = as_json(bomb::of(*bytes).into());
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            response
        }
        DeskFault::NotJson => as_json("<!doctype html><title>It works</title>".into()),
        DeskFault::OtherJson => Json(json!([1, "two", {"three": [null]}])).into_response(),
        DeskFault::Redirect(to) => {
            let mut response = StatusCode::TEMPORARY_REDIRECT.into_response();
            if let Ok(to) = HeaderValue::from_str(to) {
                response.headers_mut().insert(header::LOCATION, to);
            }
            response
        }
        DeskFault::Cut => {
            let pieces = stream::unfold(Some(Bytes::from_static(b"{\"city\":")), |half| async move {
                if let Some(half) = half {
                    return Some((Ok(half), None));
                }
                // The head and the first half must leave before the connection breaks.
                tokio::time::sleep(CUT_AFTER).await;
                Some((Err(io::Error::other("cut on purpose")), None))
            });
            as_json(Body::from_stream(pieces))
        }
    }
}

fn answer(body: &[u8]) -> Result<Value, (StatusCode, Value)> {
    let question: Value = serde_json::from_slice(body)
        .map_err(|_| (StatusCode::BAD_REQUEST, json!({"error": "the body is not JSON"})))?;
    record(&question)
        .ok_or_else(|| (StatusCode::NOT_FOUND, json!({"error": "nobody and nowhere of that name"})))
}

fn good(body: &[u8]) -> Response {
    match answer(body) {
        Ok(record) => Json(record).into_response(),
        Err((status, error)) => (status, Json(error)).into_response(),
    }
}

fn drip(body: &[u8], every: Duration) -> Response {
    let text = answer(body).unwrap_or_else(|(_, error)| error).to_string();
    let pieces = stream::unfold(Bytes::from(text), move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(every).await;
        let piece = rest.split_to(1);
        Some((Ok::<_, io::Error>(piece), rest))
    });
    as_json(Body::from_stream(pieces))
}

fn as_json(body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
