//! Callers who hang up at every moment of a call: it ends with the right reason and everything is let go within a second.

use std::time::Duration;

use aria_bridge::call::CallEnd;
use sim::desk::{DeskConfig, DeskFault};
use sim::model::{End, Faults, HttpFault, HttpFaults, Line, ModelConfig, ModelScript, ToolCall, Turn};
use sim::phone::{Begin, CallPlan, Moment};

use crate::support::house::{Blueprint, Held, House};
use crate::support::lines::{self, caller};
use crate::support::sound::{clip, likeness};

/// From the hang-up to nothing of the call being left.
const RELEASE: Duration = Duration::from_secs(1);

fn assert_released(held: &Held, what: &str) {
    let after = held.released_after(held.over());
    println!("{what}: released after {after:?}, the model's session after {:?}", session_end(held));
    assert!(after <= RELEASE, "{what}: {after:?}");
    assert_eq!(held.end(), Some(CallEnd::CallerHungUp), "{what}: {:?}", held.report);
    assert!(held.report.violations.is_empty(), "{what}: {:?}", held.report.violations);
    for session in &held.sessions {
        let how = session.ended.as_ref().map(|e| &e.how);
        // The simulator's stack calls it a failure where SCTP had not come up.
        assert!(matches!(how, Some(End::PeerClosed | End::Hangup | End::Failed(_))), "{what}: {how:?}");
    }
    if let Some(closed) = session_end(held) {
        assert!(closed <= RELEASE, "{what}: the model's session after {closed:?}");
    }
}

fn session_end(held: &Held) -> Option<Duration> {
    held.sessions.last().and_then(|_| held.closed_after(held.over()))
}

fn slow(fault: HttpFault) -> ModelConfig {
    let http = HttpFaults { first: Vec::new(), then: Some(fault) };
    ModelConfig { faults: Faults { http, ..Faults::default() }, ..lines::model() }
}

fn at_once(script: &str) -> CallPlan {
    CallPlan { begin: Begin::AtAnswer, ..caller(script) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn during_set_up() {
    let house = House::of(lines::model()).await;
    // From before the stream's socket is open to after the first frames.
    let moments = [0, 20, 40, 80, 120, 200, 300];
    let calls = moments.map(|ms| {
        let house = &house;
        async move { (ms, house.place(0, at_once(&format!("pause {ms}ms\nhangup\n"))).await) }
    });
    for (ms, held) in futures_util::future::join_all(calls).await {
        assert_released(&held, &format!("{ms} ms after the answer"));
    }
    assert_eq!((house.registry.live(), house.models[0].active()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_the_model_answered() {
    for (what, fault) in [
        ("the model hangs", HttpFault::Hang),
        ("the model drips", HttpFault::SlowBody { bytes: 200, every: Duration::from_millis(150) }),
        ("the model is busy", HttpFault::status(503)),
    ] {
        let house = House::of(slow(fault)).await;
        let held = house.place(0, at_once("pause 250ms\nhangup\n")).await;
        let after = held.released_after(held.over());
        println!("{what}: released after {after:?}");
        assert!(after <= RELEASE, "{what}: {after:?}");
        assert_eq!(held.end(), Some(CallEnd::CallerHungUp), "{what}");
        // What is granted to nobody is given back.
        tokio::time::sleep(Duration::from_millis(3_500)).await;
        assert_eq!(house.models[0].active(), 0, "{what}: a session is left over");
        let asked = house.models[0].requests().iter().filter(|r| r.path.ends_with("/calls")).count();
        assert!(asked <= 3, "{what}: {asked} requests");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_mid_reply() {
    let house = House::of(lines::model()).await;
    let greeting = house.call(0, "wait-speech\npause 100ms\nhangup\n");
    let reply =
        house.call(0, "wait-speech\nwait-silence 500ms\nsay thank-you\nwait-speech\npause 1s\nhangup\n");
    let speaking = house.call(0, "wait-speech\nwait-silence 500ms\npause 100ms\nhangup\n");
    let (greeting, reply, speaking) = tokio::join!(greeting, reply, speaking);
    assert_released(&greeting, "in the greeting");
    assert_released(&reply, "in a reply");
    assert_released(&speaking, "in silence");
    let cut = reply.session().replies.last().expect("it was being said");
    let heard = reply.report.when(|m| matches!(m, Moment::StopSent)).expect("the phone says stop");
    println!("hung up at {heard:?}, {} of {} ms of the reply had left", cut.played_ms, cut.total_ms);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_mid_tool() {
    let script = ModelScript {
        greeting: Line::of(["hello"]),
        turns: vec![Turn {
            reply: Some(Line::of(["one-moment"])),
            tool: Some(ToolCall { name: "lookup".into(), arguments: serde_json::json!({"city": "Lima"}) }),
            answer: Some(Line::of(["goodbye"])),
            ..Turn::default()
        }],
        ..ModelScript::default()
    };
    let house = House::build(Blueprint {
        models: vec![ModelConfig { script, ..ModelConfig::default() }],
        desk: DeskConfig { then: DeskFault::Hang, ..DeskConfig::default() },
        tool_timeout_ms: 30_000,
        ..Blueprint::default()
    })
    .await;
    let held = house
        .call(0, "wait-speech\nwait-silence 500ms\nsay lima\nwait-speech\nwait-silence 800ms\nhangup\n")
        .await;
    assert_eq!(house.desk.requests(), 1, "the tool was asked");
    assert!(likeness(&held.report.heard, &clip("one-moment")) >= 0.8);
    assert_released(&held, "while a tool hangs");
    let output = |e: &sim::model::Logged| e.event["item"]["type"] == "function_call_output";
    assert!(!held.session().client_events.iter().any(output));
}
