//! The model's peer on the async `webrtc` crate, as its own users write it: a handler, a driver task a connection, default
//! interceptors and timers. It speaks just enough of OpenAI's Realtime API for a client to hold a call, like the peers of other languages.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use rtc::ice::mdns::MulticastDnsMode;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::media_engine::MIME_TYPE_OPUS;
use rtc::rtp;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::interval;
use url::Url;
use webrtc::data_channel::{DataChannel, DataChannelEvent};
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder,
    RTCIceGatheringState, RTCSessionDescription, Registry, SettingEngineBuilder,
    register_default_interceptors,
};
use webrtc::runtime::default_runtime;

use super::opus::{Decoder, Encoder, FRAME, RATE};
use super::report::{Report, Session};
use super::tone;

const TONE_HZ: f64 = 440.0;
const TONE_FRAMES: u32 = 100;
const TRANSCRIPT: &str = "a tone of four hundred and forty hertz";

/// The endpoint, as a server of this process.
pub struct Model {
    /// `http://127.0.0.1:PORT/v1`.
    pub url: Url,
    calls: Arc<Calls>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct Calls(Mutex<Vec<Arc<Call>>>);

struct Call {
    peer: Arc<dyn PeerConnection>,
    seen: Arc<Seen>,
}

/// What the handler fills. It holds no connection, channel or track: those hold the handler, and a cycle would keep all.
#[derive(Default)]
struct Seen {
    session: Mutex<Session>,
    heard: Mutex<Vec<i16>>,
    /// Frames of tone still to play.
    tone: AtomicU32,
    drained: Notify,
    closed: AtomicBool,
}

impl Model {
    /// Listens on a free port of loopback.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let calls = Arc::new(Calls::default());
        let routes = Router::new()
            .route("/v1/realtime/calls", post(create))
            .route("/v1/realtime/calls/{id}/hangup", post(hang_up))
            .route("/report", get(report))
            .with_state(calls.clone());
        let server =
            tokio::spawn(async move { axum::serve(listener, routes).await.expect("the server runs") });
        let url = Url::parse(&format!("http://127.0.0.1:{port}/v1")).expect("a port makes a URL");
        Self { url, calls, server }
    }

    /// Closes every connection. Dropping one that was not closed would leak its driver and its socket.
    pub async fn stop(self) {
        self.server.abort();
        let calls = std::mem::take(&mut *self.calls.0.lock().expect("no test thread panicked"));
        for call in calls {
            call.close().await;
        }
    }
}

impl Call {
    async fn close(&self) {
        self.seen.closed.store(true, Ordering::Relaxed);
        let _ = self.peer.close().await;
    }
}

async fn create(State(calls): State<Arc<Calls>>, body: String) -> impl IntoResponse {
    let (offer, settings) = (part(&body, "sdp"), part(&body, "session"));
    let seen = Arc::new(Seen::default());
    {
        let mut session = seen.session.lock().expect("no test thread panicked");
        session.offer = offer.clone();
        session.session = serde_json::from_str(&settings).expect("the session is JSON");
    }
    let (peer, answer) = answer(&offer, seen.clone()).await.expect("the offer is accepted");
    let mut calls = calls.0.lock().expect("no test thread panicked");
    calls.push(Arc::new(Call { peer, seen }));
    let location = format!("/v1/realtime/calls/rtc_{}", calls.len());
    (
        StatusCode::CREATED,
        [(header::LOCATION, location), (header::CONTENT_TYPE, "application/sdp".into())],
        answer,
    )
}

async fn hang_up(State(calls): State<Arc<Calls>>, Path(id): Path<String>) -> StatusCode {
    let index = id.strip_prefix("rtc_").and_then(|n| n.parse::<usize>().ok()).unwrap_or(0);
    let call = calls.0.lock().expect("no test thread panicked").get(index.wrapping_sub(1)).cloned();
    let Some(call) = call else { return StatusCode::NOT_FOUND };
    call.close().await;
    StatusCode::OK
}

async fn report(State(calls): State<Arc<Calls>>) -> Json<Report> {
    let calls = calls.0.lock().expect("no test thread panicked");
    let sessions = calls.iter().map(|call| {
        let mut session = call.seen.session.lock().expect("no test thread panicked").clone();
        let heard = call.seen.heard.lock().expect("no test thread panicked");
        (session.tone_seconds, session.tone_hz) = tone::find(&heard, RATE);
        session
    });
    Json(Report { stack: "webrtc 0.21".into(), calls: sessions.collect() })
}

/// The content of one part of a multipart body.
fn part(body: &str, name: &str) -> String {
    let boundary = body.split("\r\n").next().expect("a body has a first line");
    let part =
        body.split(boundary).find(|p| p.contains(&format!("name=\"{name}\""))).expect("the part is there");
    let content = part.split_once("\r\n\r\n").expect("headers end with an empty line").1;
    content.strip_suffix("\r\n").expect("a part ends before its boundary").to_owned()
}

fn opus() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: MIME_TYPE_OPUS.into(),
        clock_rate: RATE,
        channels: 2,
        sdp_fmtp_line: "minptime=10;useinbandfec=1".into(),
        rtcp_feedback: Vec::new(),
    }
}

async fn answer(offer: &str, seen: Arc<Seen>) -> webrtc::error::Result<(Arc<dyn PeerConnection>, String)> {
    let mut media = MediaEngine::default();
    media.register_codec(
        RTCRtpCodecParameters { rtp_codec: opus(), payload_type: 111 },
        RtpCodecKind::Audio,
    )?;
    let registry = register_default_interceptors(Registry::new(), &mut media)?;
    let (gathered, mut gathering) = mpsc::channel(1);
    let peer = PeerConnectionBuilder::new()
        .with_configuration(RTCConfigurationBuilder::new().build())
        .with_media_engine(media)
        .with_interceptor_registry(registry)
        // The default opens a multicast socket.
        .with_setting_engine(
            SettingEngineBuilder::new().with_multicast_dns_mode(MulticastDnsMode::Disabled).build(),
        )
        .with_runtime(default_runtime().expect("the feature runtime-tokio is on"))
        .with_handler(Arc::new(Handler { seen: seen.clone(), gathered }))
        .with_udp_addrs(vec!["127.0.0.1:0".to_owned()])
        .build()
        .await?;
    let peer: Arc<dyn PeerConnection> = Arc::new(peer);
    let ssrc = rand::random();
    let track: Arc<dyn TrackLocal> = Arc::new(TrackLocalStaticRTP::new(MediaStreamTrack::new(
        "realtimeapi".into(),
        "audio".into(),
        "audio".into(),
        RtpCodecKind::Audio,
        vec![RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(ssrc), ..Default::default() },
            codec: opus(),
            ..Default::default()
        }],
    )));
    peer.add_track(track.clone()).await?;
    peer.set_remote_description(RTCSessionDescription::offer(offer.to_owned())?).await?;
    let answer = peer.create_answer(None).await?;
    peer.set_local_description(answer).await?;
    gathering.recv().await;
    let answer = peer.local_description().await.expect("it was just set").sdp;
    tokio::spawn(speak(track, ssrc, seen));
    Ok((peer, answer))
}

struct Handler {
    seen: Arc<Seen>,
    gathered: mpsc::Sender<()>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            let _ = self.gathered.try_send(());
        }
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        tokio::spawn(converse(channel, self.seen.clone()));
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        tokio::spawn(listen(track, self.seen.clone()));
    }
}

async fn converse(channel: Arc<dyn DataChannel>, seen: Arc<Seen>) {
    while let Some(event) = channel.poll().await {
        match event {
            DataChannelEvent::OnOpen => {
                let label = channel.label().await.ok();
                let mut settings = {
                    let mut session = seen.session.lock().expect("no test thread panicked");
                    session.channel = label;
                    session.session.clone()
                };
                // Real sessions echo long instructions: the client must take a message of many SCTP chunks.
                settings["instructions"] = Value::from("You are a tone. ".repeat(2_500));
                send(&channel, "session.created", json!({ "session": settings })).await;
            }
            DataChannelEvent::OnMessage(message) => {
                let event: Value = serde_json::from_slice(&message.data).expect("events are JSON");
                let kind = event["type"].as_str().unwrap_or_default().to_owned();
                if kind == "response.create" {
                    tokio::spawn(respond(channel.clone(), seen.clone()));
                }
                let mut session = seen.session.lock().expect("no test thread panicked");
                session.largest_event = session.largest_event.max(message.data.len());
                session.events.push(kind);
            }
            DataChannelEvent::OnClose => break,
            _ => {}
        }
    }
    seen.session.lock().expect("no test thread panicked").channel_closed = true;
}

async fn send(channel: &Arc<dyn DataChannel>, kind: &str, mut event: Value) {
    event["type"] = Value::from(kind);
    let _ = channel.send_text(&event.to_string()).await;
}

async fn respond(channel: Arc<dyn DataChannel>, seen: Arc<Seen>) {
    send(&channel, "response.created", json!({ "response": { "id": "resp_1" } })).await;
    send(&channel, "output_audio_buffer.started", json!({ "response_id": "resp_1" })).await;
    seen.tone.store(TONE_FRAMES, Ordering::Relaxed);
    send(&channel, "response.output_audio_transcript.done", json!({ "transcript": TRANSCRIPT })).await;
    send(&channel, "response.done", json!({ "response": { "id": "resp_1", "status": "completed" } })).await;
    seen.drained.notified().await;
    send(&channel, "output_audio_buffer.stopped", json!({ "response_id": "resp_1" })).await;
}

/// 20 ms of Opus every 20 ms until the call is closed: a tone while one is asked for, silence otherwise.
async fn speak(track: Arc<dyn TrackLocal>, ssrc: u32, seen: Arc<Seen>) {
    let mut encoder = Encoder::new();
    let mut beat = interval(Duration::from_millis(20));
    for n in 0_u32.. {
        beat.tick().await;
        if seen.closed.load(Ordering::Relaxed) {
            return;
        }
        let left = seen.tone.load(Ordering::Relaxed);
        let samples = if left > 0 {
            if seen.tone.fetch_sub(1, Ordering::Relaxed) == 1 {
                seen.drained.notify_one();
            }
            tone::sine(TONE_HZ, RATE, (TONE_FRAMES - left) as usize * FRAME, FRAME)
        } else {
            vec![0; FRAME]
        };
        let header = rtp::header::Header {
            version: 2,
            payload_type: 111,
            sequence_number: n as u16,
            timestamp: n.wrapping_mul(FRAME as u32),
            ssrc,
            ..Default::default()
        };
        // Refused until the connection is up.
        let _ = track.write_rtp(rtp::Packet { header, payload: encoder.encode(&samples).into() }).await;
    }
}

async fn listen(track: Arc<dyn TrackRemote>, seen: Arc<Seen>) {
    let mut decoder = Decoder::new();
    while let Some(event) = track.poll().await {
        if let TrackRemoteEvent::OnRtpPacket(packet) = event {
            let samples = decoder.decode(&packet.payload);
            seen.heard.lock().expect("no test thread panicked").extend(samples);
            seen.session.lock().expect("no test thread panicked").frames += 1;
        }
    }
}
