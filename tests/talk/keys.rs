//! Keys that the caller presses.

use aria_bridge::call::CallEnd;
use sim::phone::Moment;

use crate::support::house::House;
use crate::support::lines;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_reach_the_model_as_text_and_nobody_else() {
    let house = House::of(lines::model()).await;
    let script = "wait-speech\nwait-silence 700ms\ndtmf 4711#\nwait-speech\nwait-silence 800ms\nhangup\n";
    let held = house.call(0, script).await;
    held.assert_orderly();
    assert_eq!(held.end(), Some(CallEnd::CallerHungUp));
    assert_eq!(held.report.times(|m| matches!(m, Moment::Dtmf)).len(), 5);
    let session = held.session();
    let texts: Vec<_> = session
        .client_events
        .iter()
        .filter(|e| e.event["item"]["role"] == "user")
        .filter_map(|e| e.event["item"]["content"][0]["text"].as_str())
        .collect();
    assert_eq!(texts, ["[The caller pressed on the telephone's keypad: 4 7 1 1 #]"]);
    assert_eq!(session.turns.len(), 0, "a key is no speech");
    let snapshot = held.snapshot.as_ref().expect("the bridge remembers it");
    // A card number may be typed: nothing that is kept tells a key.
    let kept = serde_json::to_string(snapshot).expect("it is plain data");
    assert!(!kept.contains("4 7 1 1") && !kept.contains("dtmf"), "{kept}");
}
