//! Our side: the leg with a call's audio road behind it, and a caller who sings.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use aria_bridge::bell::TaskBell;
use aria_bridge::config::{OpenAiSettings, Secret};
use aria_bridge::openai::connect::Client;
use aria_bridge::openai::leg::{self, LegCommand, LegEvent, Rings, Transport};
use aria_bridge::openai::link::Link;
use pipeline::{CallConfig, MediaFrame, ModelCodec, Silent, Workers, WorkersConfig};
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use url::Url;

use super::report::{self, Session};
use super::tone;

/// The caller's tone; the peer plays 440 Hz.
const CALLER_HZ: f64 = 600.0;
const MODEL_HZ: f64 = 440.0;
const FRAME: usize = 160;
/// 2 s of tone each way, of which this much must arrive loud and clear.
const TONE_SECONDS: f64 = 1.5;
/// Relative error of a frequency: mu-law and Opus bend a zero crossing, a wrong sample rate bends more.
const TOLERANCE: f64 = 0.02;
/// From the request to the server's first event. The `webrtc` crate needs 0.6 s of it by its own timers.
const SET_UP: Duration = Duration::from_secs(3);
/// How soon each side must know that the other has closed.
const CLOSED: Duration = Duration::from_secs(3);
/// No single step takes longer.
const STEP: Duration = Duration::from_secs(10);
/// Larger than any SCTP packet and than 16 KiB, the least that WebRTC stacks agree on.
const LONG_TEXT: usize = 40_000;

/// A running leg and what it tells.
struct Running {
    link: Link,
    asked: Instant,
}

/// A call in Opus, one with G.711 offered first, of which the peer makes `preferring_g711`, and one that the peer ends.
pub async fn hold_calls(base: &Url, preferring_g711: ModelCodec) {
    let settings = OpenAiSettings { api_key: None, base_url: base.clone() };
    let client = Client::new(&settings, Secret::new("sk-interop")).expect("a client needs no network");
    talk(&client, base, 0, &[ModelCodec::Opus], ModelCodec::Opus).await;
    talk(&client, base, 1, &[ModelCodec::Pcmu, ModelCodec::Opus], preferring_g711).await;
    be_hung_up_on(&client).await;
}

async fn open(client: &Client, codecs: &[ModelCodec]) -> Running {
    let asked = Instant::now();
    let session = json!({ "type": "realtime", "model": "gpt-realtime-2.1" }).to_string();
    let wanted = AtomicBool::new(true);
    let leg = leg::open(client, &session, "caller", codecs, Transport::WebRtc, &wanted);
    let leg = leg.await.expect("the peer takes the call");
    Running { link: leg.start(&tokio::runtime::Handle::current()), asked }
}

impl Running {
    async fn event(&mut self) -> LegEvent {
        timeout(STEP, self.link.next()).await.expect("an event in time").expect("Lost comes before the end")
    }

    /// The next event of the server.
    async fn server_event(&mut self) -> Value {
        loop {
            match self.event().await {
                LegEvent::Text(text) => return serde_json::from_str(&text).expect("events are JSON"),
                LegEvent::Lost => panic!("the connection was lost"),
                _ => {}
            }
        }
    }

    async fn send(&self, event: Value) {
        self.link.send(LegCommand::Text(event.to_string())).await;
    }
}

async fn talk(client: &Client, base: &Url, index: usize, codecs: &[ModelCodec], expected: ModelCodec) {
    let mut leg = open(client, codecs).await;
    assert_eq!(leg.link.codec, expected);
    let granted = leg.asked.elapsed();
    let workers = Workers::start(WorkersConfig::default()).expect("a thread can be started");
    let config = CallConfig { codec: leg.link.codec, ..CallConfig::default() };
    let bell = Arc::new(TaskBell::default());
    let (ports, slot) = pipeline::call(config, Arc::new(Silent), bell.clone());
    assert!(workers.add(slot).is_ok(), "a fresh worker has room");
    let rings = Rings { port: ports.model, bell, sent: Arc::default() };
    leg.link.send(LegCommand::Audio(Box::new(rings))).await;
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let caller = tokio::spawn(sing(ports.media, stopped));

    // Sent before the channel is open: it waits for it.
    leg.send(json!({ "type": "conversation.item.create", "item": { "text": "x".repeat(LONG_TEXT) } })).await;
    let created = leg.server_event().await;
    let set_up = leg.asked.elapsed();
    assert_eq!(created["type"], "session.created");
    assert_eq!(created["session"]["instructions"].as_str().map(str::len), Some(LONG_TEXT));
    assert!(set_up < SET_UP, "set up in {set_up:?}");

    leg.send(json!({ "type": "response.create" })).await;
    let mut kinds = Vec::new();
    let mut transcript = String::new();
    while kinds.last().is_none_or(|k| k != "output_audio_buffer.stopped") {
        let event = leg.server_event().await;
        kinds.push(event["type"].as_str().unwrap_or_default().to_owned());
        transcript.push_str(event["transcript"].as_str().unwrap_or_default());
    }
    assert_eq!(
        kinds,
        [
            "response.created",
            "output_audio_buffer.started",
            "response.output_audio_transcript.done",
            "response.done",
            "output_audio_buffer.stopped"
        ]
    );
    assert_eq!(transcript, "a tone of four hundred and forty hertz");

    let sung = |s: &Session| s.tone_seconds >= TONE_SECONDS;
    report::wait_for(base, index, STEP, "the caller's tone", sung).await;
    stop.send(()).expect("the caller sings on");
    let heard = caller.await.expect("the caller does not panic");
    let (seconds, hz) = tone::find(&heard, 8_000);

    let asked_to_close = Instant::now();
    leg.link.send(LegCommand::Close).await;
    while !matches!(leg.event().await, LegEvent::Lost) {}
    timeout(STEP, leg.link.close()).await.expect("the leg's task ends").expect("it gives the rings back");
    let ours = asked_to_close.elapsed();
    let (report, theirs) =
        report::wait_for(base, index, CLOSED, "the peer sees the channel close", |s| s.channel_closed).await;
    workers.shutdown();

    let seen = &report.calls[index];
    report::tell(&format!(
        "{} in {expected:?}: answer {granted:?}, set up {set_up:?}; we heard {seconds:.2} s of {hz:.1} Hz, it heard {:.2} s of {:.1} Hz in {} \
         frames; closed after {ours:?} here, {theirs:?} there",
        report.stack, seen.tone_seconds, seen.tone_hz, seen.frames
    ));
    assert!(seconds >= TONE_SECONDS && close_to(hz, MODEL_HZ), "we heard {seconds:.2} s of {hz:.1} Hz");
    assert!(close_to(seen.tone_hz, CALLER_HZ), "the peer heard {:.1} Hz", seen.tone_hz);
    assert_eq!(seen.channel.as_deref(), Some("oai-events"));
    assert_eq!(seen.events, ["conversation.item.create", "response.create"]);
    assert!(seen.largest_event > LONG_TEXT);
    assert_eq!(seen.session["model"], "gpt-realtime-2.1");
}

/// The peer ends the call, as the server does when a session expires.
async fn be_hung_up_on(client: &Client) {
    let mut leg = open(client, &[ModelCodec::Opus]).await;
    assert_eq!(leg.server_event().await["type"], "session.created");
    let asked = Instant::now();
    client.hang_up(leg.link.call_id().expect("the peer names the call")).await;
    while !matches!(leg.event().await, LegEvent::Lost) {}
    assert!(asked.elapsed() < CLOSED, "known after {:?}", asked.elapsed());
    assert!(timeout(STEP, leg.link.close()).await.expect("the leg's task ends").is_none(), "it had no rings");
}

fn close_to(hz: f64, wanted: f64) -> bool {
    (hz - wanted).abs() < wanted * TOLERANCE
}

/// 20 ms of mu-law every 20 ms, a tone throughout; gives what came back as samples at 8 kHz.
async fn sing(mut port: pipeline::MediaPort, mut stopped: tokio::sync::oneshot::Receiver<()>) -> Vec<i16> {
    let mut heard = Vec::new();
    let mut beat = interval(Duration::from_millis(20));
    beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for n in 0.. {
        tokio::select! {
            _ = beat.tick() => {}
            _ = &mut stopped => break,
        }
        let samples = tone::sine(CALLER_HZ, 8_000, n * FRAME, FRAME);
        let payload: Vec<u8> = samples.into_iter().map(tone::to_mulaw).collect();
        let frame = MediaFrame::new(pipeline::now(), (n * FRAME) as u64, &payload).expect("160 bytes fit");
        // Full only while the session comes up: the oldest is dropped, as in a real call.
        let _ = port.push(&frame);
        while let Some(frame) = port.pop() {
            heard.extend(frame.payload().iter().map(|code| tone::from_mulaw(*code)));
        }
    }
    heard
}
