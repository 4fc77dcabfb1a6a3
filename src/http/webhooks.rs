//! What Twilio asks and tells about calls.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::App;
use super::dispatch::Choice;
use super::webhook::Webhook;
use crate::call::{CallEnd, Dialed, Direction, Inbound};
use crate::hosting::registry::{Admitted, Arrival, Standing};
use crate::twilio::twiml;

/// When the stream has ended and the call has not: how long to wait in case it is about to. Dead air for the caller, so it is short: a call
/// that its stream ends has ended before Twilio sees the stream closed.
const REASON_WAIT: Duration = Duration::from_millis(100);
/// The same where we closed the stream: then the call is ending, and only its reason decides between an apology and silence.
const REASON_WAIT_IF_CLOSED: Duration = Duration::from_secs(3);

fn document(text: impl Into<axum::body::Body>) -> Response {
    ([(header::CONTENT_TYPE, twiml::CONTENT_TYPE)], text.into()).into_response()
}

/// `POST /api/twilio/voice/inbound`: a call has come.
pub(super) async fn inbound(State(app): State<Arc<App>>, hook: Webhook) -> Response {
    let now = Instant::now();
    let new = matches!(app.registry.standing(&hook.call_sid), Standing::Unknown);
    let errand = hook.order.as_ref().and_then(|token| app.outbound.redeem(token, &hook.call_sid, now));
    let ordered = hook.order.is_some();
    if new && ordered && errand.is_none() {
        // Placed before a restart, or a token that was used: nobody here knows what to talk about.
        metrics::counter!("aria_calls_total", "outcome" => "unknown_order").increment(1);
        return document(twiml::hang_up());
    }
    let party = |name: &str| hook.form.get(name).unwrap_or_default().to_owned();
    let (from, to) = (party("From"), party("To"));
    // A repeated webhook has its answer already.
    let choice = match (errand, &app.dispatch) {
        (Some(errand), _) => Choice { agent: Some(errand.agent), variables: errand.variables },
        (None, Some(dispatch)) if new => dispatch.ask(&hook.call_sid, &from, &to).await,
        (None, _) => Choice::default(),
    };
    let inbound = Inbound {
        call_sid: hook.call_sid.clone(),
        account_sid: hook.account_sid.clone(),
        from,
        to,
        agent: choice.agent,
        variables: choice.variables,
        at: now,
        direction: if ordered { Direction::Outbound } else { Direction::Inbound },
    };
    let arrival = Arrival {
        call_sid: &hook.call_sid,
        account_sid: &hook.account_sid,
        idempotency: hook.idempotency.as_deref(),
    };
    app.registry.recording(app.switchboard.recording());
    let (answer, admitted) = app.registry.admit(
        arrival,
        now,
        || {
            tracing::info!(call = ?inbound, "call");
            app.switchboard.answer(inbound)
        },
        |token| twiml::connect(&app.public, token),
        |_| twiml::say_and_hang_up(twiml::BUSY_SENTENCE),
    );
    let outcome = match admitted {
        Admitted::Begun(line) => {
            let (registry, call_sid) = (app.registry.clone(), hook.call_sid);
            tokio::spawn(async move {
                let end = line.ended().await;
                registry.finish(&call_sid, end, line.snapshot(), Instant::now());
            });
            "begun"
        }
        Admitted::Repeated => "repeated",
        Admitted::Refused(refusal) => {
            tracing::warn!(call = %hook.call_sid, reason = refusal.as_str(), "call refused");
            refusal.as_str()
        }
    };
    metrics::counter!("aria_calls_total", "outcome" => outcome).increment(1);
    document(answer)
}

/// `POST /api/twilio/voice/after`: the stream has ended, or putting the caller through has. What now?
pub(super) async fn after(State(app): State<Arc<App>>, hook: Webhook) -> Response {
    if let Some(status) = hook.form.get("DialCallStatus") {
        // Who hangs up instead of talking has answered all the same.
        let joined = hook.form.get("DialBridged") != Some("false");
        return dialed(&app, &hook, Dialed::of(status, joined));
    }
    if is_final(hook.form.get("CallStatus")) {
        // The caller is gone; whatever we say is said to nobody.
        if let Some(line) = app.registry.line(&hook.call_sid) {
            line.end(CallEnd::CallerHungUp);
        }
        return answer("caller_gone", twiml::hang_up());
    }
    let end = match app.registry.standing(&hook.call_sid) {
        Standing::Ended(end) => end,
        Standing::Live { line, .. } if line.onward().is_some() => {
            let onward = line.onward().expect("it is there, or was a moment ago");
            return answer("transfer", twiml::dial(&app.public, &onward.to, onward.summary.is_some()));
        }
        Standing::Live { line, closed_by_us } => {
            let wait = if closed_by_us { REASON_WAIT_IF_CLOSED } else { REASON_WAIT };
            let deadline = tokio::time::Instant::now() + wait;
            loop {
                if let Some(end) = line.is_ended() {
                    break end;
                }
                if tokio::time::timeout_at(deadline, line.ended()).await.is_ok() {
                    continue;
                }
                // The stream broke under a call that is well.
                if !closed_by_us && let Some(token) = app.registry.reconnect(&hook.call_sid, Instant::now()) {
                    tracing::warn!(call = %hook.call_sid, "the stream broke; opening another");
                    line.reopening();
                    return answer("reconnect", twiml::connect(&app.public, &token));
                }
                line.end(CallEnd::StreamLost);
                break CallEnd::StreamLost;
            }
        }
        // Refused ones are hung up after their sentence. Unknown ones are from before a restart.
        Standing::Refused => return answer("hang_up", twiml::hang_up()),
        Standing::Unknown => return answer("unknown", twiml::say_and_hang_up(twiml::APOLOGY_SENTENCE)),
    };
    // He is still there, or Twilio would not ask.
    if end == CallEnd::Transferred {
        answer("hang_up", twiml::hang_up())
    } else if end.owes_apology() || end == CallEnd::StreamNeverStarted {
        answer("apology", twiml::say_and_hang_up(twiml::APOLOGY_SENTENCE))
    } else {
        answer("hang_up", twiml::hang_up())
    }
}

/// The caller was put through, or was not: then he comes back to ARIA.
fn dialed(app: &App, hook: &Webhook, dialed: Dialed) -> Response {
    let Some(line) = app.registry.line(&hook.call_sid) else { return answer("hang_up", twiml::hang_up()) };
    let gone = is_final(hook.form.get("CallStatus"));
    line.returned(if gone { Dialed::Completed } else { dialed });
    if gone || dialed == Dialed::Completed {
        return answer("hang_up", twiml::hang_up());
    }
    match app.registry.resume(&hook.call_sid, Instant::now()) {
        Some(token) => answer("resume", twiml::connect(&app.public, &token)),
        None => answer("apology", twiml::say_and_hang_up(twiml::APOLOGY_SENTENCE)),
    }
}

/// `POST /api/twilio/voice/summary`: the person to whom a caller is put through has answered, and hears what it is about. He may yet hang up.
pub(super) async fn summary(State(app): State<Arc<App>>, hook: Webhook) -> Response {
    let parent = hook.form.get("ParentCallSid").and_then(|sid| app.registry.line(sid));
    let summary = parent.and_then(|line| line.onward()).and_then(|onward| onward.summary);
    document(twiml::say(summary.as_deref().unwrap_or_default()))
}

fn answer(outcome: &'static str, text: String) -> Response {
    metrics::counter!("aria_after_total", "outcome" => outcome).increment(1);
    document(text)
}

/// `POST /api/twilio/voice/status`: how a call stands. Callbacks come in any order and more than once; only a final one matters, and that
/// a person has answered to whom a caller is put through: then the two talk, unless the person has a summary to hear first.
pub(super) async fn status(State(app): State<Arc<App>>, hook: Webhook) -> StatusCode {
    if let Some(line) = hook.form.get("ParentCallSid").and_then(|sid| app.registry.line(sid)) {
        let joined = line.onward().is_some_and(|onward| onward.summary.is_none());
        if joined && hook.form.get("CallStatus") == Some("in-progress") {
            line.returned(Dialed::Completed);
        }
        return StatusCode::NO_CONTENT;
    }
    let Some(status) = hook.form.get("CallStatus").filter(|status| is_final(Some(status))) else {
        return StatusCode::NO_CONTENT;
    };
    let end = match &hook.order {
        Some(token) => {
            let end = CallEnd::of_status(status);
            app.outbound.over(token, end);
            end
        }
        None => CallEnd::CallerHungUp,
    };
    if let Some(line) = app.registry.line(&hook.call_sid) {
        line.end(end);
    }
    StatusCode::NO_CONTENT
}

/// `POST /api/twilio/voice/amd`: who has answered a call of ours. A person is what everybody expects.
///
/// <https://www.twilio.com/docs/voice/answering-machine-detection>
pub(super) async fn machine(State(app): State<Arc<App>>, hook: Webhook) -> StatusCode {
    let verdict = match hook.form.get("AnsweredBy") {
        Some("human") => "human",
        Some("fax") => "fax",
        Some("machine_start") => "machine_start",
        Some(end) if end.starts_with("machine_end") => "machine_end",
        _ => "unknown",
    };
    metrics::counter!("aria_answered_by_total", "verdict" => verdict).increment(1);
    if let Some(line) = app.registry.line(&hook.call_sid) {
        match verdict {
            "machine_start" => line.machine_detected(false),
            "machine_end" => line.machine_detected(true),
            "fax" => line.end(CallEnd::Voicemail),
            _ => {}
        }
    }
    StatusCode::NO_CONTENT
}

/// `POST /api/twilio/stream/status`: how a stream stands. An error is the only news that a killed stream sends: its socket may stay
/// half-open for minutes.
pub(super) async fn stream_status(State(app): State<Arc<App>>, hook: Webhook) -> StatusCode {
    if hook.form.get("StreamEvent") == Some("stream-error") {
        metrics::counter!("aria_stream_errors_reported_total").increment(1);
        let error = hook.form.get("StreamError").unwrap_or_default();
        tracing::warn!(call = %hook.call_sid, %error, "Twilio reports a stream error");
        app.registry.stream_failed(&hook.call_sid, hook.form.get("StreamSid"));
    }
    StatusCode::NO_CONTENT
}

fn is_final(status: Option<&str>) -> bool {
    matches!(status, Some("completed" | "busy" | "failed" | "no-answer" | "canceled"))
}
