//! What services do is not heard: the sound of calls is as punctual beside the worst of them as without any (row 40).

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use sim::desk::{DeskConfig, DeskFault};
use sim::model::{Line, ModelConfig, ModelScript, Turn};

use super::failing::call;
use crate::support::house::{Blueprint, Held, House};
use crate::support::lines;

/// Calls with tools, and as many without, at once.
const CALLS: usize = 4;
/// Functions of one response.
const TOOLS: usize = 8;

/// Calls functions at the first turn and speaks for eight seconds while they run.
fn working() -> ModelConfig {
    let mut calls: Vec<_> =
        (0..TOOLS).map(|n| call("lookup", json!({ "city": format!("Lima {n}") }))).collect();
    let first = calls.remove(0);
    let script = ModelScript {
        greeting: Line::of(["hello"]),
        turns: vec![Turn {
            reply: Some(Line::of(["all-busy"])),
            tool: Some(first),
            also: calls,
            answer: Some(Line::of(["goodbye"])),
            ..Turn::default()
        }],
        ..ModelScript::default()
    };
    ModelConfig { script, ..ModelConfig::default() }
}

/// The same without a tool.
fn talking() -> ModelConfig {
    lines::model()
}

struct Punctual {
    p50_us: u64,
    p99_us: u64,
    /// Gaps of more than 60 ms within what she says, in all calls.
    gaps: usize,
}

/// How punctual ARIA's frames were written, over some calls: the medians.
fn punctual(calls: &[Held]) -> Punctual {
    let delays = |pick: fn(&aria_bridge::call::Delays) -> u64| {
        let of = |held: &Held| held.snapshot.as_ref().and_then(|s| s.downlink.as_ref().map(pick));
        let mut all: Vec<_> = calls.iter().filter_map(of).collect();
        all.sort_unstable();
        all[all.len() / 2]
    };
    let gap = |w: &[sim::phone::report::Arrival]| {
        let gap = w[1].at - w[0].at;
        gap > Duration::from_millis(60) && gap < Duration::from_millis(200)
    };
    let gaps = |held: &Held| held.report.arrivals.windows(2).filter(|w| gap(w)).count();
    Punctual {
        p50_us: delays(|d| d.p50_us),
        p99_us: delays(|d| d.p99_us),
        gaps: calls.iter().map(gaps).sum(),
    }
}

async fn measure(what: &str, fault: DeskFault) -> (Punctual, Punctual) {
    let house = House::build(Blueprint {
        models: vec![working(), talking()],
        desk: DeskConfig { then: fault, ..DeskConfig::default() },
        tool_timeout_ms: 3_000,
        ..Blueprint::default()
    })
    .await;
    let script = "wait-speech\nwait-silence 500ms\nsay lima\nwait-speech\nwait-silence 900ms\nhangup\n";
    let of = |agent| join_all((0..CALLS).map(|_| house.call(agent, script)).collect::<Vec<_>>());
    let (with, without) = tokio::join!(of(0), of(1));
    for held in with.iter().chain(&without) {
        held.assert_orderly();
    }
    assert!(house.desk.requests() > 0, "{what}: the tools were run");
    let (with, without) = (punctual(&with), punctual(&without));
    for (which, p) in [("with tools", &with), ("beside them", &without)] {
        println!(
            "a service that {what}, calls {which}: p50 {} us, p99 {} us, {} gaps",
            p.p50_us, p.p99_us, p.gaps
        );
    }
    (with, without)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_40_call_audio_is_unaffected_whatever_a_service_does() {
    let (calm, _) = measure("answers", DeskFault::None).await;
    let faults = [
        ("hangs", DeskFault::Slow(Duration::from_secs(60))),
        ("drips", DeskFault::Drip(Duration::from_millis(20))),
        ("sends 100 MB", DeskFault::Huge(100 << 20)),
        ("sends a bomb", DeskFault::Bomb(100 << 20)),
    ];
    for (what, fault) in faults {
        let (with, without) = measure(what, fault).await;
        for (which, p) in [("with tools", &with), ("beside them", &without)] {
            // The goal is half a millisecond. The tail is the scheduler's on a machine that others use.
            let more = |now: u64, then: u64| now.saturating_sub(then);
            assert!(
                more(p.p50_us, calm.p50_us) <= 500,
                "{what}, {which}: p50 {} against {}",
                p.p50_us,
                calm.p50_us
            );
            assert!(
                more(p.p99_us, calm.p99_us) <= 20_000,
                "{what}, {which}: p99 {} against {}",
                p.p99_us,
                calm.p99_us
            );
        }
    }
}
