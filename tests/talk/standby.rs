//! Sessions that wait for calls.

use std::time::{Duration, Instant};

use aria_bridge::bridge::SIMULATED_KEY;
use aria_bridge::call::Progress;
use sim::model::{EventFaults, Faults, HttpFault, HttpFaults, ModelConfig, ModelServer, SessionRecord};
use sim::network::NetworkConfig;

use crate::support::house::{Blueprint, Held, House};
use crate::support::lines;
use crate::support::program::{Program, folder};

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// There and back between the bridge and OpenAI.
const ROUND_TRIP: Duration = ms(40);
/// How long sessions may take to be there.
const PATIENCE: Duration = Duration::from_secs(10);
/// A call in which the model greets, and the caller thanks.
const GREETED: &str = "wait-speech\nwait-silence 800ms\nsay thank-you\nwait-silence 1500ms\nhangup\n";

async fn until(what: &str, is: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(ms(20)).await;
    }
}

/// The sessions that calls have taken, in their order.
fn taken(house: &House) -> Vec<SessionRecord> {
    let mut taken = house.models[0].sessions();
    taken.retain(|s| !s.client_events.is_empty());
    taken.sort_by_key(|s| s.requested + s.client_events[0].at);
    taken
}

/// Sessions that nobody has said anything in, and of which the bridge knows that they are up.
fn waiting(house: &House) -> usize {
    let known =
        |s: &SessionRecord| s.channel_after.is_some_and(|at| s.requested.elapsed() > at + 5 * ROUND_TRIP);
    let waits = |s: &&SessionRecord| known(s) && s.ended.is_none() && s.client_events.is_empty();
    house.models[0].sessions().iter().filter(waits).count()
}

async fn house(models: ModelConfig, round_trip: Duration) -> House {
    let agent = "standby = 2".to_owned();
    House::build(Blueprint { models: vec![models], round_trip, agent, ..Blueprint::default() }).await
}

fn ready(held: &Held) -> Duration {
    let snapshot = held.snapshot.as_ref().expect("the bridge remembers it");
    let ready = snapshot.progress.iter().find(|(step, _)| *step == Progress::ModelReady);
    ms(ready.expect("a session").1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_has_a_session_that_waited_for_it() {
    let network = NetworkConfig { delay: ROUND_TRIP, everything: true, ..NetworkConfig::default() };
    let house = house(ModelConfig { network, ..lines::model() }, ROUND_TRIP).await;
    let mut all = Vec::new();
    for n in 0..5 {
        until("two sessions", || waiting(&house) == 2).await;
        let held = house.call(0, GREETED).await;
        all.push(ready(&held));
        // The settings of this very call came before anything was asked for.
        let session = &taken(&house)[n];
        let kinds: Vec<_> = session.client_events.iter().map(|e| e.kind()).collect();
        assert_eq!(kinds[..2], ["session.update", "response.create"], "{kinds:?}");
        let told = session.client_events[0].event["session"]["instructions"].as_str().unwrap_or_default();
        assert!(told.contains("You talk to +1"), "{told}");
        assert!(!session.server_events.iter().any(|e| e.kind() == "error"), "{:?}", session.server_events);
        assert!(!session.replies.is_empty(), "it greets");
        assert_eq!(session.turns.len(), 1, "it hears the caller");
        assert_eq!(held.snapshot.as_ref().map(|s| s.sessions), Some(1));
    }
    all.sort();
    println!("webhook to session ready: median {:?} of {all:?}", all[all.len() / 2]);
    assert!(all[all.len() / 2] <= 5 * ROUND_TRIP + ms(20), "{all:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_answered_while_no_session_is_given_out() {
    let http = HttpFaults { first: vec![HttpFault::None; 2], then: Some(HttpFault::status(503)) };
    let faults = Faults { http, ..Faults::default() };
    let house = house(ModelConfig { faults, ..lines::model() }, Duration::ZERO).await;
    until("two sessions", || waiting(&house) == 2).await;
    for n in 0..2 {
        let held = house.call(0, GREETED).await;
        assert_eq!(held.apology(), None);
        assert!(!taken(&house)[n].replies.is_empty(), "the model greets");
    }
    // What is asked for in vain is asked for less and less often: three attempts a time, pauses that double.
    let asked = house.models[0].requests().iter().filter(|r| r.status == 503).count();
    assert!((1..=60).contains(&asked), "{asked} requests in vain");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_waits_as_well() {
    let agent = "standby = 1\ntransport = \"websocket\"".to_owned();
    let house = House::build(Blueprint { agent, codec: "pcmu", ..Blueprint::default() }).await;
    let up = || house.models[0].sessions().iter().filter(|s| s.ended.is_none()).count();
    until("a session", || up() == 1).await;
    // It has its first settings by then.
    tokio::time::sleep(5 * ROUND_TRIP).await;
    let first = house.models[0].sessions()[0].call_id.clone();
    let held = house.call(0, GREETED).await;
    assert!(ready(&held) <= 5 * ROUND_TRIP + ms(20), "{:?}", ready(&held));
    let session = house.models[0].session(&first).expect("it is remembered");
    let updates = session.client_events.iter().filter(|e| e.kind() == "session.update").count();
    assert_eq!((updates, session.turns.len()), (2, 1), "its own settings, the call's, and the caller's turn");
    assert!(!session.server_events.iter().any(|e| e.kind() == "error"), "{:?}", session.server_events);
    assert!(!session.replies.is_empty(), "it greets");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_will_not_be_this_calls_is_left() {
    let events = EventFaults { update_refused: true, ..EventFaults::default() };
    let faults = Faults { events, ..Faults::default() };
    let house = house(ModelConfig { faults, ..lines::model() }, Duration::ZERO).await;
    until("two sessions", || waiting(&house) == 2).await;
    // Its second session is asked for with its own settings, under the caller's own name.
    let held = house.call(0, "wait-speech\nwait-silence 2500ms\nhangup\n").await;
    let asked = held.session().request.session.as_ref().expect("the settings");
    let told = asked["instructions"].as_str().unwrap_or_default();
    assert!(told.contains("You talk to +1"), "{told}");
    assert_eq!(held.session().replies.len(), 1, "it greets");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_dies_waiting_is_replaced_and_all_end_with_the_bridge() {
    let mut house = house(lines::model(), Duration::ZERO).await;
    until("two sessions", || waiting(&house) == 2).await;
    let first = house.models[0].sessions()[0].call_id.clone();
    assert!(house.models[0].end(&first));
    until("a third", || house.models[0].sessions().len() == 3 && waiting(&house) == 2).await;
    house.stop();
    until("all have ended", || waiting(&house) == 0).await;
    let hung_up = |id: &str| house.models[0].requests().iter().any(|r| r.path.contains(id));
    for session in &house.models[0].sessions()[1..] {
        until("it is hung up over HTTP", || hung_up(&session.call_id)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_takes_them_away() {
    let model = ModelServer::start(lines::model()).expect("a simulated model");
    let file = folder().join("aria.toml");
    let configure = |standby: &str| std::fs::write(&file, format!("[agents.default]\n{standby}\n"));
    configure("standby = 2").expect("it can be written");
    let program = Program::serve(&[
        ("OPENAI_BASE_URL", &model.base_url()),
        ("OPENAI_API_KEY", SIMULATED_KEY),
        ("ARIA_CONFIG", file.to_str().expect("text")),
    ])
    .await;
    let told = |number: f64| {
        let program = &program;
        async move {
            let begun = Instant::now();
            while program.metric("aria_standby_sessions{agent=\"default\"}").await != Some(number) {
                assert!(begun.elapsed() < PATIENCE, "the metric does not become {number}");
                // There is no event to wait for across processes.
                tokio::time::sleep(ms(50)).await;
            }
        }
    };
    told(2.0).await;
    assert_eq!(model.active(), 2);
    configure("").expect("it can be written");
    told(0.0).await;
    until("they have ended", || model.active() == 0).await;
    assert_eq!(model.sessions().len(), 2, "and nobody asked for more");
}
