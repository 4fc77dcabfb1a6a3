//! Tools that fail in every way: the model is told, and the call goes on.

use futures_util::future::join_all;
use sim::desk::{DeskConfig, DeskFault};
use sim::model::{Line, Logged, ModelConfig, ModelScript, ToolCall, Turn};

use crate::support::house::{Blueprint, Held, House};
use crate::support::sound::{clip, likeness};

fn model(tool: &str) -> ModelConfig {
    let script = ModelScript {
        greeting: Line::of(["hello"]),
        turns: vec![
            Turn {
                tool: Some(ToolCall { name: tool.into(), arguments: serde_json::json!({"city": "Lima"}) }),
                answer: Some(Line::of(["sorry-problems"])),
                ..Turn::default()
            },
            Turn { reply: Some(Line::of(["goodbye"])), ..Turn::default() },
        ],
        ..ModelScript::default()
    };
    ModelConfig { script, ..ModelConfig::default() }
}

const CALLER: &str = "
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

async fn call(fault: DeskFault, blueprint: Blueprint) -> Held {
    let desk = DeskConfig { then: fault, ..DeskConfig::default() };
    let house = House::build(Blueprint { models: vec![model("lookup")], desk, ..blueprint }).await;
    house.call(0, CALLER).await
}

/// What the model was told.
fn output(held: &Held) -> String {
    let output = |e: &&Logged| e.event["item"]["type"] == "function_call_output";
    let outputs: Vec<_> = held.session().client_events.iter().filter(output).collect();
    assert_eq!(outputs.len(), 1, "exactly one output: {outputs:?}");
    outputs[0].event["item"]["output"].as_str().expect("a text").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_model_hears_of_every_failure_and_the_call_goes_on() {
    let plain = Blueprint::default;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let refused = format!("http://{}/lookup", closed.local_addr().expect("it is bound"));
    drop(closed);
    let cases: Vec<(&str, DeskFault, Blueprint, &str)> = vec![
        ("hangs", DeskFault::Hang, Blueprint { tool_timeout_ms: 800, ..plain() }, "in time"),
        ("fails", DeskFault::Status(500), plain(), "HTTP 500"),
        ("redirects", DeskFault::Redirect("http://127.0.0.1:9/".into()), plain(), "HTTP 307"),
        ("floods", DeskFault::Huge(1 << 20), plain(), "too large"),
        // Within what is read of an answer, beyond what an event can carry.
        ("says far too much", DeskFault::Huge(100_000), plain(), "too large"),
        ("is cut off", DeskFault::Cut, plain(), "cannot be reached"),
        (
            "is not there",
            DeskFault::None,
            Blueprint { tool_url: Some(refused), ..plain() },
            "cannot be reached",
        ),
        ("is forbidden", DeskFault::None, Blueprint { private_hosts: &[], ..plain() }, "may not be reached"),
        (
            "is forbidden by name",
            DeskFault::None,
            Blueprint { tool_url: Some("http://localhost:9/".into()), ..plain() },
            "cannot be reached",
        ),
        ("answers", DeskFault::None, plain(), "Lima"),
    ];
    let calls = cases
        .into_iter()
        .map(|(what, fault, blueprint, told)| async move { (what, told, call(fault, blueprint).await) });
    for (what, told, held) in join_all(calls).await {
        let output = output(&held);
        assert!(output.contains(told), "a tool that {what}: {output}");
        assert_eq!(output.contains("\"error\""), what != "answers", "a tool that {what}: {output}");
        held.assert_orderly();
        for name in ["sorry-problems", "goodbye"] {
            let like = likeness(&held.report.heard, &clip(name));
            assert!(like >= 0.8, "a tool that {what}: {name} {like:.3}");
        }
    }
}
