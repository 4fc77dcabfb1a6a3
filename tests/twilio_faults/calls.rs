//! What Twilio asks when a stream has ended, callbacks in any order, and the admin API.

use std::time::Duration;

use aria_bridge::call::{CallEnd, CallEvent, MediaClosed, MediaCommand, MediaEvent};
use aria_bridge::hosting::Line;
use aria_bridge::hosting::registry::MAX_RECONNECTS;

use crate::host::{ACCOUNT, Host};
use crate::twilio::{Stream, get, hook, new_sid, post, ring, token_of};
use crate::webhooks::status;

const AFTER: &str = "/api/twilio/voice/after";

fn says_sorry(body: &str) -> bool {
    body.contains("<Say>") && body.contains("<Hangup/>") && !body.contains("<Stream")
}

fn hangs_up(body: &str) -> bool {
    body.contains("<Response><Hangup/></Response>")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_after_follows_from_how_the_call_ended() {
    let host = Host::new().await;
    for (end, sorry) in [
        (CallEnd::AgentHungUp, false),
        (CallEnd::OperatorHungUp, false),
        (CallEnd::TooLong, false),
        (CallEnd::ModelRefused, true),
        (CallEnd::ModelUnreachable, true),
        (CallEnd::ModelLost, true),
        (CallEnd::StreamNeverStarted, true),
        (CallEnd::Shutdown, true),
        (CallEnd::Internal, true),
    ] {
        let (sid, _) = ring(&host).await;
        host.call(&sid).end(end);
        let answer = hook(&host, AFTER, &status(&sid, "in-progress")).await;
        assert_eq!(answer.status, 200);
        assert_eq!(
            (says_sorry(&answer.body), hangs_up(&answer.body)),
            (sorry, !sorry),
            "{end:?}: {}",
            answer.body
        );
    }
    let unknown = new_sid();
    assert!(says_sorry(&hook(&host, AFTER, &status(&unknown, "in-progress")).await.body));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_stream_is_reopened_some_times_and_then_apologised_for() {
    let host = Host::new().await;
    let (mut stream, mut far, sid) = Stream::of_call(&host).await;
    for _ in 0..MAX_RECONNECTS {
        drop(stream);
        assert_eq!(far.event().await, Some(MediaEvent::Closed { why: MediaClosed::Lost, played: None }));
        let again = hook(&host, AFTER, &status(&sid, "in-progress")).await.body;
        stream = Stream::open(&host).await;
        stream.start(&sid, &token_of(&again)).await;
        far = host.far().await;
        assert_eq!(far.start.call_sid, sid);
    }
    drop(stream);
    assert_eq!(far.event().await, Some(MediaEvent::Closed { why: MediaClosed::Lost, played: None }));
    assert!(says_sorry(&hook(&host, AFTER, &status(&sid, "in-progress")).await.body));
    assert_eq!(host.call(&sid).is_ended(), Some(CallEnd::StreamLost));
}

/// Twilio may ask before the call has said why it closed the stream.
#[tokio::test(flavor = "multi_thread")]
async fn the_reason_is_waited_for_where_we_closed_the_stream() {
    let host = Host::new().await;
    let (mut stream, far, sid) = Stream::of_call(&host).await;
    far.commands.send(MediaCommand::Close { code: 1000, reason: "goodbye" }).await.unwrap();
    assert_eq!(stream.close_code().await, Some(1000));
    let call = host.call(&sid);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        call.end(CallEnd::AgentHungUp);
    });
    assert!(hangs_up(&hook(&host, AFTER, &status(&sid, "in-progress")).await.body));
}

#[tokio::test(flavor = "multi_thread")]
async fn status_callbacks_end_the_call_in_whatever_order_they_come() {
    let host = Host::new().await;
    for last in ["completed", "busy", "failed", "no-answer", "canceled"] {
        let (sid, _) = ring(&host).await;
        for step in ["in-progress", "ringing", "initiated"] {
            assert_eq!(hook(&host, "/api/twilio/voice/status", &status(&sid, step)).await.status, 204);
        }
        assert_eq!(host.call(&sid).is_ended(), None);
        for _ in 0..2 {
            assert_eq!(hook(&host, "/api/twilio/voice/status", &status(&sid, last)).await.status, 204);
        }
        assert_eq!(host.call(&sid).is_ended(), Some(CallEnd::CallerHungUp), "{last}");
        hook(&host, "/api/twilio/voice/status", &status(&sid, "ringing")).await;
    }
    host.app.registry.empty().await;
    let (sid, _) = ring(&host).await;
    assert!(hangs_up(&hook(&host, AFTER, &status(&sid, "completed")).await.body));
    assert_eq!(host.call(&sid).is_ended(), Some(CallEnd::CallerHungUp));
    let unknown = new_sid();
    assert_eq!(hook(&host, "/api/twilio/voice/status", &status(&unknown, "completed")).await.status, 204);
}

/// Error 31924 leaves the socket half-open for minutes; the callback is the only news of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_reported_stream_error_closes_the_socket() {
    let host = Host::new().await;
    let (stream, mut far, sid) = Stream::of_call(&host).await;
    let report = |stream_sid: String| {
        let (host, sid) = (&host, sid.clone());
        async move {
            let pairs = [
                ("AccountSid", ACCOUNT),
                ("CallSid", &sid),
                ("StreamSid", &stream_sid),
                ("StreamEvent", "stream-error"),
                ("StreamError", "Stream - Websocket - Protocol Error"),
            ];
            assert_eq!(hook(host, "/api/twilio/stream/status", &pairs).await.status, 204);
        }
    };
    report("MZ0".into()).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!matches!(far.events.try_recv(), Ok(MediaEvent::Closed { .. })), "another stream's error");
    report(stream.sid.clone()).await;
    assert_eq!(far.event().await, Some(MediaEvent::Closed { why: MediaClosed::Lost, played: None }));
    assert_eq!(host.call(&sid).is_ended(), None, "the call may go on with another stream");
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_watch_and_end_calls() {
    let host = Host::new().await;
    let (sid, _) = ring(&host).await;
    let list = get(&host, "/api/calls", &[]).await;
    assert!(list.status == 200 && list.body.contains(&sid), "{}", list.body);
    assert_eq!(get(&host, "/api/calls/CA0", &[]).await.status, 404);
    assert_eq!(post(&host, "/api/calls/CA0/hangup", &[], &[]).await.status, 404);

    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut events =
        client.get(format!("http://{}/api/calls/{sid}/events", host.address)).send().await.unwrap();
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    let first = events.chunk().await.unwrap().unwrap();
    assert!(first.starts_with(b"data: {\"type\":\"snapshot\""), "{first:?}");
    host.call(&sid).tell(CallEvent::SpeechStarted { at_ms: 7 });
    let next = events.chunk().await.unwrap().unwrap();
    assert_eq!(next, "data: {\"type\":\"speech_started\",\"at_ms\":7}\n\n");
    host.call(&sid).tell(CallEvent::Ended { reason: CallEnd::AgentHungUp, at_ms: 9 });
    let last = events.chunk().await.unwrap().unwrap();
    assert!(last.starts_with(b"data: {\"type\":\"ended\""), "{last:?}");
    assert_eq!(events.chunk().await.unwrap(), None);

    assert_eq!(post(&host, &format!("/api/calls/{sid}/hangup"), &[], &[]).await.status, 202);
    assert_eq!(host.call(&sid).is_ended(), Some(CallEnd::OperatorHungUp));
    host.app.registry.empty().await;
    assert_eq!(post(&host, &format!("/api/calls/{sid}/hangup"), &[], &[]).await.status, 409);
    assert_eq!(get(&host, &format!("/api/calls/{sid}"), &[]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_62_the_admin_api_is_for_operators() {
    let host = Host::new().await;
    let (sid, _) = ring(&host).await;
    for headers in [
        &[("X-Forwarded-For", "203.0.113.9")][..],
        &[("Host", "voice.example.com")],
        &[("Origin", "https://evil.example")],
    ] {
        assert_eq!(get(&host, "/api/calls", headers).await.status, 403, "{headers:?}");
        assert_eq!(post(&host, &format!("/api/calls/{sid}/hangup"), &[], headers).await.status, 403);
    }
    let host = Host::with(&[("ARIA_ADMIN_TOKEN", "s3cret")]).await;
    assert_eq!(get(&host, "/api/calls", &[]).await.status, 401);
    assert_eq!(get(&host, "/api/calls", &[("Authorization", "Bearer wrong")]).await.status, 401);
    let headers = [("Authorization", "Bearer s3cret"), ("X-Forwarded-For", "203.0.113.9")];
    assert_eq!(get(&host, "/api/calls", &headers).await.status, 200);
    assert_eq!(get(&host, "/api/../api/calls", &[]).await.status, 401);
    assert_eq!(get(&host, "/nothing", &[]).await.status, 404);
}
