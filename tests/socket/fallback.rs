//! From WebRTC to a WebSocket, and what is not worth it.

use std::time::Duration;

use aria_bridge::call::{CallEnd, Progress};
use futures_util::future::join_all;
use sim::model::{Faults, HttpFault, HttpFaults, MediaFaults, ModelConfig, Transport};

use crate::support::house::{Held, House};
use crate::support::lines::{self, LISTENING, ONE_TURN};
use crate::support::sound::{clip, likeness};

fn with(faults: Faults) -> ModelConfig {
    ModelConfig { faults, ..lines::model() }
}

/// From the webhook to the session being ready.
fn set_up(held: &Held) -> Duration {
    let snapshot = held.snapshot.as_ref().expect("the bridge remembers it");
    let ready = snapshot.progress.iter().find(|(step, _)| *step == Progress::ModelReady);
    Duration::from_millis(ready.expect("the model was ready").1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_webrtc_is_refused_or_udp_does_not_pass_the_call_is_held_over_a_websocket() {
    let refused = |status| Faults { webrtc_refused: Some(status), ..Faults::default() };
    let blocked = MediaFaults { udp_blocked: true, ..MediaFaults::default() };
    let cases = [
        ("400", refused(400), 1_000),
        ("403", refused(403), 1_000),
        // Three attempts with pauses come first.
        ("503", refused(503), 2_500),
        ("UDP is blocked", Faults { media: blocked, ..Faults::default() }, 2_500),
    ];
    let calls = cases.map(|(what, faults, limit_ms)| async move {
        let house = House::of(with(faults)).await;
        let held = house.call(0, ONE_TURN).await;
        // A session that was granted over WebRTC and never used is given back.
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(house.models[0].active(), 0, "{what}");
        (what, limit_ms, held)
    });
    for (what, limit_ms, held) in join_all(calls).await {
        held.assert_orderly();
        assert_eq!(held.session().transport, Transport::WebSocket, "{what}");
        let took = set_up(&held);
        println!("{what}: ready {took:?} after the webhook");
        assert!(took < Duration::from_millis(limit_ms), "{what}: {took:?}");
        for name in ["one-moment", "all-busy"] {
            assert!(likeness(&held.report.heard, &clip(name)) >= 0.9, "{what}: {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webrtc_comes_first() {
    let house = House::of(lines::model()).await;
    let held = house.call(0, ONE_TURN).await;
    held.assert_orderly();
    assert_eq!((held.sessions.len(), held.session().transport), (1, Transport::WebRtc));
    assert!(!house.models[0].requests().iter().any(|r| r.path == "/v1/realtime"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_key_is_not_tried_twice_and_a_model_that_is_down_is_given_up_in_time() {
    let always = |fault| HttpFaults { first: Vec::new(), then: Some(fault) };
    let key = House::of(with(Faults { http: always(HttpFault::status(401)), ..Faults::default() })).await;
    let down = House::of(with(Faults { http: always(HttpFault::Hang), ..Faults::default() })).await;
    let (refused, hung) = tokio::join!(key.call(0, LISTENING), down.call(0, LISTENING));
    assert_eq!(refused.end(), Some(CallEnd::ModelRefused));
    assert_eq!(key.models[0].requests().len(), 1);
    assert_eq!(hung.end(), Some(CallEnd::ModelUnreachable));
    let paths: Vec<_> = down.models[0].requests().iter().map(|r| r.path.clone()).collect();
    assert_eq!(paths, ["/v1/realtime/calls", "/v1/realtime"]);
    let after = hung.apology().expect("the caller is told");
    println!("a model that hangs: apology {after:?} after the answer");
    assert!(after < Duration::from_millis(3_500), "{after:?}");
}
