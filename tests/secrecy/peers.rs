//! Whom the program talks to: a model, a desk, Twilio, and a service that gets webhooks and is asked who answers.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use sim::desk::{Desk, DeskConfig};
use sim::model::{Line, ModelConfig, ModelScript, ModelServer, ToolCall, Turn};
use sim::phone::{Answering, CallPlan, Phone, PhoneConfig, Taker};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use url::Url;

use super::canaries::{CALLEE, CARD, SECRETS, WORDS, secret};
use crate::support::lines::caller;
use crate::support::program::{PUBLIC_URL, folder};

/// More than any dependency tells: what is asked for here must not be given.
pub const EVERYTHING: &str = "trace,aria_bridge=trace,hyper=trace,hyper_util=trace,h2=trace,reqwest=trace,rmcp=trace,\
                              rmcp::service=trace,rmcp::transport=trace,tungstenite=trace,tungstenite::protocol=trace,\
                              tokio_tungstenite=trace,sqlx=trace,sqlx::query=trace,rustls=trace,rtc=trace,axum=trace,axum::rejection=trace,\
                              tower=trace,tokio=trace,mio=trace,want=trace,metrics=trace,jsonschema=trace";

/// Hears the greeting, says something that the model calls its tools for, types a card's number, hangs up.
const SCRIPT: &str = "wait-speech\nwait-silence 500ms\nsay lima\nwait-speech\nwait-silence 600ms\ndtmf CARD\npause 1s\n\
                      say thank-you\nwait-speech\nwait-silence 600ms\nhangup\n";

/// The caller's part.
pub fn plan(from: &str) -> CallPlan {
    CallPlan { from: from.into(), ..caller(&SCRIPT.replace("CARD", CARD)) }
}

/// What the service has got.
pub type Told = Arc<Mutex<Vec<Value>>>;

/// All of them, and the file that leads the program to them.
pub struct Peers {
    pub model: ModelServer,
    _desk: Desk,
    pub told: Told,
    pub config: PathBuf,
    service: JoinHandle<()>,
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.service.abort();
    }
}

fn worded(clip: &str, text: &str) -> Line {
    Line::Worded { clips: vec![clip.into()], text: text.into() }
}

fn model() -> ModelConfig {
    let [heard, said, asked, noted, written, _] = WORDS;
    let call = |name: &str, arguments: Value| ToolCall { name: name.into(), arguments };
    let script = ModelScript {
        greeting: Line::of(["hello"]),
        turns: vec![
            Turn {
                heard: Some(format!("My {heard} is broken.")),
                tool: Some(call("lookup", json!({ "city": "Lima", "what": asked }))),
                also: vec![
                    call("calendar_free", json!({ "day": asked })),
                    call("take_note", json!({ "text": noted })),
                    call("send_message", json!({ "to": "caller", "body": written })),
                    // None of the shape that it wants, and one that nobody has.
                    call("lookup", json!({ "city": 7, "what": asked })),
                    call("format_disk", json!({ "what": asked })),
                ],
                answer: Some(worded("sorry-problems", &format!("Your {said} will come."))),
                ..Turn::default()
            },
            Turn { heard: Some(heard.into()), reply: Some(worded("goodbye", said)), ..Turn::default() },
        ],
        ..ModelScript::default()
    };
    ModelConfig { script, api_key: Some(secret("OPENAI_API_KEY").into()), ..ModelConfig::default() }
}

async fn hook(
    State(told): State<Told>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let mut told = told.lock().expect("nobody panics with it");
    let first = told.is_empty();
    told.push(body);
    // The first one fails, and whoever fails repeats what he was sent.
    let echo = json!({ "error": format!("{headers:?}") });
    (if first { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK }, Json(echo))
}

async fn dispatch(Json(_): Json<Value>) -> Json<Value> {
    Json(json!({ "variables": { "name": WORDS[5] } }))
}

impl Peers {
    /// Starts them.
    pub async fn start() -> Self {
        let desk = DeskConfig { token: Some(secret("CRM_TOKEN").into()), ..DeskConfig::default() };
        let (model, desk) =
            (ModelServer::start(model()).expect("a model"), Desk::start(desk).expect("a desk"));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let service = listener.local_addr().expect("it is bound");
        let told = Told::default();
        let app = Router::new().route("/hook", post(hook)).route("/dispatch", post(dispatch));
        let app = app.with_state(Arc::clone(&told));
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.expect("it serves") });
        let config = folder().join("aria.toml");
        let (query, password) = (secret("a tool's query"), secret("a receiver's password"));
        let file = format!(
            r#"
            [agents.default]
            instructions = "You talk to {{{{name}}}}, who calls from {{{{caller}}}}."
            greeting = "Greet {{{{name}}}}."
            variables = ["name"]
            [[agents.default.tools]]
            type = "http"
            name = "lookup"
            description = "Looks up the branch office of a city."
            url = "{desk}/lookup?key={query}"
            headers = {{ Authorization = "Bearer ${{CRM_TOKEN}}" }}
            parameters = {{ type = "object", properties = {{ city = {{ type = "string" }}, what = {{ type = "string" }} }}, required = ["city"] }}
            [[agents.default.tools]]
            type = "mcp"
            name = "calendar"
            url = "{desk}/mcp"
            headers = {{ Authorization = "Bearer ${{CRM_TOKEN}}" }}
            allow = ["calendar.free"]
            [[agents.default.tools]]
            type = "builtin"
            name = "take_note"
            [[agents.default.tools]]
            type = "builtin"
            name = "send_message"
            [tools]
            private_hosts = ["127.0.0.1"]
            [webhooks]
            url = "http://aria:{password}@{service}/hook"
            [dispatch]
            url = "http://{service}/dispatch"
            [outbound]
            allow = ["{CALLEE}"]
            from = "+15550000000"
            "#,
            desk = desk.base_url(),
        );
        std::fs::write(&config, file).expect("a test's folder can be written");
        Self { model, _desk: desk, told, config, service: serving }
    }

    /// Twilio before a bridge at `url`.
    pub async fn phone(url: &Url) -> Phone {
        Phone::start(PhoneConfig {
            public_url: PUBLIC_URL.parse().expect("a URL"),
            auth_token: Some(secret("TWILIO_AUTH_TOKEN").into()),
            outbound: plan(CALLEE),
            answering: Answering { taker: Taker::Person, ..Answering::default() },
            ..PhoneConfig::new(url.clone())
        })
        .await
        .expect("a simulated phone")
    }
}

/// The environment of the program: the canaries, and where its peers are.
pub fn environment(peers: &Peers, twilio: &str) -> Vec<(String, String)> {
    let mut environment: Vec<(String, String)> = SECRETS
        .iter()
        .filter(|(name, _)| !name.contains(' '))
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let more = [
        ("RUST_LOG", EVERYTHING.to_owned()),
        ("RUST_BACKTRACE", "full".into()),
        ("ARIA_CONFIG", peers.config.display().to_string()),
        ("OPENAI_BASE_URL", peers.model.base_url()),
        ("TWILIO_API_URL", twilio.into()),
        ("TWILIO_ACCOUNT_SID", "AC00000000000000000000000000000001".into()),
    ];
    environment.extend(more.map(|(name, value)| (name.to_owned(), value)));
    environment
}
