//! The leg by itself: its boundary, and what ends it.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use aria_bridge::config::{OpenAiSettings, Secret};
use aria_bridge::openai::connect::{Client, ConnectError};
use aria_bridge::openai::leg::{self, LegCommand, LegEvent, Opened, Transport};
use aria_bridge::openai::link::Link;
use pipeline::ModelCodec;
use serde_json::{Value, json};
use sim::model::{End, Faults, MediaFaults, ModelConfig, ModelServer};
use tokio::time::timeout;

/// How long anything here may take.
const STEP: Duration = Duration::from_secs(5);

async fn open(server: &ModelServer, transport: Transport) -> Result<Opened, ConnectError> {
    let base_url = server.base_url().parse().expect("an address makes a URL");
    let client = Client::new(&OpenAiSettings { api_key: None, base_url }, Secret::new("sk-test"))?;
    let session = json!({ "type": "realtime", "model": "m", "instructions": "Be brief.", "tools": [] });
    let codecs = [ModelCodec::Opus];
    leg::open(&client, &session.to_string(), "caller", &codecs, transport, &AtomicBool::new(true)).await
}

struct Running(Link);

fn run(leg: Opened) -> Running {
    Running(leg.start(&tokio::runtime::Handle::current()))
}

impl Running {
    async fn event(&mut self) -> LegEvent {
        timeout(STEP, self.0.next()).await.expect("an event in time").expect("Lost comes before the end")
    }

    async fn text(&mut self) -> Value {
        loop {
            match self.event().await {
                LegEvent::Text(text) => return serde_json::from_str(&text).expect("events are JSON"),
                LegEvent::Lost => panic!("the connection was lost"),
                _ => {}
            }
        }
    }

    async fn lost(&mut self) {
        while !matches!(self.event().await, LegEvent::Lost) {}
        assert!(timeout(STEP, self.0.next()).await.expect("in time").is_none(), "Lost is the last event");
    }
}

/// How the server saw the session end. It learns of it from the socket, after us.
async fn ended(server: &ModelServer) -> End {
    let seen = async {
        loop {
            if let Some(ended) = &server.sessions()[0].ended {
                return ended.how.clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(STEP, seen).await.expect("the server lets go of it")
}

#[tokio::test]
async fn the_session_has_our_settings_before_anything_is_said() {
    let server = ModelServer::start(ModelConfig::default()).expect("a simulated model");
    let leg = open(&server, Transport::WebSocket).await.expect("a session");
    let mut leg = run(leg);
    assert_eq!(
        (leg.0.transport, leg.0.codec, leg.0.call_id()),
        (Transport::WebSocket, ModelCodec::Pcmu, None)
    );
    assert!(matches!(leg.event().await, LegEvent::Connected));
    assert!(matches!(leg.event().await, LegEvent::ChannelOpen));
    assert_eq!(leg.text().await["type"], "session.created");
    let updated = loop {
        let event = leg.text().await;
        if event["type"] == "session.updated" {
            break event;
        }
    };
    assert_eq!(updated["session"]["instructions"], "Be brief.");
    for side in ["input", "output"] {
        assert_eq!(updated["session"]["audio"][side]["format"]["type"], "audio/pcmu");
    }
    let record = &server.sessions()[0];
    assert_eq!(record.request.safety_identifier.as_deref(), Some("caller"));
    leg.0.send(LegCommand::Close).await;
    leg.lost().await;
    assert_eq!(ended(&server).await, End::PeerClosed);
}

#[tokio::test]
async fn every_end_of_the_socket_is_told() {
    let at = Some(Duration::from_millis(300));
    let faults = [
        ("cut", MediaFaults { socket_cut_after: at, ..MediaFaults::default() }),
        ("closed in order", MediaFaults { channel_closes_after: at, ..MediaFaults::default() }),
        ("closed with an error", MediaFaults { peer_closes_after: at, ..MediaFaults::default() }),
    ];
    for (what, media) in faults {
        let config = ModelConfig { faults: Faults { media, ..Faults::default() }, ..ModelConfig::default() };
        let server = ModelServer::start(config).expect("a simulated model");
        let mut leg = run(open(&server, Transport::WebSocket).await.expect("a session"));
        leg.lost().await;
        println!("{what}: told");
    }
    // A session at its age says so and closes.
    let config = ModelConfig { session_limit: Duration::from_millis(500), ..ModelConfig::default() };
    let server = ModelServer::start(config).expect("a simulated model");
    let mut leg = run(open(&server, Transport::WebSocket).await.expect("a session"));
    let error = loop {
        let event = leg.text().await;
        if event["type"] == "error" {
            break event;
        }
    };
    assert_eq!(error["error"]["code"], "session_expired");
    leg.lost().await;
    assert_eq!(ended(&server).await, End::Expired);
}

/// Nothing is read any more and nothing comes, but the connection stands.
#[tokio::test]
async fn a_server_that_has_fallen_silent_is_noticed() {
    let media = MediaFaults { silent_after: Some(Duration::from_millis(500)), ..MediaFaults::default() };
    let config = ModelConfig { faults: Faults { media, ..Faults::default() }, ..ModelConfig::default() };
    let server = ModelServer::start(config).expect("a simulated model");
    let mut leg = run(open(&server, Transport::WebSocket).await.expect("a session"));
    let lost = async { while !matches!(leg.0.next().await, Some(LegEvent::Lost) | None) {} };
    timeout(Duration::from_secs(14), lost).await.expect("it is noticed");
}

#[tokio::test]
async fn each_way_alone_is_the_only_one() {
    let faults = Faults { webrtc_refused: Some(400), ..Faults::default() };
    let server = ModelServer::start(ModelConfig { faults, ..ModelConfig::default() }).expect("a model");
    let refused = open(&server, Transport::WebRtc).await.map(|_| ()).expect_err("WebRTC alone is refused");
    assert!(matches!(refused, ConnectError::Refused { status: 400, .. }), "{refused}");
    let faults = Faults { websocket_refused: Some(403), ..Faults::default() };
    let server = ModelServer::start(ModelConfig { faults, ..ModelConfig::default() }).expect("a model");
    let refused = open(&server, Transport::WebSocket).await.map(|_| ()).expect_err("a WebSocket is refused");
    assert!(matches!(refused, ConnectError::Refused { status: 403, .. }), "{refused}");
    let leg = open(&server, Transport::Auto).await.expect("WebRTC is there");
    assert_eq!(leg.transport(), Transport::WebRtc);
}
