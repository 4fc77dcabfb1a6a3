//! Services that fail: the model is told, the caller hears ARIA go on (row 40).

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use sim::desk::{DeskConfig, DeskFault};
use sim::model::{Line, Logged, ModelConfig, ModelScript, ToolCall, Turn};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::runner;
use crate::support::house::{Blueprint, Held, House};
use crate::support::sound::{clip, likeness};

pub const CALLER: &str = "
wait-speech
wait-silence 500ms
say lima
wait-speech
wait-silence 600ms
say thank-you
wait-speech
wait-silence 600ms
hangup
";

pub fn call(name: &str, arguments: serde_json::Value) -> ToolCall {
    ToolCall { name: name.into(), arguments }
}

/// A model that calls these functions in one response, says so, and says goodbye at the next turn.
pub fn model(mut calls: Vec<ToolCall>) -> ModelConfig {
    let first = calls.remove(0);
    let script = ModelScript {
        greeting: Line::of(["hello"]),
        turns: vec![
            Turn {
                tool: Some(first),
                also: calls,
                answer: Some(Line::of(["sorry-problems"])),
                ..Turn::default()
            },
            Turn { reply: Some(Line::of(["goodbye"])), ..Turn::default() },
        ],
        ..ModelScript::default()
    };
    ModelConfig { script, ..ModelConfig::default() }
}

/// What the bridge sent from the first tool's output on: outputs, and `None` for each `response.create`.
pub fn outputs(held: &Held) -> Vec<Option<String>> {
    let sent = |e: &Logged| match e.event["type"].as_str() {
        Some("response.create") => Some(None),
        _ if e.event["item"]["type"] == "function_call_output" => {
            Some(e.event["item"]["output"].as_str().map(str::to_owned))
        }
        _ => None,
    };
    let all: Vec<_> = held.session().client_events.iter().filter_map(sent).collect();
    all.into_iter().skip_while(Option::is_none).collect()
}

/// The call was whole: in order, and everything was heard.
pub fn assert_whole(held: &Held, what: &str) {
    held.assert_orderly();
    for name in ["sorry-problems", "goodbye"] {
        let like = likeness(&held.report.heard, &clip(name));
        assert!(like >= 0.8, "{what}: {name} {like:.3}");
    }
}

/// A service that resets every connection once it was asked.
async fn resetting() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/lookup", listener.local_addr().expect("it is bound"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // Whatever it was: the answer is a reset.
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.set_zero_linger();
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_40_the_call_goes_on_whatever_a_service_does() {
    let desk = |fault| Blueprint {
        desk: DeskConfig { then: fault, ..DeskConfig::default() },
        tool_timeout_ms: 1_000,
        ..Blueprint::default()
    };
    let reset = Blueprint { tool_url: Some(resetting().await), ..desk(DeskFault::None) };
    let cases = [
        ("drips", desk(DeskFault::Drip(Duration::from_millis(200))), "in time"),
        ("sends 100 MB", desk(DeskFault::Huge(100 << 20)), "too large"),
        ("sends a bomb", desk(DeskFault::Bomb(100 << 20)), "cannot be read"),
        ("resets", reset, "cannot be reached"),
        ("sends no JSON", desk(DeskFault::NotJson), "It works"),
        ("sends other JSON", desk(DeskFault::OtherJson), "three"),
    ];
    let calls = cases.into_iter().map(|(what, blueprint, told)| async move {
        let models = vec![model(vec![call("lookup", json!({ "city": "Lima" }))])];
        let house = House::build(Blueprint { models, ..blueprint }).await;
        (what, told, house.call(0, CALLER).await)
    });
    for (what, told, held) in join_all(calls).await {
        let outputs = outputs(&held);
        let [Some(output), None] = &outputs[..] else { panic!("a service that {what}: {outputs:?}") };
        assert!(output.contains(told), "a service that {what}: {output}");
        assert_whole(&held, &format!("a service that {what}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_calls_run_side_by_side_and_are_answered_in_one_go() {
    let slow = Duration::from_millis(700);
    let cities = ["Lima", "Cusco", "Puno", "Ica", "Tacna", "Piura"];
    let calls = cities.iter().map(|city| call("lookup", json!({ "city": city }))).collect();
    let house = House::build(Blueprint {
        models: vec![model(calls)],
        desk: DeskConfig { then: DeskFault::Slow(slow), ..DeskConfig::default() },
        ..Blueprint::default()
    })
    .await;
    let held = house.call(0, CALLER).await;
    let outputs = outputs(&held);
    assert_eq!(outputs.len(), cities.len() + 1, "one response for all: {outputs:?}");
    assert_eq!(outputs.last(), Some(&None), "and after them: {outputs:?}");
    let given: String = outputs.iter().flatten().map(String::as_str).collect();
    for city in cities {
        assert!(given.contains(city), "{city}: {given}");
    }
    assert_whole(&held, "several tools");
    let at = |e: &Logged| (e.event["item"]["type"] == "function_call_output").then_some(e.at);
    let times: Vec<_> = held.session().client_events.iter().filter_map(at).collect();
    let spread = *times.last().expect("outputs") - times[0];
    assert!(spread < slow, "they did not wait for each other: {spread:?}");
}

#[tokio::test]
async fn fault_40_many_at_once_share_what_a_call_may_use() {
    let (slow, deadline) = (Duration::from_secs(1), Duration::from_millis(3_500));
    let desk = DeskConfig { then: DeskFault::Slow(slow), ..DeskConfig::default() };
    let service = sim::desk::Desk::start(desk).expect("a simulated desk");
    let table = format!(
        "[[tools]]\ntype = \"http\"\nname = \"t\"\nurl = \"{}\"\ntimeout_ms = {}\nmax_per_call = 100\n\
         [tools]\nprivate_hosts = [\"127.0.0.1\"]",
        service.url(),
        deadline.as_millis()
    );
    let (runner, desk) = runner(&table).expect("this is a table");
    let begun = Instant::now();
    let run = || runner.run(&desk, "t", r#"{"city":"Lima"}"#.into());
    let outcomes = join_all((0..100).map(|_| run())).await;
    let good = outcomes.iter().filter(|o| o.ok).count();
    // No more than three rounds of eight fit before the deadline, and one at least; the others were told that there are too many.
    assert!((8..=24).contains(&good), "{good} of 100");
    assert!(outcomes.iter().any(|o| o.output_for_model.contains("too many")), "{outcomes:?}");
    assert!(begun.elapsed() < 2 * deadline, "{:?}", begun.elapsed());
    assert!(!run().await.ok, "the budget is spent");
}

#[tokio::test]
async fn fault_40_a_host_that_keeps_failing_is_left_alone() {
    let desk = DeskConfig { then: DeskFault::Status(500), ..DeskConfig::default() };
    let service = sim::desk::Desk::start(desk).expect("a simulated desk");
    let table = format!(
        "[[tools]]\ntype = \"http\"\nname = \"t\"\nurl = \"{}\"\n[tools]\nprivate_hosts = [\"127.0.0.1\"]",
        service.url()
    );
    let (runner, desk) = runner(&table).expect("this is a table");
    for failure in 1..=5 {
        let outcome = runner.run(&desk, "t", "{}".into()).await;
        assert!(outcome.output_for_model.contains("HTTP 500"), "{failure}: {outcome:?}");
    }
    let left = runner.run(&desk, "t", "{}".into()).await;
    assert!(left.output_for_model.contains("out of order"), "{left:?}");
    assert_eq!(service.requests(), 5, "the sixth was not sent");
}
