//! Calls that nobody answers.

use std::time::Duration;

use sim::phone::{Answering, Taker};

use super::admin::{ALLOWED, asked, ended, get, place, post};
use crate::support::house::{Blueprint, House};

async fn house(taker: Taker, ringing: Duration) -> House {
    House::build(Blueprint {
        file: ALLOWED.into(),
        answering: Answering { taker, ringing },
        ..Blueprint::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twilios_word_is_the_calls_end() {
    for (taker, word) in
        [(Taker::Nobody, "no_answer"), (Taker::Busy, "busy"), (Taker::Unreachable, "not_reached")]
    {
        // Without any ringing the end may be here before Twilio's answer to the order.
        for ringing in [Duration::from_millis(300), Duration::ZERO] {
            let house = house(taker, ringing).await;
            let sid = place(&house, r#"{"to":"+15557770001"}"#).await;
            let (report, end) = ended(&house, &sid).await;
            assert_eq!(end, word, "{report:?}");
            assert!(report.answered.is_none());
            assert_eq!(house.registry.live(), 0, "its room is free");
            assert!(house.models[0].sessions().is_empty(), "nobody was asked for a session");
            // It is among the records, so webhooks tell of it.
            let (_, list) = get(&house, "/api/calls").await;
            let call =
                list["calls"].as_array().and_then(|calls| calls.iter().find(|c| c["call_sid"] == *sid));
            let call = call.unwrap_or_else(|| panic!("{list}"));
            let found = (call["direction"].as_str(), call["to_number"].as_str(), call["ended"].as_str());
            assert_eq!(found, (Some("outbound"), Some("+15557770001"), Some(word)), "{call}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_takes_a_ringing_call_back() {
    let house = house(Taker::Person, Duration::from_secs(30)).await;
    let sid = place(&house, r#"{"to":"+15557770001"}"#).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (status, _) = post(&house, &format!("/api/calls/{sid}/hangup"), None, "{}").await;
    assert_eq!(status, 202);
    let (report, end) = ended(&house, &sid).await;
    assert_eq!(end, "operator_hung_up", "{report:?}");
    assert!(report.answered.is_none());
    assert_eq!(asked(&house, &format!("/Calls/{sid}.json")).len(), 1);
}
