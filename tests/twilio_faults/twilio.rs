//! Twilio as the bridge sees it, made by hand: signed webhooks and a media stream's client. Shares nothing with the bridge's own
//! code for either.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use base64_simd::STANDARD;
use futures_util::{SinkExt, StreamExt};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha1::Sha1;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::host::{ACCOUNT, Host, TOKEN};

pub type Pairs<'a> = Vec<(&'a str, &'a str)>;

/// A `CallSid` nobody else has.
pub fn new_sid() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("CA{:032x}", NEXT.fetch_add(1, SeqCst))
}

/// <https://www.twilio.com/docs/usage/webhooks/webhooks-security>
pub fn sign(token: &str, url: &str, pairs: &[(&str, &str)]) -> String {
    let mut sorted = pairs.to_vec();
    sorted.sort();
    sorted.dedup();
    let mut mac = Hmac::<Sha1>::new_from_slice(token.as_bytes()).unwrap();
    mac.update(url.as_bytes());
    for (name, value) in sorted {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    STANDARD.encode_to_string(mac.finalize().into_bytes())
}

pub fn inbound(sid: &str) -> Pairs<'_> {
    vec![
        ("AccountSid", ACCOUNT),
        ("CallSid", sid),
        ("CallStatus", "ringing"),
        ("CallerZip", ""),
        ("CallToken", "%7B%22parentCallInfoToken%22%3A%22x.y%22%7D"),
        ("From", "+15551230042"),
        ("To", "+15557654321"),
    ]
}

pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: String,
}

/// Posts a form with whatever headers.
pub async fn post(host: &Host, path: &str, pairs: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = client.post(format!("http://{}{path}", host.address)).form(pairs);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    Answer {
        status: answer.status().as_u16(),
        headers: answer.headers().clone(),
        body: answer.text().await.unwrap(),
    }
}

/// Posts a form as Twilio signs it.
pub async fn hook(host: &Host, path: &str, pairs: &[(&str, &str)]) -> Answer {
    let signature = sign(TOKEN, &format!("{}{path}", host.public), pairs);
    post(host, path, pairs, &[("X-Twilio-Signature", &signature)]).await
}

pub async fn get(host: &Host, path: &str, headers: &[(&str, &str)]) -> Answer {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = client.get(format!("http://{}{path}", host.address));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    Answer {
        status: answer.status().as_u16(),
        headers: answer.headers().clone(),
        body: answer.text().await.unwrap(),
    }
}

/// The value of the token parameter in a document.
pub fn token_of(twiml: &str) -> String {
    let at = twiml.find("name=\"token\" value=\"").expect("a token") + 20;
    twiml[at..].split('"').next().unwrap().to_owned()
}

/// A call up to its TwiML: `CallSid` and token.
pub async fn ring(host: &Host) -> (String, String) {
    let sid = new_sid();
    let answer = hook(host, "/api/twilio/voice/inbound", &inbound(&sid)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    (sid, token_of(&answer.body))
}

pub fn media_target(host: &Host) -> String {
    format!("{}/api/twilio/media", host.public.replacen("http", "ws", 1))
}

/// A media stream's client.
pub struct Stream {
    pub ws: WebSocketStream<TcpStream>,
    pub sid: String,
    sequence: u64,
    chunk: u64,
}

impl Stream {
    /// Upgraded with a good signature.
    pub async fn open(host: &Host) -> Self {
        Self::over(host, TcpStream::connect(host.address).await.unwrap()).await
    }

    /// The same over a connection of one's own.
    pub async fn over(host: &Host, tcp: TcpStream) -> Self {
        let target = media_target(host);
        let mut request = format!("ws://{}/api/twilio/media", host.address).into_client_request().unwrap();
        request.headers_mut().insert("x-twilio-signature", sign(TOKEN, &target, &[]).parse().unwrap());
        tcp.set_nodelay(true).unwrap();
        let (ws, _) = client_async(request, tcp).await.unwrap();
        Self { ws, sid: new_sid().replace("CA", "MZ"), sequence: 1, chunk: 1 }
    }

    /// Opened and started for a fresh call.
    pub async fn of_call(host: &Host) -> (Self, crate::host::Far, String) {
        let (call, token) = ring(host).await;
        let mut stream = Self::open(host).await;
        stream.start(&call, &token).await;
        (stream, host.far().await, call)
    }

    pub async fn send(&mut self, value: Value) {
        self.send_text(value.to_string()).await;
    }

    pub async fn send_text(&mut self, text: String) {
        // The bridge may have hung up already: what it said is read later.
        let _ = self.ws.send(Message::text(text)).await;
    }

    pub async fn connected(&mut self) {
        self.send(json!({"event": "connected", "protocol": "Call", "version": "1.0.0"})).await;
    }

    /// `connected` and `start`.
    pub async fn start(&mut self, call: &str, token: &str) {
        self.connected().await;
        let start = self.start_message(call, token);
        self.send(start).await;
    }

    pub fn start_message(&mut self, call: &str, token: &str) -> Value {
        json!({"event": "start", "sequenceNumber": self.next(), "streamSid": self.sid, "start": {
            "accountSid": ACCOUNT, "streamSid": self.sid, "callSid": call, "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"token": token}}})
    }

    pub fn next(&mut self) -> String {
        self.sequence += 1;
        (self.sequence - 1).to_string()
    }

    /// The next media message, `timestamp_ms` as text, with this payload.
    pub fn media_message(&mut self, timestamp_ms: u64, payload: &str) -> Value {
        self.chunk += 1;
        json!({"event": "media", "sequenceNumber": self.next(), "streamSid": self.sid, "media": {
            "track": "inbound", "chunk": (self.chunk - 1).to_string(), "timestamp": timestamp_ms.to_string(),
            "payload": payload}})
    }

    pub async fn media(&mut self, timestamp_ms: u64, payload: &str) {
        let message = self.media_message(timestamp_ms, payload);
        self.send(message).await;
    }

    pub async fn sound(&mut self, timestamp_ms: u64, bytes: usize) {
        self.media(timestamp_ms, &STANDARD.encode_to_string(vec![0x55; bytes])).await;
    }

    pub async fn mark(&mut self, name: &str) {
        let message = json!({"event": "mark", "sequenceNumber": self.next(), "streamSid": self.sid, "mark": {"name": name}});
        self.send(message).await;
    }

    pub async fn key(&mut self, digit: &str) {
        let message = json!({"event": "dtmf", "sequenceNumber": self.next(), "streamSid": self.sid,
            "dtmf": {"track": "inbound_track", "digit": digit}});
        self.send(message).await;
    }

    pub async fn stop(&mut self) {
        let message = json!({"event": "stop", "sequenceNumber": self.next(), "streamSid": self.sid,
            "stop": {"accountSid": ACCOUNT, "callSid": "CA0"}});
        self.send(message).await;
    }

    /// The next JSON message of the bridge.
    pub async fn message(&mut self) -> Value {
        loop {
            let next = tokio::time::timeout(Duration::from_secs(5), self.ws.next())
                .await
                .expect("a message in time");
            match next.expect("the socket is open").unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Reads to the end: the code of the bridge's close frame, if it sent one.
    pub async fn close_code(&mut self) -> Option<u16> {
        let end = async {
            let mut code = None;
            while let Some(Ok(message)) = self.ws.next().await {
                if let Message::Close(frame) = message {
                    code = frame.map(|frame| frame.code.into());
                }
            }
            code
        };
        tokio::time::timeout(Duration::from_secs(25), end).await.expect("the bridge closes in time")
    }
}

/// A socket that was upgraded by hand, for frames that no library sends.
pub async fn raw_stream(host: &Host) -> TcpStream {
    let signature = sign(TOKEN, &media_target(host), &[]);
    let mut tcp = TcpStream::connect(host.address).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    let request = format!(
        "GET /api/twilio/media HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nX-Twilio-Signature: {signature}\r\n\r\n",
        host.address
    );
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    tcp
}

/// A client's frame: `first` is FIN, RSV and opcode.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        n @ 0..126 => frame.push(0x80 | n as u8),
        n @ 126..65536 => {
            frame.push(0x80 | 126);
            frame.extend((n as u16).to_be_bytes());
        }
        n => {
            frame.push(0x80 | 127);
            frame.extend((n as u64).to_be_bytes());
        }
    }
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// Reads one short frame of the bridge: its first byte and payload. `None` at the end.
pub async fn read_frame(tcp: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let read = async {
        let first = tcp.read_u8().await.ok()?;
        let len = match tcp.read_u8().await.ok()? {
            126 => tcp.read_u16().await.ok()?.into(),
            len => usize::from(len),
        };
        let mut payload = vec![0; len];
        tcp.read_exact(&mut payload).await.ok()?;
        Some((first, payload))
    };
    tokio::time::timeout(Duration::from_secs(10), read).await.expect("a frame in time")
}

/// Reads to the close frame: its code.
pub async fn read_close(tcp: &mut TcpStream) -> Option<u16> {
    while let Some((first, payload)) = read_frame(tcp).await {
        if first == 0x88 {
            return payload.first_chunk().map(|code| u16::from_be_bytes(*code));
        }
    }
    None
}
