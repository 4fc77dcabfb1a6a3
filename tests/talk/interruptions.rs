//! How quick an interruption is, and that whatever the caller interrupts is no error (row 25).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aria_bridge::call::CallEvent;
use futures_util::future::join_all;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use sim::model::{Line, ModelConfig, ModelScript, Turn};
use sim::phone::{CallPlan, Moment};

use crate::percentile;
use crate::support::house::House;
use crate::support::lines;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Collects from every call of the house how long it took from `speech_started` to `clear`.
fn watch_clears(house: &Arc<House>) -> Arc<Mutex<Vec<Duration>>> {
    let found: Arc<Mutex<Vec<Duration>>> = Arc::default();
    let (mut moments, registry, book) =
        (house.phone.events(), Arc::clone(&house.registry), Arc::clone(&found));
    tokio::spawn(async move {
        while let Ok(moment) = moments.recv().await {
            if moment.entry.what != Moment::Answered {
                continue;
            }
            let Some(line) = registry.line(&moment.call_sid) else { continue };
            let (mut events, book) = (line.subscribe(), Arc::clone(&book));
            tokio::spawn(async move {
                while let Ok(event) = events.recv().await {
                    if let CallEvent::Interrupted { clear_us, .. } = event {
                        book.lock().expect("nobody panics with it").push(Duration::from_micros(clear_us));
                    }
                }
            });
        }
    });
    found
}

/// Interruptions of one call.
const TURNS: usize = 10;
/// Calls at once, and how often.
const CALLS: usize = 7;
const ROUNDS: usize = 3;
/// What comes so soon after `clear` is of the old reply: the next one takes the end of the caller's turn and the model's own time.
const STALE: Duration = ms(300);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_25_an_interruption_is_at_twilio_at_once_and_nothing_old_follows() {
    let turn = Turn { reply: Some(Line::of(["all-busy"])), ..Turn::default() };
    let script =
        ModelScript { greeting: Line::of(["hello"]), turns: vec![turn; TURNS + 1], ..ModelScript::default() };
    let house = Arc::new(House::of(ModelConfig { script, ..ModelConfig::default() }).await);
    let clears = watch_clears(&house);
    let (mut stale, mut seen) = (0, 0);
    for round in 0..ROUNDS {
        let calls = (0..CALLS).map(|call| {
            let mut random = SmallRng::seed_from_u64((round * CALLS + call) as u64);
            let mut script = String::from("wait-speech\nwait-silence 500ms\nsay thank-you\n");
            for n in 0..TURNS {
                let word = ["lima", "five", "two", "no"][n % 4];
                script +=
                    &format!("interrupt {}ms {word}\nwait-silence 400ms\n", random.random_range(150..1_500));
            }
            let plan = CallPlan { limit: Duration::from_secs(120), ..lines::caller(&(script + "hangup\n")) };
            house.place(0, plan)
        });
        for held in join_all(calls).await {
            held.assert_orderly();
            for at in held.report.times(|m| matches!(m, Moment::Clear { .. })) {
                seen += 1;
                stale += held.report.arrivals.iter().filter(|a| a.at > at && a.at < at + STALE).count();
            }
        }
    }
    let mut clears = clears.lock().expect("nobody panics with it").clone();
    clears.sort();
    let (p50, p99) = (percentile(&clears, 0.5), percentile(&clears, 0.99));
    println!(
        "{} interruptions: speech_started to clear written p50 {p50:?}, p99 {p99:?}, max {:?}; {stale} stale frames after {seen} clears",
        clears.len(),
        clears.last()
    );
    assert!(clears.len() >= 200, "{}", clears.len());
    assert_eq!(stale, 0, "frames of a reply that was cut off");
    assert!(p50 <= Duration::from_micros(500), "p50 {p50:?}");
    // The goal is 2 ms. On a machine that others use the tail is the scheduler's.
    assert!(p99 <= ms(20), "p99 {p99:?}");
}

/// Words in quick succession: some before a reply is heard, some behind its end, some while its `clear` is on its way. Every truncation fits
/// what was made, and whatever is last said is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_25_interruptions_upon_each_other_are_no_errors() {
    let turn = Turn { reply: Some(Line::of(["number-i-have"])), ..Turn::default() };
    let script =
        ModelScript { greeting: Line::of(["hello"]), turns: vec![turn; 40], ..ModelScript::default() };
    let house = House::of(ModelConfig { script, ..ModelConfig::default() }).await;
    let calls = (0..6).map(|seed| {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut script = String::from("wait-speech\n");
        for n in 0..12 {
            let word = ["lima", "five", "two", "no"][n % 4];
            script += &format!("say {word}\npause {}ms\n", random.random_range(350..2_600));
        }
        house.place(0, lines::caller(&(script + "say thank-you\nwait-speech\nwait-silence 900ms\nhangup\n")))
    });
    let calls: Vec<_> = calls.collect();
    let (mut cut, mut unheard) = (0, 0);
    for held in join_all(calls).await {
        held.assert_orderly();
        let session = held.session();
        let refused: Vec<_> = session.server_events.iter().filter(|e| e.kind() == "error").collect();
        assert!(refused.is_empty(), "{refused:?}");
        cut += session.replies.iter().filter(|r| r.truncated).count();
        unheard += session.replies.iter().filter(|r| r.truncated && r.believed_ms == 0).count();
        let beyond = session.replies.iter().find(|r| r.believed_ms > r.played_ms);
        assert!(beyond.is_none(), "{beyond:?}");
        let last = session.replies.last().expect("the last word is answered");
        assert!(!last.truncated && last.played_ms == last.total_ms, "{last:?}");
    }
    println!("{cut} replies cut off, {unheard} of them before anything was heard, and no event refused");
    assert!(cut >= 10, "{cut}");
}
