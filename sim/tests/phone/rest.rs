//! The REST API: hanging up, redirecting, refusing.

use std::time::Duration;

use sim::phone::report::EndedBy;
use sim::phone::rest::RestFault;
use sim::phone::{Moment, Phone, Step};
use tokio::sync::mpsc;

use crate::bridge::{Bridge, TOKEN, connect, plan, twiml};

const ACCOUNT: &str = "AC00000000000000000000000000000001";

async fn post(
    phone: &Phone,
    path: &str,
    token: &str,
    form: &[(&str, &str)],
) -> (u16, serde_json::Value, bool) {
    let url = phone.api_url().join(&format!("/2010-04-01/Accounts/{ACCOUNT}/{path}.json")).unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = client.post(url).basic_auth(ACCOUNT, Some(token)).form(form).send().await.unwrap();
    let named = response.headers().get("twilio-request-id").is_some_and(|v| v.as_bytes().starts_with(b"RQ"));
    (response.status().as_u16(), response.json().await.unwrap(), named)
}

/// A bridge whose stream tells when it started and how it ended.
async fn streaming() -> (Bridge, mpsc::Receiver<String>) {
    let (sender, events) = mpsc::channel(16);
    let bridge = Bridge::start(
        |hook, url| match hook.path.as_str() {
            "/next" => twiml("<Say>Moved.</Say>"),
            _ => twiml(&format!("{}<Say>never</Say>", connect(url, ""))),
        },
        move |mut stream| {
            let sender = sender.clone();
            async move {
                let (_, start) = stream.start().await;
                sender.send(start["start"]["callSid"].as_str().unwrap().to_owned()).await.unwrap();
                let last = stream.rest().await.last().map_or("nothing".into(), |m| m["event"].to_string());
                sender.send(last).await.unwrap();
            }
        },
    )
    .await;
    (bridge, events)
}

#[tokio::test]
async fn a_bridge_hangs_up_and_a_second_time_is_too_late() {
    let (bridge, mut events) = streaming().await;
    let phone = bridge.phone().await;
    let call = tokio::spawn({
        let phone = phone.clone();
        async move { phone.call(plan([])).await }
    });
    let sid = events.recv().await.unwrap();
    let path = format!("Calls/{sid}");
    let (status, error, named) = post(&phone, &path, "wrong", &[("Status", "completed")]).await;
    assert_eq!((status, error["code"].as_u64(), named), (401, Some(20_003), true));
    phone.fail_rest([
        RestFault { status: Some(429), retry_after: Some(1), ..RestFault::default() },
        RestFault { status: Some(503), latency: Duration::from_millis(20), ..RestFault::default() },
    ]);
    assert_eq!(post(&phone, &path, TOKEN, &[("Status", "completed")]).await.1["code"], 20_429);
    assert_eq!(post(&phone, &path, TOKEN, &[("Status", "completed")]).await.0, 503);
    let (status, call_resource, named) = post(&phone, &path, TOKEN, &[("Status", "completed")]).await;
    assert_eq!((status, call_resource["sid"].as_str(), named), (200, Some(sid.as_str()), true));
    assert_eq!(events.recv().await.unwrap(), "\"stop\"");
    let report = call.await.unwrap();
    assert_eq!((report.ended.by, report.call_sid.as_str()), (EndedBy::Rest, sid.as_str()));
    let (status, error, _) = post(&phone, &path, TOKEN, &[("Status", "completed")]).await;
    assert_eq!((status, error["code"].as_u64()), (400, Some(21_220)));
    assert_eq!(post(&phone, "Calls/CA0", TOKEN, &[("Status", "completed")]).await.1["code"], 20_404);
    let statuses: Vec<u16> = phone.requests().iter().map(|r| r.status).collect();
    assert_eq!(statuses, [401, 429, 503, 200, 400, 404]);
}

#[tokio::test]
async fn a_live_call_is_sent_to_another_document() {
    for form in [("Twiml", "<Response><Say>Moved.</Say></Response>"), ("Url", "/next")] {
        let (bridge, mut events) = streaming().await;
        let phone = bridge.phone().await;
        let call = tokio::spawn({
            let phone = phone.clone();
            async move { phone.call(plan([])).await }
        });
        let sid = events.recv().await.unwrap();
        assert_eq!(post(&phone, &format!("Calls/{sid}"), TOKEN, &[form]).await.0, 200);
        assert_eq!(events.recv().await.unwrap(), "\"stop\"");
        let report = call.await.unwrap();
        assert_eq!(report.ended.by, EndedBy::Document);
        assert_eq!(report.times(|m| matches!(m, Moment::Spoken(text) if text == "Moved.")).len(), 1);
        assert_eq!(report.times(|m| matches!(m, Moment::Spoken(_))).len(), 1, "the old document is gone");
    }
}

#[tokio::test]
async fn a_call_the_bridge_places_runs_as_any_other() {
    let (bridge, mut events) = streaming().await;
    let mut config = sim::phone::PhoneConfig::new(bridge.url.clone());
    config.auth_token = Some(TOKEN.into());
    config.outbound = plan([Step::Pause(Duration::from_millis(200)), Step::HangUp]);
    let phone = Phone::start(config).await.unwrap();
    let url = bridge.url.join("/outbound").unwrap();
    let form = [("To", "+15550007777"), ("From", "+15551230000"), ("Url", url.as_str())];
    let (status, resource, _) = post(&phone, "Calls", TOKEN, &form).await;
    assert_eq!((status, resource["status"].as_str()), (201, Some("queued")));
    let sid = events.recv().await.unwrap();
    assert_eq!(resource["sid"], sid.as_str());
    assert_eq!(events.recv().await.unwrap(), "\"stop\"");
    // The report is there once the last callback is answered; the test's own limit is the runner's.
    while phone.outbound().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(phone.outbound()[0].ended.by, EndedBy::Caller);
    assert_eq!(bridge.hooks()[0].get("Direction"), "outbound-api");
    assert_eq!(post(&phone, "Calls", TOKEN, &[("To", "+1555")]).await.0, 400);
}

#[tokio::test]
async fn a_number_takes_its_webhook() {
    let (bridge, _events) = streaming().await;
    let phone = bridge.phone().await;
    let url =
        phone.api_url().join(&format!("/2010-04-01/Accounts/{ACCOUNT}/IncomingPhoneNumbers.json")).unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let list: serde_json::Value =
        client.get(url).basic_auth(ACCOUNT, Some(TOKEN)).send().await.unwrap().json().await.unwrap();
    let number = &list["incoming_phone_numbers"][0];
    assert_eq!(
        (number["phone_number"].as_str(), number["voice_url"].as_str()),
        (Some("+15551230000"), Some(""))
    );
    let path = format!("IncomingPhoneNumbers/{}", number["sid"].as_str().unwrap());
    let (status, changed, _) = post(&phone, &path, TOKEN, &[("VoiceUrl", "https://h.example/v")]).await;
    assert_eq!((status, changed["voice_url"].as_str()), (200, Some("https://h.example/v")));
}
