//! Rows 1–3, 9, 50, 53 and 60: who may begin a call, and what a repetition gets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aria_bridge::call::{CallEnd, MediaEvent};
use aria_bridge::hosting::drain::drain;

use crate::host::{ACCOUNT, Host, TOKEN, log};
use crate::twilio::{Stream, get, hook, inbound, new_sid, post, ring, sign};

const INBOUND: &str = "/api/twilio/voice/inbound";

#[tokio::test(flavor = "multi_thread")]
async fn fault_01_unsigned_and_forged_webhooks_are_refused() {
    let host = Host::new().await;
    let sid = new_sid();
    let (pairs, url) = (inbound(&sid), format!("{}{INBOUND}", host.public));
    let good = sign(TOKEN, &url, &pairs);
    let mut other_caller = inbound(&sid);
    other_caller[5].1 = "+15551230043";
    for (what, signature) in [
        ("another token", sign("12345", &url, &pairs)),
        ("another path", sign(TOKEN, &format!("{}/api/twilio/voice/after", host.public), &pairs)),
        ("another caller", sign(TOKEN, &url, &other_caller)),
        ("without empty parameters", sign(TOKEN, &url, &[&pairs[..3], &pairs[4..]].concat())),
        ("nothing", String::new()),
        ("no base64", "ü".escape_default().to_string()),
        ("a byte less", good[..good.len() - 1].to_owned()),
    ] {
        assert_eq!(
            post(&host, INBOUND, &pairs, &[("X-Twilio-Signature", &signature)]).await.status,
            403,
            "{what}"
        );
    }
    for path in [INBOUND, "/api/twilio/voice/after", "/api/twilio/voice/status", "/api/twilio/stream/status"]
    {
        assert_eq!(post(&host, path, &pairs, &[]).await.status, 403, "{path}");
        assert_eq!(get(&host, path, &[]).await.status, 405, "{path}");
    }
    assert_eq!(host.begun(), 0);
    assert_eq!(post(&host, INBOUND, &pairs, &[("X-Twilio-Signature", &good)]).await.status, 200);
    assert_eq!(host.begun(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_02_the_configured_url_is_signed_not_the_requests() {
    let host = Host::with(&[("ARIA_PUBLIC_URL", "https://voice.example.com")]).await;
    let sid = new_sid();
    let mut pairs = inbound(&sid);
    pairs.push(("CallerName", "José Ñuñez 東京 +&=%"));
    pairs.push(("From", "+15551230042"));
    pairs.reverse();
    for (origin, headers, status) in [
        ("https://voice.example.com", &[("Host", "10.0.0.7:8080")][..], 200),
        ("https://voice.example.com:443", &[], 200),
        ("http://voice.example.com", &[("X-Forwarded-Proto", "http")], 403),
        (
            "https://evil.example.com",
            &[("Host", "evil.example.com"), ("X-Forwarded-Host", "evil.example.com")],
            403,
        ),
        ("https://voice.example.com:8443", &[("X-Forwarded-Port", "8443")], 403),
        ("https://voice.example.com/", &[], 403),
    ] {
        let signature = sign(TOKEN, &format!("{origin}{INBOUND}"), &pairs);
        let mut all = vec![("X-Twilio-Signature", signature.as_str())];
        all.extend(headers);
        let answer = post(&host, INBOUND, &pairs, &all).await;
        assert_eq!(answer.status, status, "{origin} {headers:?}");
        if status == 200 {
            assert_eq!(answer.headers["content-type"], "application/xml");
            assert!(
                answer.body.contains(r#"<Stream url="wss://voice.example.com/api/twilio/media" "#),
                "{}",
                answer.body
            );
        }
    }
    // The query is signed as it stands on the wire.
    let target = format!("{INBOUND}?tenant=caf%C3%A9&x=a+b");
    let signature = sign(TOKEN, &format!("https://voice.example.com{target}"), &pairs);
    assert_eq!(post(&host, &target, &pairs, &[("X-Twilio-Signature", &signature)]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_03_a_webhook_replayed_a_hundred_times_is_one_call() {
    let host = Arc::new(Host::new().await);
    let sid = new_sid();
    let replays: Vec<_> = (0..100)
        .map(|_| {
            let (host, sid) = (host.clone(), sid.clone());
            tokio::spawn(async move { hook(&host, INBOUND, &inbound(&sid)).await.body })
        })
        .collect();
    let mut bodies = Vec::new();
    for replay in replays {
        bodies.push(replay.await.unwrap());
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]));
    assert_eq!((host.begun(), host.app.registry.live()), (1, 1));

    // The same event under the same idempotency token, and after the call's end.
    let pairs = inbound(&sid);
    let signature = sign(TOKEN, &format!("{}{INBOUND}", host.public), &pairs);
    let headers = [("X-Twilio-Signature", &*signature), ("I-Twilio-Idempotency-Token", "retry-1")];
    assert_eq!(post(&host, INBOUND, &pairs, &headers).await.body, bodies[0]);
    assert_eq!(hook(&host, "/api/twilio/voice/status", &status(&sid, "completed")).await.status, 204);
    host.app.registry.empty().await;
    assert_eq!(hook(&host, INBOUND, &pairs).await.body, bodies[0]);
    assert_eq!(host.begun(), 1);
}

pub fn status<'a>(sid: &'a str, status: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![("AccountSid", ACCOUNT), ("CallSid", sid), ("CallStatus", status), ("SequenceNumber", "3")]
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_09_webhooks_of_another_account_or_without_ids_are_refused() {
    let host = Host::new().await;
    let sid = new_sid();
    for (at, value, code) in
        [(0, "AC00000000000000000000000000000002", 403), (0, "", 400), (1, "", 400), (1, "CA/../x", 400)]
    {
        let mut pairs = inbound(&sid);
        pairs[at].1 = value;
        assert_eq!(hook(&host, INBOUND, &pairs).await.status, code, "{value:?}");
    }
    assert_eq!(host.begun(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_16_bodies_that_are_no_small_forms_are_refused() {
    let host = Host::new().await;
    let sid = new_sid();
    let big = "x".repeat(64 * 1024);
    let mut pairs = inbound(&sid);
    pairs.push(("AddOns", &big));
    assert_eq!(hook(&host, INBOUND, &pairs).await.status, 413);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client
        .post(format!("http://{}{INBOUND}", host.address))
        .header("X-Twilio-Signature", "AAAA")
        .json(&serde_json::json!({"CallSid": sid}))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 415);
    assert_eq!(host.begun(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn unsigned_webhooks_are_taken_only_on_loopback_without_a_token() {
    let host = Host::with(&[("TWILIO_AUTH_TOKEN", "")]).await;
    let sid = new_sid();
    assert_eq!(post(&host, INBOUND, &inbound(&sid), &[]).await.status, 200);
    let host =
        Host::with(&[("TWILIO_AUTH_TOKEN", ""), ("ARIA_PUBLIC_URL", "https://voice.example.com")]).await;
    assert_eq!(post(&host, INBOUND, &inbound(&sid), &[]).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secondary_token_is_accepted_during_a_rotation() {
    let host = Host::with(&[("TWILIO_AUTH_TOKEN_SECONDARY", "0ld")]).await;
    let sid = new_sid();
    let pairs = inbound(&sid);
    let signature = sign("0ld", &format!("{}{INBOUND}", host.public), &pairs);
    assert_eq!(post(&host, INBOUND, &pairs, &[("X-Twilio-Signature", &signature)]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_53_draining_refuses_new_calls_and_lets_old_ones_finish() {
    let host = Host::new().await;
    let (old, _) = ring(&host).await;
    assert_eq!(get(&host, "/readyz", &[]).await.status, 200);
    let registry = host.app.registry.clone();
    let draining = tokio::spawn(async move {
        drain(&registry, Duration::from_secs(60), std::future::ready(()), std::future::pending::<()>()).await;
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let ready = get(&host, "/readyz", &[]).await;
    assert_eq!((ready.status, ready.body.trim()), (503, "draining"));
    assert_eq!(get(&host, "/healthz", &[]).await.status, 200);
    let sid = new_sid();
    let refused = hook(&host, INBOUND, &inbound(&sid)).await;
    assert_eq!(refused.status, 200);
    assert!(
        refused.body.contains("<Say>")
            && refused.body.contains("<Hangup/>")
            && !refused.body.contains("Stream")
    );
    assert_eq!((host.begun(), host.app.registry.live()), (1, 1));
    assert!(!draining.is_finished());
    hook(&host, "/api/twilio/voice/status", &status(&old, "completed")).await;
    draining.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_54_a_second_signal_ends_calls_within_five_seconds() {
    let host = Host::new().await;
    let (sid, _) = ring(&host).await;
    let begun = Instant::now();
    drain(&host.app.registry, Duration::from_secs(60), std::future::ready(()), std::future::ready(())).await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(host.app.registry.live(), 0);
    use aria_bridge::hosting::Line;
    assert_eq!(host.call(&sid).is_ended(), Some(CallEnd::Shutdown));
}

/// Rows 59 and 60: planted secrets and numbers are in no output, whatever the outcome and however fine the log.
#[tokio::test(flavor = "multi_thread")]
async fn fault_59_60_secrets_and_numbers_do_not_show() {
    let host = Host::with(&[("ARIA_ADMIN_TOKEN", "adm1n-canary")]).await;
    let admin = [("Authorization", "Bearer adm1n-canary")];
    // A call that works, one that is refused, one that is forged.
    let (mut stream, mut far, sid) = Stream::of_call(&host).await;
    let token = far.start.parameters.get("token").cloned();
    assert_eq!(token, None, "the token goes no further than the registry");
    stream.key("7").await;
    stream.sound(100, 160).await;
    stream.stop().await;
    while far.event().await.is_some_and(|event| !matches!(event, MediaEvent::Closed { .. })) {}
    let (refused_call, secret) = ring(&host).await;
    let mut refused = Stream::open(&host).await;
    refused.start(&refused_call, &format!("{secret}x")).await;
    refused.close_code().await;
    post(&host, &format!("{INBOUND}?From=%2B15551230042"), &inbound(&sid), &[("X-Twilio-Signature", "AAAA")])
        .await;
    post(&host, INBOUND, &inbound(&sid), &[]).await;

    let shown = get(&host, &format!("/api/calls/{sid}"), &admin).await;
    assert!(shown.status == 200 && shown.body.contains("…42"), "{}", shown.body);
    let list = get(&host, "/api/calls", &admin).await.body;
    let metrics = get(&host, "/metrics", &[]).await.body;
    let inbound = format!("{:?}", host.call(&sid).inbound);
    let log = String::from_utf8_lossy(&log().lock().unwrap()).into_owned();
    assert!(log.contains("media stream refused"), "the log is read");
    for (name, text) in
        [("call", &shown.body), ("list", &list), ("metrics", &metrics), ("debug", &inbound), ("log", &log)]
    {
        for canary in ["5551230042", "5557654321", TOKEN, "adm1n-canary", &secret] {
            let at = text.find(canary).map(|at| &text[at.saturating_sub(80)..at]);
            assert_eq!(at, None, "{canary} in {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_50_a_storm_of_calls_is_answered_and_bounded() {
    let host = Arc::new(Host::limited(20, 5).await);
    let storm: Vec<_> = (0..200)
        .map(|_| {
            let host = host.clone();
            tokio::spawn(async move {
                let sid = new_sid();
                let begun = Instant::now();
                let answer = hook(&host, INBOUND, &inbound(&sid)).await;
                (
                    answer.status,
                    answer.body.contains("<Stream"),
                    answer.body.contains("<Say>"),
                    begun.elapsed(),
                )
            })
        })
        .collect();
    let (mut connected, mut spoken) = (0, 0);
    for one in storm {
        let (status, stream, say, took) = one.await.unwrap();
        assert_eq!(status, 200);
        assert!(took < Duration::from_secs(5), "{took:?}");
        connected += usize::from(stream);
        spoken += usize::from(say);
    }
    assert_eq!(connected + spoken, 200);
    // Five at once and five a second, for as long as the storm lasted; never more than there is room.
    assert!((5..=20).contains(&connected), "{connected}");
    assert_eq!(host.begun(), connected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_house_says_so_and_is_not_ready() {
    let host = Host::limited(1, 1000).await;
    let (sid, _) = ring(&host).await;
    let ready = get(&host, "/readyz", &[]).await;
    assert_eq!((ready.status, ready.body.trim()), (503, "full"));
    let other = new_sid();
    let refused = hook(&host, INBOUND, &inbound(&other)).await.body;
    assert!(refused.contains("<Say>") && refused.contains("<Hangup/>"));
    assert_eq!(hook(&host, INBOUND, &inbound(&other)).await.body, refused);
    hook(&host, "/api/twilio/voice/status", &status(&sid, "completed")).await;
    host.app.registry.empty().await;
    assert_eq!(get(&host, "/readyz", &[]).await.status, 200);
}
