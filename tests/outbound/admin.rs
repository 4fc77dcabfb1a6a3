//! The admin API, asked from this machine.

use std::time::{Duration, Instant};

use serde_json::Value;
use sim::phone::{CallReport, RestRequest};

use crate::support::house::House;

/// Longer than any call of these tests.
const PATIENCE: Duration = Duration::from_secs(40);

/// The list that most of these tests have.
pub const ALLOWED: &str = "[outbound]\nallow = [\"+1555777*\", \"+15005550001\"]\nfrom = \"+15550000000\"\n";

/// An answer: status and JSON.
pub type Answer = (u16, Value);

/// `POST path`.
pub async fn post(house: &House, path: &str, key: Option<&str>, body: &str) -> Answer {
    let client = reqwest::Client::builder().no_proxy().build().expect("a plain client");
    let mut request = client
        .post(format!("http://{}{path}", house.address))
        .header("content-type", "application/json")
        .body(body.to_owned());
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    read(request).await
}

/// `GET path`.
pub async fn get(house: &House, path: &str) -> Answer {
    let client = reqwest::Client::builder().no_proxy().build().expect("a plain client");
    read(client.get(format!("http://{}{path}", house.address))).await
}

async fn read(request: reqwest::RequestBuilder) -> Answer {
    let answer = request.send().await.expect("the bridge answers");
    let status = answer.status().as_u16();
    (status, serde_json::from_slice(&answer.bytes().await.expect("a body")).unwrap_or_default())
}

/// Places a call and returns its id.
pub async fn place(house: &House, body: &str) -> String {
    let (status, answer) = post(house, "/api/calls", None, body).await;
    assert_eq!(status, 201, "{answer}");
    answer["call_sid"].as_str().expect("an id").to_owned()
}

/// Waits for the end of a placed call, on both sides; why the bridge says it ended.
pub async fn ended(house: &House, sid: &str) -> (CallReport, String) {
    let until = Instant::now() + PATIENCE;
    loop {
        assert!(
            Instant::now() < until,
            "the call does not end: {:?}",
            get(house, &format!("/api/calls/{sid}")).await
        );
        let report = house.phone.outbound().into_iter().find(|report| report.call_sid == sid);
        let end = house.registry.snapshot(sid).and_then(|snapshot| snapshot.ended);
        if let (Some(report), Some(end)) = (report, end) {
            return (report, end.as_str().to_owned());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until something is so.
pub async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The requests to Twilio's REST API with this at the end of their path.
pub fn asked(house: &House, path: &str) -> Vec<RestRequest> {
    house.phone.requests().into_iter().filter(|request| request.path.ends_with(path)).collect()
}

/// The values of a parameter.
pub fn values<'a>(request: &'a RestRequest, name: &str) -> Vec<&'a str> {
    request.params.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect()
}
