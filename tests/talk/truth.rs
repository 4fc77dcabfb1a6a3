//! What the model believes was heard of an interrupted reply, against what the caller really heard of it: the place in the recording at
//! which his sound ends.

use std::time::Duration;

use futures_util::future::join_all;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use sim::model::{Idle, Line, ModelConfig, ModelScript, Truncated, Turn, Unverified};
use sim::network::NetworkConfig;
use sim::phone::Moment;

use crate::support::house::{Blueprint, Held, House};
use crate::support::lines;
use crate::support::sound::{LOUD, clip, rms};

/// The reply that is cut off again and again: 8 s of speech.
const REPLY: &str = "all-busy";
/// Interruptions in one call.
const TURNS: usize = 10;
/// What is looked for in the recording: the last 200 ms that were heard.
const PIECE: usize = 1_600;
/// How far from the belief the truth is looked for.
const REACH: usize = 8 * 500;

fn model(network: NetworkConfig, unverified: Unverified) -> ModelConfig {
    let turn = Turn { reply: Some(Line::of([REPLY])), ..Turn::default() };
    let script =
        ModelScript { greeting: Line::of(["hello"]), turns: vec![turn; TURNS + 1], ..ModelScript::default() };
    ModelConfig { script, network, unverified, ..ModelConfig::default() }
}

/// Interrupts at random moments, sometimes before anything is heard.
fn script(seed: u64) -> String {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut script = String::from("wait-speech\nwait-silence 500ms\nsay thank-you\n");
    for n in 0..TURNS {
        let after = random.random_range(150..4_000);
        let word = ["lima", "five", "two", "no"][n % 4];
        script += &format!("interrupt {after}ms {word}\nwait-silence 400ms\n");
    }
    script + "hangup\n"
}

/// Errors of the belief, ms: positive where the model believes too much. One for each interruption that can be measured.
fn errors(held: &Held) -> (Vec<f64>, usize) {
    let said = clip(REPLY);
    let session = held.session();
    let cut: Vec<_> = session.replies.iter().filter(|r| r.truncated && r.played_ms > 0).collect();
    let clears: Vec<_> = held.report.times(|m| matches!(m, Moment::Clear { .. })).into_iter().collect();
    assert_eq!(cut.len(), clears.len(), "{}", held.evidence("truth"));
    let mut errors = Vec::new();
    for (reply, at) in cut.iter().zip(&clears) {
        let believed = session
            .server_events
            .iter()
            .filter(|e| e.kind() == "conversation.item.truncated" && e.event["item_id"] == *reply.item_id)
            .filter_map(|e| e.event["audio_end_ms"].as_u64())
            .next_back()
            .unwrap_or(u64::from(reply.played_ms));
        // The frame that sounds is played to its end; behind it is digital silence.
        let from = held.report.sample_at(*at);
        let heard = &held.report.heard;
        let end = (from..heard.len().min(from + 400))
            .find(|&n| heard[n..].iter().take(80).all(|s| s.unsigned_abs() < 8));
        let truth = end.and_then(|end| heard_ms(&heard[..end], &said, believed));
        errors.extend(truth.map(|truth| believed as f64 - truth));
    }
    (errors, cut.len())
}

/// How much of `said` had been heard by the end of `heard`, ms, by where the last 200 ms come from. `believed_ms` is where it is looked for.
pub fn heard_ms(heard: &[i16], said: &[i16], believed_ms: u64) -> Option<f64> {
    let piece = &heard[heard.len().checked_sub(PIECE)?..];
    if rms(piece) < LOUD {
        return None;
    }
    let near = believed_ms as usize * 8;
    let (low, high) = (near.saturating_sub(REACH).max(PIECE), (near + REACH).min(said.len()));
    let like = |place: usize| {
        let window = &said[place - PIECE..place];
        let dot: f64 = window.iter().zip(piece).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        dot / (rms(window) * rms(piece) * PIECE as f64).max(1.0)
    };
    let best = (low..high).max_by(|a, b| like(*a).total_cmp(&like(*b)))?;
    (like(best) > 0.75).then_some(best as f64 / 8.0)
}

async fn measure(name: &str, calls: u64, network: NetworkConfig, unverified: Unverified) {
    let house =
        House::build(Blueprint { models: vec![model(network, unverified)], ..Blueprint::default() }).await;
    let held = join_all((0..calls).map(|seed| {
        let script = script(seed);
        let house = &house;
        async move {
            house
                .place(0, sim::phone::CallPlan { limit: Duration::from_secs(120), ..lines::caller(&script) })
                .await
        }
    }))
    .await;
    let (mut all, mut cut) = (Vec::new(), 0);
    for held in &held {
        held.assert_orderly();
        let (errors, of) = errors(held);
        all.extend(errors);
        cut += of;
        let refused = held.session().server_events.iter().filter(|e| e.kind() == "error").count();
        assert_eq!(refused, 0, "{name}: no event of ours is refused");
    }
    assert!(all.len() * 10 >= cut * 7, "{name}: {} of {cut} could be measured", all.len());
    all.sort_by(f64::total_cmp);
    let mean = all.iter().map(|e| e.abs()).sum::<f64>() / all.len() as f64;
    let worst = all.iter().map(|e| e.abs()).fold(0.0, f64::max);
    println!(
        "{name}: {} of {cut} interruptions measured; belief less truth: mean of the amounts {mean:.1} ms, worst {worst:.1} ms, \
         {:.1} to {:.1} ms, median {:.1} ms",
        all.len(),
        all[0],
        all[all.len() - 1],
        all[all.len() / 2]
    );
    assert!(mean <= 20.0, "{name}: {all:?}");
    assert!(worst <= 60.0, "{name}: {all:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_clean_network() {
    measure("clean", 10, NetworkConfig::default(), Unverified::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_jittery_network() {
    let jittery = NetworkConfig {
        delay: Duration::from_millis(20),
        jitter: Duration::from_millis(30),
        loss: 0.01,
        ..NetworkConfig::default()
    };
    measure("jittery", 10, jittery, Unverified::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_server_does_not_say_what_it_believes() {
    let silent = Unverified { truncated: Truncated::Absent, ..Unverified::default() };
    measure("not announced", 3, NetworkConfig::default(), silent).await;
    let silence =
        Unverified { truncated: Truncated::BeforeCleared, idle: Idle::Silence, ..Unverified::default() };
    measure("a stream that never stops", 3, NetworkConfig::default(), silence).await;
}
