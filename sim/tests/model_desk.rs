//! The desk over HTTP.

use std::time::Duration;

use serde_json::{Value, json};
use sim::desk::{Desk, DeskConfig, DeskFault};

async fn ask(url: &str, question: Value) -> reqwest::Response {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    client.post(url).json(&question).send().await.expect("an answer")
}

#[tokio::test]
async fn the_desk_answers_and_counts() {
    let desk = Desk::start(DeskConfig::default()).expect("a desk");
    let record: Value = ask(&desk.url(), json!({"city": "Lima"})).await.json().await.unwrap();
    assert_eq!((&record["city"], &record["hold_minutes"]), (&json!("Lima"), &json!(2)));
    let record: Value = ask(&desk.url(), json!({"phone": "+15550100"})).await.json().await.unwrap();
    assert_eq!(record["name"], "Allison");
    assert_eq!(ask(&desk.url(), json!({"street": "x"})).await.status(), 404);
    let client = reqwest::Client::new();
    assert_eq!(client.post(desk.url()).body("not json").send().await.unwrap().status(), 400);
    assert_eq!(desk.requests(), 4);
}

#[tokio::test]
async fn the_desk_fails_as_ordered() {
    let first = vec![
        DeskFault::Status(503),
        DeskFault::Huge(1_000_000),
        DeskFault::NotJson,
        DeskFault::OtherJson,
        DeskFault::Drip(Duration::from_millis(2)),
        DeskFault::Cut,
        DeskFault::Redirect("http://127.0.0.1:1/".to_owned()),
        DeskFault::Slow(Duration::from_millis(50)),
    ];
    let desk = Desk::start(DeskConfig { first, then: DeskFault::Hang, ..DeskConfig::default() }).unwrap();
    let again = async || ask(&desk.url(), json!({"city": "Lima"})).await;
    assert_eq!(again().await.status(), 503);
    assert!(again().await.bytes().await.unwrap().len() >= 1_000_000);
    assert!(again().await.json::<Value>().await.is_err());
    assert!(again().await.json::<Value>().await.unwrap().is_array());
    assert_eq!(again().await.json::<Value>().await.unwrap()["city"], "Lima");
    assert!(again().await.bytes().await.is_err());
    assert_eq!(again().await.status(), 307);
    assert_eq!(again().await.status(), 200);
    assert!(tokio::time::timeout(Duration::from_millis(100), again()).await.is_err());
}
