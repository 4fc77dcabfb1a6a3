//! The beginning of a call: how quick the session is there, and that nothing said before it is lost.

use std::time::Duration;

use aria_bridge::call::Progress;
use futures_util::future::join_all;
use sim::model::{Faults, MediaFaults, ModelConfig};
use sim::network::NetworkConfig;

use crate::support::house::{Blueprint, House};
use crate::support::lines;
use crate::support::sound::{clip, companded, exactness};

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// There and back between the bridge and OpenAI.
const ROUND_TRIP: Duration = ms(40);
/// What the set-up takes: the request 1, ICE 1, DTLS 3, SCTP 2, `session.created` 1. Five are possible: without DTLS's HelloVerifyRequest, which
/// ICE makes superfluous, with the nomination in the first check, and with the channel's opening in the COOKIE ECHO. The stack offers none of
/// the three.
const ROUND_TRIPS: u32 = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_ready_after_a_few_round_trips() {
    let network = NetworkConfig { delay: ROUND_TRIP, everything: true, ..NetworkConfig::default() };
    let house = House::build(Blueprint {
        models: vec![ModelConfig { network, ..lines::model() }],
        round_trip: ROUND_TRIP,
        ..Blueprint::default()
    })
    .await;
    let mut all = Vec::new();
    for _ in 0..6 {
        let held = house.call(0, "wait-speech\nhangup\n").await;
        let progress = &held.snapshot.as_ref().expect("the bridge remembers it").progress;
        let at = |step| progress.iter().find(|(of, _)| *of == step).map(|(_, ms)| Duration::from_millis(*ms));
        let session = held.session();
        let parts = (at(Progress::ModelAnswered), session.connected_after, session.channel_after);
        let ready = at(Progress::ModelReady).expect("a session");
        println!("webhook to session {ready:?}: answered, connected, channel {parts:?}");
        all.push(ready);
    }
    all.sort();
    let median = all[all.len() / 2];
    println!(
        "webhook to session ready: median {median:?}, {:.1} round trips; {all:?}",
        median.as_secs_f64() / ROUND_TRIP.as_secs_f64()
    );
    assert!(median <= ROUND_TRIPS * ROUND_TRIP + ms(80), "{all:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_word_is_never_lost() {
    // The caller speaks with the first frame of the stream, while the session may take its time.
    let delays = [0, 100, 300, 700, 1_000, 1_500, 2_000, 3_000];
    let models = delays.map(|delay| {
        let media = MediaFaults { channel_speaks_after: ms(delay), ..MediaFaults::default() };
        ModelConfig { faults: Faults { media, ..Faults::default() }, ..lines::model() }
    });
    let house =
        House::build(Blueprint { models: models.into(), codec: "pcmu", ..Blueprint::default() }).await;
    let calls = (0..delays.len()).map(|n| house.call(n, "say weasels\nwait-silence 4500ms\nhangup\n"));
    let word = companded(&clip("weasels"));
    for (delay, held) in delays.iter().zip(join_all(calls).await) {
        let exact = exactness(&held.heard, &word);
        println!("a session {delay} ms late: {:.1} % of the word's loud frames heard", exact * 100.0);
        assert!(exact >= 0.99, "{delay} ms: {exact:.3}");
        assert_eq!(held.session().turns.len(), 1, "{delay} ms: it is one turn");
    }
}
