//! What goes wrong after the set-up, on purpose.

mod model_client;

use std::time::{Duration, Instant};

use model_client::{Client, session};
use serde_json::json;
use sim::model::{EventFaults, Faults, Huge, Line, MediaFaults, ModelConfig, ModelServer, Pause, Spray};
use sim::network::NetworkConfig;
use str0m::format::Codec;

fn server(media: MediaFaults, events: EventFaults) -> ModelServer {
    let faults = Faults { media, events, ..Faults::default() };
    let mut config = ModelConfig { faults, ..ModelConfig::default() };
    config.script.greeting = Line::of(["sorry-problems"]);
    ModelServer::start(config).expect("the server starts")
}

async fn call(server: &ModelServer) -> Client {
    Client::call(&server.base_url(), &[Codec::Opus], &session()).await
}

/// A client that is waiting for nothing: what must not happen is given this long to happen.
async fn a_while() {
    tokio::time::sleep(Duration::from_millis(400)).await;
}

#[tokio::test]
async fn a_silent_server_never_connects_or_goes_quiet() {
    let dead = server(
        MediaFaults { silent_after: Some(Duration::ZERO), ..Default::default() },
        EventFaults::default(),
    );
    let client = call(&dead).await;
    a_while().await;
    assert!(client.notes.lock().unwrap().connected.is_none());
    let quiet = MediaFaults { silent_after: Some(Duration::from_millis(900)), ..Default::default() };
    let quiet = server(quiet, EventFaults::default());
    let client = call(&quiet).await;
    client.event("session.created").await;
    client.send(json!({"type": "response.create"}));
    client.event("output_audio_buffer.started").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let packets = client.notes.lock().unwrap().rtp.len();
    a_while().await;
    assert_eq!(client.notes.lock().unwrap().rtp.len(), packets);
    assert!(packets > 5);
}

#[tokio::test]
async fn the_data_channel_may_never_open_or_close_early() {
    let deaf =
        server(MediaFaults { channel_never_opens: true, ..Default::default() }, EventFaults::default());
    let client = call(&deaf).await;
    client.until("connection", |notes| notes.connected).await;
    a_while().await;
    assert!(client.notes.lock().unwrap().open.is_none());
    let after = Some(Duration::from_millis(500));
    let closing =
        server(MediaFaults { channel_closes_after: after, ..Default::default() }, EventFaults::default());
    let client = call(&closing).await;
    client.event("session.created").await;
    client.send(json!({"type": "response.create"}));
    client.until("the channel's end", |notes| notes.channel_closed.then_some(())).await;
    let packets = client.notes.lock().unwrap().rtp.len();
    client.until("more sound", |notes| (notes.rtp.len() > packets + 20).then_some(())).await;
}

#[tokio::test]
async fn the_peer_may_close_in_mid_call() {
    let after = Some(Duration::from_millis(300));
    let server =
        server(MediaFaults { peer_closes_after: after, ..Default::default() }, EventFaults::default());
    let client = call(&server).await;
    client.until("close", |notes| notes.closed.then_some(())).await;
    a_while().await;
    assert_eq!(server.session(&client.call_id).unwrap().ended.map(|e| e.how), Some(sim::model::End::Fault));
}

#[tokio::test]
async fn sound_pauses_and_hurries() {
    let pause = Some(Pause { at: Duration::from_millis(1_000), length: Duration::from_millis(1_500) });
    let paused = server(MediaFaults { pause, ..Default::default() }, EventFaults::default());
    let hurried = server(MediaFaults { pace: 2.0, ..Default::default() }, EventFaults::default());
    let (slow, quick) = (call(&paused).await, call(&hurried).await);
    for client in [&slow, &quick] {
        client.event("session.created").await;
        client.send(json!({"type": "response.create"}));
    }
    let (started, _) = quick.event("output_audio_buffer.started").await;
    let (stopped, _) = quick.event("output_audio_buffer.stopped").await;
    let clip = sim::speech::clip("sorry-problems").unwrap().duration();
    assert!((stopped - started).abs_diff(clip / 2) < Duration::from_millis(100));
    slow.event("output_audio_buffer.stopped").await;
    let notes = slow.notes.lock().unwrap();
    let longest = notes.rtp.windows(2).map(|w| w[1].at - w[0].at).max().unwrap();
    assert!(longest.abs_diff(Duration::from_millis(1_500)) < Duration::from_millis(100), "{longest:?}");
}

#[tokio::test]
async fn foreign_packets_and_strange_events_disturb_no_healthy_client() {
    let spray = Spray { per_second: 500, at: Duration::ZERO, length: Duration::from_secs(2) };
    let events = EventFaults {
        unknown: true,
        invalid_json_at: Some(Duration::from_millis(50)),
        huge: Some(Huge { at: Duration::from_millis(100), bytes: 600_000 }),
        error: Some((Duration::from_millis(150), "server_error".to_owned())),
        ..Default::default()
    };
    let server = server(MediaFaults { spray: Some(spray), ..Default::default() }, events);
    let client = call(&server).await;
    client.event("error").await;
    let (_, huge) = client.event("x_huge.event").await;
    assert!(huge.to_string().len() > 600_000);
    client.send(json!({"type": "response.create"}));
    client.event("response.x_unknown.event").await;
    client.event("output_audio_buffer.stopped").await;
    assert_eq!(client.notes.lock().unwrap().raw.len(), 1);
}

#[tokio::test]
async fn malformed_payloads_arrive_as_ordered() {
    let server =
        server(MediaFaults { malformed_every: Some(5), ..Default::default() }, EventFaults::default());
    let client = call(&server).await;
    client.event("session.created").await;
    client.send(json!({"type": "response.create"}));
    client.event("output_audio_buffer.stopped").await;
    let notes = client.notes.lock().unwrap();
    assert!(notes.rtp.iter().filter(|p| p.payload.len() <= 6).count() > 10);
}

#[tokio::test]
async fn a_bad_network_loses_and_reorders_the_same_packets_every_time() {
    let run = async || {
        let network = NetworkConfig { loss: 0.1, reorder: 0.1, ..NetworkConfig::default() };
        let server = ModelServer::start(ModelConfig { network, ..ModelConfig::default() }).unwrap();
        let client = call(&server).await;
        client.event("session.created").await;
        client.send(json!({"type": "response.create"}));
        client.event("output_audio_buffer.stopped").await;
        let lost = server.session(&client.call_id).unwrap().rtp_out.lost;
        let notes = client.notes.lock().unwrap();
        let first = notes.rtp[0].sequence;
        (lost, notes.rtp.iter().map(|p| p.sequence.wrapping_sub(first) as i16).collect::<Vec<_>>())
    };
    let started = Instant::now();
    let (first, second) = tokio::join!(run(), run());
    assert!(first.0 > 10 && !first.1.is_sorted(), "{first:?}");
    // RTCP rides the same path, so only the bulk of the fates must agree.
    let same = first.1.iter().filter(|i| second.1.contains(i)).count();
    assert!(same * 10 > first.1.len() * 8, "{same} of {}", first.1.len());
    assert!(started.elapsed() < Duration::from_secs(15));
}
