//! Whole calls to the simulated model over real sockets.

mod model_client;

use std::time::{Duration, Instant};

use model_client::{Client, decode, rms, session};
use serde_json::json;
use sim::model::{Codecs, End, Idle, ModelConfig, ModelServer, Unverified};
use str0m::format::Codec;

fn server(config: ModelConfig) -> ModelServer {
    ModelServer::start(config).expect("the server starts")
}

fn create() -> serde_json::Value {
    json!({"type": "response.create"})
}

#[tokio::test]
async fn a_call_is_set_up_and_the_greeting_is_heard() {
    let server = server(ModelConfig::default());
    let client = Client::call(&server.base_url(), &[Codec::Opus], &session()).await;
    let (created, event) = client.event("session.created").await;
    println!("offer to session.created: {:?}", created - client.posted);
    assert_eq!(event["session"]["audio"]["input"]["turn_detection"]["silence_duration_ms"], 400);
    assert_eq!(event["session"]["instructions"], "You are ARIA.");
    client.event("conversation.created").await;
    assert!(client.notes.lock().unwrap().rtp.is_empty(), "the server never speaks first");
    client.send(create());
    let (done, _) = client.event("response.done").await;
    let (stopped, _) = client.event("output_audio_buffer.stopped").await;
    assert!(stopped - done > Duration::from_secs(3), "generation is far ahead of the sound");
    let notes = client.notes.lock().unwrap();
    let clip = sim::speech::clip("thank-you-for-calling").unwrap();
    let expected = clip.duration().as_millis().div_ceil(20) as usize;
    assert_eq!(notes.rtp.len(), expected);
    assert!(notes.rtp[0].marker && notes.rtp[1..].iter().all(|p| !p.marker));
    assert!(notes.rtp.windows(2).all(|w| w[1].sequence == w[0].sequence.wrapping_add(1)));
    assert!(notes.rtp.windows(2).all(|w| w[1].timestamp == w[0].timestamp.wrapping_add(960)));
    let heard = decode(&notes.rtp, true);
    let (got, wanted) = (rms(&heard), rms(&clip.samples_8k()));
    assert!((0.7..1.3).contains(&(got / wanted)), "heard {got}, said {wanted}");
    let span = notes.rtp.last().unwrap().at - notes.rtp[0].at;
    let ideal = Duration::from_millis(20) * (expected as u32 - 1);
    assert!(span.abs_diff(ideal) < Duration::from_millis(40), "{span:?} for {ideal:?}");
    let record = server.session(&client.call_id).expect("a record");
    let late = &record.rtp_out.lateness;
    println!(
        "connected {:?}, channel {:?}, pacing late p50 {:?} p99 {:?} max {:?}",
        record.connected_after,
        record.channel_after,
        late.percentile(0.5),
        late.percentile(0.99),
        late.max()
    );
    assert_eq!(record.replies[0].text, clip.text);
    assert_eq!(record.replies[0].played_ms, record.replies[0].total_ms);
    assert_eq!(record.request.session.as_ref().unwrap()["model"], "gpt-realtime-2.1");
}

#[tokio::test]
async fn the_caller_speaks_and_is_answered_in_either_codec() {
    tokio::join!(speak(Codec::Opus, true), speak(Codec::PCMU, false));
}

async fn speak(codec: Codec, is_opus: bool) {
    let server = server(ModelConfig::default());
    let client = Client::call(&server.base_url(), &[codec], &session()).await;
    client.event("session.created").await;
    client.say("something-wrong");
    let (_, started) = client.event("input_audio_buffer.speech_started").await;
    let (_, stopped) = client.event("input_audio_buffer.speech_stopped").await;
    let length = stopped["audio_end_ms"].as_u64().unwrap() - started["audio_start_ms"].as_u64().unwrap();
    assert!((1_500..4_500).contains(&length), "a turn of {length} ms");
    assert_eq!(started["item_id"], stopped["item_id"]);
    let (_, transcript) = client.event("conversation.item.input_audio_transcription.completed").await;
    assert_eq!(transcript["transcript"], "Something is terribly wrong!");
    client.event("output_audio_buffer.stopped").await;
    let rtp = client.notes.lock().unwrap().rtp.clone();
    assert!(rms(&decode(&rtp, is_opus)) > 1_000.0);
    let heard = server.heard(&client.call_id).expect("known");
    let said = sim::speech::clip("something-wrong").unwrap().samples_8k();
    let loudest = heard.chunks(160).map(rms).fold(0.0, f64::max);
    let wanted = said.chunks(160).map(rms).fold(0.0, f64::max);
    assert!((0.7..1.3).contains(&(loudest / wanted)), "{loudest} for {wanted}");
    let record = server.session(&client.call_id).unwrap();
    assert_eq!((record.rtp_in.missing, record.rtp_in.late, record.rtp_in.undecodable), (0, 0, 0));
    assert!(record.rtp_in.gaps.is_empty() && record.turns.len() == 1);
    println!(
        "arrival late p50 {:?} p99 {:?}",
        record.rtp_in.lateness.percentile(0.5),
        record.rtp_in.lateness.percentile(0.99)
    );
}

#[tokio::test]
async fn an_interruption_stops_the_sound_at_once_and_truncates_to_what_was_sent() {
    let server = server(ModelConfig::default());
    let client = Client::call(&server.base_url(), &[Codec::Opus], &session()).await;
    client.event("session.created").await;
    client.send(create());
    let (_, item) = client.event("response.output_item.added").await;
    client.event("output_audio_buffer.started").await;
    client.event("response.done").await;
    client.say("no");
    let (cleared, _) = client.event("output_audio_buffer.cleared").await;
    let (_, truncated) = client.event("conversation.item.truncated").await;
    assert_eq!(truncated["item_id"], item["item"]["id"]);
    client.event("input_audio_buffer.speech_stopped").await;
    let kinds = client.kinds();
    let at = |kind: &str| kinds.iter().position(|k| k == kind).unwrap();
    assert!(at("input_audio_buffer.speech_started") < at("output_audio_buffer.cleared"));
    assert!(at("output_audio_buffer.cleared") < at("conversation.item.truncated"));
    let notes = client.notes.lock().unwrap();
    let next_reply = notes.rtp.iter().skip(1).position(|p| p.marker).map_or(notes.rtp.len(), |i| i + 1);
    let first = &notes.rtp[..next_reply];
    assert_eq!(
        truncated["audio_end_ms"].as_u64().unwrap(),
        first.len() as u64 * 20,
        "what left is what counts"
    );
    let last = first.last().unwrap().at;
    assert!(last <= cleared + Duration::from_millis(20), "nothing after the clearing");
    drop(notes);
    let reply = server.session(&client.call_id).unwrap().replies[0].clone();
    assert!(reply.truncated && u64::from(reply.played_ms) == truncated["audio_end_ms"].as_u64().unwrap());
}

#[tokio::test]
async fn a_tool_is_called_and_its_output_answered() {
    let mut config = ModelConfig::default();
    config.script.turns.drain(..2);
    config.script.turns[0].answer = Some(sim::model::Line::Worded {
        clips: vec!["less-than".to_owned()],
        text: "The desk says {output}.".to_owned(),
    });
    let server = server(config);
    let client = Client::call(&server.base_url(), &[Codec::Opus], &session()).await;
    client.event("session.created").await;
    client.say("lima");
    let (_, call) = client.event("response.function_call_arguments.done").await;
    assert_eq!(
        (call["name"].as_str(), call["arguments"].as_str()),
        (Some("lookup"), Some("{\"city\":\"Lima\"}"))
    );
    let (_, done) = client.event("response.done").await;
    let output = done["response"]["output"].as_array().unwrap().clone();
    assert_eq!(
        (output[0]["type"].as_str(), output[1]["type"].as_str()),
        (Some("message"), Some("function_call"))
    );
    let item = json!({"type": "function_call_output", "call_id": call["call_id"], "output": "two minutes"});
    client.send(json!({"type": "conversation.item.create", "item": item}));
    client.send(create());
    let (_, transcript) = client.nth("response.output_audio_transcript.done", 1).await;
    assert_eq!(transcript["transcript"], "The desk says two minutes.");
    client.nth("output_audio_buffer.stopped", 1).await;
}

#[tokio::test]
async fn a_session_ends_by_hangup_by_the_client_and_by_age() {
    let server =
        server(ModelConfig { session_limit: Duration::from_millis(1_500), ..ModelConfig::default() });
    let by_hangup = Client::call(&server.base_url(), &[Codec::Opus], &session()).await;
    let by_client = Client::call(&server.base_url(), &[Codec::Opus], &session()).await;
    let by_age = Client::call(&server.base_url(), &[Codec::Opus], &session()).await;
    for client in [&by_hangup, &by_client, &by_age] {
        client.event("session.created").await;
    }
    let url = format!("{}/realtime/calls/{}/hangup", server.base_url(), by_hangup.call_id);
    let http = reqwest::Client::new();
    let hangup = || http.post(&url).bearer_auth("sk-test").send();
    assert_eq!(hangup().await.unwrap().status(), 200);
    by_hangup.until("close", |notes| notes.closed.then_some(())).await;
    by_client.close();
    by_age.event("error").await;
    by_age.until("close", |notes| notes.closed.then_some(())).await;
    let deadline = Instant::now() + Duration::from_secs(5);
    while server.active() > 0 {
        assert!(
            Instant::now() < deadline,
            "{:?}",
            server.sessions().iter().map(|s| s.ended.clone()).collect::<Vec<_>>()
        );
        // Polled: the end is written by the media thread.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let ends: Vec<_> = server.sessions().into_iter().map(|s| s.ended.unwrap().how).collect();
    assert_eq!(ends, [End::Hangup, End::PeerClosed, End::Expired]);
    let again = hangup().await.unwrap();
    assert_eq!(again.status(), 404);
    assert_eq!(again.json::<serde_json::Value>().await.unwrap()["error"]["code"], "call_id_not_found");
}

#[tokio::test]
async fn the_answers_variants_connect_too() {
    let bare = sim::model::AnswerForm {
        ice_lite: false,
        codecs: Codecs::OpusOnly,
        max_message_size: sim::model::MaxMessageSize::Absent,
        tcp_candidates: false,
        ..Default::default()
    };
    let unverified = Unverified { idle: Idle::Silence, frame_ms: 40, rtcp: false, ..Default::default() };
    let server = server(ModelConfig { answer: bare, unverified, ..ModelConfig::default() });
    let client = Client::call(&server.base_url(), &[Codec::Opus, Codec::PCMU], &session()).await;
    assert!(client.answer.contains("m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"), "{}", client.answer);
    client.event("session.created").await;
    client.until("silent packets", |notes| (notes.rtp.len() > 10).then_some(())).await;
    client.send(create());
    client.event("output_audio_buffer.started").await;
    client.until("speech", |notes| (notes.rtp.len() > 40).then_some(())).await;
    let notes = client.notes.lock().unwrap();
    assert!(notes.rtp.windows(2).all(|w| w[1].timestamp == w[0].timestamp.wrapping_add(1_920)));
    assert!(rms(&decode(&notes.rtp[..5], true)) < 20.0 && rms(&decode(&notes.rtp, true)) > 300.0);
}
