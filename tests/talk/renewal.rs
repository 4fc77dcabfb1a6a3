//! A call that outlives its session.

use std::time::Duration;

use aria_bridge::call::CallEnd;
use sim::model::{Faults, Line, MediaFaults, ModelConfig, ModelScript, Turn};
use sim::phone::{CallPlan, Moment};

use crate::support::house::{Blueprint, Held, House};
use crate::support::lines;
use crate::support::sound::{LOUD, clip, likeness, rms};

/// Two questions and their answers, with time for a change of session between them.
const TWO_TURNS: &str = "
wait-speech
wait-silence 500ms
say thank-you
wait-speech
wait-silence 2500ms
say something-wrong
wait-speech
wait-silence 900ms
hangup
";

async fn call(house: &House, script: &str) -> Held {
    house.place(0, CallPlan { limit: Duration::from_secs(60), ..lines::caller(script) }).await
}

/// A second session answers a first turn as the second one of the conversation would have been answered.
fn script(greeting: &str, turns: [&str; 2]) -> ModelScript {
    let turn = |clip: &str| Turn { reply: Some(Line::of([clip])), ..Turn::default() };
    ModelScript {
        greeting: Line::of([greeting]),
        turns: turns.into_iter().map(turn).collect(),
        ..ModelScript::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_38_an_old_session_is_replaced_without_a_gap() {
    let model = ModelConfig {
        script: script("one-moment", ["number-i-have", "number-i-have"]),
        ..ModelConfig::default()
    };
    let limits = "[limits]\nrenew_session_seconds = 5\n".to_owned();
    let house = House::build(Blueprint { models: vec![model], file: limits, ..Blueprint::default() }).await;
    let held = call(&house, TWO_TURNS).await;
    held.assert_orderly();
    assert!(held.sessions.len() >= 2, "{} sessions", held.sessions.len());
    let replies: usize = held.sessions.iter().map(|s| s.replies.len()).sum();
    assert_eq!(replies, 3, "greeting and two answers, nothing said twice");
    for name in ["one-moment", "number-i-have"] {
        let like = likeness(&held.report.heard, &clip(name));
        assert!(like > 0.8, "{name}: {like:.3}");
    }
    // The model that came later knows what was said and heard every word after the change.
    let next = &held.sessions[1];
    let told = next.client_events.iter().filter(|e| e.kind() == "conversation.item.create").count();
    assert!(told >= 2, "{:?}", next.client_events);
    let heard = house.models[0].heard(&next.call_id).unwrap_or_default();
    let like = likeness(&heard, &clip("something-wrong"));
    assert!(like > 0.8, "{like:.3}");
    for session in &held.sessions {
        assert_eq!((session.rtp_in.missing, session.rtp_in.late), (0, 0));
    }
}

/// The first sound that ARIA makes after `from`.
fn next_sound(held: &Held, from: Duration) -> Option<Duration> {
    let at = held.report.sample_at(from);
    let frames = held.report.heard[at..].chunks_exact(160);
    let n = frames.enumerate().skip(10).find(|(_, f)| rms(f) > LOUD)?.0;
    Some(Duration::from_millis(20 * n as u64))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_lost_is_replaced_while_the_caller_is_told_to_wait() {
    let after = Duration::from_secs(5);
    let losses = [
        ("the channel closes", MediaFaults { channel_closes_after: Some(after), ..MediaFaults::default() }),
        ("the peer says goodbye", MediaFaults { peer_closes_after: Some(after), ..MediaFaults::default() }),
        ("the path goes dead", MediaFaults { silent_after: Some(after), ..MediaFaults::default() }),
    ];
    for (what, media) in losses {
        let model = ModelConfig {
            script: script("one-moment", ["all-busy", "number-i-have"]),
            faults: Faults { media, sessions: Some(1), ..Faults::default() },
            ..ModelConfig::default()
        };
        let house = House::of(model).await;
        // In the middle of the long answer.
        let script = "wait-speech\nwait-silence 500ms\nsay thank-you\nwait-speech\npause 9s\nhangup\n";
        let held = call(&house, script).await;
        assert_eq!(held.end(), Some(CallEnd::CallerHungUp), "{what}: {:?}", held.report);
        assert!(held.report.violations.is_empty(), "{what}");
        assert_eq!(held.sessions.len(), 2, "{what}");
        let lost = held.zero + Duration::ZERO;
        let first = &held.sessions[0];
        let lost_at =
            (first.requested + first.channel_after.unwrap_or_default() + after).duration_since(lost);
        let sound = next_sound(&held, lost_at).expect("she speaks again");
        println!("{what}: ARIA is heard again {sound:?} after the loss");
        assert!(sound <= Duration::from_secs(4), "{what}: {sound:?}");
        let asked = |e: &sim::model::Logged| {
            e.event["response"]["instructions"].as_str().is_some_and(|i| i.contains("interrupted"))
        };
        assert!(held.sessions[1].client_events.iter().any(asked), "{what}: the reply goes on");
        assert!(
            held.report.times(|m| matches!(m, Moment::StreamClosed { .. })).is_empty(),
            "{what}: one stream"
        );
    }
}
