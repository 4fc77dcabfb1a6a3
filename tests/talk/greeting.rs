//! A recorded greeting: it plays while the session is still coming up, and the model knows what of it was heard.

use std::time::Duration;

use sim::model::{Faults, Line, Logged, MediaFaults, ModelConfig, ModelScript, Turn};
use sim::phone::Moment;
use sim::wav;

use crate::support::house::{Blueprint, Held, House};
use crate::support::program::folder;
use crate::support::sound::{clip, likeness};

/// What the recording says.
const TEXT: &str =
    "Thank you for calling Super Awesome Company, Waldo's premier provider of perfect products.";
const RECORDING: &str = "thank-you-for-calling";

/// A model whose session is there `after` its channel has opened, and answers a turn.
fn model(after: Duration) -> ModelConfig {
    let turn = |clip: &str| Turn { reply: Some(Line::of([clip])), ..Turn::default() };
    let script = ModelScript {
        greeting: Line::of(["hello"]),
        turns: vec![turn("goodbye"), turn("goodbye")],
        ..ModelScript::default()
    };
    let media = MediaFaults { channel_speaks_after: after, ..MediaFaults::default() };
    ModelConfig { script, faults: Faults { media, ..Faults::default() }, ..ModelConfig::default() }
}

async fn house(model: ModelConfig, policy: &str) -> House {
    let path = folder().join("greeting.wav");
    wav::write_mono(&path, 8_000, &clip(RECORDING)).expect("the folder is writable");
    let agent = format!(
        "greeting_audio = {:?}\ngreeting_text = {TEXT:?}\ninterruption = \"{policy}\"",
        path.display().to_string()
    );
    House::build(Blueprint { models: vec![model], agent, ..Blueprint::default() }).await
}

/// What the model was told to have said, in the place of a greeting.
fn told(held: &Held) -> Vec<String> {
    let said = |e: &&Logged| e.event["item"]["role"] == "assistant";
    let text = |e: &Logged| e.event["item"]["content"][0]["text"].as_str().map(str::to_owned);
    held.session().client_events.iter().filter(said).filter_map(text).collect()
}

/// Items of the conversation as the model has them, by role, in its order.
fn roles(held: &Held) -> Vec<String> {
    let mut items: Vec<(String, String)> = Vec::new();
    for e in held.session().server_events.iter().filter(|e| e.kind() == "conversation.item.added") {
        let id = e.event["item"]["id"].as_str().unwrap_or_default().to_owned();
        let role = e.event["item"]["role"].as_str().unwrap_or_default().to_owned();
        let before = e.event["previous_item_id"].as_str();
        let at =
            before.and_then(|before| items.iter().position(|(id, _)| id == before)).map_or(0, |at| at + 1);
        items.insert(at, (id, role));
    }
    items.into_iter().map(|(_, role)| role).collect()
}

fn creates(held: &Held) -> usize {
    held.session().client_events.iter().filter(|e| e.kind() == "response.create").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_greets_while_the_session_comes_up() {
    let house = house(model(Duration::from_secs(2)), "always").await;
    let script = "wait-speech\nwait-silence 1200ms\nsay thank-you\nwait-speech\nwait-silence 700ms\nhangup\n";
    let held = house.call(0, script).await;
    held.assert_orderly();
    let started = held.report.when(|m| *m == Moment::StartSent).expect("a stream");
    let first = held.report.when(|m| *m == Moment::FirstAudio).expect("sound");
    let created = held.session().server_events.iter().find(|e| e.kind() == "session.created");
    let created = held.session().requested + created.expect("a session").at;
    let ready = created.saturating_duration_since(held.zero);
    println!("first sound {:?} after the stream's start, the session {:?}", first - started, ready - started);
    assert!(first < ready, "before there is a session");
    assert!(first - started <= Duration::from_millis(500), "{:?}", first - started);
    // A recording of the bridge's own passes no codec but mu-law.
    let like = likeness(&held.report.heard, &clip(RECORDING));
    println!("the recording is heard with a likeness of {like:.3}");
    assert!(like >= 0.98, "{like:.3}");
    assert_eq!(told(&held), [TEXT]);
    assert_eq!(roles(&held)[..2], ["assistant", "user"], "she knows of it as of something said before");
    assert_eq!(creates(&held), 0, "she does not greet again");
    assert!(likeness(&held.report.heard, &clip("goodbye")) >= 0.8, "his turn is answered");
    let transcript = &held.snapshot.as_ref().expect("the bridge remembers it").transcript;
    assert_eq!(transcript[0].text, TEXT, "{transcript:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_greeting_that_is_cut_off_the_model_knows_what_was_heard() {
    let house = house(model(Duration::ZERO), "always").await;
    let script =
        "interrupt 2500ms something-wrong\nwait-silence 500ms\nwait-speech\nwait-silence 700ms\nhangup\n";
    let held = house.call(0, script).await;
    held.assert_orderly();
    let clear = held.report.when(|m| matches!(m, Moment::Clear { .. })).expect("it is cut off");
    let heard = &held.report.heard;
    // It plays from the first frame on.
    let begun = held.report.when(|m| *m == Moment::FirstAudio).expect("it is heard");
    let share = ((clear - begun).as_millis() * 8) as f64 / clip(RECORDING).len() as f64;
    let [text] = &told(&held)[..] else { panic!("{:?}", told(&held)) };
    let words = text.strip_suffix(" [interrupted by the caller]").unwrap_or_else(|| panic!("{text}"));
    println!("{:.0} % of the recording was heard; the model knows of {words:?}", share * 100.0);
    assert!(TEXT.starts_with(words), "{words}");
    // A word of eight letters either way.
    let known = words.len() as f64 / TEXT.len() as f64;
    assert!((known - share).abs() <= 0.12, "{known:.2} known, {share:.2} heard");
    assert_eq!(roles(&held)[..2], ["assistant", "user"]);
    assert!(likeness(heard, &clip("goodbye")) >= 0.8, "his turn is answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_greeting_that_may_not_be_cut_off_is_told_of_before_what_was_said_meanwhile() {
    let house = house(model(Duration::ZERO), "never").await;
    let script = "interrupt 1500ms thank-you\nwait-speech\nwait-silence 1500ms\nhangup\n";
    let held = house.call(0, script).await;
    held.assert_orderly();
    assert!(held.report.when(|m| matches!(m, Moment::Clear { .. })).is_none(), "{:?}", held.report);
    let like = likeness(&held.report.heard, &clip(RECORDING));
    assert!(like >= 0.98, "{like:.3}");
    assert_eq!(told(&held), [TEXT]);
    assert_eq!(roles(&held)[..3], ["assistant", "user", "assistant"]);
    assert!(likeness(&held.report.heard, &clip("goodbye")) >= 0.8, "his turn is answered");
}
