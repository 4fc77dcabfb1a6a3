//! How calls end, and where callers go.

use std::time::Duration;

use aria_bridge::call::CallEnd;
use sim::model::{Line, ModelConfig, ModelScript, ToolCall, Turn};
use sim::phone::report::EndedBy;
use sim::phone::{CallPlan, DialOutcome, Moment};

use crate::support::house::{Blueprint, Held, House};
use crate::support::lines;
use crate::support::sound::{clip, likeness};

const TOOLS: &str = r#"
[[tools]]
type = "builtin"
name = "end_call"
[[tools]]
type = "builtin"
name = "transfer_call"
targets = { reception = "+15551230042" }
"#;

/// The first turn of the caller makes the model call `tool`.
fn model(tool: &str, arguments: serde_json::Value) -> ModelConfig {
    let script = ModelScript {
        greeting: Line::of(["hello"]),
        turns: vec![
            Turn {
                tool: Some(ToolCall { name: tool.into(), arguments }),
                answer: Some(Line::of(["goodbye"])),
                ..Turn::default()
            },
            Turn { reply: Some(Line::of(["sorry-problems"])), ..Turn::default() },
        ],
        ..ModelScript::default()
    };
    ModelConfig { script, ..ModelConfig::default() }
}

async fn house(model: ModelConfig, agent: &str) -> House {
    House::build(Blueprint {
        models: vec![model],
        tables: TOOLS,
        agent: agent.into(),
        ..Blueprint::default()
    })
    .await
}

/// The bridge has hung up: over REST, or by the document that follows the stream, whichever is sooner.
fn hung_up(held: &Held) -> bool {
    matches!(held.report.ended.by, EndedBy::Rest | EndedBy::Document) && held.apology().is_none()
}

fn verbs(held: &Held) -> Vec<&'static str> {
    let verb = |m: &Moment| if let Moment::Verb(verb) = m { Some(*verb) } else { None };
    held.report.timeline.iter().filter_map(|e| verb(&e.what)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_goodbye_is_heard_before_the_call_ends() {
    let house = house(model("end_call", serde_json::json!({})), "").await;
    let script = "wait-speech\nwait-silence 500ms\nsay thank-you\npause 20s\nhangup\n";
    let held = house.call(0, script).await;
    assert_eq!(held.end(), Some(CallEnd::AgentHungUp), "{:?}", held.report);
    assert!(hung_up(&held), "{:?}", held.report);
    let like = likeness(&held.report.heard, &clip("goodbye"));
    assert!(like > 0.8, "the whole goodbye: {like:.3}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_is_put_through() {
    let house = house(model("transfer_call", serde_json::json!({ "target": "reception" })), "").await;
    let script = "wait-speech\nwait-silence 500ms\nsay thank-you\npause 20s\nhangup\n";
    let dial = DialOutcome { talking: Duration::from_secs(1), ..DialOutcome::default() };
    let held = house.place(0, CallPlan { dial, ..lines::caller(script) }).await;
    assert_eq!(held.end(), Some(CallEnd::Transferred), "{:?}", held.report);
    assert!(verbs(&held).contains(&"Dial"), "{:?}", held.report);
    assert!(held.report.twiml.iter().any(|t| t.contains("+15551230042")));
    assert!(held.report.violations.is_empty() && held.report.warnings.is_empty(), "{:?}", held.report);
    assert!(likeness(&held.report.heard, &clip("goodbye")) > 0.8, "he was told before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_whom_nobody_answers_comes_back() {
    let house = house(model("transfer_call", serde_json::json!({ "target": "reception" })), "").await;
    let script = "wait-speech\nwait-silence 500ms\nsay thank-you\nwait-speech\nwait-silence 1500ms\nwait-speech\n\
                  wait-silence 800ms\nhangup\n";
    let dial = DialOutcome { status: "busy".into(), ..DialOutcome::default() };
    let held = house.place(0, CallPlan { dial, ..lines::caller(script) }).await;
    assert_eq!(held.end(), Some(CallEnd::CallerHungUp), "{:?}", held.report);
    assert_eq!(held.report.stream_sids.len(), 2, "a stream before and one after");
    let told = |e: &sim::model::Logged| e.event.to_string().contains("the line is busy");
    assert!(held.session().client_events.iter().any(told));
    assert_eq!(held.sessions.len(), 1, "the same model all the time");
}

/// When ARIA was heard to begin and to end.
fn voice(held: &Held) -> Vec<(Duration, Duration)> {
    let (on, off) =
        (held.report.times(|m| *m == Moment::HeardOn), held.report.times(|m| *m == Moment::HeardOff));
    on.into_iter().zip(off).collect()
}

/// What she was asked to say.
fn asked(held: &Held) -> Vec<String> {
    let creates = held.session().client_events.iter().filter(|e| e.kind() == "response.create");
    creates.map(|e| e.event["response"]["instructions"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_caller_is_asked_and_then_let_go() {
    let house = house(lines::model(), "idle_seconds = 2").await;
    let held = house.call(0, "pause 40s\nhangup\n").await;
    assert_eq!(held.end(), Some(CallEnd::CallerSilent), "{:?}", held.report);
    assert!(hung_up(&held), "{:?}", held.report);
    let asked = asked(&held);
    assert_eq!(asked.len(), 3, "greeting, question, goodbye: {asked:?}");
    assert!(asked[1].contains("still there") && asked[2].contains("goodbye"), "{asked:?}");
    let voice = voice(&held);
    assert_eq!(voice.len(), 3, "all three were heard: {voice:?}");
    let silences: Vec<_> = voice.windows(2).map(|w| w[1].0 - w[0].1).collect();
    let left = held.over() - voice[2].1;
    println!("silent for {silences:?}; hung up {left:?} behind the goodbye");
    let idle = Duration::from_secs(2);
    assert!(silences.iter().all(|s| *s >= idle && *s <= idle + Duration::from_secs(3)), "{silences:?}");
    assert!(left <= Duration::from_secs(4), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_answers_the_question_is_not_let_go() {
    let house = house(lines::model(), "idle_seconds = 2").await;
    let script = "wait-speech\nwait-silence 1s\nwait-speech\nwait-silence 700ms\nsay thank-you\nwait-speech\n\
                  wait-silence 700ms\nhangup\n";
    let held = house.call(0, script).await;
    held.assert_orderly();
    assert_eq!(asked(&held).len(), 2, "greeting and question: {:?}", asked(&held));
    assert!(likeness(&held.report.heard, &clip("all-busy")) > 0.8, "he is answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_has_lasted_long_enough_is_told_so_and_ended() {
    let house = house(lines::model(), "max_call_seconds = 6").await;
    let held = house.call(0, "wait-speech\nwait-silence 500ms\nsay thank-you\npause 40s\nhangup\n").await;
    assert_eq!(held.end(), Some(CallEnd::TooLong), "{:?}", held.report);
    assert!(hung_up(&held), "{:?}", held.report);
    let asked = asked(&held);
    assert!(asked.last().is_some_and(|text| text.contains("time is up")), "{asked:?}");
    let last = held.session().replies.last().expect("she says so");
    assert!(!last.truncated && last.played_ms == last.total_ms, "{last:?}");
    assert!(likeness(&held.report.heard, &clip("not-understood")) > 0.8, "it is heard to its end");
    // Six seconds, the reply that was being said, and the sentence.
    println!("over {:?} after the webhook", held.over());
    assert!(
        held.over() >= Duration::from_secs(6) && held.over() <= Duration::from_secs(26),
        "{:?}",
        held.over()
    );
}
