//! Twilio's stream breaks in the middle of a conversation that is well: another one takes its place, and the conversation goes on.

use std::net::SocketAddr;
use std::time::Duration;

use aria_bridge::call::CallEnd;
use futures_util::future::join_all;
use sim::model::Logged;
use sim::phone::{CallPlan, Moment};

use super::cutter::{Cut, Cutter, How};
use crate::support::house::{Blueprint, Held, House};
use crate::support::lines::{self, caller};
use crate::support::sound::{LOUD, clip, likeness, rms};

/// The long reply begins some four seconds after the stream, and is cut off two or three seconds later: the caller's frames make 16 kB a
/// second, echoes a little more.
const BYTES: usize = 105_000;
/// From the cut to the next word of ARIA's: two webhooks, a socket and the model's time to answer.
const HEARD_AGAIN: Duration = Duration::from_secs(3);

const SCRIPT: &str = "
wait-speech
wait-silence 500ms
say thank-you
wait-speech
pause 8s
wait-silence 500ms
say something-wrong
wait-speech
wait-silence 800ms
hangup
";

/// The first sound that ARIA makes after `from`, when what sounded then has ended.
fn next_sound(held: &Held, from: Duration) -> Option<Duration> {
    let at = held.report.sample_at(from);
    let frames = held.report.heard[at..].chunks_exact(160);
    let n = frames.enumerate().skip(10).find(|(_, f)| rms(f) > LOUD)?.0;
    Some(Duration::from_millis(20 * n as u64))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_breaks_in_a_reply_is_followed_by_one_on_which_the_conversation_goes_on() {
    let ways = [How::Reset, How::Close, How::HalfClose];
    let mut cutter = None;
    let cuts = ways.map(|how| Cut { after_bytes: BYTES, how }).to_vec();
    let through = |bridge: SocketAddr| cutter.insert(Cutter::start(bridge, cuts)).address();
    let house = House::behind(Blueprint::default(), through).await;
    let calls = (0..ways.len() as u32).map(|n| {
        let house = &house;
        async move {
            // One after the other, so that each meets its own way.
            tokio::time::sleep(Duration::from_millis(200) * n).await;
            house.place(0, CallPlan { limit: Duration::from_secs(90), ..caller(SCRIPT) }).await
        }
    });
    let calls = join_all(calls).await;
    let made = cutter.expect("the house was built").made();
    assert_eq!(made.len(), ways.len(), "{made:?}");
    for held in &calls {
        let cut =
            made.iter().find(|m| m.call_sid.as_ref() == Some(&held.report.call_sid)).expect("each is cut");
        let what = format!("{:?}", cut.cut.how);
        assert_eq!(held.end(), Some(CallEnd::CallerHungUp), "{what}: {:?}", held.report);
        assert_eq!(
            (held.report.stream_sids.len(), held.sessions.len()),
            (2, 1),
            "{what}: one call, one session"
        );
        assert_eq!(held.waited_in_vain(), 0, "{what}: {:?}", held.report);
        let session = held.session();
        let at = cut.at.saturating_duration_since(held.zero);
        let resumed = held.report.times(|m| *m == Moment::StartSent)[1] - at;
        let sound = next_sound(held, at).expect("she speaks again");
        // What the model believes was heard of the reply is what was heard.
        let reply = session.replies.iter().find(|r| r.truncated).expect("it was cut off");
        let begun = held.report.times(|m| *m == Moment::HeardOn)[1];
        let heard = at.saturating_sub(begun).as_millis() as i64;
        println!(
            "{what}: another stream after {resumed:?}, a word of ARIA's after {sound:?}; sent {} ms, believed {} ms, heard about {heard} ms",
            reply.played_ms, reply.believed_ms
        );
        assert!(sound <= HEARD_AGAIN, "{what}: {sound:?}");
        assert!((i64::from(reply.believed_ms) - heard).abs() <= 250, "{what}: {reply:?} {heard}");
        let goes_on = |e: &Logged| {
            e.event["response"]["instructions"].as_str().is_some_and(|i| i.contains("interrupted"))
        };
        assert_eq!(session.client_events.iter().filter(|e| goes_on(e)).count(), 1, "{what}");
        // The second stream is heard as well as the first, on one timeline.
        let rtp = &session.rtp_in;
        assert_eq!((rtp.late, rtp.resets), (0, 0), "{what}: {rtp:?}");
        let like = likeness(&held.heard, &clip("something-wrong"));
        let answer = likeness(&held.report.heard, &clip("sorry-problems"));
        println!("{what}: heard after it with {like:.3}, answered with {answer:.3}");
        assert!(like >= 0.8 && answer >= 0.8, "{what}: {like:.3} {answer:.3}; {}", held.evidence(&what));
        let refused = session.server_events.iter().filter(|e| e.kind() == "error").count();
        assert_eq!(refused, 0, "{what}: no event of ours is refused");
    }
    assert_eq!((house.registry.live(), house.models[0].active()), (0, 0));
}

/// The session is not up when the stream breaks: the caller is greeted on the second one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_breaks_before_the_greeting_is_followed_by_one_with_it() {
    let mut cutter = None;
    let cuts = vec![Cut { after_bytes: 12_000, how: How::Reset }];
    let through = |bridge: SocketAddr| cutter.insert(Cutter::start(bridge, cuts)).address();
    let media =
        sim::model::MediaFaults { channel_speaks_after: Duration::from_secs(2), ..Default::default() };
    let faults = sim::model::Faults { media, ..Default::default() };
    let models = vec![sim::model::ModelConfig { faults, ..lines::model() }];
    let house = House::behind(Blueprint { models, ..Blueprint::default() }, through).await;
    let held = house.call(0, lines::ONE_TURN).await;
    assert_eq!(held.end(), Some(CallEnd::CallerHungUp), "{:?}", held.report);
    assert_eq!((held.report.stream_sids.len(), held.waited_in_vain()), (2, 0), "{:?}", held.report);
    let likes = ["one-moment", "all-busy"].map(|name| likeness(&held.report.heard, &clip(name)));
    println!("likeness {likes:.3?}");
    assert!(likes.iter().all(|like| *like >= 0.8), "{likes:?}");
}
