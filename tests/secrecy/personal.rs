//! Row 60: numbers, words and keys of people.

use std::time::{Duration, Instant};

use sim::phone::Moment;

use super::canaries::{CALLEE, CALLER, Sinks, personal, secrets};
use super::peers::{Peers, plan};
use super::secrets::{Seen, asked};

/// How long webhooks, and a call that the bridge places, may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Two whole calls, one of a caller and one that the bridge places, with tools, notes, messages, keys and webhooks: the log at its fullest,
/// the metrics and the answers to strangers show neither who it was nor what was said, and no key either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_60_a_whole_call_leaves_no_number_word_or_key_anywhere() {
    let peers = Peers::start().await;
    let seen = Seen::start(&peers, &[]).await;
    let Seen { program, phone, admin, .. } = &seen;
    let report = phone.call(plan(CALLER)).await;
    assert!(report.violations.is_empty() && report.steps.0 == report.steps.1, "{report:?}");
    assert_eq!(report.times(|m| matches!(m, Moment::Dtmf)).len(), 16, "the card's number was typed");
    let placed = admin
        .post(program.url.join("/api/calls").expect("a path"))
        .header("content-type", "application/json");
    let placed = placed.body(format!(r#"{{"to":"{CALLEE}"}}"#)).send().await.expect("it answers");
    let (status, placed) = (placed.status().as_u16(), placed.text().await.expect("text"));
    assert_eq!(status, 201, "{placed}");
    let until = Instant::now() + PATIENCE;
    // Of each call its beginning, its end and its transcript, and one that failed first.
    while phone.outbound().is_empty() || peers.told.lock().expect("whole").len() < 7 {
        assert!(Instant::now() < until, "{:?} {:?}\n{}", phone.outbound(), peers.told, program.said());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // All that was to be hidden was there to be shown.
    let told = format!("{:?}", peers.told.lock().expect("whole"));
    for word in [CALLER, CALLEE, "xylophone", "zeppelin", "call.ended"] {
        assert!(told.contains(word), "{word} is in no webhook: {told}");
    }
    let requests = format!("{:?} {:?}", phone.requests(), peers.model.sessions());
    for word in ["marzipan", "wheelbarrow", "periwinkle", "Persephone", "calendar_free"] {
        assert!(requests.contains(word), "{word} reached nobody: {requests}");
    }
    assert_eq!(program.said().matches("media stream ended").count(), 2, "it logs: {}", program.said());

    let mut sinks = Sinks::default();
    sinks.add("the answer to an order", placed);
    asked(&seen, &mut sinks).await;
    let sessions = peers.model.sessions();
    let sdp: Vec<String> =
        sessions.iter().flat_map(|s| [s.request.offer.clone(), s.answer.clone()]).collect();
    assert!(sdp.iter().any(|sdp| sdp.contains("a=ice-pwd:")), "{sdp:?}");
    sinks.assert_clean(&personal());
    sinks.assert_clean(&secrets(&sdp));
}
