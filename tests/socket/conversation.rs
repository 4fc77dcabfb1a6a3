//! A conversation at a WebSocket is the one at a peer connection.

use aria_bridge::call::Speaker;
use sim::model::{Codec, End, ModelConfig, Transport};

use crate::support::house::House;
use crate::support::sound::{clip, companded, exactness, likeness};
use crate::without_webrtc;

/// The demo's caller: a question, a long answer that is interrupted, a city to look up, thanks. It fits the model's default script.
const CONVERSATION: &str = "
wait-speech
wait-silence 700ms
say something-wrong
wait-speech
wait-silence 900ms
say last-call
interrupt 2s lima
wait-silence 400ms
wait-speech
wait-silence 1500ms
say thank-you
wait-speech
wait-silence 800ms
hangup
";
/// What of the conversation is not cut off: ARIA's clips and the caller's.
const ARIA_SAYS: [&str; 7] =
    ["thank-you-for-calling", "sorry-problems", "hold-time", "less-than", "two", "minutes", "goodbye"];
const CALLER_SAYS: [&str; 4] = ["something-wrong", "last-call", "lima", "thank-you"];
/// Correlation that mu-law keeps.
const LIKENESS: f64 = 0.9;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_conversation_with_a_tool() {
    let house = House::of(without_webrtc(ModelConfig::default())).await;
    let held = house.call(0, CONVERSATION).await;
    held.assert_orderly();
    let session = held.session();
    assert_eq!(session.transport, Transport::WebSocket);
    for (heard, clips) in [(&held.report.heard, &ARIA_SAYS[..]), (&held.heard, &CALLER_SAYS)] {
        for name in clips {
            let (like, exact) = (likeness(heard, &clip(name)), exactness(heard, &companded(&clip(name))));
            println!("{name}: likeness {like:.3}, {:.1} % of its frames bit for bit", exact * 100.0);
            assert!(like >= LIKENESS, "{name}: {like:.3}, {}", held.evidence("socket conversation"));
        }
    }
    // The way up waits for nothing: every frame arrives.
    assert_eq!(exactness(&held.heard, &companded(&clip("something-wrong"))), 1.0);
    assert_eq!(session.rtp_in.by_codec.iter().map(|(codec, _)| *codec).collect::<Vec<_>>(), [Codec::Pcmu]);

    let snapshot = held.snapshot.as_ref().expect("the bridge remembers it");
    let spoken =
        |who: Speaker| snapshot.transcript.iter().filter(move |t| t.speaker == who && !t.text.is_empty());
    assert!(spoken(Speaker::Caller).count() >= 3 && spoken(Speaker::Aria).count() >= 3, "{snapshot:?}");
    assert_eq!(snapshot.transcript.iter().filter(|t| t.interrupted).count(), 1, "{snapshot:?}");
    assert_eq!((snapshot.interruptions, house.desk.requests()), (1, 1));
    let output = |e: &&sim::model::Logged| e.event["item"]["type"] == "function_call_output";
    assert_eq!(session.client_events.iter().filter(output).count(), 1);
    assert!(matches!(session.ended.as_ref().map(|e| &e.how), Some(End::PeerClosed)), "{:?}", session.ended);
    assert!(session.remarks.is_empty(), "{:?}", session.remarks);
    let cut: Vec<_> = session.replies.iter().filter(|r| r.truncated).collect();
    assert!(cut.len() == 1 && (1_500..4_500).contains(&cut[0].believed_ms), "{cut:?}");
}
