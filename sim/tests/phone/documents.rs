//! Documents, webhooks and their failures.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use sim::phone::report::EndedBy;
use sim::phone::{Moment, Phone, PhoneConfig, Step};
use sim::speech::clip;

use crate::bridge::{Bridge, TOKEN, connect, plan, twiml};

fn verbs(report: &sim::phone::CallReport) -> Vec<&'static str> {
    report
        .timeline
        .iter()
        .filter_map(|e| if let Moment::Verb(name) = e.what { Some(name) } else { None })
        .collect()
}

fn code(report: &sim::phone::CallReport) -> Vec<u32> {
    report.warnings.iter().map(|w| w.code).collect()
}

#[tokio::test]
async fn a_stream_that_the_bridge_closes_leads_to_the_action() {
    let bridge = Bridge::start(
        |hook, url| match hook.path.as_str() {
            "/after" => twiml("<Hangup/>"),
            _ => twiml(&format!("{}<Say>never reached</Say>", connect(url, " action=\"/after\""))),
        },
        |mut stream| async move {
            stream.start().await;
            stream.socket.close(None).await.unwrap();
            while stream.next().await.is_some() {}
        },
    )
    .await;
    let report = bridge.phone().await.call(plan([])).await;
    assert_eq!(verbs(&report), ["Connect", "Hangup"]);
    assert_eq!(report.ended.by, EndedBy::Document);
    let hooks = bridge.hooks();
    let after = hooks.iter().find(|h| h.path == "/after").unwrap();
    assert_eq!((after.get("CallStatus"), after.get("CallSid")), ("in-progress", report.call_sid.as_str()));
    assert_ne!(after.header("i-twilio-idempotency-token"), hooks[0].header("i-twilio-idempotency-token"));
    assert!(report.when(|m| matches!(m, Moment::StreamClosed { code: 1_005, .. })).is_some());
}

#[tokio::test]
async fn without_an_action_the_next_verb_runs_and_the_caller_hears_it() {
    let bridge = Bridge::start(
        |hook, url| match hook.path.as_str() {
            "/later" => twiml("<Pause/>"),
            _ => twiml(&format!("{}<Say>Sorry.</Say><Redirect>/later</Redirect>", connect(url, ""))),
        },
        |mut stream| async move {
            stream.start().await;
        },
    )
    .await;
    let report = bridge.phone().await.call(plan([])).await;
    assert_eq!(verbs(&report), ["Connect", "Say", "Redirect", "Pause"]);
    assert_eq!((report.ended.by, report.twiml.len()), (EndedBy::Document, 2));
    assert!(
        report.when(|m| matches!(m, Moment::StreamClosed { code: 1_006, .. })).is_some(),
        "dropped, not closed"
    );
    assert!(report.when(|m| *m == Moment::HeardOn).is_some(), "speech, not silence");
    let spoken = report.when(|m| matches!(m, Moment::Verb("Say"))).unwrap();
    let later = report.when(|m| matches!(m, Moment::Verb("Redirect"))).unwrap();
    assert!(later - spoken > Duration::from_millis(900), "speaking takes its time");
}

#[tokio::test]
async fn a_handshake_that_is_refused_is_told_and_the_call_goes_on() {
    let bridge = Bridge::start(
        |_, url| twiml(&format!("{}<Say>Sorry.</Say>", connect(&url.replace("/media", "/forbidden"), ""))),
        |_| async {},
    )
    .await;
    let report = bridge.phone().await.call(plan([])).await;
    assert_eq!(verbs(&report), ["Connect", "Say"]);
    assert_eq!(code(&report), [31_920]);
    assert!(report.when(|m| *m == Moment::StreamRefused { code: 31_920, status: Some(403) }).is_some());
    let hooks = bridge.hooks();
    let told = hooks.iter().find(|h| h.path == "/stream-status").unwrap();
    assert_eq!(told.get("StreamEvent"), "stream-error");
    assert!(told.get("StreamError").contains("Handshake"));
}

#[tokio::test]
async fn stream_urls_that_twilio_would_not_open() {
    for (url, number) in
        [("ws://voice.example.com/media", 31_922), ("not a url", 31_923), ("ws://127.0.0.1:1/m", 31_902)]
    {
        let bridge = Bridge::start(move |_, _| twiml(&connect(url, "")), |_| async {}).await;
        let report = bridge.phone().await.call(plan([])).await;
        assert_eq!((code(&report), report.ended.by), (vec![number], EndedBy::Document), "{url}");
    }
}

#[tokio::test]
async fn a_published_bridge_is_reached_behind_its_terminator() {
    let bridge = Bridge::start(|_, _| twiml("<Hangup/>"), |_| async {}).await;
    let mut config = PhoneConfig::new(bridge.url.clone());
    config.public_url = "https://voice.example.com".parse().unwrap();
    config.auth_token = Some(TOKEN.into());
    let report = Phone::start(config).await.unwrap().call(plan([])).await;
    assert_eq!(report.ended.by, EndedBy::Document);
    for hook in bridge.hooks() {
        let url = format!("https://voice.example.com{}", hook.path);
        assert_eq!(hook.header("x-twilio-signature"), sim::phone::signature::sign(TOKEN, &url, &hook.params));
        assert_eq!(hook.header("host"), "voice.example.com");
    }
}

#[tokio::test]
async fn redirects_are_followed_and_signed_anew() {
    let bridge = Bridge::start(
        |hook, _| match hook.path.as_str() {
            "/moved" if hook.get("CallSid").starts_with("CA") => twiml("<Hangup/>"),
            "/moved" => twiml("<Reject/>"),
            _ => Response::builder().status(307).header("location", "/moved").body(Body::empty()).unwrap(),
        },
        |_| async {},
    )
    .await;
    let report = bridge.phone().await.call(plan([])).await;
    assert_eq!(verbs(&report), ["Hangup"]);
    let hooks = bridge.hooks();
    let url = bridge.url.join("/moved").unwrap();
    assert_eq!(
        hooks[1].header("x-twilio-signature"),
        sim::phone::signature::sign(TOKEN, url.as_str(), &hooks[1].params)
    );
}

#[tokio::test]
async fn a_failing_webhook_goes_to_the_fallback_with_the_reason() {
    let bridge = Bridge::start(
        |hook, _| match hook.path.as_str() {
            "/fallback" => twiml("<Say>We are closed.</Say>"),
            _ => Response::builder().status(500).body(Body::empty()).unwrap(),
        },
        |_| async {},
    )
    .await;
    let mut config = PhoneConfig::new(bridge.url.clone());
    config.fallback_url = Some(bridge.url.join("/fallback").unwrap().into());
    let report = Phone::start(config).await.unwrap().call(plan([])).await;
    assert_eq!((verbs(&report), code(&report)), (vec!["Say"], vec![11_200]));
    let hooks = bridge.hooks();
    assert_eq!((hooks.len(), hooks[1].get("ErrorCode")), (3, "11200"), "a 500 is not tried again");
    assert!(hooks[1].get("ErrorUrl").ends_with("/api/twilio/voice/inbound"));
    assert_eq!(hooks[0].header("x-twilio-signature"), "", "no token, no signature");
}

#[tokio::test]
async fn without_any_document_twilio_apologises() {
    let bridge = Bridge::start(|_, _| twiml("<Say>unfinished"), |_| async {}).await;
    let report = bridge.phone().await.call(plan([])).await;
    assert_eq!((report.ended.by, code(&report)), (EndedBy::Failure, vec![12_100]));
    assert!(report.when(|m| matches!(m, Moment::Spoken(_))).is_some());
    let bridge =
        Bridge::start(|_, _| Response::builder().status(403).body(Body::empty()).unwrap(), |_| async {})
            .await;
    let report = bridge.phone().await.call(plan([])).await;
    assert_eq!((report.ended.by, report.answered), (EndedBy::Failure, None));
}

#[tokio::test]
async fn a_recording_is_played_and_a_dialled_call_comes_back() {
    let bridge = Bridge::start(
        |hook, _| match hook.path.as_str() {
            "/hello.wav" => {
                let path = std::env::temp_dir().join(format!("phone-play-{}.wav", std::process::id()));
                sim::wav::write_mono(&path, 16_000, &clip("hello").unwrap().samples_16k()).unwrap();
                let body = std::fs::read(&path).unwrap();
                std::fs::remove_file(&path).unwrap();
                Response::builder().header("content-type", "audio/wav").body(body.into()).unwrap()
            }
            "/dialled" => twiml("<Reject/>"),
            _ => {
                twiml("<Play>/hello.wav</Play><Dial action=\"/dialled\"><Number>+15550009999</Number></Dial>")
            }
        },
        |_| async {},
    )
    .await;
    let mut plan = plan([]);
    plan.dial.status = "no-answer".into();
    let report = bridge.phone().await.call(plan).await;
    assert_eq!(verbs(&report), ["Play", "Dial", "Reject"]);
    assert_eq!(
        (code(&report), report.ended.how.as_str()),
        (vec![12_200], "the document was over"),
        "too late to reject"
    );
    let hello = clip("hello").unwrap().samples_8k();
    let at = report.heard.iter().position(|s| s.abs() > 300).unwrap()
        - hello.iter().position(|s| s.abs() > 300).unwrap();
    assert!(report.heard[at..at + hello.len()] == hello, "every sample");
    let hooks = bridge.hooks();
    let dialled = hooks.iter().find(|h| h.path == "/dialled").unwrap();
    assert_eq!((dialled.get("DialCallStatus"), dialled.get("DialBridged")), ("no-answer", "false"));
}

#[tokio::test]
async fn a_rejected_call_is_never_answered() {
    let bridge = Bridge::start(|_, _| twiml("<Reject reason=\"busy\"/>"), |_| async {}).await;
    let report = bridge.phone().await.call(plan([Step::HangUp])).await;
    assert_eq!((report.answered, report.ended.how.as_str()), (None, "<Reject>"));
    assert_eq!(bridge.hooks()[1].get("CallStatus"), "busy");
}
