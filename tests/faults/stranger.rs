//! Strangers: packets from addresses that ICE never checked (row 31), and a second stream with a token that was used (row 5).

use std::time::Duration;

use aria_bridge::call::CallEnd;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use sim::model::{Faults, MediaFaults, ModelConfig, Spray};
use sim::phone::{Moment, signature};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::verdict::ordinary;
use crate::support::house::{ACCOUNT, House, TOKEN};
use crate::support::lines::{self, ONE_TURN};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_31_packets_of_strangers_disturb_nothing() {
    // ClientHellos, alerts, STUN without credentials and forged RTP of the right stream, all through the call.
    let spray = Spray { per_second: 400, at: Duration::from_millis(200), length: Duration::from_secs(20) };
    let media = MediaFaults { spray: Some(spray), ..MediaFaults::default() };
    let model = ModelConfig { faults: Faults { media, ..Faults::default() }, ..lines::model() };
    let house = House::of(model).await;
    let held = house.call(0, ONE_TURN).await;
    let like = ordinary(&held, &["one-moment", "all-busy"], "a spray");
    println!("likeness under 400 foreign packets a second: {like:.3}");
    assert_eq!((held.session().rtp_in.missing, held.session().rtp_in.late), (0, 0));
}

/// Asks for the call's document again, as whoever replays a webhook would, and opens a stream with its token.
async fn intrude(house: &House, call_sid: &str) -> Option<u16> {
    let inbound = format!("http://{}/api/twilio/voice/inbound", house.address);
    let form = [("AccountSid", ACCOUNT), ("CallSid", call_sid), ("CallStatus", "ringing")];
    let form = form.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let client = reqwest::Client::builder().no_proxy().build().expect("a plain client");
    let request = client.post(&inbound).header("X-Twilio-Signature", signature::sign(TOKEN, &inbound, &form));
    let document = request.form(&form).send().await.expect("it answers").text().await.expect("text");
    let token = document.split_once(r#"name="token" value=""#).expect("a document with a token").1;
    let token = token.split_once('"').expect("an attribute").0;

    let media = format!("ws://{}/api/twilio/media", house.address);
    let mut request = media.as_str().into_client_request().expect("a URL");
    let signed = signature::sign(TOKEN, &media, &[]).parse().expect("base64");
    request.headers_mut().insert("X-Twilio-Signature", signed);
    let tcp = TcpStream::connect(house.address).await.expect("it listens");
    let (mut socket, _) = tokio_tungstenite::client_async(request, tcp).await.expect("it upgrades");
    let connected = json!({"event": "connected", "protocol": "Call", "version": "1.0.0"});
    let start = json!({"event": "start", "sequenceNumber": "1", "streamSid": "MZ1", "start": {
        "accountSid": ACCOUNT, "callSid": call_sid, "streamSid": "MZ1", "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"token": token}}});
    for message in [connected, start] {
        socket.send(Message::text(message.to_string())).await.expect("it is open");
    }
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Close(frame) = message {
            return frame.map(|f| f.code.into());
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_05_a_second_stream_with_a_used_token_is_refused_and_the_call_goes_on() {
    let house = House::of(lines::model()).await;
    let mut events = house.phone.events();
    let intruder = async {
        let call_sid = loop {
            let event = events.recv().await.expect("the phone tells");
            if event.entry.what == Moment::FirstAudio {
                break event.call_sid;
            }
        };
        intrude(&house, &call_sid).await
    };
    let (held, code) = tokio::join!(house.call(0, ONE_TURN), intruder);
    assert_eq!(code, Some(1008));
    ordinary(&held, &["one-moment", "all-busy"], "an intruder");
    assert_eq!((held.end(), held.sessions.len()), (Some(CallEnd::CallerHungUp), 1));
}
