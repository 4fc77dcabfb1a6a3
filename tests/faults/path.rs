//! The model's connection ends, falls silent or pauses in mid-call (rows 30, 32, 37, 39).

use std::time::Duration;

use aria_bridge::call::CallEnd;
use futures_util::future::join_all;
use sim::model::{Faults, MediaFaults, ModelConfig, Pause};
use sim::phone::Moment;

use super::verdict::{ended, ordinary};
use crate::support::house::{Held, House};
use crate::support::lines::{self, LISTENING};
use crate::support::sound::{audible_ms, clip, likeness};

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn model(media: MediaFaults) -> ModelConfig {
    ModelConfig { faults: Faults { media, ..Faults::default() }, ..lines::model() }
}

/// From the break to our apology; `since` the session's data channel opened, or the session was asked for.
fn apology_after(held: &Held, since: Option<Duration>, at: Duration) -> Duration {
    let broke = held.session().requested + since.unwrap_or_default() + at;
    let spoken = held.report.when(|m| matches!(m, Moment::Spoken(_))).expect("an apology");
    (held.zero + spoken).saturating_duration_since(broke)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_30_32_37_a_lost_session_is_apologised_for() {
    let at = ms(2_500);
    let cases = [
        (
            "the data channel closes",
            MediaFaults { channel_closes_after: Some(at), ..MediaFaults::default() },
            ms(1_500),
        ),
        ("close_notify", MediaFaults { peer_closes_after: Some(at), ..MediaFaults::default() }, ms(1_500)),
        // Three seconds until the path is in doubt, two until it is lost.
        ("ICE falls silent", MediaFaults { silent_after: Some(at), ..MediaFaults::default() }, ms(7_000)),
    ];
    let calls = cases.map(|(what, faults, limit)| async move {
        let house = House::of(model(faults)).await;
        let held = house.call(0, LISTENING).await;
        (what, limit, house, held)
    });
    for (what, limit, house, held) in join_all(calls).await {
        ended(&held, CallEnd::ModelLost, what);
        let since = if what.starts_with("ICE") { None } else { held.session().channel_after };
        let after = apology_after(&held, since, at);
        println!("{what}: apology {after:?} later");
        assert!(after <= limit, "{what}: {after:?}");
        assert_eq!((house.registry.live(), house.models[0].active()), (0, 0), "{what}");
        assert!(
            likeness(&held.report.heard, &clip("one-moment")) >= 0.8,
            "{what}: the greeting came before it"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_39_sound_that_stops_for_ten_seconds_goes_on() {
    // In the middle of the long reply, which begins some 4 s after the channel opened.
    let pause = Pause { at: ms(6_000), length: ms(10_000) };
    let house = House::of(model(MediaFaults { pause: Some(pause), ..MediaFaults::default() })).await;
    let script = "wait-speech\nwait-silence 300ms\nsay thank-you\nwait-speech\nwait-silence 3s\nwait-speech\n\
                  wait-silence 800ms\nhangup\n";
    let held = house.call(0, script).await;
    ordinary(&held, &["one-moment"], "a pause");
    let session = held.session();
    let opened = session.requested + session.channel_after.expect("the channel was open");
    let at = |ms: u64| (opened + Duration::from_millis(ms)).saturating_duration_since(held.zero);
    let (before, during, after) = (
        audible_ms(held.between(at(3_500), at(6_200))),
        audible_ms(held.between(at(6_400), at(15_900))),
        audible_ms(held.between(at(15_900), at(24_000))),
    );
    println!("audible before {before} ms, during {during} ms, after {after} ms of the pause");
    assert!(before >= 500 && after >= 2_000, "{before} {after}");
    assert!(during <= 200, "what is not there is not made up: {during} ms");
    // The two halves are what was said.
    let said = clip("all-busy");
    let halves = [&said[..8_000], &said[said.len() - 24_000..]].map(|h| likeness(&held.report.heard, h));
    println!("likeness of the halves {halves:.3?}");
    assert!(halves.iter().all(|like| *like >= 0.8), "{halves:?}");
}
