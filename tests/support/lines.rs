//! Short conversations that fit each other: what the model says and what the caller does about it.

use std::time::Duration;

use sim::model::{Line, ModelConfig, ModelScript, Turn};
use sim::phone::CallPlan;

/// A model that greets briefly, answers the first turn at length and the second one with a goodbye.
pub fn model() -> ModelConfig {
    ModelConfig { script: script("one-moment", "all-busy", "sorry-problems"), ..ModelConfig::default() }
}

/// A greeting and the replies to two turns, a clip each.
pub fn script(greeting: &str, first: &str, second: &str) -> ModelScript {
    let turn = |clip: &str| Turn { reply: Some(Line::of([clip])), ..Turn::default() };
    ModelScript {
        greeting: Line::of([greeting]),
        turns: vec![turn(first), turn(second)],
        ..ModelScript::default()
    }
}

/// Hears the greeting, says a word, hears the whole reply, hangs up.
pub const ONE_TURN: &str = "
wait-speech
wait-silence 500ms
say thank-you
wait-speech
wait-silence 800ms
hangup
";

/// Hears the greeting, says a word, cuts the long reply off, hears the goodbye, hangs up.
pub const INTERRUPTING: &str = "
wait-speech
wait-silence 500ms
say thank-you
interrupt 800ms lima
wait-silence 400ms
wait-speech
wait-silence 700ms
hangup
";

/// Says nothing and listens until the other side hangs up.
pub const LISTENING: &str = "";

/// A caller with this script.
pub fn caller(script: &str) -> CallPlan {
    let script = script.parse().expect("the scripts of these tests are valid");
    CallPlan { script, limit: Duration::from_secs(60), ..CallPlan::default() }
}
