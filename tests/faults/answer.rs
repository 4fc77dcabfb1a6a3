//! Rows 28 and 29: answers that are hostile or broken, and sessions that never come up.

use std::net::SocketAddr;
use std::time::Duration;

use aria_bridge::call::CallEnd;
use futures_util::future::join_all;
use sim::model::{AnswerFault, Faults, MediaFaults, ModelConfig};

use super::verdict::{apologised, ordinary};
use crate::support::house::House;
use crate::support::lines::{self, LISTENING, ONE_TURN};

/// From the answer to our apology where the answer itself is refused.
const REFUSED: Duration = Duration::from_secs(4);
/// The same where the session has to be waited for.
const NEVER_UP: Duration = Duration::from_secs(5);

fn answering(fault: AnswerFault) -> ModelConfig {
    with(Faults { answer: Some(fault), ..Faults::default() })
}

/// A WebSocket would save the call; here there is none.
fn with(faults: Faults) -> ModelConfig {
    ModelConfig { faults: Faults { websocket_refused: Some(503), ..faults }, ..lines::model() }
}

fn at(addresses: &[&str]) -> AnswerFault {
    AnswerFault::Candidates(addresses.iter().map(|a| a.parse().expect("an address")).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_28_hostile_answers_are_refused() {
    let nowhere =
        at(&["0.0.0.0:3478", "224.0.0.1:3478", "255.255.255.255:3478", "127.0.0.1:0", "[::1]:3478"]);
    // Places on loopback where nobody is. A thousand of them are more than an answer may be long.
    let places = |count: u32| {
        let place = |i: u32| SocketAddr::from(([127, 9, (i / 250) as u8, (i % 250) as u8 + 1], 3478));
        AnswerFault::Candidates((0..count).map(place).collect())
    };
    let cases = [
        ("no fingerprint", AnswerFault::NoFingerprint, REFUSED),
        ("sha-1", AnswerFault::Sha1Fingerprint, REFUSED),
        ("another certificate", AnswerFault::WrongFingerprint, NEVER_UP),
        ("candidates that are nowhere", nowhere, REFUSED),
        ("three hundred candidates", places(300), NEVER_UP),
        ("a thousand candidates", places(1000), REFUSED),
        ("audio refused", AnswerFault::NoAudio, REFUSED),
        ("no audio", AnswerFault::MissingAudio, REFUSED),
        ("setup:actpass", AnswerFault::SetupActpass, REFUSED),
        ("setup:passive", AnswerFault::SetupPassive, NEVER_UP),
        ("payload type twice", AnswerFault::PayloadReuse, REFUSED),
        ("no SDP", AnswerFault::Nonsense, REFUSED),
    ];
    let calls = cases.map(|(what, fault, limit)| async move {
        let house = House::of(answering(fault)).await;
        let held = house.call(0, LISTENING).await;
        (what, limit, house, held)
    });
    for (what, limit, house, held) in join_all(calls).await {
        let after = apologised(&held, CallEnd::ModelUnreachable, limit, what);
        let attempts = held.sessions.len();
        println!("{what}: apology {after:?} after the answer, {attempts} attempts");
        assert!((1..=3).contains(&attempts), "{what}: {attempts} attempts");
        assert_eq!((house.registry.live(), house.models[0].active()), (0, 0), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_28_an_answer_without_its_last_line_end_is_good() {
    let house = House::of(answering(AnswerFault::Trimmed)).await;
    ordinary(&house.call(0, ONE_TURN).await, &["one-moment", "all-busy"], "trimmed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_29_a_session_that_never_comes_up_is_given_up_within_5_s() {
    let media = |media| with(Faults { media, ..Faults::default() });
    let cases = [
        ("ICE is not answered", MediaFaults { silent_after: Some(Duration::ZERO), ..MediaFaults::default() }),
        ("the channel never opens", MediaFaults { channel_never_opens: true, ..MediaFaults::default() }),
        (
            "session.created never comes",
            MediaFaults { channel_speaks_after: Duration::from_secs(600), ..MediaFaults::default() },
        ),
    ];
    let calls = cases.map(|(what, faults)| async move {
        let house = House::of(media(faults)).await;
        let held = house.call(0, LISTENING).await;
        (what, house, held)
    });
    for (what, house, held) in join_all(calls).await {
        let after = apologised(&held, CallEnd::ModelUnreachable, NEVER_UP, what);
        println!("{what}: apology {after:?} after the answer");
        assert_eq!(held.sessions.len(), 1, "{what}");
        assert_eq!((house.registry.live(), house.models[0].active()), (0, 0), "{what}");
    }
}
