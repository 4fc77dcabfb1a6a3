//! A conversation of any length, and what the program says of itself.

use std::time::{Duration, Instant};

use serde_json::Value;
use sim::model::{Line, ModelConfig, ModelScript, Turn};
use sim::phone::{CallReport, Moment, Phone, PhoneConfig};

use crate::support::program::{PUBLIC_URL, Program};

/// A model that greets briefly and answers each turn with a long sentence, some eight seconds.
pub fn model() -> ModelConfig {
    let long = || Line::of(["all-busy"]);
    let turn = || Turn { reply: Some(long()), ..Turn::default() };
    let script = ModelScript {
        greeting: Line::of(["hello"]),
        turns: std::iter::repeat_with(turn).take(20).collect(),
        ..ModelScript::default()
    };
    ModelConfig { script, ..ModelConfig::default() }
}

/// The caller's part: so many turns, each of some ten seconds.
pub fn script(turns: usize) -> String {
    let turn = "say thank-you\nwait-speech\nwait-silence 700ms\n";
    format!("wait-speech\nwait-silence 500ms\n{}hangup\n", turn.repeat(turns))
}

/// Twilio before the program.
pub async fn phone(program: &Program) -> Phone {
    let config = PhoneConfig::new(program.url.clone());
    let config = PhoneConfig { public_url: PUBLIC_URL.parse().expect("a URL"), ..config };
    Phone::start(config).await.expect("a simulated phone")
}

/// Fails unless the caller could do all that he wanted.
#[track_caller]
pub fn assert_heard(report: &CallReport) {
    let failed = |m: &Moment| matches!(m, Moment::StepTimedOut { .. } | Moment::StepFailed { .. });
    assert!(report.violations.is_empty() && report.warnings.is_empty(), "{report:?}");
    assert!(report.times(failed).is_empty() && report.steps.0 == report.steps.1, "{report:?}");
}

/// What the program answers: status and text.
pub async fn get(program: &Program, path: &str) -> (u16, String) {
    let answer = reqwest::get(program.url.join(path).expect("a path")).await.expect("it answers");
    (answer.status().as_u16(), answer.text().await.expect("text"))
}

/// A figure out of `/metrics`: that of the line that begins so. `None`: it was never counted.
pub fn figure(metrics: &str, line: &str) -> Option<f64> {
    metrics.lines().find_map(|l| l.strip_prefix(line)?.trim().parse().ok())
}

/// Waits until `/readyz` answers so.
pub async fn ready(program: &Program, status: u16, limit: Duration) -> String {
    let until = Instant::now() + limit;
    loop {
        let (got, text) = get(program, "/readyz").await;
        if got == status {
            return text;
        }
        assert!(Instant::now() < until, "/readyz answers {got} {text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until a call is in the database, whole.
pub async fn recorded(program: &Program, sid: &str, limit: Duration) -> Value {
    let until = Instant::now() + limit;
    loop {
        let (_, text) = get(program, &format!("/api/calls/{sid}")).await;
        let call: Value = serde_json::from_str(&text).expect("JSON");
        // A call that the database does not have is shown without these.
        if call["tool_calls"].is_array() {
            return call;
        }
        assert!(Instant::now() < until, "{sid} is not in the database: {text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
