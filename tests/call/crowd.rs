//! Several calls and several agents in one bridge.

use std::time::Duration;

use futures_util::future::join_all;
use sim::model::{Codec, ModelConfig};

use crate::support::front;
use crate::support::house::{Blueprint, Held, House, greeting};
use crate::support::lines::{self, ONE_TURN, script};
use crate::support::sound::{clip, likeness};

fn says(held: &Held, kind: &str) -> Vec<serde_json::Value> {
    let events = held.session().client_events.iter();
    events.filter(|e| e.kind() == kind).map(|e| e.event.clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_agents_answer_two_numbers() {
    let model = |greeting| ModelConfig { script: script(greeting, "goodbye", "goodbye"), ..lines::model() };
    let models = vec![model("hello"), model("thank-you-for-calling")];
    let house = House::build(Blueprint { models, ..Blueprint::default() }).await;
    let (first, second) = tokio::join!(house.call(0, ONE_TURN), house.call(1, ONE_TURN));
    for (agent, held, own, other) in
        [(0, &first, "hello", "thank-you-for-calling"), (1, &second, "thank-you-for-calling", "hello")]
    {
        held.assert_orderly();
        let session = held.session().request.session.as_ref().expect("the settings go with the offer");
        let instructions = session["instructions"].as_str().expect("it has some");
        assert!(instructions.starts_with(&front::name(agent)), "{instructions}");
        let asked = says(held, "response.create");
        assert_eq!(asked[0]["response"]["instructions"], greeting(agent), "{asked:?}");
        assert_eq!(held.snapshot.as_ref().map(|s| s.agent.clone()), Some(format!("a{agent}")));
        let (own, other) =
            (likeness(&held.report.heard, &clip(own)), likeness(&held.report.heard, &clip(other)));
        assert!(own >= 0.8 && other < 0.6, "agent {agent}: {own:.3} {other:.3}");
    }
}

/// What each of eight callers says, and what each is told.
const WORDS: [(&str, &str); 8] = [
    ("something-wrong", "please-hold"),
    ("weasels", "all-busy"),
    ("not-answering", "nobody-available"),
    ("last-call", "phone-number-please"),
    ("telephone-number", "not-understood"),
    ("try-again", "hold-time"),
    ("quebec", "sorry-problems"),
    ("thank-you", "message-saved"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_calls_hear_nothing_of_each_other() {
    let models = WORDS.iter().map(|(_, reply)| ModelConfig {
        script: script("hello", reply, "goodbye"),
        ..ModelConfig::default()
    });
    let house = House::build(Blueprint { models: models.collect(), ..Blueprint::default() }).await;
    let calls = WORDS.iter().enumerate().map(|(agent, (word, _))| {
        let house = &house;
        async move {
            // Not in step, so that nothing hides behind the same moment.
            tokio::time::sleep(Duration::from_millis(90) * agent as u32).await;
            house.call(agent, &ONE_TURN.replace("thank-you", word)).await
        }
    });
    let calls = join_all(calls).await;
    let (mut own, mut foreign) = (1.0f64, 0.0f64);
    for (agent, held) in calls.iter().enumerate() {
        held.assert_orderly();
        assert_eq!(held.session().rtp_in.by_codec[0].0, Codec::Opus);
        for (other, (word, reply)) in WORDS.iter().enumerate() {
            let heard = likeness(&held.report.heard, &clip(reply));
            let said = likeness(&held.heard, &clip(word));
            if other == agent {
                own = own.min(heard).min(said);
                assert!(heard >= 0.8 && said >= 0.8, "call {agent}: {heard:.3} {said:.3}");
            } else {
                foreign = foreign.max(heard).max(said);
                assert!(heard < 0.6 && said < 0.6, "call {agent} hears {other}: {heard:.3} {said:.3}");
            }
        }
    }
    println!("likeness of a call's own sound at least {own:.3}, of the others' at most {foreign:.3}");
    assert_eq!(house.registry.live(), 0);
}
