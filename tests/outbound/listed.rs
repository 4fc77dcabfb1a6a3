//! Calls of both directions in one list: by direction, by number, by outcome, page by page.

use std::collections::BTreeSet;
use std::time::Duration;

use sim::phone::{Answering, Taker};

use super::admin::{ALLOWED, ended, get, place, post};
use crate::support::house::{Blueprint, House, number};
use crate::support::lines;

const SHORT: &str = "wait-speech\nhangup\n";

/// The ids and directions of a list.
fn listed(list: &serde_json::Value) -> Vec<(String, String)> {
    let calls = list["calls"].as_array().unwrap_or_else(|| panic!("{list}"));
    let word = |call: &serde_json::Value, name: &str| call[name].as_str().unwrap_or_default().to_owned();
    calls.iter().map(|call| (word(call, "call_sid"), word(call, "direction"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_both_directions_are_listed_filtered_and_paged_alike() {
    let house = House::build(Blueprint {
        file: ALLOWED.into(),
        outbound: lines::caller(SHORT),
        answering: Answering { taker: Taker::Person, ringing: Duration::from_millis(100) },
        ..Blueprint::default()
    })
    .await;
    let (mut inbound, mut outbound) = (BTreeSet::new(), BTreeSet::new());
    for callee in ["+15557770001", "+15557770002", "+15557770003"] {
        inbound.insert(house.call(0, SHORT).await.report.call_sid);
        let sid = place(&house, &format!(r#"{{"to":"{callee}","agent":"a0"}}"#)).await;
        // While it rings and while it goes on it is one of ours, too.
        let (_, ringing) = get(&house, "/api/calls?direction=outbound&outcome=live").await;
        assert_eq!(listed(&ringing), [(sid.clone(), "outbound".to_owned())], "{ringing}");
        ended(&house, &sid).await;
        outbound.insert(sid);
    }
    // One that nobody was put through to: it was taken back while it rang.
    let sid = place(&house, r#"{"to":"+15557770004","agent":"a0"}"#).await;
    let (status, _) = post(&house, &format!("/api/calls/{sid}/hangup"), None, "{}").await;
    assert_eq!(status, 202);
    let (_, end) = ended(&house, &sid).await;
    outbound.insert(sid);

    let find = async |query: &str| listed(&get(&house, &format!("/api/calls?{query}")).await.1);
    let ids = |list: &[(String, String)]| list.iter().map(|(sid, _)| sid.clone()).collect::<BTreeSet<_>>();
    let mut all = Vec::new();
    let mut query = "limit=2".to_owned();
    // What is over may not be in the database yet, and then stands before the page.
    loop {
        let (_, page) = get(&house, &format!("/api/calls?{query}")).await;
        all.extend(listed(&page));
        match page["next"].as_str() {
            Some(next) => query = format!("limit=2&before={next}"),
            None => break,
        }
    }
    assert_eq!(ids(&all), inbound.union(&outbound).cloned().collect(), "{all:?}");
    assert_eq!(all.len(), 7, "each is listed once: {all:?}");
    for (sid, direction) in &all {
        assert_eq!(direction == "outbound", outbound.contains(sid), "{sid}: {direction}");
    }
    assert_eq!(ids(&find("direction=outbound").await), outbound);
    assert_eq!(ids(&find("direction=inbound").await), inbound);
    assert_eq!(find("direction=outbound&number=%2B15557770002").await.len(), 1);
    assert_eq!(find("direction=inbound&number=%2B15557770002").await.len(), 0);
    // Our number is called and calls.
    let ours = format!("number={}", number(0).replace('+', "%2B"));
    assert_eq!(find(&ours).await.len(), 7);
    assert_eq!(ids(&find(&format!("{ours}&direction=inbound")).await), inbound);
    assert_eq!(find(&format!("direction=outbound&outcome={end}")).await.len(), 1);
    assert_eq!(find("direction=outbound&outcome=caller_hung_up&agent=a0").await.len(), 3);
    let (status, refused) = get(&house, "/api/calls?direction=sideways").await;
    assert!(status == 400 && refused["error"].as_str().is_some_and(|e| e.contains("inbound")), "{refused}");
}
