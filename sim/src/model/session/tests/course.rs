//! The course of a session from its first event to its last.

use std::time::Duration;

use serde_json::{Value, json};

use super::{request, talk, talk_with, without_deltas};
use crate::model::faults::{EventFaults, Huge};
use crate::model::unverified::{RateLimits, Truncated, Unverified};

#[test]
fn a_session_introduces_itself_with_what_is_in_force() {
    let mut talk = talk();
    let session = &talk.last("session.created")["session"];
    assert_eq!(session["audio"]["input"]["turn_detection"]["silence_duration_ms"], 500);
    assert_eq!(session["object"], "realtime.session");
    assert_eq!(talk.take(), ["session.created", "conversation.created"]);
    let quiet = Unverified { conversation_created: false, ..Unverified::default() };
    assert_eq!(talk_with(request(), quiet, EventFaults::default()).take(), ["session.created"]);
}

#[test]
fn a_greeting_follows_the_documented_order_and_ends_twice() {
    let mut talk = talk();
    talk.take();
    talk.create();
    talk.silence(500);
    let done_at = without_deltas(talk.take());
    assert_eq!(
        done_at,
        [
            "response.created",
            "rate_limits.updated",
            "response.output_item.added",
            "conversation.item.added",
            "response.content_part.added",
            "output_audio_buffer.started",
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "response.output_item.done",
            "conversation.item.done",
            "response.done",
        ]
    );
    assert!(talk.frames < 20, "generation is far ahead of playout");
    talk.silence(1_000);
    assert_eq!(talk.take(), ["output_audio_buffer.stopped"]);
    assert_eq!(talk.frames, 50);
}

#[test]
fn what_is_said_is_in_the_transcript_the_item_and_the_response() {
    let mut talk = talk();
    talk.create();
    talk.silence(600);
    assert_eq!(talk.last("response.output_audio_transcript.done")["transcript"], "Hello there.");
    let deltas = talk.events.iter().filter(|e| e["type"] == "response.output_audio_transcript.delta");
    assert_eq!(deltas.filter_map(|e| e["delta"].as_str()).collect::<String>(), "Hello there.");
    let response = talk.last("response.done")["response"].clone();
    assert_eq!(response["status"], "completed");
    assert_eq!(
        response["output"][0]["content"][0],
        json!({"type": "output_audio", "transcript": "Hello there."})
    );
    assert_eq!(response["usage"]["output_token_details"]["audio_tokens"], 20);
    assert_eq!(talk.last("response.content_part.added")["part"]["type"], "audio");
}

#[test]
fn the_unverified_orders_can_be_chosen() {
    let run = |truncated: Truncated, rate_limits: RateLimits| {
        let mut talk = talk_with(
            request(),
            Unverified { truncated, rate_limits, ..Unverified::default() },
            EventFaults::default(),
        );
        talk.speech(300);
        talk.silence(1_600);
        let first = talk.take();
        talk.speech(60);
        (first, talk.take())
    };
    let (first, second) = run(Truncated::BeforeCleared, RateLimits::AfterDone);
    let at = |kind: &str| first.iter().position(|k| k == kind).expect("sent");
    assert_eq!(at("rate_limits.updated"), at("response.done") + 1);
    assert_eq!(second[1..], ["conversation.item.truncated", "output_audio_buffer.cleared"]);
    let (first, second) = run(Truncated::Absent, RateLimits::Absent);
    assert!(!first.contains(&"rate_limits.updated".to_owned()));
    assert_eq!(second[1..], ["output_audio_buffer.cleared"]);
}

#[test]
fn a_long_silence_makes_the_model_ask() {
    let mut request = request();
    request["audio"]["input"]["turn_detection"]["idle_timeout_ms"] = 5_000.into();
    let mut talk = talk_with(request, Unverified::default(), EventFaults::default());
    talk.silence(6_000);
    assert!(
        !talk.take().contains(&"input_audio_buffer.timeout_triggered".to_owned()),
        "nothing was said yet"
    );
    talk.create();
    talk.silence(6_000);
    assert!(
        !talk.take().contains(&"input_audio_buffer.timeout_triggered".to_owned()),
        "counted from the end"
    );
    talk.silence(1_000);
    assert_eq!(talk.last("response.output_audio_transcript.done")["transcript"], "Still there?");
}

#[test]
fn faults_are_what_they_say() {
    let faults = EventFaults {
        unknown: true,
        invalid_json_at: Some(Duration::from_millis(100)),
        huge: Some(Huge { at: Duration::from_millis(200), bytes: 300_000 }),
        error: Some((Duration::from_millis(300), "server_error".to_owned())),
        fail_response: Some((0, "rate_limit_exceeded".to_owned())),
        transcription_fails: true,
        update_refused: false,
    };
    let mut talk = talk_with(request(), Unverified::default(), faults);
    talk.silence(400);
    assert!(talk.events.iter().any(Value::is_string));
    assert!(talk.last("x_huge.event").to_string().len() > 300_000);
    assert_eq!(talk.last("error")["error"]["type"], "server_error");
    talk.speech(300);
    talk.silence(1_500);
    let failed = talk.last("response.done")["response"].clone();
    assert_eq!(
        (&failed["status"], &failed["status_details"]["error"]["code"]),
        (&json!("failed"), &json!("rate_limit_exceeded"))
    );
    talk.last("response.x_unknown.event");
    talk.last("conversation.item.input_audio_transcription.failed");
}

#[test]
fn a_session_ends_at_its_age() {
    let mut talk = talk();
    talk.now = Duration::from_secs(3600);
    talk.silence(20);
    assert_eq!(talk.last("error")["error"]["code"], "session_expired");
    assert!(talk.expired);
}
