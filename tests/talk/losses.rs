//! Sessions that are lost in every way there is, and how soon another one speaks.

use std::time::Duration;

use futures_util::future::join_all;
use sim::model::{EventFaults, Faults, Line, MediaFaults, ModelConfig, ModelScript, Turn};

use crate::percentile;
use crate::support::house::{Blueprint, Held, House};
use crate::support::sound::{LOUD, rms};

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// The first sound that ARIA makes after `from`.
fn next_sound(held: &Held, from: Duration) -> Option<Duration> {
    let at = held.report.sample_at(from);
    let frames = held.report.heard[at..].chunks_exact(160);
    let n = frames.enumerate().skip(10).find(|(_, f)| rms(f) > LOUD)?.0;
    Some(ms(20 * n as u64))
}

/// Calls that lose their session in each of the ways.
const LOSSES: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_30_32_37_38_whatever_a_session_is_lost_by_another_takes_its_place() {
    let after = Duration::from_secs(5);
    let none = MediaFaults::default;
    let ways = [
        (
            "the channel closes",
            MediaFaults { channel_closes_after: Some(after), ..none() },
            EventFaults::default(),
        ),
        ("close_notify", MediaFaults { peer_closes_after: Some(after), ..none() }, EventFaults::default()),
        ("the path goes dead", MediaFaults { silent_after: Some(after), ..none() }, EventFaults::default()),
        (
            "session_expired",
            none(),
            EventFaults { error: Some((after, "session_expired".into())), ..EventFaults::default() },
        ),
    ];
    let turn = |clip: &str| Turn { reply: Some(Line::of([clip])), ..Turn::default() };
    let script = ModelScript {
        greeting: Line::of(["one-moment"]),
        turns: vec![turn("all-busy"), turn("number-i-have")],
        ..ModelScript::default()
    };
    let models = ways.iter().map(|(_, media, events)| ModelConfig {
        script: script.clone(),
        faults: Faults {
            media: media.clone(),
            events: events.clone(),
            sessions: Some(LOSSES as u64),
            ..Faults::default()
        },
        ..ModelConfig::default()
    });
    let house = House::build(Blueprint { models: models.collect(), ..Blueprint::default() }).await;
    // In the middle of the long answer.
    let listen = "wait-speech\nwait-silence 500ms\nsay thank-you\nwait-speech\npause 9s\nhangup\n";
    let calls = (0..ways.len() * LOSSES).map(|n| {
        let house = &house;
        async move {
            tokio::time::sleep(ms(50) * n as u32).await;
            (n % 4, house.call(n % 4, listen).await)
        }
    });
    let (mut voices, mut sounds) = (Vec::new(), Vec::new());
    for (way, held) in join_all(calls).await {
        let what = ways[way].0;
        held.assert_orderly();
        assert_eq!(held.sessions.len(), 2, "{what}: {:?}", held.report);
        let [first, second] = &held.sessions[..] else { unreachable!("two of them") };
        let since = if what == "the path goes dead" { None } else { first.channel_after };
        let lost = first.requested + since.unwrap_or_default() + after;
        let spoke = second.requested + second.rtp_out.first_after.expect("the next session speaks");
        voices.push(spoke.saturating_duration_since(lost));
        let at = lost.saturating_duration_since(held.zero);
        sounds.push(next_sound(&held, at).unwrap_or_else(|| panic!("{what}: {}", held.evidence(what))));
        println!("{what}: a word of ours after {:?}, the model's after {:?}", sounds.last(), voices.last());
    }
    for (name, all) in [("something is heard", &mut sounds), ("the model is heard", &mut voices)] {
        all.sort();
        println!(
            "{} losses, {name} again: p50 {:?}, p95 {:?}, max {:?}",
            all.len(),
            percentile(all, 0.5),
            percentile(all, 0.95),
            all.last()
        );
        assert!(percentile(all, 0.95) <= Duration::from_secs(4), "{name}: {all:?}");
    }
}
