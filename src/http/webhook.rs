//! One of Twilio's requests, read and proved before anything else happens.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use utoipa::{IntoResponses, ToSchema};

use super::App;
use super::outbound::TOKEN_QUERY;
use super::server::Peer;
use crate::twilio::form::{Form, MAX_BODY_BYTES};
use crate::twilio::signature::{SETTINGS_HEADER, SIGNATURE_HEADER};

/// Longest a body may take. Twilio sends it in one piece behind the head.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// The header that is the same on every retry of one webhook.
const IDEMPOTENCY_HEADER: &str = "i-twilio-idempotency-token";
/// Longest id or idempotency token.
const MAX_ID_BYTES: usize = 128;

/// A webhook that is Twilio's.
#[derive(Debug)]
pub(super) struct Webhook {
    pub form: Form,
    /// The one-time token of a call that we have placed, from the URL, which is signed.
    pub order: Option<String>,
    pub call_sid: String,
    pub account_sid: String,
    pub idempotency: Option<String>,
}

/// How a request that is not Twilio's is refused.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "it is described, not made")]
pub(super) enum NotTwilio {
    /// `CallSid` or `AccountSid` is missing, or the body broke off.
    #[response(status = 400)]
    Incomplete,
    /// The signature is missing or wrong, or the account is another.
    #[response(status = 403)]
    Forged,
    /// The body did not come in time.
    #[response(status = 408)]
    Late,
    /// The body is too large.
    #[response(status = 413)]
    Large,
    /// The body is not a form.
    #[response(status = 415)]
    NotAForm,
}

/// Twilio's parameters: those that are needed. There are many more, and more to come.
/// <https://www.twilio.com/docs/voice/twiml#request-parameters>
#[derive(ToSchema)]
#[allow(dead_code, reason = "it is described, not made: the form is read by name")]
pub(super) struct TwilioForm {
    /// The call.
    #[schema(rename = "CallSid")]
    call_sid: String,
    /// The account.
    #[schema(rename = "AccountSid")]
    account_sid: String,
}

impl FromRequest<Arc<App>> for Webhook {
    type Rejection = Response;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Response> {
        let (head, body) = request.into_parts();
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let signature = header(SIGNATURE_HEADER);
        if signature.is_none() && !app.unsigned_allowed {
            return Err(refuse(app, StatusCode::FORBIDDEN, "signature_missing"));
        }
        if !is_form(&head.headers) {
            return Err(refuse(app, StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_a_form"));
        }
        let body =
            match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY_BYTES).collect()).await {
                Ok(Ok(body)) => body.to_bytes(),
                Ok(Err(error)) if error.is::<LengthLimitError>() => {
                    return Err(refuse(app, StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"));
                }
                Ok(Err(_)) => return Err(refuse(app, StatusCode::BAD_REQUEST, "body_broken")),
                Err(_) => return Err(refuse(app, StatusCode::REQUEST_TIMEOUT, "body_too_slow")),
            };
        let form = Form::parse(&body);
        if !app.unsigned_allowed {
            let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
            let urls = app.public.signed_by_webhook(target);
            if !app.verifier.verify(&urls, &form, signature.unwrap_or_default(), header(SETTINGS_HEADER)) {
                if app.refused("signature_wrong") {
                    // Names and no values, in the query neither: enough to see what a proxy changed.
                    let url = urls[0].split('?').next();
                    tracing::warn!(url, parameters = ?form, "a webhook's signature is wrong");
                }
                return Err(StatusCode::FORBIDDEN.into_response());
            }
        }
        if let Some(peer) = head.extensions.get::<Peer>() {
            peer.slot.prove();
        }
        let id = |name: &str| form.get(name).filter(|id| is_id(id)).map(str::to_owned);
        let (Some(call_sid), Some(account_sid)) = (id("CallSid"), id("AccountSid")) else {
            return Err(refuse(app, StatusCode::BAD_REQUEST, "ids_missing"));
        };
        if app.account_sid.as_ref().is_some_and(|ours| *ours != account_sid) {
            return Err(refuse(app, StatusCode::FORBIDDEN, "other_account"));
        }
        let idempotency = header(IDEMPOTENCY_HEADER)
            .filter(|token| !token.is_empty() && token.len() <= MAX_ID_BYTES)
            .map(str::to_owned);
        let query = head.uri.query().unwrap_or_default();
        let order = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == TOKEN_QUERY);
        let order = order.map(|(_, token)| token.into_owned());
        Ok(Self { form, order, call_sid, account_sid, idempotency })
    }
}

fn refuse(app: &App, status: StatusCode, reason: &'static str) -> Response {
    if app.refused(reason) {
        tracing::warn!(reason, "webhook refused");
    }
    status.into_response()
}

fn is_form(headers: &HeaderMap) -> bool {
    let essence = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(|value| value.split(';').next().unwrap_or_default().trim());
    essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/x-www-form-urlencoded"))
}

/// Ids go into logs and into the paths of requests to Twilio.
fn is_id(text: &str) -> bool {
    text.len() <= MAX_ID_BYTES && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}
