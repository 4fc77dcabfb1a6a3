//! The caller's turns and interruptions.

use serde_json::json;

use super::{closed, request, talk, talk_with, without_deltas};
use crate::model::faults::EventFaults;
use crate::model::record::Note;
use crate::model::unverified::Unverified;

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

#[test]
fn speech_older_than_the_channel_is_told_of_when_there_is_one() {
    let mut talk = closed(&request(), Unverified::default(), EventFaults::default());
    talk.speech(300);
    assert_eq!(talk.take(), Vec::<String>::new());
    talk.session.open(talk.now);
    talk.drain();
    assert_eq!(talk.take(), ["session.created", "conversation.created", "input_audio_buffer.speech_started"]);
    talk.silence(520);
    assert_eq!(talk.take()[0], "input_audio_buffer.speech_stopped");
}
