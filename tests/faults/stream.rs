//! Rows 21 and 22: streams that die without a word, and streams whose numbers and stamps go wrong.

use std::time::Duration;

use aria_bridge::call::CallEnd;
use futures_util::future::join_all;
use sim::model::ModelConfig;
use sim::phone::faults::{Faults, StreamFault};
use sim::phone::report::EndedBy;
use sim::phone::{CallPlan, Moment};

use crate::support::house::{Blueprint, House};
use crate::support::lines::{self, LISTENING, caller, script};
use crate::support::sound::{clip, exact_place, likeness};

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn faulty(script: &str, stream: Vec<StreamFault>) -> CallPlan {
    CallPlan { faults: Faults { stream, ..Faults::default() }, ..caller(script) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_21_a_half_open_stream_is_freed_within_20_s() {
    const LIMIT: Duration = Duration::from_secs(20);
    // Struck while ARIA speaks, and in the silence after it.
    let models = ["all-busy", "hello"]
        .map(|greeting| ModelConfig { script: script(greeting, "goodbye", "goodbye"), ..lines::model() });
    let house = House::build(Blueprint { models: models.into(), ..Blueprint::default() }).await;
    let dead = |agent| {
        let plan = faulty(LISTENING, vec![StreamFault::HalfOpen { at: ms(1_800) }]);
        house.place(agent, CallPlan { limit: ms(1_800) + LIMIT, ..plan })
    };
    let (speaking, silent) = tokio::join!(dead(0), dead(1));
    for (what, held) in [("silent", &silent), ("speaking", &speaking)] {
        let struck = held.report.when(|m| *m == Moment::Fault("half-open")).expect("it was struck");
        let after = held.released_after(struck);
        println!("{what}: freed {after:?} after the stream died");
        assert!(after <= LIMIT, "{what}: {after:?}");
        assert_eq!(held.end(), Some(CallEnd::StreamLost), "{what}");
        assert_eq!(held.report.ended.by, EndedBy::Limit, "{what}: {:?}", held.report);
        assert!(held.closed_after(struck).is_some_and(|after| after <= LIMIT), "{what}");
    }
    assert_eq!((house.registry.live(), house.models[0].active(), house.models[1].active()), (0, 0, 0));
}

/// Twilio gives the stream up with error 31924, leaves the socket half-open and asks what to do: the callback and the question are the only
/// news of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_21_a_stream_that_twilio_gave_up_is_followed_by_another_at_once() {
    let house = House::of(lines::model()).await;
    let plan = faulty(
        "wait-speech\npause 3s\nsay thank-you\nwait-speech\nwait-silence 800ms\nhangup\n",
        vec![StreamFault::ProtocolError { at: ms(2_000) }],
    );
    let held = house.place(0, plan).await;
    let struck = held.report.when(|m| *m == Moment::Fault("protocol error")).expect("it was struck");
    assert_eq!(
        (held.end(), held.report.stream_sids.len()),
        (Some(CallEnd::CallerHungUp), 2),
        "{:?}",
        held.report
    );
    let upgraded = held.report.times(|m| *m == Moment::StreamUpgraded);
    println!("another stream {:?} after the one that was given up", upgraded[1] - struck);
    assert!(upgraded[1] - struck <= ms(1_000), "{:?}", upgraded[1] - struck);
    assert!(likeness(&held.report.heard, &clip("all-busy")) >= 0.8, "the conversation goes on");
}

/// Two words, from about 1.1 to 3.9 s and from 5.9 to 8.0 s of the stream.
const WORDS: &str = "pause 1s\nsay something-wrong\npause 2s\nsay last-call\npause 1500ms\nhangup\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_22_the_models_timeline_stays_within_20_ms() {
    let cases: [(&str, f64, Vec<StreamFault>); 8] = [
        ("nothing", 0.9, vec![]),
        ("a gap between the words", 0.9, vec![StreamFault::Gap { at: ms(4_700), lasting: ms(400) }]),
        (
            "many gaps",
            0.9,
            (0..8).map(|i| StreamFault::Gap { at: ms(4_500 + 110 * i), lasting: ms(45) }).collect(),
        ),
        ("a gap inside a word", 0.5, vec![StreamFault::Gap { at: ms(2_200), lasting: ms(100) }]),
        ("every third message twice", 0.9, vec![StreamFault::Repeat { every: 3 }]),
        ("every 25th message late", 0.5, vec![StreamFault::Swap { every: 25 }]),
        ("numbers and stamps begin again", 0.9, vec![StreamFault::Restart { at: ms(4_800) }]),
        (
            "a stall and bursts",
            0.9,
            vec![
                StreamFault::Stall { at: ms(4_500), lasting: ms(300) },
                StreamFault::Burst { at: ms(5_500), frames: 5 },
            ],
        ),
    ];
    for codec in ["pcmu", "opus"] {
        let house = House::build(Blueprint { codec, ..Blueprint::default() }).await;
        let calls = cases.iter().map(|(what, at_least, stream)| {
            let house = &house;
            async move { (*what, *at_least, house.place(0, faulty(WORDS, stream.clone())).await) }
        });
        for (what, at_least, held) in join_all(calls).await {
            assert_eq!(held.end(), Some(CallEnd::CallerHungUp), "{codec}, {what}: {:?}", held.report);
            let span = |sound: &[i16]| {
                let place = |name| exact_place(sound, &clip(name));
                Some(place("last-call")? - place("something-wrong")?)
            };
            let said = span(&held.report.said).expect("both words were said");
            let heard = span(&held.heard).unwrap_or_else(|| panic!("{codec}, {what}: nothing was heard"));
            let error_ms = (heard - said) as f64 / 8.0;
            let likes = ["something-wrong", "last-call"].map(|name| likeness(&held.heard, &clip(name)));
            println!("{codec}, {what}: error {error_ms:+.1} ms, likeness {:.3} {:.3}", likes[0], likes[1]);
            assert!(error_ms.abs() <= 20.0, "{codec}, {what}: {error_ms} ms");
            assert!(likes.iter().all(|like| *like >= at_least), "{codec}, {what}: {likes:?}");
        }
    }
}
