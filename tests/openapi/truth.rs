//! What is answered is as it is described, of calls that are and of calls that were.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sim::phone::{Answering, Taker};

use super::document::{faults, fetch};
use crate::support::house::{Blueprint, House};
use crate::support::lines;

/// How long what was recorded may take to be in the database.
const RECORDED: Duration = Duration::from_secs(20);

async fn get(house: &House, path: &str) -> (u16, Value) {
    let answer = reqwest::get(format!("http://{}{path}", house.address)).await.expect("it answers");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

async fn post(house: &House, path: &str, body: Value) -> (u16, Value) {
    let client = reqwest::Client::new();
    let answer = client.post(format!("http://{}{path}", house.address)).json(&body).send().await;
    let answer = answer.expect("it answers");
    (
        answer.status().as_u16(),
        serde_json::from_slice(&answer.bytes().await.expect("a body")).unwrap_or_default(),
    )
}

#[track_caller]
fn holds(document: &Value, schema: &str, value: &Value) {
    let faults = faults(document, schema, value);
    assert!(faults.is_empty(), "{schema}: {faults:#?}\n{value:#}");
}

/// The schema of an answer with this status.
fn named(document: &Value, path: &str, method: &str, status: u16) -> String {
    let content = &document["paths"][path][method]["responses"][status.to_string()]["content"];
    let media = content.as_object().and_then(|c| c.values().next()).expect("a described body");
    let reference = media["schema"]["$ref"].as_str().expect("a named schema");
    reference.rsplit('/').next().expect("a name").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_about_a_living_and_a_past_call_are_as_described() {
    let plan = Blueprint {
        file: "[outbound]\nallow = [\"+1555777*\"]\nfrom = \"+15550000000\"\n".into(),
        answering: Answering { taker: Taker::Person, ringing: Duration::from_millis(300) },
        outbound: lines::caller(lines::ONE_TURN),
        ..Blueprint::default()
    };
    let house = House::build(plan).await;
    let document = fetch(&house).await;
    let as_described = |path: &str, method: &str, (status, answer): &(u16, Value)| {
        holds(&document, &named(&document, path, method, *status), answer);
    };

    // A call of ours, so that both directions are seen in one.
    let placed = post(&house, "/api/calls", json!({ "to": "+15557770001" })).await;
    assert_eq!(placed.0, 201, "{placed:?}");
    as_described("/api/calls", "post", &placed);
    let sid = placed.1["call_sid"].as_str().expect("an id").to_owned();
    let one = format!("/api/calls/{sid}");

    let ringing = get(&house, &one).await;
    as_described("/api/calls/{sid}", "get", &ringing);
    // The line of the call itself takes the place of the one that rang.
    let answered = async {
        while get(&house, &one).await.1["sound"].is_null() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(RECORDED, answered).await.expect("it is answered");
    let url = format!("http://{}{one}/events", house.address);
    let mut events = reqwest::get(url).await.expect("it answers");
    let living = get(&house, &one).await;
    as_described("/api/calls/{sid}", "get", &living);
    assert_eq!(
        (&living.1["direction"], &living.1["ended"]),
        (&json!("outbound"), &Value::Null),
        "{living:?}"
    );
    as_described("/api/calls", "get", &get(&house, "/api/calls").await);
    let sounds = get(&house, "/api/sound").await;
    as_described("/api/sound", "get", &sounds);
    assert_eq!(sounds.1["calls"].as_array().map(Vec::len), Some(1), "{sounds:?}");
    assert!(
        sounds.1["calls"][0]["sound"]["jitter_target_us"].as_u64().is_some_and(|target| target > 0),
        "{sounds:?}"
    );

    let mut told = String::new();
    while let Some(piece) = events.chunk().await.expect("it goes on to the end") {
        told.push_str(std::str::from_utf8(&piece).expect("text"));
    }
    let told: Vec<Value> = told
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .map(|data| serde_json::from_str(data.trim()).expect("JSON"))
        .collect();
    assert!(told.len() > 5 && told[0]["type"] == "snapshot", "{told:?}");
    assert_eq!(told.last().expect("some")["type"], "ended");
    told.iter().for_each(|event| holds(&document, "Told", event));

    let until = Instant::now() + RECORDED;
    let past = loop {
        let past = get(&house, &one).await;
        if past.1["tool_calls"].is_array() {
            break past;
        }
        assert!(Instant::now() < until, "{past:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    as_described("/api/calls/{sid}", "get", &past);
    assert!(past.1["transcript"].as_array().is_some_and(|turns| !turns.is_empty()), "{past:?}");
    assert!(past.1["events"].as_array().is_some_and(|events| !events.is_empty()), "{past:?}");
    let list = get(&house, "/api/calls?outcome=caller_hung_up&limit=1").await;
    assert_eq!(list.1["calls"].as_array().map(Vec::len), Some(1), "{list:?}");
    as_described("/api/calls", "get", &list);
    as_described("/api/webhooks/dead", "get", &get(&house, "/api/webhooks/dead").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_as_described() {
    let house = House::of(lines::model()).await;
    let document = fetch(&house).await;
    let check = |path: &str, method: &str, status: u16, answer: (u16, Value)| {
        assert_eq!(answer.0, status, "{method} {path}: {}", answer.1);
        holds(&document, &named(&document, path, method, status), &answer.1);
    };
    check("/api/calls", "get", 400, get(&house, "/api/calls?limit=0").await);
    check("/api/calls", "get", 400, get(&house, "/api/calls?colour=red").await);
    check("/api/calls/{sid}", "get", 404, get(&house, "/api/calls/CA0").await);
    check("/api/calls/{sid}/events", "get", 404, get(&house, "/api/calls/CA0/events").await);
    check("/api/calls", "post", 400, post(&house, "/api/calls", json!({ "to": "555" })).await);
    check("/api/calls", "post", 400, post(&house, "/api/calls", json!({ "colour": "red" })).await);
    let forbidden = json!({ "to": "+15557770001", "from": "+15550000000" });
    check("/api/calls", "post", 403, post(&house, "/api/calls", forbidden).await);
    for (act, body) in
        [("hangup", json!({})), ("say", json!({ "text": "x" })), ("transfer", json!({ "to": "x" }))]
    {
        let path = format!("/api/calls/{{sid}}/{act}");
        check(&path, "post", 404, post(&house, &path.replace("{sid}", "CA0"), body).await);
    }
    let say = "/api/calls/{sid}/say";
    check(say, "post", 400, post(&house, &say.replace("{sid}", "CA0"), json!({ "text": "" })).await);
    let retry = "/api/webhooks/dead/{id}/retry";
    check(retry, "post", 404, post(&house, &retry.replace("{id}", "x"), json!({})).await);
}
