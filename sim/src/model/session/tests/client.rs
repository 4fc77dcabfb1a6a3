//! What clients ask for and are refused.

use serde_json::{Value, json};

use super::{Talk, request, talk, talk_with};
use crate::model::faults::EventFaults;
use crate::model::record::Note;
use crate::model::unverified::Unverified;

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
