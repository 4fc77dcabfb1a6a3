//! The session as a WebSocket has it: sound in deltas, played and truncated by the client.

use super::*;

fn over_socket() -> Talk {
    let mut request = request();
    request["audio"]["output"] = json!({"format": {"type": "audio/pcmu"}});
    request["audio"]["input"]["format"] = json!({"type": "audio/pcmu"});
    let mut talk = closed_over(Transport::WebSocket, &request, Unverified::default(), EventFaults::default());
    talk.session.open(talk.now);
    talk.drain();
    talk
}

/// Bytes in the deltas so far, and the item they are of.
fn sound(talk: &Talk) -> (usize, String) {
    let deltas = talk.events.iter().filter(|e| e["type"] == "response.output_audio.delta");
    deltas.fold((0, String::new()), |(bytes, _), event| {
        let delta = event["delta"].as_str().expect("base64");
        let decoded = base64_simd::STANDARD.decode_to_vec(delta).expect("base64");
        (bytes + decoded.len(), event["item_id"].as_str().expect("an id").to_owned())
    })
}

fn truncate(talk: &mut Talk, item: &str, ms: u32) {
    let event = json!({"type": "conversation.item.truncate", "item_id": item, "content_index": 0,
                       "audio_end_ms": ms});
    talk.say(event);
}

#[test]
fn sound_comes_in_deltas_faster_than_it_is_played_and_no_buffer_is_spoken_of() {
    let mut talk = over_socket();
    talk.create();
    // 200 ms until the first sound, then 1 s of it at eight times its pace; a frame of these tests is one byte.
    talk.silence(340);
    assert_eq!(sound(&talk).0, 50);
    assert_eq!(talk.last("response.done")["response"]["status"], "completed");
    assert_eq!(talk.last("response.created")["response"]["audio"]["output"]["format"]["type"], "audio/pcmu");
    assert!(!talk.take().iter().any(|kind| kind.starts_with("output_audio_buffer")));
    assert_eq!(talk.frames, 0);
    talk.say(json!({"type": "output_audio_buffer.clear"}));
    assert_eq!(talk.error().0, "invalid_event");
}

#[test]
fn truncation_is_the_clients_and_refused_in_the_services_words() {
    let mut talk = over_socket();
    talk.create();
    talk.silence(80);
    let item = talk.last("response.created")["response"]["id"].clone();
    truncate(&mut talk, item.as_str().expect("an id"), 0);
    assert_eq!(talk.error().0, "item_not_found");
    talk.silence(400);
    let (_, item) = sound(&talk);
    truncate(&mut talk, &item, 1_020);
    let message = talk.last("error")["error"]["message"].clone();
    assert_eq!(message, "Audio content of 1000ms is already shorter than 1020ms");
    truncate(&mut talk, &item, 500);
    assert_eq!(talk.last("conversation.item.truncated")["audio_end_ms"], 500);
    assert!(talk.notes.contains(&Note::Truncated { item_id: item.clone(), audio_end_ms: 500 }));
    talk.say(json!({"type": "conversation.item.retrieve", "item_id": item}));
    let words = talk.last("conversation.item.retrieved")["item"]["content"][0]["transcript"].clone();
    assert_eq!(words, "Hello");
}

#[test]
fn speech_cancels_what_is_generated_and_an_item_without_sound_cannot_be_truncated() {
    let mut talk = over_socket();
    talk.create();
    talk.silence(220);
    talk.speech(200);
    let done = talk.last("response.done")["response"].clone();
    assert_eq!(
        (&done["status"], &done["status_details"]["reason"]),
        (&json!("cancelled"), &json!("turn_detected"))
    );
    let (bytes, item) = sound(&talk);
    assert!((10..50).contains(&bytes), "{bytes}");
    talk.events.clear();
    truncate(&mut talk, &item, bytes as u32 * 20 + 1);
    assert_eq!(talk.error(), ("invalid_value".to_owned(), Some("audio_end_ms".to_owned())));
    truncate(&mut talk, &item, 100);
    assert_eq!(talk.last("conversation.item.truncated")["audio_end_ms"], 100);
    // The caller's own item has no sound of the model's.
    talk.silence(600);
    let user = talk.last("input_audio_buffer.committed")["item_id"].clone();
    truncate(&mut talk, user.as_str().expect("an id"), 0);
    assert_eq!(talk.last("error")["error"]["message"], "Only model output audio messages can be truncated");
    assert_eq!(talk.error().0, "unsupported_content_type");
}
