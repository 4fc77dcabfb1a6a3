//! What the caller's voice does to ARIA's where it does not stop her at once: `interruption = "confirm"` and `"never"`.

use std::collections::HashMap;
use std::time::Duration;

use sim::model::{Line, ModelConfig, ModelScript, Turn};
use sim::phone::{CallPlan, Moment, Script, Step};
use sim::speech;

use crate::support::house::{Blueprint, House};
use crate::support::lines;
use crate::support::sound::{LOUD, clip, companded, likeness, rms};
use crate::truth::heard_ms;

/// 20 ms.
const FRAME: usize = 160;
/// The reply over which the caller is heard: 8 s of speech.
const REPLY: &str = "all-busy";

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Answers the first turn at length and every later one briefly.
fn model() -> ModelConfig {
    let turn = |clip: &str| Turn { reply: Some(Line::of([clip])), ..Turn::default() };
    let script = ModelScript {
        greeting: Line::of(["hello"]),
        turns: vec![turn(REPLY), turn("goodbye"), turn("goodbye")],
        ..ModelScript::default()
    };
    ModelConfig { script, ..ModelConfig::default() }
}

async fn house(policy: &str) -> House {
    // Mu-law all the way: what is heard can be compared sample by sample.
    House::build(Blueprint {
        models: vec![model()],
        codec: "pcmu",
        agent: format!("interruption = \"{policy}\""),
        ..Blueprint::default()
    })
    .await
}

/// Speaks over the long reply at `after` its beginning, and hears what comes of it.
fn over(after: Duration, sound: Step) -> CallPlan {
    let timeout = Duration::from_secs(15);
    let quiet = |quiet| Step::WaitForSilence { quiet, timeout };
    let script = Script::new([
        Step::WaitForSpeech { timeout },
        quiet(ms(500)),
        Step::Say(speech::clip("thank-you").expect("it is in the list")),
        Step::WaitForSpeech { timeout },
        Step::Pause(after),
        sound,
        quiet(ms(2_000)),
        Step::HangUp,
    ]);
    CallPlan { script, ..lines::caller("") }
}

/// 160 ms of noise: too short for a word.
fn cough() -> Step {
    let mut state = 7u32;
    let noise = (0..8 * FRAME).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 18) as i16 - 8_192
    });
    Step::SaySamples(noise.collect())
}

/// Where the loud frames of a recording are in what was heard, in their order: each is looked for behind the one before it. The places of
/// those that are there sample for sample, and how many there are more than once.
fn frames(heard: &[i16], said: &[i16]) -> (Vec<Option<usize>>, usize) {
    let mut places: HashMap<&[i16], Vec<usize>> = HashMap::new();
    let wanted: Vec<_> = said.chunks_exact(FRAME).filter(|f| rms(f) > LOUD).collect();
    for frame in &wanted {
        places.entry(frame).or_default();
    }
    for (at, window) in heard.windows(FRAME).enumerate() {
        if let Some(all) = places.get_mut(window) {
            all.push(at);
        }
    }
    let mut from = 0;
    let found = wanted.iter().map(|frame| {
        let at = places[frame].iter().copied().find(|at| *at >= from)?;
        from = at + FRAME;
        Some(at)
    });
    let found: Vec<_> = found.collect();
    let repeated = places.values().filter(|all| all.len() > 1).count();
    (found, repeated)
}

/// How alike the loud pieces of a recording are to what was heard behind `from`, each looked for within half a second behind the one before
/// it: sound may be left out between them, but nothing may be lost, repeated or out of order.
fn follows(heard: &[i16], mut from: usize, said: &[i16]) -> Vec<f64> {
    const PIECE: usize = 3 * FRAME;
    let mut likes = Vec::new();
    for piece in said.chunks_exact(PIECE).filter(|piece| rms(piece) > LOUD) {
        let end = heard.len().min(from + 4_000);
        let like = |window: &[i16]| {
            let dot: f64 = window.iter().zip(piece).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            dot / (rms(window) * rms(piece) * PIECE as f64).max(1.0)
        };
        let windows = heard[from.min(end)..end].windows(PIECE).map(like).enumerate();
        let Some((at, best)) = windows.max_by(|a, b| a.1.total_cmp(&b.1)) else { break };
        likes.push(best);
        if best > 0.5 {
            from += at + PIECE - FRAME;
        }
    }
    likes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cough_makes_her_pause_and_she_goes_on_where_she_was() {
    let house = house("confirm").await;
    let held = house.place(0, over(ms(1_500), cough())).await;
    held.assert_orderly();
    let said = companded(&clip(REPLY));
    let heard = &held.report.heard;
    let (found, repeated) = frames(heard, &said);
    // Up to the pause, and from there for as long as it was: these were kept back.
    let known: Vec<_> = found.iter().enumerate().filter_map(|(n, at)| Some((n, (*at)?))).collect();
    let pauses = |w: &&[(usize, usize)]| w[1].1 - w[0].1 > (w[1].0 - w[0].0 + 14) * FRAME;
    let Some(&[(last, before), (paused, behind)]) = known.windows(2).find(pauses) else {
        panic!("she does not pause: {}", held.evidence("cough"))
    };
    let pause = behind - before - (paused - last) * FRAME;
    let kept = found[paused..].iter().take_while(|at| at.is_some_and(|at| at < behind + pause)).count();
    // What follows is on its way while Twilio's queue is long: silence is left out of it, and voice shortened, as after any stall.
    let loud: Vec<_> = (0..said.len() / FRAME).filter(|n| rms(&said[n * FRAME..][..FRAME]) > LOUD).collect();
    let likes = follows(heard, behind, &said[loud[paused] * FRAME..]);
    let mean = likes.iter().sum::<f64>() / likes.len() as f64;
    // Where a packet came late the jitter buffer has shortened the voice by a period.
    let touched = found[..paused].iter().filter(|at| at.is_none()).count();
    println!(
        "a pause of {} ms; {paused} loud frames before it, {touched} of them not sample for sample, and {kept} kept back that are; \
         {repeated} twice; the rest {mean:.3} alike, at worst {:.3}",
        pause / 8,
        likes.iter().copied().fold(1.0, f64::min)
    );
    assert!(touched * 20 <= paused, "nothing is lost: {}", held.evidence("cough"));
    let steps: Vec<_> = found[..paused + kept].windows(2).filter_map(|w| Some(w[1]? - w[0]?)).collect();
    assert_eq!(repeated, 0, "nothing is said twice");
    assert!(
        kept * 20 * 8 * 2 >= pause,
        "most of what she said meanwhile was kept: {kept} frames of {pause} samples"
    );
    assert!(mean >= 0.9, "{likes:.2?}");
    assert!(steps.iter().filter(|step| **step > 15 * FRAME).count() == 1, "{steps:?}");
    assert!(held.report.when(|m| matches!(m, Moment::Clear { .. })).is_none(), "{:?}", held.report);
    let session = held.session();
    assert!(session.replies.iter().all(|r| !r.truncated), "{:?}", session.replies);
    assert_eq!((session.turns.len(), session.replies.len()), (2, 2), "it is heard, and not answered");
    let deleted = session.client_events.iter().filter(|e| e.kind() == "conversation.item.delete").count();
    assert_eq!(deleted, 1, "it is no part of the conversation");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_make_her_stop_and_the_model_knows_what_was_heard() {
    let house = house("confirm").await;
    let word = speech::clip("something-wrong").expect("it is in the list");
    let held = house.place(0, over(ms(1_500), Step::Say(word))).await;
    held.assert_orderly();
    let session = held.session();
    let cut: Vec<_> = session.replies.iter().filter(|r| r.truncated).collect();
    let clears = held.report.times(|m| matches!(m, Moment::Clear { .. }));
    assert_eq!((cut.len(), clears.len()), (1, 1), "{}", held.evidence("confirmed"));
    // She fell silent at the caller's first sound, long before it was known to be a word.
    let heard = &held.report.heard[..held.report.sample_at(clears[0])];
    let end = heard.iter().rposition(|s| s.unsigned_abs() >= 8).expect("she spoke") + 1;
    let pause = ms((heard.len() - end) as u64 / 8);
    let believed = u64::from(cut[0].believed_ms);
    let truth = heard_ms(&heard[..end], &clip(REPLY), believed).expect("the place is found");
    println!(
        "paused {pause:?} before it was known to be a word; sent {} ms, believed {believed} ms, heard {truth:.1} ms",
        cut[0].played_ms
    );
    assert!(pause >= ms(500), "{pause:?}");
    assert!((believed as f64 - truth).abs() <= 60.0, "{believed} {truth}");
    assert_eq!(held.snapshot.as_ref().map(|s| s.interruptions), Some(1));
    let answer = likeness(&held.report.heard, &clip("goodbye"));
    assert!(answer >= 0.8, "his turn is answered: {answer:.3} {}", held.evidence("confirmed"));
    assert!(likeness(&held.heard, &clip("something-wrong")) >= 0.8, "every word of it was heard");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_who_is_never_interrupted_speaks_on_and_answers_then() {
    let house = house("never").await;
    let word = speech::clip("something-wrong").expect("it is in the list");
    let held = house.place(0, over(ms(1_500), Step::Say(word))).await;
    held.assert_orderly();
    assert!(held.report.when(|m| matches!(m, Moment::Clear { .. })).is_none(), "{:?}", held.report);
    let said = companded(&clip(REPLY));
    let (found, _) = frames(&held.report.heard, &said);
    let missing = found.iter().filter(|at| at.is_none()).count();
    println!("{} loud frames, {missing} not found", found.len());
    let likes = [REPLY, "goodbye"].map(|name| likeness(&held.report.heard, &clip(name)));
    println!("likeness {likes:.3?}");
    assert!(likes.iter().all(|like| *like >= 0.8), "{likes:?}");
    assert!(likeness(&held.heard, &clip("something-wrong")) >= 0.8, "his words reach the model");
    let session = held.session();
    assert!(session.replies.iter().all(|r| !r.truncated), "{:?}", session.replies);
    assert_eq!(session.replies.len(), 3, "greeting, answer, answer to what was said meanwhile");
    let done = session.replies[1].finished.expect("it was played");
    assert!(session.replies[2].begun >= done, "one after the other: {:?}", session.replies);
}
