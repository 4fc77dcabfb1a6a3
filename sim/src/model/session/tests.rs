//! The state machine without sockets or clocks: every test moves the time itself.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Output, Session, Setup};
use crate::model::codec::Codec;
use crate::model::config::{Delay, Timing};
use crate::model::faults::{EventFaults, Huge};
use crate::model::output::Beat;
use crate::model::record::Note;
use crate::model::settings::Settings;
use crate::model::sound::{Plan, Prepared, Sound, Spoken};
use crate::model::unverified::{RateLimits, Truncated, Unverified};

const BEAT: Duration = Duration::from_millis(20);

fn spoken(text: &str, ms: usize) -> Spoken {
    let frames = (0..ms / 20).map(|i| Arc::from(&[i as u8][..])).collect();
    Spoken { text: text.to_owned(), sound: Arc::new(Sound { frame_ms: 20, frames }) }
}

fn plan() -> Plan {
    let turn = |heard: &str, reply: Option<Spoken>| Prepared {
        heard: Some(heard.to_owned()),
        reply,
        tool: None,
        answer: None,
    };
    Plan {
        greeting: spoken("Hello there.", 1_000),
        turns: vec![
            turn("one", Some(spoken("a long reply of seven words here", 4_000))),
            Prepared {
                tool: Some(crate::model::script::ToolCall {
                    name: "lookup".to_owned(),
                    arguments: json!({"city": "Lima"}),
                }),
                answer: Some(spoken("It says {output}", 600)),
                ..turn("two", None)
            },
            turn("three", Some(spoken("Goodbye.", 400))),
        ],
        aside: spoken("Pardon?", 400),
        idle: spoken("Still there?", 400),
        silence: Sound { frame_ms: 20, frames: Vec::new() },
        codec: Codec::Opus,
    }
}

/// A session with a clock that its user moves.
struct Talk {
    session: Session,
    now: Duration,
    events: Vec<Value>,
    notes: Vec<Note>,
    frames: usize,
    expired: bool,
}

fn request() -> Value {
    json!({"type": "realtime", "model": "m",
           "audio": {"input": {"transcription": {"model": "w"},
               "turn_detection": {"type": "server_vad", "silence_duration_ms": 500}}},
           "tools": [{"type": "function", "name": "lookup"}]})
}

fn talk_with(request: Value, unverified: Unverified, faults: EventFaults) -> Talk {
    let settings = Settings::new(&request, &unverified).expect("a good session");
    let timing = Timing {
        first_audio: Delay::Fixed(Duration::from_millis(200)),
        generation_speed: 8.0,
        transcription: Duration::from_millis(300),
    };
    let session = Session::new(Setup {
        settings,
        plan: Arc::new(plan()),
        timing,
        unverified,
        faults,
        limit: Duration::from_secs(3600),
        speaks_after: Duration::ZERO,
        seed: 7,
    });
    let mut talk = Talk {
        session,
        now: Duration::from_millis(50),
        events: Vec::new(),
        notes: Vec::new(),
        frames: 0,
        expired: false,
    };
    talk.session.open(talk.now);
    talk.drain();
    talk
}

fn talk() -> Talk {
    talk_with(request(), Unverified::default(), EventFaults::default())
}

impl Talk {
    fn drain(&mut self) {
        while let Some(output) = self.session.poll() {
            match output {
                Output::Event(event) => self.events.push(event),
                Output::Note(note) => self.notes.push(note),
                Output::Raw(text) => self.events.push(Value::String(text)),
                Output::Expired => self.expired = true,
            }
        }
    }

    /// Lets time pass in beats, with this in the caller's microphone.
    fn pass(&mut self, ms: u64, amplitude: f64) {
        let frame: Vec<i16> = (0..160).map(|i| ((f64::from(i) * 0.5).sin() * amplitude) as i16).collect();
        for _ in 0..ms / 20 {
            self.now += BEAT;
            self.session.hear(&frame, self.now);
            self.session.timeout(self.now);
            if self.session.is_playing() && matches!(self.session.beat(self.now), Beat::Frame { .. }) {
                self.frames += 1;
            }
            self.drain();
        }
    }

    fn silence(&mut self, ms: u64) {
        self.pass(ms, 0.0);
    }

    fn speech(&mut self, ms: u64) {
        self.pass(ms, 6_000.0);
    }

    fn say(&mut self, event: Value) {
        self.session.receive(&event.to_string(), self.now);
        self.drain();
    }

    fn create(&mut self) {
        self.say(json!({"type": "response.create", "event_id": "mine"}));
    }

    /// Types since the last call.
    fn take(&mut self) -> Vec<String> {
        self.events.drain(..).map(|e| e["type"].as_str().unwrap_or("?").to_owned()).collect()
    }

    fn last(&self, kind: &str) -> &Value {
        self.events
            .iter()
            .rfind(|e| e["type"] == kind)
            .unwrap_or_else(|| panic!("no {kind} in {:#?}", self.events))
    }

    fn error(&mut self) -> (String, Option<String>) {
        let error = self.last("error")["error"].clone();
        self.events.clear();
        let text = |name: &str| error[name].as_str().map(str::to_owned);
        (text("code").unwrap_or_default(), text("param"))
    }
}

/// Drops events that come in any number, so that orders can be compared.
fn without_deltas(kinds: Vec<String>) -> Vec<String> {
    kinds.into_iter().filter(|kind| !kind.ends_with(".delta")).collect()
}

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
fn a_caller_turn_becomes_an_item_a_response_and_a_transcript() {
    let mut talk = talk();
    talk.take();
    talk.silence(1_000);
    talk.speech(600);
    assert_eq!(talk.take(), ["input_audio_buffer.speech_started"]);
    talk.silence(480);
    assert_eq!(talk.take(), Vec::<String>::new());
    talk.silence(20);
    let ids: Vec<_> = ["input_audio_buffer.speech_stopped", "input_audio_buffer.committed"]
        .map(|kind| talk.last(kind)["item_id"].clone())
        .to_vec();
    assert_eq!(ids[0], ids[1]);
    assert_eq!(talk.last("input_audio_buffer.speech_stopped")["audio_end_ms"], 2_100);
    assert_eq!(talk.last("conversation.item.added")["item"]["content"][0]["type"], "input_audio");
    assert_eq!(
        talk.take()[..5],
        [
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
            "response.created"
        ]
    );
    talk.silence(400);
    let transcript = talk.last("conversation.item.input_audio_transcription.completed");
    assert_eq!((&transcript["transcript"], &transcript["item_id"]), (&json!("one"), &ids[0]));
    assert_eq!(talk.last("response.output_item.added")["item"]["role"], "assistant");
}

#[test]
fn an_interruption_cancels_clears_and_truncates_to_what_was_played() {
    let mut talk = talk();
    talk.speech(300);
    talk.silence(720);
    talk.take();
    talk.frames = 0;
    // The reply of 4 s is generated in 500 ms: speak while it is.
    talk.silence(100);
    talk.speech(60);
    let played = talk.frames;
    let done = talk.last("response.done")["response"].clone();
    assert_eq!(done["status_details"], json!({"type": "cancelled", "reason": "turn_detected"}));
    assert_eq!(done["output"][0]["status"], "incomplete");
    let truncated = talk.last("conversation.item.truncated")["audio_end_ms"].as_u64();
    let order = without_deltas(talk.take());
    let from = order.iter().position(|k| k == "input_audio_buffer.speech_started").expect("heard");
    assert_eq!(order[from + 1], "response.output_audio.done");
    assert_eq!(
        order[order.len() - 3..],
        ["response.done", "output_audio_buffer.cleared", "conversation.item.truncated"]
    );
    // The last beat of the interruption came after the clearing.
    assert_eq!(truncated, Some(played as u64 * 20));
    talk.silence(400);
    assert_eq!(talk.frames, played);
    let ended = talk.notes.iter().rfind(|n| matches!(n, Note::ReplyEnded { .. }));
    assert!(
        matches!(ended, Some(Note::ReplyEnded { truncated: true, played_ms, .. }) if *played_ms == played as u32 * 20)
    );
}

#[test]
fn an_interruption_after_generation_cancels_nothing() {
    let mut talk = talk();
    talk.speech(300);
    talk.silence(1_600);
    assert!(talk.take().contains(&"response.done".to_owned()));
    talk.speech(60);
    assert_eq!(
        talk.take(),
        ["input_audio_buffer.speech_started", "output_audio_buffer.cleared", "conversation.item.truncated"]
    );
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
fn without_interrupt_response_the_model_talks_on() {
    let mut request = request();
    request["audio"]["input"]["turn_detection"]["interrupt_response"] = false.into();
    let mut talk = talk_with(request, Unverified::default(), EventFaults::default());
    talk.speech(300);
    talk.silence(1_600);
    talk.take();
    talk.speech(200);
    assert_eq!(talk.take(), ["input_audio_buffer.speech_started"]);
    assert!(talk.session.is_playing());
}

#[test]
fn speech_that_stops_a_reply_before_its_first_sound_takes_no_turn_of_the_script() {
    let mut talk = talk();
    talk.speech(300);
    talk.silence(520);
    talk.speech(300);
    assert_eq!(talk.last("response.done")["response"]["status"], "cancelled");
    assert!(!talk.take().contains(&"output_audio_buffer.cleared".to_owned()));
    talk.silence(1_500);
    assert_eq!(
        talk.last("response.output_audio_transcript.done")["transcript"],
        "a long reply of seven words here"
    );
}

fn until_tool_call(talk: &mut Talk) -> Value {
    for _ in 0..2 {
        talk.speech(300);
        talk.silence(5_500);
    }
    talk.last("response.function_call_arguments.done").clone()
}

#[test]
fn a_tool_call_waits_for_its_output_and_is_answered_with_it() {
    let mut talk = talk();
    let call = until_tool_call(&mut talk);
    assert_eq!((&call["name"], &call["arguments"]), (&json!("lookup"), &json!("{\"city\":\"Lima\"}")));
    let done = talk.last("response.done")["response"]["output"][0].clone();
    assert_eq!((&done["type"], &done["call_id"]), (&json!("function_call"), &call["call_id"]));
    let item = json!({"type": "function_call_output", "call_id": call["call_id"], "output": "two"});
    talk.say(json!({"type": "conversation.item.create", "item": item}));
    talk.create();
    talk.silence(800);
    assert_eq!(talk.last("response.output_audio_transcript.done")["transcript"], "It says two");
    let stranger = json!({"type": "function_call_output", "call_id": "call_x", "output": "two"});
    talk.say(json!({"type": "conversation.item.create", "item": stranger}));
    assert_eq!(talk.error().0, "invalid_tool_call_id");
}

#[test]
fn a_session_without_the_tool_is_answered_at_once() {
    let mut request = request();
    request["tools"] = json!([]);
    let mut talk = talk_with(request, Unverified::default(), EventFaults::default());
    for _ in 0..2 {
        talk.speech(300);
        talk.silence(5_500);
    }
    assert_eq!(talk.last("response.output_audio_transcript.done")["transcript"], "It says ");
    assert!(talk.notes.iter().any(|n| matches!(n, Note::Remark(text) if text.contains("lookup"))));
}

#[test]
fn clients_are_refused_in_the_services_words() {
    let mut talk = talk();
    talk.say(json!({"type": "response.cancel"}));
    assert_eq!(talk.error().0, "response_cancel_not_active");
    talk.say(json!({"type": "input_audio_buffer.commit"}));
    assert_eq!(talk.error().0, "input_audio_buffer_commit_empty");
    talk.say(json!({"type": "response.audio.speak"}));
    assert_eq!(talk.error(), ("invalid_value".to_owned(), Some("type".to_owned())));
    talk.say(json!({"event_id": "x"}));
    assert_eq!(talk.error().0, "invalid_event");
    talk.say(json!({"type": "session.update"}));
    assert_eq!(talk.error(), ("missing_required_parameter".to_owned(), Some("session".to_owned())));
    talk.say(json!({"type": "session.update", "session": {"type": "realtime", "temperature": 1}}));
    assert_eq!(talk.error(), ("unknown_parameter".to_owned(), Some("session.temperature".to_owned())));
    talk.say(json!({"type": "response.create", "response": {"modalities": ["audio"]}}));
    assert_eq!(talk.error(), ("unknown_parameter".to_owned(), Some("response.modalities".to_owned())));
    talk.say(json!({"type": "conversation.item.delete", "item_id": "none"}));
    assert_eq!(talk.error().0, "item_not_found");
    talk.session.receive("{not json", talk.now);
    talk.drain();
    assert_eq!(talk.error().0, "invalid_json");
    talk.create();
    talk.create();
    assert_eq!(talk.last("error")["error"]["event_id"], "mine");
    assert_eq!(talk.error().0, "conversation_already_has_active_response");
    talk.silence(400);
    let voice = json!({"type": "realtime", "audio": {"output": {"voice": "marin"}}});
    talk.say(json!({"type": "session.update", "session": voice}));
    assert_eq!(talk.error().0, "cannot_update_voice");
}

#[test]
fn a_cancel_leaves_what_is_buffered_and_a_clear_takes_it() {
    let mut talk = talk();
    talk.create();
    talk.silence(240);
    talk.say(json!({"type": "response.cancel"}));
    assert_eq!(talk.last("response.done")["response"]["status_details"]["reason"], "client_cancelled");
    assert!(talk.session.is_playing());
    talk.say(json!({"type": "output_audio_buffer.clear"}));
    talk.last("output_audio_buffer.cleared");
    assert!(!talk.session.is_playing());
    talk.take();
    talk.say(json!({"type": "output_audio_buffer.clear"}));
    assert_eq!(talk.take(), Vec::<String>::new());
}

#[test]
fn a_client_may_truncate_within_what_was_generated() {
    let mut talk = talk();
    talk.create();
    talk.silence(600);
    let item = talk.last("response.output_item.added")["item"]["id"].clone();
    let truncate = |ms: u64| json!({"type": "conversation.item.truncate", "item_id": item, "content_index": 0, "audio_end_ms": ms});
    talk.say(truncate(1_001));
    assert_eq!(talk.error(), ("invalid_value".to_owned(), Some("audio_end_ms".to_owned())));
    talk.say(truncate(300));
    assert_eq!(talk.last("conversation.item.truncated")["audio_end_ms"], 300);
}

#[test]
fn push_to_talk_commits_by_hand() {
    let mut request = request();
    request["audio"]["input"]["turn_detection"] = Value::Null;
    let mut talk = talk_with(request, Unverified::default(), EventFaults::default());
    talk.speech(500);
    talk.take();
    talk.say(json!({"type": "input_audio_buffer.commit"}));
    talk.create();
    let kinds = talk.take();
    assert_eq!(kinds[..2], ["input_audio_buffer.committed", "conversation.item.added"]);
    talk.silence(1_000);
    assert_eq!(
        talk.last("response.output_audio_transcript.done")["transcript"],
        "a long reply of seven words here"
    );
}

#[test]
fn text_items_and_text_responses_need_no_sound() {
    let mut talk = talk();
    let item = json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]});
    talk.say(json!({"type": "conversation.item.create", "item": item}));
    talk.take();
    talk.say(json!({"type": "response.create", "response": {"output_modalities": ["text"]}}));
    talk.silence(400);
    assert_eq!(talk.last("response.output_text.done")["text"], "a long reply of seven words here");
    assert!(!talk.session.is_playing());
    talk.say(
        json!({"type": "response.create", "response": {"conversation": "none", "metadata": {"k": "v"}}}),
    );
    talk.create();
    assert_eq!(talk.events.iter().filter(|e| e["type"] == "error").count(), 0, "out-of-band runs beside");
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
