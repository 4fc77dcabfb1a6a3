//! The HTTP side of the simulated model: what it refuses, and how it fails on purpose.

mod model_client;

use std::time::{Duration, Instant};

use model_client::{Client, offer, post, session};
use serde_json::{Value, json};
use sim::model::{
    AnswerFault, Codecs, Faults, HttpFault, HttpFaults, ModelConfig, ModelServer, NoCommonCodec, Unverified,
};
use str0m::format::Codec;

fn faulty(first: Vec<HttpFault>) -> ModelServer {
    let faults = Faults { http: HttpFaults { first, then: None }, ..Faults::default() };
    ModelServer::start(ModelConfig { faults, ..ModelConfig::default() }).expect("the server starts")
}

async fn error(response: reqwest::Response) -> (u16, String, String) {
    let status = response.status().as_u16();
    let body: Value = response.json().await.expect("an error is JSON");
    let text = |name: &str| body["error"][name].as_str().unwrap_or_default().to_owned();
    (status, text("code"), text("param"))
}

fn named(status: u16, code: &str, param: &str) -> (u16, String, String) {
    (status, code.to_owned(), param.to_owned())
}

#[tokio::test]
async fn bad_requests_are_refused_in_the_services_words() {
    let server = faulty(Vec::new());
    let base = server.base_url();
    let good = offer(&[Codec::Opus]).offer;
    let with = |name: &str, value: Value| {
        let mut session = session();
        session[name] = value;
        session
    };
    let refuse =
        async |offer: &str, session: Option<Value>| error(post(&base, offer, session.as_ref()).await).await;
    assert_eq!(refuse(good.trim_end(), Some(session())).await, named(400, "invalid_offer", ""));
    assert_eq!(refuse("nonsense\r\n", Some(session())).await, named(400, "invalid_offer", ""));
    let unnamed = good.replace("a=fingerprint:", "a=thumbprint:");
    assert_eq!(refuse(&unnamed, Some(session())).await, named(400, "invalid_offer", ""));
    let unknown = with("temperature", json!(0.8));
    assert_eq!(refuse(&good, Some(unknown)).await, named(400, "unknown_parameter", "session.temperature"));
    let voice = with("audio", json!({"output": {"voice": "nova"}}));
    assert_eq!(refuse(&good, Some(voice)).await, named(400, "invalid_value", "session.audio.output.voice"));
    let typeless = json!({"model": "gpt-realtime"});
    assert_eq!(refuse(&good, Some(typeless)).await, named(400, "missing_required_parameter", "session.type"));
    assert_eq!(server.sessions().len(), 0);
    assert_eq!(post(&base, &good, None).await.status(), 201, "the session part is optional");
    assert_eq!(server.requests().len(), 7);
    assert!(server.requests().iter().take(6).all(|r| r.status == 400));
}

#[tokio::test]
async fn keys_are_checked_and_ephemeral_ones_carry_their_session() {
    let server = faulty(Vec::new());
    let base = server.base_url();
    let http = reqwest::Client::new();
    let calls = format!("{base}/realtime/calls");
    let sdp = |key: &str| {
        let request = http.post(&calls).header("content-type", "application/sdp");
        request.bearer_auth(key).body(offer(&[Codec::Opus]).offer)
    };
    assert_eq!(http.post(&calls).send().await.unwrap().status(), 401);
    assert_eq!(error(sdp("sk-invalid").send().await.unwrap()).await, named(401, "invalid_api_key", ""));
    assert_eq!(error(sdp("ek_unknown").send().await.unwrap()).await, named(401, "invalid_api_key", ""));
    assert_eq!(
        error(sdp("sk-standard").send().await.unwrap()).await,
        named(400, "missing_required_parameter", "session")
    );
    let secrets = format!("{base}/realtime/client_secrets");
    let minted =
        http.post(&secrets).bearer_auth("sk-x").json(&json!({"session": session()})).send().await.unwrap();
    let minted: Value = minted.json().await.unwrap();
    assert_eq!(minted["session"]["instructions"], "You are ARIA.");
    let answered = sdp(minted["value"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(answered.status(), 201);
    assert!(answered.headers()["location"].to_str().unwrap().starts_with("/v1/realtime/calls/rtc_u1_"));
    assert!(server.sessions()[0].request.ephemeral_key);
    let nowhere = http.post(format!("{base}/realtime/sessions")).bearer_auth("sk-x").send().await.unwrap();
    assert_eq!(nowhere.status(), 404);
    let strict =
        ModelServer::start(ModelConfig { api_key: Some("sk-right".to_owned()), ..ModelConfig::default() });
    let strict = strict.unwrap();
    assert_eq!(post(&strict.base_url(), &offer(&[Codec::Opus]).offer, None).await.status(), 401);
}

#[tokio::test]
async fn error_statuses_come_as_often_as_ordered() {
    let limited = HttpFault::Status { status: 429, code: None, retry_after: Some(3) };
    let first = vec![
        HttpFault::status(503),
        limited,
        HttpFault::None,
        HttpFault::status(401),
        HttpFault::status(500),
    ];
    let server = faulty(first);
    let offer = offer(&[Codec::Opus]).offer;
    let once = async || post(&server.base_url(), &offer, None).await;
    assert_eq!(once().await.status(), 503);
    let limited = once().await;
    assert_eq!(limited.headers()["retry-after"], "3");
    assert_eq!(error(limited).await, named(429, "insufficient_quota", ""));
    assert_eq!(once().await.status(), 201);
    assert_eq!(error(once().await).await, named(401, "invalid_api_key", ""));
    assert_eq!(once().await.status(), 500);
    assert_eq!(once().await.status(), 201);
}

#[tokio::test]
async fn bodies_hang_drip_break_swell_and_lead_astray() {
    let server = faulty(vec![
        HttpFault::Hang,
        HttpFault::SlowBody { bytes: 200, every: Duration::from_millis(20) },
        HttpFault::TruncatedBody,
        HttpFault::HugeBody { bytes: 3_000_000 },
        HttpFault::Redirect { to: "http://169.254.169.254/".to_owned() },
        HttpFault::WrongContentType,
        HttpFault::NoLocation,
    ]);
    let base = server.base_url();
    let offer = offer(&[Codec::Opus]).offer;
    let hung = tokio::time::timeout(Duration::from_millis(200), post(&base, &offer, None)).await;
    assert!(hung.is_err(), "it answered");
    let started = Instant::now();
    let slow = post(&base, &offer, None).await.text().await.unwrap();
    assert!(slow.ends_with("\r\n") && started.elapsed() > Duration::from_millis(100));
    let truncated = post(&base, &offer, None).await;
    assert!(truncated.headers().contains_key("content-length") && truncated.text().await.is_err());
    assert!(post(&base, &offer, None).await.bytes().await.unwrap().len() >= 3_000_000);
    let astray = post(&base, &offer, None).await;
    assert_eq!(
        (astray.status().as_u16(), astray.headers()["location"].to_str().unwrap()),
        (307, "http://169.254.169.254/")
    );
    assert_eq!(post(&base, &offer, None).await.headers()["content-type"], "text/html");
    assert!(!post(&base, &offer, None).await.headers().contains_key("location"));
}

#[tokio::test]
async fn an_offer_without_a_common_codec_gets_what_is_configured() {
    for (no_common_codec, status) in [(NoCommonCodec::Refuse, 400), (NoCommonCodec::RejectLine, 201)] {
        let mut config = ModelConfig {
            unverified: Unverified { no_common_codec, ..Unverified::default() },
            ..ModelConfig::default()
        };
        config.answer.codecs = Codecs::OpusOnly;
        let server = ModelServer::start(config).unwrap();
        let response = post(&server.base_url(), &offer(&[Codec::PCMU]).offer, None).await;
        assert_eq!(response.status(), status);
        let body = response.text().await.unwrap();
        assert!(body.contains(if status == 400 { "invalid_offer" } else { "m=audio 0 " }), "{body}");
    }
}

#[tokio::test]
async fn hostile_answers_are_answers_all_the_same() {
    for (answer, sign) in [
        (AnswerFault::Sha1Fingerprint, "a=fingerprint:sha-1 "),
        (AnswerFault::Candidates(vec!["10.0.0.1:3478".parse().unwrap()]), " 10.0.0.1 3478 "),
        (AnswerFault::MissingAudio, "m=application"),
        (AnswerFault::Nonsense, "<!doctype html>"),
    ] {
        let faults = Faults { answer: Some(answer), ..Faults::default() };
        let server = ModelServer::start(ModelConfig { faults, ..ModelConfig::default() }).unwrap();
        let response = post(&server.base_url(), &offer(&[Codec::Opus]).offer, None).await;
        assert_eq!(response.status(), 201);
        assert!(response.text().await.unwrap().contains(sign));
    }
}

#[tokio::test]
async fn a_thousand_candidates_hide_one_that_works() {
    let faults = Faults { answer: Some(AnswerFault::ManyCandidates(20)), ..Faults::default() };
    let server = ModelServer::start(ModelConfig { faults, ..ModelConfig::default() }).unwrap();
    let client = Client::call(&server.base_url(), &[Codec::Opus], &session()).await;
    client.event("session.created").await;
}

#[tokio::test]
async fn scripts_and_settings_that_cannot_be_played_are_refused_at_the_start() {
    let mut config = ModelConfig::default();
    config.script.greeting = sim::model::Line::of(["no-such-clip"]);
    let error = ModelServer::start(config).expect_err("no such clip");
    assert!(error.to_string().contains("no-such-clip"));
    let unverified = Unverified { frame_ms: 25, ..Unverified::default() };
    assert!(ModelServer::start(ModelConfig { unverified, ..ModelConfig::default() }).is_err());
}
