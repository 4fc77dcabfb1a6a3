//! Answers of the REST API: resources, errors, and the headers of both.

use axum::body::Body;
use axum::response::Response;
use serde_json::{Value, json};

/// A resource.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

/// An error in the shape of version 2010-04-01.
#[derive(Debug)]
pub(super) struct ApiError {
    pub(super) status: u16,
    code: u32,
    message: String,
    retry_after: Option<u32>,
}

impl Answer {
    pub(super) fn into_response(self, request_id: &str) -> Response {
        respond(self.status, &self.body, request_id, None)
    }
}

impl ApiError {
    pub(super) fn new(status: u16, code: u32, message: &str) -> Self {
        Self { status, code, message: message.to_owned(), retry_after: None }
    }

    /// The error Twilio gives with that HTTP status.
    pub(super) fn injected(status: u16, retry_after: Option<u32>) -> Self {
        let (code, message) = match status {
            401 => (20_003, "Authenticate"),
            403 => (20_403, "Forbidden"),
            404 => (20_404, "The requested resource was not found"),
            429 => (20_429, "Too Many Requests"),
            _ => (20_500, "Internal Server Error"),
        };
        Self { status, code, message: message.to_owned(), retry_after }
    }

    pub(super) fn into_response(self, request_id: &str) -> Response {
        let body = json!({
            "code": self.code,
            "message": self.message,
            "more_info": format!("https://www.twilio.com/docs/errors/{}", self.code),
            "status": self.status,
        });
        respond(self.status, &body, request_id, self.retry_after)
    }
}

fn respond(status: u16, body: &Value, request_id: &str, retry_after: Option<u32>) -> Response {
    let mut response = Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .header("twilio-request-id", request_id)
        .header("twilio-concurrent-requests", "1")
        .header("twilio-request-duration", "0.080")
        .header("x-home-region", "us1")
        .header("x-api-domain", "api.twilio.com");
    if let Some(seconds) = retry_after {
        response = response.header("retry-after", seconds);
    }
    response.body(Body::from(body.to_string())).unwrap_or_else(|_| {
        // Only a status outside 100..999 can be refused, and that is a mistake of the test that injected it.
        Response::builder().status(500).body(Body::empty()).expect("an empty 500 is always possible")
    })
}
