//! Callers who are put through: what the person who answers hears first, and callers who come back.

use std::time::Duration;

use aria_bridge::call::CallEnd;
use futures_util::future::join_all;
use serde_json::json;
use sim::model::{Line, Logged, ModelConfig, ModelScript, ToolCall, Turn};
use sim::phone::{CallPlan, DialOutcome, Moment};

use crate::support::house::{Blueprint, Held, House};
use crate::support::lines;
use crate::support::sound::{clip, likeness};

const WARM: &str = r#"
[[tools]]
type = "builtin"
name = "transfer_call"
targets = { reception = "+15551230042" }
warm = true
"#;

const SUMMARY: &str = "Ada Lovelace wants to move her appointment to Monday & needs a receipt.";

fn model() -> ModelConfig {
    let arguments = json!({ "target": "reception", "summary": SUMMARY });
    let script = ModelScript {
        greeting: Line::of(["hello"]),
        turns: vec![
            Turn {
                tool: Some(ToolCall { name: "transfer_call".into(), arguments }),
                answer: Some(Line::of(["one-moment"])),
                ..Turn::default()
            },
            Turn { reply: Some(Line::of(["sorry-problems"])), ..Turn::default() },
        ],
        ..ModelScript::default()
    };
    ModelConfig { script, ..ModelConfig::default() }
}

/// Is told that he is being put through, comes back if he has to, and says one thing more.
const RETURNING: &str = "
wait-speech
wait-silence 500ms
say thank-you
wait-speech
wait-silence 1200ms
wait-speech
wait-silence 700ms
say something-wrong
wait-speech
wait-silence 700ms
hangup
";

async fn put_through(dial: DialOutcome, script: &str) -> Held {
    let house = House::build(Blueprint { models: vec![model()], tables: WARM, ..Blueprint::default() }).await;
    house.place(0, CallPlan { dial, ..lines::caller(script) }).await
}

fn told(held: &Held) -> Vec<(Duration, String)> {
    let told = |m: &Moment| if let Moment::Told(text) = m { Some(text.clone()) } else { None };
    held.report.timeline.iter().filter_map(|e| Some((e.at, told(&e.what)?))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_person_who_answers_hears_the_summary_before_the_caller() {
    let script = "wait-speech\nwait-silence 500ms\nsay thank-you\npause 30s\nhangup\n";
    let dial = DialOutcome { talking: Duration::from_secs(2), ..DialOutcome::default() };
    let held = put_through(dial, script).await;
    assert_eq!(held.end(), Some(CallEnd::Transferred), "{:?}", held.report);
    assert!(held.report.violations.is_empty() && held.report.warnings.is_empty(), "{:?}", held.report);
    let told = told(&held);
    assert_eq!(told.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), [SUMMARY]);
    let dialed = held.report.when(|m| *m == Moment::Verb("Dial")).expect("he is put through");
    assert!(told[0].0 > dialed);
    assert!(likeness(&held.report.heard, &clip("one-moment")) > 0.8, "the caller was told before");
    let summary = held.report.webhooks.iter().find(|w| w.path.ends_with("/voice/summary"));
    assert_eq!(summary.expect("it is asked for").status, Some(200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_is_not_put_through_comes_back_to_aria() {
    let outcome = |status: &str| DialOutcome { status: status.into(), ..DialOutcome::default() };
    let cases = [
        ("busy", outcome("busy"), "the line is busy"),
        ("no answer", outcome("no-answer"), "nobody answers"),
        ("no such number", outcome("failed"), "cannot be reached"),
        (
            "hangs up at the summary",
            DialOutcome { declines: true, ..outcome("completed") },
            "cannot take the call",
        ),
    ];
    let calls = cases.map(|(what, dial, why)| async move { (what, why, put_through(dial, RETURNING).await) });
    for (what, why, held) in join_all(calls).await {
        held.assert_orderly();
        assert_eq!(held.report.stream_sids.len(), 2, "{what}: a stream before and one after");
        assert_eq!(held.sessions.len(), 1, "{what}: the same session all the time");
        let says = |e: &Logged| e.event.to_string().contains(why);
        assert!(held.session().client_events.iter().any(says), "{what}: ARIA knows why");
        // The second stream is heard as well as the first, on one timeline.
        let rtp = &held.session().rtp_in;
        assert_eq!((rtp.missing, rtp.late, rtp.resets), (0, 0, 0), "{what}: {rtp:?}");
        let like = likeness(&held.heard, &clip("something-wrong"));
        let answer = likeness(&held.report.heard, &clip("sorry-problems"));
        println!("{what}: heard after his return with {like:.3}, answered with {answer:.3}");
        assert!(like >= 0.8 && answer >= 0.8, "{what}: {like:.3} {answer:.3}; {}", held.evidence(what));
        assert_eq!(held.session().turns.len(), 2, "{what}: {:?}", held.session().turns);
    }
}
