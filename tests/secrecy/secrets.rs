//! Row 59: keys, tokens and passwords.

use std::net::TcpListener;
use std::process::Stdio;

use axum::http::{HeaderMap, StatusCode};
use axum::routing::any;
use axum::{Json, Router};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde_json::json;
use sim::phone::Phone;
use tokio::process::Command;

use super::canaries::{CALLER, DATABASE_PASSWORD, FORBIDDEN, Sinks, personal, secret, secrets};
use super::peers::{Peers, environment, plan};
use crate::support::program::Program;

/// A running program, Twilio before it, and an operator.
pub struct Seen {
    pub program: Program,
    pub phone: Phone,
    pub admin: reqwest::Client,
    pub environment: Vec<(String, String)>,
}

impl Seen {
    /// Starts it with the canaries and, over them, `more`.
    pub async fn start(peers: &Peers, more: &[(&str, &str)]) -> Self {
        // Twilio and the bridge must know of each other before either is there.
        let address = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
        let phone = Peers::phone(&format!("http://{address}").parse().expect("a URL")).await;
        let mut environment = environment(peers, phone.api_url().as_str());
        environment.push(("ARIA_LISTEN".into(), address.to_string()));
        environment.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let given: Vec<(&str, &str)> = environment.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let program = Program::overheard(&given).await;
        let token = format!("Bearer {}", secret("ARIA_ADMIN_TOKEN"));
        let token = HeaderValue::from_str(&token).expect("a header");
        let headers = [(AUTHORIZATION, token)].into_iter().collect();
        let admin = reqwest::Client::builder().no_proxy().default_headers(headers).build().expect("a client");
        Self { program, phone, admin, environment }
    }
}

/// Asks everything that anybody may ask, and much that nobody may, and puts the answers and the log into `sinks`.
pub async fn asked(seen: &Seen, sinks: &mut Sinks) {
    let Seen { program, admin, environment, .. } = seen;
    let stranger = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = |path: &str| program.url.join(path).expect("a path");
    let json = |body: String| (("content-type", "application/json"), body);
    let form = |body: String| (("content-type", "application/x-www-form-urlencoded"), body);
    let wrong_token = ("authorization", "Basic canary-admin-0000000004");
    let get = |client: &reqwest::Client, path: &str| client.get(url(path));
    let post = |client: &reqwest::Client, path: &str, (kind, body): ((&str, &str), String)| {
        client.post(url(path)).header(kind.0, kind.1).body(body)
    };
    let number = CALLER.replace('+', "%2B");
    let requests = [
        ("/healthz", get(&stranger, "/healthz")),
        ("/readyz", get(&stranger, "/readyz")),
        ("/metrics", get(&stranger, "/metrics")),
        ("/api/openapi.json", get(admin, "/api/openapi.json")),
        ("without a token", get(&stranger, "/api/calls")),
        ("with a wrong token", get(&stranger, "/api/calls").header(wrong_token.0, wrong_token.1)),
        ("a wrong query", get(admin, &format!("/api/calls?number={number}&limit={FORBIDDEN}"))),
        ("an unknown parameter", get(admin, &format!("/api/calls?numbr={number}"))),
        ("an unknown call", get(admin, &format!("/api/calls/{CALLER}"))),
        ("an order that is forbidden", post(admin, "/api/calls", json(format!(r#"{{"to":"{FORBIDDEN}"}}"#)))),
        ("an order without sense", post(admin, "/api/calls", json(format!(r#"{{"to":7,"{CALLER}":1}}"#)))),
        ("an order to nobody", post(admin, "/api/calls", json(format!(r#"{{"to":"x{FORBIDDEN}"}}"#)))),
        ("an order in ill JSON", post(admin, "/api/calls", json(format!(r#"{{"to":"{FORBIDDEN}""#)))),
        ("words for nobody", post(admin, "/api/calls/CA0/say", json(r#"{"text":"xylophone"}"#.into()))),
        (
            "a target that is none",
            post(admin, "/api/calls/CA0/transfer", json(format!(r#"{{"to":"{CALLER}"}}"#))),
        ),
        (
            "a forged webhook",
            post(
                &stranger,
                "/api/twilio/voice/inbound",
                form(format!("CallSid=CA1&AccountSid=AC1&From={number}&Digits=4929123456781234")),
            )
            .header("x-twilio-signature", "canary"),
        ),
        ("an unsigned webhook", post(&stranger, "/api/twilio/voice/inbound", form(format!("From={number}")))),
        ("an unsigned stream", get(&stranger, "/api/twilio/media").header("authorization", wrong_token.1)),
    ];
    for (name, request) in requests {
        let answer = request.send().await.expect("it answers");
        let head = format!("{} {:?}", answer.status(), answer.headers());
        // A challenge names its scheme; that is no credential.
        let head = head.replace("\"Bearer\"", "");
        let body = answer.text().await.expect("text");
        // The document says what a bearer token is, and whose number is meant.
        let body = if name == "/api/openapi.json" { body.replace("Bearer ", "") } else { body };
        sinks.add(name, format!("{head}\n{body}"));
    }
    for arguments in [&["check"][..], &["doctor", "--offline"], &["records", "delete", "--number", FORBIDDEN]]
    {
        let output = Command::new(env!("CARGO_BIN_EXE_aria"))
            .args(arguments)
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .current_dir(crate::support::program::folder())
            .stdin(Stdio::null())
            .output();
        let output = output.await.expect("cargo has built it");
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        sinks.add(format!("aria {}", arguments[0]), text);
    }
    sinks.add("the log", program.said());
}

/// A model that knows nobody, and says whom it does not know.
async fn refusing() -> String {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let url = format!("http://{}/v1", listener.local_addr().expect("it is bound"));
    let refuse = async |headers: HeaderMap, body: String| {
        let key = headers.get("authorization").and_then(|key| key.to_str().ok()).unwrap_or_default();
        let message = format!("Incorrect API key provided: {key}. You sent: {body}");
        let error = json!({ "message": message, "type": "invalid_request_error", "code": "invalid_api_key" });
        (StatusCode::UNAUTHORIZED, Json(json!({ "error": error })))
    };
    let app = Router::new().fallback(any(refuse));
    tokio::spawn(async move { axum::serve(listener, app).await.expect("it serves") });
    url
}

/// Whatever refuses, is away or is wrong: what is told of it holds nothing that opens anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_59_what_goes_wrong_is_told_without_a_key() {
    let peers = Peers::start().await;
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
    let more = [
        ("OPENAI_BASE_URL", refusing().await),
        ("DATABASE_URL", format!("postgres://aria:{DATABASE_PASSWORD}@{closed}/aria")),
        // Twilio's API is asked with a token that it does not know.
        ("TWILIO_AUTH_TOKEN", secret("TWILIO_AUTH_TOKEN_SECONDARY").to_owned()),
        ("TWILIO_AUTH_TOKEN_SECONDARY", secret("TWILIO_AUTH_TOKEN").to_owned()),
    ];
    let more: Vec<(&str, &str)> = more.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let seen = Seen::start(&peers, &more).await;
    assert_eq!(seen.program.limit("Max core file size"), "0", "no memory goes into a file when it dies");
    let report = seen.phone.call(plan(CALLER)).await;
    assert!(report.violations.is_empty(), "{report:?}");
    let placed = seen.admin.post(seen.program.url.join("/api/calls").expect("a path"));
    let body = format!(r#"{{"to":"{}"}}"#, super::canaries::CALLEE);
    let placed =
        placed.header("content-type", "application/json").body(body).send().await.expect("it answers");
    assert_eq!(placed.status(), 502, "Twilio refuses the token");
    let mut sinks = Sinks::default();
    sinks.add("the answer to an order", placed.text().await.expect("text"));
    asked(&seen, &mut sinks).await;
    let log = seen.program.said();
    for told in ["refused with HTTP 401", "the database is not there", "Twilio's REST API refused"] {
        assert!(log.contains(told), "{told}: {log}");
    }
    // A file that is wrong, with a secret where none belongs.
    let wrong = format!(
        "[twilio]\nauth_token = {0:?}\n[openai]\napi_key = {1}\n",
        secret("TWILIO_AUTH_TOKEN"),
        secret("OPENAI_API_KEY")
    );
    let ill_typed = wrong.replace(&format!("= {}", secret("OPENAI_API_KEY")), "= 7");
    for (name, text) in [("ill TOML", wrong), ("unknown fields", ill_typed)] {
        let path = crate::support::program::folder().join("aria.toml");
        std::fs::write(&path, text).expect("it can be written");
        let output = Command::new(env!("CARGO_BIN_EXE_aria"))
            .args(["check", "--config"])
            .arg(&path)
            .env_clear()
            .output();
        let output = output.await.expect("cargo has built it");
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        sinks.add(name, String::from_utf8_lossy(&output.stderr));
    }
    sinks.assert_clean(&secrets(&[]));
    sinks.assert_clean(&personal());
}
