//! What the caller's voice does to ARIA's where it does not stop her at once: `interruption = "confirm"` and `"never"`.

use std::collections::HashMap;
use std::time::Duration;

use sim::model::{Line, ModelConfig, ModelScript, Turn};
use sim::phone::{CallPlan, Moment, Script, Step};
use sim::speech;

use crate::support::house::{Blueprint, Held, House};
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

/// How many samples of a reply reached the caller between its first sound and `until`.
fn sent(held: &Held, from: Duration, until: Duration) -> usize {
    let within = held.report.arrivals.iter().filter(|a| a.at >= from && a.at <= until);
    within.map(|a| a.bytes).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cough_makes_her_pause_and_she_goes_on_where_she_was() {
    let house = house("confirm").await;
    let held = house.place(0, over(ms(1_500), cough())).await;
    held.assert_orderly();
    let said = companded(&clip(REPLY));
    let (found, repeated) = frames(&held.report.heard, &said);
    let missing = found.iter().filter(|at| at.is_none()).count();
    let places: Vec<usize> = found.iter().flatten().copied().collect();
    let gaps: Vec<usize> = places.windows(2).map(|w| w[1] - w[0]).filter(|gap| *gap != FRAME).collect();
    println!("{} loud frames, {missing} not found, {repeated} twice, steps {gaps:?}", found.len());
    println!(
        "{} {:?}",
        sent(&held, Duration::ZERO, Duration::MAX),
        held.snapshot.as_ref().and_then(|s| s.sound)
    );
    println!("{}", held.evidence("cough"));
    panic!();
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
    assert!(likeness(&held.report.heard, &clip("goodbye")) >= 0.8, "and his turn is answered");
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
