//! How quick the bridge is where people notice: an interruption, the set-up of a call, a session that is lost.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aria_bridge::call::{CallEvent, Progress};
use futures_util::future::join_all;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use sim::model::{EventFaults, Faults, Line, MediaFaults, ModelConfig, ModelScript, Turn};
use sim::network::NetworkConfig;
use sim::phone::{CallPlan, Moment};

use crate::support::house::{Blueprint, Held, House};
use crate::support::lines;
use crate::support::sound::{LOUD, clip, companded, exactness, rms};

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// The value that a share `q` of all do not exceed.
fn percentile(sorted: &[Duration], q: f64) -> Duration {
    let index = ((sorted.len() as f64 * q).ceil() as usize).clamp(1, sorted.len());
    sorted[index - 1]
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
async fn an_interruption_is_at_twilio_at_once_and_nothing_old_follows() {
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
