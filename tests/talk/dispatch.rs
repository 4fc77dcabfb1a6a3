//! A service that chooses who answers.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use sim::model::ModelConfig;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::support::house::{Blueprint, House};
use crate::support::lines::{self, ONE_TURN};

#[derive(Clone)]
struct Hook {
    answer: &'static str,
    after: Duration,
    asked: mpsc::Sender<(HeaderMap, String)>,
}

async fn answer(State(hook): State<Hook>, headers: HeaderMap, body: String) -> &'static str {
    hook.asked.try_send((headers, body)).expect("the test listens");
    tokio::time::sleep(hook.after).await;
    hook.answer
}

/// Agents that answered a call to agent 0's number, and what the hook was asked.
async fn call(said: &'static str, after: Duration) -> (Vec<usize>, Vec<(HeaderMap, String)>) {
    let (asked, mut questions) = mpsc::channel(16);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/dispatch", listener.local_addr().expect("it is bound"));
    let app = Router::new().route("/dispatch", post(answer)).with_state(Hook { answer: said, after, asked });
    tokio::spawn(async move { axum::serve(listener, app).await });
    let models = vec![ModelConfig { seed: 5, ..lines::model() }, ModelConfig { seed: 6, ..lines::model() }];
    let file = format!("[dispatch]\nurl = \"{url}\"\ntimeout_ms = 300\n");
    let house = House::build(Blueprint { models, file, ..Blueprint::default() }).await;
    let held = house.place(0, lines::caller(ONE_TURN)).await;
    assert!(held.report.violations.is_empty() && held.waited_in_vain() == 0, "{:?}", held.report);
    let answered = (0..2).filter(|n| !house.models[*n].sessions().is_empty()).collect();
    questions.close();
    let mut all = Vec::new();
    while let Some(question) = questions.recv().await {
        all.push(question);
    }
    (answered, all)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_chooses_the_agent_and_one_that_fails_chooses_nothing() {
    let (chosen, asked) = call(r#"{"agent":"a1","variables":{"name":"Ada"}}"#, Duration::ZERO).await;
    assert_eq!(chosen, [1]);
    assert_eq!(asked.len(), 1);
    let question: serde_json::Value = serde_json::from_str(&asked[0].1).expect("JSON");
    assert!(question["call_sid"].as_str().is_some_and(|sid| sid.starts_with("CA")), "{question}");
    assert_eq!(question["to"], "+15550000000");
    for (what, said, after) in [
        ("nonsense", "<html>", Duration::ZERO),
        ("nothing", "{}", Duration::ZERO),
        ("an unknown agent", r#"{"agent":"nobody"}"#, Duration::ZERO),
        ("its word too late", r#"{"agent":"a1"}"#, Duration::from_secs(2)),
    ] {
        let (chosen, _) = call(said, after).await;
        assert_eq!(chosen, [0], "a hook that says {what}");
    }
}
