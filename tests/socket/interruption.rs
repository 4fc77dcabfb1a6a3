//! The caller interrupts: what the model believes was heard is what was heard.

use std::time::Duration;

use sim::model::{Delay, Line, ModelConfig, ModelScript, Timing, Turn};
use sim::phone::{CallPlan, Moment};

use crate::support::house::{Held, House};
use crate::support::lines::caller;
use crate::support::sound::{LOUD, clip, companded, rms};
use crate::without_webrtc;

/// Interruptions that are measured, in two calls at once.
const INTERRUPTIONS: usize = 20;
/// How far the model may be wrong about what was heard, ms.
const WORST_MS: i64 = 60;
/// The window by which a place in a reply is found: 200 ms.
const WINDOW: usize = 1_600;
/// How far from where the model believes it the end is looked for: 1 s.
const SEARCH: i64 = 8_000;
/// A reply of ten seconds.
const LONG: [&str; 4] = ["all-busy", "please-hold", "message-saved", "thank-you-for-calling"];

fn said() -> Vec<i16> {
    LONG.iter().flat_map(|name| companded(&clip(name))).collect()
}

/// A model that answers every turn at length, `speed` times faster than it is heard.
fn talker(turns: usize, speed: f64) -> ModelConfig {
    let turn = || Turn { reply: Some(Line::of(LONG)), ..Turn::default() };
    let script = ModelScript {
        greeting: Line::of(["one-moment"]),
        turns: std::iter::repeat_with(turn).take(turns).collect(),
        ..ModelScript::default()
    };
    let timing = Timing { generation_speed: speed, ..Timing::default() };
    without_webrtc(ModelConfig { script, timing, ..ModelConfig::default() })
}

fn patient(script: &str) -> CallPlan {
    CallPlan { limit: Duration::from_secs(180), ..caller(script) }
}

fn truncations(held: &Held) -> Vec<(String, u64)> {
    let events = held.session().client_events.iter();
    events
        .filter(|e| e.kind() == "conversation.item.truncate")
        .map(|e| {
            let (item, ms) = (&e.event["item_id"], &e.event["audio_end_ms"]);
            (item.as_str().expect("an id").to_owned(), ms.as_u64().expect("whole"))
        })
        .collect()
}

/// How much of a reply had been heard at a sample of the report, ms. Found by the last 200 ms that were loud.
fn heard_ms(heard: &[i16], end: usize, said: &[i16], believed_ms: u32) -> Option<i64> {
    let steps = (0..50).map(|step| end.saturating_sub(step * 80));
    let last = steps.into_iter().find(|at| *at >= WINDOW && rms(&heard[at - WINDOW..*at]) > 2.0 * LOUD)?;
    let window = &heard[last - WINDOW..last];
    let centre = i64::from(believed_ms) * 8 - (end - last) as i64;
    let from = (centre - SEARCH).clamp(WINDOW as i64, said.len() as i64) as usize;
    let to = (centre + SEARCH).clamp(WINDOW as i64, said.len() as i64) as usize;
    let like = |at: usize| {
        let (mut dot, mut energy) = (0.0, 1.0);
        for (a, b) in window.iter().zip(&said[at - WINDOW..at]) {
            dot += f64::from(*a) * f64::from(*b);
            energy += f64::from(*b).powi(2);
        }
        dot / energy.sqrt()
    };
    let best = (from..=to).max_by(|a, b| like(*a).total_cmp(&like(*b)))?;
    Some((best + end - last) as i64 / 8)
}

/// The model's belief less what was heard, ms, for each reply that was cut.
fn errors(held: &Held) -> Vec<i64> {
    let (said, session) = (said(), held.session());
    let clears = held.report.times(|m| matches!(m, Moment::Clear { .. }));
    let cut = session.replies.iter().filter(|r| r.truncated);
    cut.map(|reply| {
        // A clear may also take what is left of a reply that was said to its end, so they are not counted off one by one.
        let begun = (session.requested + reply.begun).saturating_duration_since(held.zero);
        let clear = clears.iter().find(|clear| **clear > begun).expect("the phone was told");
        let end = held.report.sample_at(*clear).min(held.report.heard.len());
        let heard = heard_ms(&held.report.heard, end, &said, reply.believed_ms);
        i64::from(reply.believed_ms) - heard.expect("the reply was loud at some time")
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_model_believes_what_was_heard() {
    let each = INTERRUPTIONS / 2;
    let script = |offset: usize| {
        let mut script = String::from("wait-speech\nwait-silence 500ms\nsay thank-you\n");
        for i in 0..each {
            script += &format!("interrupt {}ms lima\nwait-silence 300ms\n", 600 + offset + 170 * i);
        }
        script + "hangup\n"
    };
    // One is still generating when it is interrupted, the other has done so long before.
    let (slow, quick) = (House::of(talker(each + 1, 2.0)).await, House::of(talker(each + 1, 1_000.0)).await);
    let (a, b) = tokio::join!(slow.place(0, patient(&script(0))), quick.place(0, patient(&script(85))));
    let mut all = Vec::new();
    for held in [&a, &b] {
        held.assert_orderly();
        let errors = errors(held);
        println!("belief less what was heard, ms: {errors:?}");
        all.extend(errors);
        let told = truncations(held);
        let mut items: Vec<_> = told.iter().map(|(item, _)| item).collect();
        items.dedup();
        assert_eq!(items.len(), told.len(), "an item was truncated twice: {told:?}");
        let refused: Vec<_> = held.session().remarks.iter().filter(|r| r.starts_with("refused")).collect();
        assert!(refused.is_empty(), "{refused:?}");
    }
    assert_eq!(all.len(), INTERRUPTIONS);
    let worst = all.iter().map(|e| e.abs()).max().unwrap_or_default();
    let mean = all.iter().sum::<i64>() as f64 / all.len() as f64;
    println!("{} interruptions: mean {mean:.1} ms, worst {worst} ms", all.len());
    assert!(worst <= WORST_MS, "{}", a.evidence("socket belief a") + &b.evidence("socket belief b"));
}

/// The caller goes on speaking while the model thinks: nothing was said, so nothing is taken back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_the_first_sound_nothing_is_truncated() {
    let mut model = talker(3, 8.0);
    model.timing.first_audio = Delay::Fixed(Duration::from_millis(1_500));
    let house = House::of(model).await;
    let script = "wait-speech\nwait-silence 500ms\nsay thank-you\npause 900ms\nsay lima\nwait-speech\n\
                  pause 1500ms\nhangup\n";
    let held = house.place(0, patient(script)).await;
    held.assert_orderly();
    let session = held.session();
    let cancelled = session
        .server_events
        .iter()
        .filter(|e| e.kind() == "response.done" && e.event["response"]["status"] == "cancelled");
    assert_eq!(cancelled.count(), 1, "the caller spoke while the model thought");
    assert_eq!((truncations(&held), session.turns.len()), (Vec::new(), 2));
    assert!(!session.remarks.iter().any(|r| r.starts_with("refused")), "{:?}", session.remarks);
}

/// The second word falls on a line that is silent already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twice_in_a_row_is_one_truncation() {
    for speed in [2.0, 1_000.0] {
        let house = House::of(talker(4, speed)).await;
        let script = "wait-speech\nwait-silence 500ms\nsay thank-you\ninterrupt 1s lima\npause 150ms\nsay lima\n\
                      wait-speech\npause 300ms\nhangup\n";
        let held = house.place(0, patient(script)).await;
        held.assert_orderly();
        let told = truncations(&held);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!((700..1_700).contains(&told[0].1), "{told:?}");
        let remarks = &held.session().remarks;
        assert!(!remarks.iter().any(|r| r.starts_with("refused")), "{remarks:?}");
    }
}

/// More than a minute of speech arrives within a tenth of a second. It is held, played at its pace, and dropped where the caller says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minute_received_at_once_is_played_at_its_pace() {
    let mut model = talker(2, 1_000.0);
    let minute: Vec<&str> = LONG.iter().cycle().take(40).copied().collect();
    let reply = Line::Clips(minute.iter().map(|name| (*name).to_owned()).collect());
    model.script.turns[0].reply = Some(reply);
    let house = House::of(model).await;
    let script = "wait-speech\nwait-silence 500ms\nsay thank-you\nwait-speech\npause 12s\nsay lima\nwait-silence 300ms\nhangup\n";
    let held = house.place(0, patient(script)).await;
    held.assert_orderly();
    let cut = held.session().replies.iter().find(|r| r.truncated).expect("the reply was cut");
    println!("{} ms received at once, {} ms heard", cut.total_ms, cut.believed_ms);
    assert!(cut.total_ms > 60_000 && cut.played_ms == cut.total_ms, "{cut:?}");
    assert!((11_000..16_000).contains(&cut.believed_ms), "{cut:?}");
}
