//! An operator's words in a living call, his transfers, and text messages that a tool sends.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use sim::model::{Line, ModelConfig, ModelScript, ToolCall, Turn};

use super::admin::{asked, post, until, values};
use crate::support::house::{Blueprint, House, number};
use crate::support::lines;

const TARGETS: &str = "
[[tools]]
type = \"builtin\"
name = \"transfer_call\"
targets = { reception = \"+15550009001\" }
";

/// A caller who listens, and the id of his call once he hears the greeting.
async fn calling(
    house: &Arc<House>,
    script: &'static str,
) -> (String, tokio::task::JoinHandle<crate::support::house::Held>) {
    let caller = tokio::spawn({
        let house = Arc::clone(house);
        async move { house.call(0, script).await }
    });
    let mut sid = String::new();
    until("the call does not begin", || {
        let snapshots = house.registry.snapshots();
        let greeted = snapshots.iter().find(|s| s.ended.is_none() && !s.transcript.is_empty());
        sid = greeted.map(|s| s.call_sid.clone()).unwrap_or_default();
        !sid.is_empty()
    })
    .await;
    (sid, caller)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_has_something_said() {
    let house = Arc::new(House::of(lines::model()).await);
    let (sid, caller) = calling(&house, "wait-speech\nwait-silence 500ms\npause 3s\nhangup\n").await;
    let say = |body: String| {
        let (house, path) = (Arc::clone(&house), format!("/api/calls/{sid}/say"));
        async move { post(&house, &path, None, &body).await }
    };
    assert_eq!(say(json!({ "text": "x".repeat(501) }).to_string()).await.0, 400);
    assert_eq!(say(json!({ "text": "  " }).to_string()).await.0, 400);
    assert_eq!(say(json!({ "text": "The doctor is late today." }).to_string()).await.0, 202);
    let held = caller.await.expect("the caller");
    let told = held.session().client_events.iter().any(|logged| {
        logged.event["type"] == "response.create"
            && logged.event.to_string().contains("The doctor is late today.")
    });
    assert!(told, "the model is told to say it");
    assert_eq!(say(json!({ "text": "hello" }).to_string()).await.0, 409, "the call is over");
    assert_eq!(post(&house, "/api/calls/CA0/say", None, r#"{"text":"hello"}"#).await.0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_puts_a_caller_through_by_name_alone() {
    let house = Arc::new(House::build(Blueprint { tables: TARGETS, ..Blueprint::default() }).await);
    let (sid, caller) = calling(&house, "wait-speech\npause 8s\nhangup\n").await;
    let path = format!("/api/calls/{sid}/transfer");
    for to in ["+15550009001", "nobody"] {
        let (status, answer) = post(&house, &path, None, &json!({ "to": to }).to_string()).await;
        assert!(status == 400 && answer["error"].as_str().unwrap().contains("reception"), "{answer}");
    }
    assert_eq!(post(&house, &path, None, r#"{"to":"reception"}"#).await.0, 202);
    let held = caller.await.expect("the caller");
    let dialed = held.report.twiml.iter().any(|t| t.contains("<Dial") && t.contains("+15550009001"));
    assert!(dialed, "{:?}", held.report.twiml);
    assert_eq!(held.end().map(|end| end.as_str()), Some("transferred"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tools_text_message_goes_from_the_number_that_was_called() {
    let script = ModelScript {
        greeting: Line::of(["hello"]),
        turns: vec![Turn {
            tool: Some(ToolCall {
                name: "send_message".into(),
                arguments: json!({ "to": "caller", "body": "Your appointment is on Monday." }),
            }),
            answer: Some(Line::of(["goodbye"])),
            ..Turn::default()
        }],
        ..ModelScript::default()
    };
    let house = House::build(Blueprint {
        models: vec![ModelConfig { script, ..ModelConfig::default() }],
        tables: "\n[[tools]]\ntype = \"builtin\"\nname = \"send_message\"\n",
        ..Blueprint::default()
    })
    .await;
    let held = house
        .call(0, "wait-speech\nwait-silence 500ms\nsay lima\nwait-speech\nwait-silence 700ms\nhangup\n")
        .await;
    assert!(held.report.violations.is_empty(), "{:?}", held.report.violations);
    until("no message is sent", || !asked(&house, "/Messages.json").is_empty()).await;
    let sent = asked(&house, "/Messages.json");
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert_eq!(values(&sent[0], "From"), [number(0)]);
    assert_eq!(values(&sent[0], "Body"), ["Your appointment is on Monday."]);
    assert_eq!((values(&sent[0], "To").len(), sent[0].status), (1, 201));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(asked(&house, "/Messages.json").len(), 1, "it is sent once");
}
