//! A bridge of a few lines: answers webhooks with fixed documents and gives each media stream to a function of the test.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use sim::phone::{CallPlan, Phone, PhoneConfig, Script, Step, g711};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server;
use url::Url;

pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A webhook as it came in.
#[derive(Debug, Clone)]
pub struct Hook {
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub params: Vec<(String, String)>,
}

impl Hook {
    pub fn get(&self, name: &str) -> &str {
        self.params.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }
}

/// One media stream, as the bridge sees it.
pub struct Stream {
    pub socket: WebSocketStream<TcpStream>,
    pub upgrade: Vec<(String, String)>,
}

impl Stream {
    /// The next message; none when the socket is closed or broken.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            match self.socket.next().await? {
                Ok(Message::Text(text)) => {
                    return Some(serde_json::from_str(&text).expect("Twilio sends JSON"));
                }
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Reads to the end.
    pub async fn rest(&mut self) -> Vec<Value> {
        let mut all = vec![];
        while let Some(value) = self.next().await {
            all.push(value);
        }
        all
    }

    /// Takes `connected` and `start`; returns the stream's sid and `start`.
    pub async fn start(&mut self) -> (String, Value) {
        let connected = self.next().await.expect("connected");
        assert_eq!(
            connected,
            serde_json::json!({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        );
        let start = self.next().await.expect("start");
        assert_eq!(start["event"], "start");
        (start["streamSid"].as_str().unwrap().to_owned(), start)
    }

    pub async fn send(&mut self, text: String) {
        self.socket.send(Message::text(text)).await.expect("the phone reads");
    }

    /// Sends 8 kHz samples as media messages of 20 ms, all at once.
    pub async fn speak(&mut self, sid: &str, samples: &[i16]) {
        for chunk in samples.chunks(160) {
            let mut bytes: Vec<u8> = chunk.iter().map(|&s| g711::encode(s)).collect();
            bytes.resize(160, g711::SILENCE);
            let payload = base64_simd::STANDARD.encode_to_string(bytes);
            self.send(format!(
                r#"{{"event":"media","streamSid":"{sid}","media":{{"payload":"{payload}"}}}}"#
            ))
            .await;
        }
    }

    pub async fn mark(&mut self, sid: &str, name: &str) {
        self.send(format!(r#"{{"event":"mark","streamSid":"{sid}","mark":{{"name":"{name}"}}}}"#)).await;
    }

    pub async fn clear(&mut self, sid: &str) {
        self.send(format!(r#"{{"event":"clear","streamSid":"{sid}"}}"#)).await;
    }
}

type Answer = Arc<dyn Fn(&Hook, &str) -> Response + Send + Sync>;

/// What a bridge does: the documents (given the hook and the stream's URL) and the streams.
pub struct Bridge {
    pub url: Url,
    pub stream_url: String,
    hooks: Arc<Mutex<Vec<Hook>>>,
}

#[derive(Clone)]
struct Shared {
    hooks: Arc<Mutex<Vec<Hook>>>,
    answer: Answer,
    stream_url: String,
}

/// A document as a response.
pub fn twiml(body: &str) -> Response {
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response>{body}</Response>");
    Response::builder().header("content-type", "application/xml").body(body.into()).unwrap()
}

/// `<Connect><Stream>` with all that a bridge adds.
pub fn connect(stream_url: &str, action: &str) -> String {
    format!(
        "<Connect{action}><Stream url=\"{stream_url}\" statusCallback=\"/stream-status\">\
         <Parameter name=\"token\" value=\"secret-1\"/></Stream></Connect>"
    )
}

impl Bridge {
    pub async fn start<S, F>(
        answer: impl Fn(&Hook, &str) -> Response + Send + Sync + 'static,
        session: S,
    ) -> Self
    where
        S: Fn(Stream) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let media = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}", http.local_addr().unwrap())).unwrap();
        let stream_url = format!("ws://{}/media", media.local_addr().unwrap());
        let hooks = Arc::<Mutex<Vec<Hook>>>::default();
        let shared =
            Shared { hooks: hooks.clone(), answer: Arc::new(answer), stream_url: stream_url.clone() };
        tokio::spawn(async move {
            axum::serve(http, axum::Router::new().fallback(hook).with_state(shared)).await.unwrap();
        });
        let session = Arc::new(session);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = media.accept().await {
                let session = session.clone();
                tokio::spawn(async move {
                    if let Some(stream) = accept(tcp).await {
                        session(stream).await;
                    }
                });
            }
        });
        Self { url, stream_url, hooks }
    }

    /// A bridge that opens a stream and hands it to `session`.
    pub async fn streaming<S, F>(session: S) -> Self
    where
        S: Fn(Stream) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        Self::start(|_, url| twiml(&connect(url, "")), session).await
    }

    pub fn hooks(&self) -> Vec<Hook> {
        self.hooks.lock().unwrap().clone()
    }

    /// A phone for this bridge.
    pub async fn phone(&self) -> Phone {
        let mut config = PhoneConfig::new(self.url.clone());
        config.auth_token = Some(TOKEN.into());
        Phone::start(config).await.unwrap()
    }
}

async fn hook(State(shared): State<Shared>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let source =
        if head.method == "GET" { head.uri.query().unwrap_or_default().as_bytes() } else { &body[..] };
    let hook = Hook {
        path: head.uri.path().to_owned(),
        headers: head.headers.iter().map(|(n, v)| (n.to_string(), v.to_str().unwrap().to_owned())).collect(),
        params: form_urlencoded::parse(source).into_owned().collect(),
    };
    shared.hooks.lock().unwrap().push(hook.clone());
    if hook.path.ends_with("status") {
        return Response::builder().status(204).body(axum::body::Body::empty()).unwrap();
    }
    (shared.answer)(&hook, &shared.stream_url)
}

#[expect(clippy::result_large_err, reason = "the library's own callback type")]
async fn accept(tcp: TcpStream) -> Option<Stream> {
    tcp.set_nodelay(true).unwrap();
    let mut upgrade = vec![];
    let look = |request: &server::Request, response: server::Response| {
        upgrade =
            request.headers().iter().map(|(n, v)| (n.to_string(), v.to_str().unwrap().to_owned())).collect();
        if request.uri().path() == "/forbidden" {
            let refusal = server::ErrorResponse::new(None);
            let (mut head, body) = refusal.into_parts();
            head.status = tokio_tungstenite::tungstenite::http::StatusCode::FORBIDDEN;
            return Err(server::ErrorResponse::from_parts(head, body));
        }
        Ok(response)
    };
    let socket = tokio_tungstenite::accept_hdr_async(tcp, look).await.ok()?;
    Some(Stream { socket, upgrade })
}

/// A plan with these steps and a limit that no passing test reaches.
pub fn plan(steps: impl Into<Vec<Step>>) -> CallPlan {
    CallPlan {
        script: Script::new(steps),
        limit: Duration::from_secs(20),
        seed: Some(7),
        ..CallPlan::default()
    }
}
