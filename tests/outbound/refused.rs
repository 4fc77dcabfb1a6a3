//! Calls that are not placed (rows 42 and 43 of the fault list): clear words, and Twilio is not asked.

use serde_json::json;
use sim::phone::rest::RestFault;

use super::admin::{ALLOWED, asked, post};
use crate::support::house::{Blueprint, House};

async fn house(file: &str) -> House {
    House::build(Blueprint { file: file.into(), ..Blueprint::default() }).await
}

async fn refused(house: &House, body: &str, status: u16, word: &str) {
    let (got, answer) = post(house, "/api/calls", None, body).await;
    let error = answer["error"].as_str().unwrap_or_default();
    assert!(got == status && error.contains(word), "{body}: {got} {answer}");
    assert_eq!(house.registry.live(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outbound_calls_are_off_until_numbers_are_allowed() {
    let house = house("[outbound]\nfrom = \"+15550000000\"\n").await;
    refused(&house, r#"{"to":"+15557770001"}"#, 403, "outbound.allow").await;
    assert!(house.phone.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_43_nobody_else_is_called() {
    let file = "[outbound]\nallow = [\"+1555777*\", \"+8*\", \"+1900*\", \"+4930123456\"]\nfrom = \"+15550000000\"\n";
    let house = house(file).await;
    for (to, word) in [
        ("+4930123457", "not in outbound.allow"),
        ("+49301234567", "not in outbound.allow"),
        ("+88216000000", "never called"),
        ("+87077390001", "never called"),
        ("+19005551234", "never called"),
    ] {
        refused(&house, &json!({ "to": to }).to_string(), 403, word).await;
    }
    for to in
        ["5557770001", "sip:a@b.example", "client:x", "+1555777000a", "", "+1555777*", "+15557770001,+1900"]
    {
        refused(&house, &json!({ "to": to }).to_string(), 400, "to must be").await;
    }
    assert!(house.phone.requests().is_empty(), "Twilio was not asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_request_is_said() {
    let house = house(ALLOWED).await;
    let many: serde_json::Map<_, _> = (0..33).map(|i| (format!("v{i}"), json!("x"))).collect();
    for (body, word) in [
        ("not json", "line 1"),
        ("{}", "missing field `to`"),
        (r#"{"to":"+15557770001","url":"http://x"}"#, "unknown field `url`"),
        (r#"{"to":"+15557770001","agent":"nobody"}"#, "one of: a0, default"),
        (r#"{"to":"+15557770001","from":"555"}"#, "from must be"),
        (r#"{"to":"+15557770001","variables":{"a b":"x"}}"#, "variables"),
        (&json!({ "to": "+15557770001", "variables": many }).to_string(), "at most 32"),
    ] {
        refused(&house, body, 400, word).await;
    }
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let form = client.post(format!("http://{}/api/calls", house.address)).body(r#"{"to":"+15557770001"}"#);
    assert_eq!(form.send().await.unwrap().status(), 415, "what a page elsewhere could send");
    let stranger = client
        .post(format!("http://{}/api/calls", house.address))
        .header("content-type", "application/json")
        .header("x-forwarded-for", "192.0.2.1")
        .body(r#"{"to":"+15557770001"}"#);
    assert_eq!(stranger.send().await.unwrap().status(), 403);
    assert!(house.phone.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_a_minute_and_a_day_are_counted() {
    let house = house(&format!("{ALLOWED}calls_per_minute = 2\n")).await;
    for _ in 0..2 {
        assert_eq!(post(&house, "/api/calls", None, r#"{"to":"+15557770001"}"#).await.0, 201);
    }
    let (status, answer) = post(&house, "/api/calls", None, r#"{"to":"+15557770001"}"#).await;
    assert_eq!(status, 429, "{answer}");
    assert!(answer["error"].as_str().unwrap().contains("calls_per_minute"), "{answer}");
    assert_eq!(asked(&house, "/Calls.json").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twilios_refusal_is_passed_on_and_may_be_tried_again() {
    let house = house(ALLOWED).await;
    let body = r#"{"to":"+15005550001"}"#;
    for _ in 0..2 {
        let (status, answer) = post(&house, "/api/calls", Some("k"), body).await;
        assert_eq!((status, answer["twilio_code"].as_u64()), (502, Some(21_217)), "{answer}");
        assert!(answer["more_info"].as_str().unwrap().ends_with("/errors/21217"), "{answer}");
    }
    assert_eq!(asked(&house, "/Calls.json").len(), 2);
    assert_eq!(house.registry.live(), 0);
    // The key is free for another request once nothing was done with it.
    assert_eq!(post(&house, "/api/calls", Some("k"), r#"{"to":"+15557770001"}"#).await.0, 201);
    let (status, answer) = post(&house, "/api/calls", Some("k"), r#"{"to":"+15557770002"}"#).await;
    assert_eq!(status, 422, "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_that_leaves_it_open_is_not_repeated() {
    let house = house(ALLOWED).await;
    house.phone.fail_rest([RestFault { status: Some(500), ..RestFault::default() }]);
    let body = r#"{"to":"+15557770001"}"#;
    for _ in 0..2 {
        let (status, answer) = post(&house, "/api/calls", Some("k"), body).await;
        assert_eq!(status, 502, "{answer}");
        assert!(answer["error"].as_str().unwrap().contains("may have been placed"), "{answer}");
    }
    assert_eq!(asked(&house, "/Calls.json").len(), 1, "one try, and the second request got its answer");
    // 429 was not processed: it is tried again.
    house.phone.fail_rest([RestFault { status: Some(429), ..RestFault::default() }]);
    assert_eq!(post(&house, "/api/calls", None, body).await.0, 201);
}
