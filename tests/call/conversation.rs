//! One conversation at a time: Opus, G.711.

use aria_bridge::call::Speaker;
use sim::model::{AnswerForm, Codec, Codecs, End, ModelConfig};
use sim::phone::Moment;

use crate::support::house::{Blueprint, Held, House};
use crate::support::lines::{self, INTERRUPTING, ONE_TURN};
use crate::support::sound::{SILENT, clip, companded, exactness, likeness, rms};

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

/// Correlation that Opus at 8 kHz and 24 kbit/s keeps.
const OPUS_LIKENESS: f64 = 0.8;
/// Correlation that mu-law keeps.
const PCMU_LIKENESS: f64 = 0.9;

fn spoken(held: &Held, speaker: Speaker) -> usize {
    let turns = held.snapshot.as_ref().map(|s| s.transcript.as_slice()).unwrap_or_default();
    turns.iter().filter(|t| t.speaker == speaker && !t.text.is_empty()).count()
}

/// Each clip was heard on the other side; the worst figure of each direction.
fn assert_heard(held: &Held, aria: &[&str], caller: &[&str], at_least: f64) -> (f64, f64) {
    let worst = |heard: &[i16], clips: &[&str]| {
        let all = clips.iter().map(|name| {
            let like = likeness(heard, &clip(name));
            assert!(like >= at_least, "{name} was heard with a likeness of {like:.3}");
            like
        });
        all.fold(1.0, f64::min)
    };
    (worst(&held.report.heard, aria), worst(&held.heard, caller))
}

fn codec(held: &Held) -> (Vec<Codec>, Option<Codec>) {
    let session = held.session();
    (session.rtp_in.by_codec.iter().map(|(codec, _)| *codec).collect(), session.rtp_out.codec)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_in_opus() {
    let house = House::of(ModelConfig::default()).await;
    let held = house.call(0, CONVERSATION).await;
    held.assert_orderly();
    assert_eq!(codec(&held), (vec![Codec::Opus], Some(Codec::Opus)));
    let (down, up) = assert_heard(&held, &ARIA_SAYS, &CALLER_SAYS, OPUS_LIKENESS);
    println!("opus: likeness at worst {down:.3} to the caller, {up:.3} to the model");

    let snapshot = held.snapshot.as_ref().expect("the bridge remembers it");
    assert!(spoken(&held, Speaker::Caller) >= 3 && spoken(&held, Speaker::Aria) >= 3, "{snapshot:?}");
    assert_eq!(snapshot.transcript.iter().filter(|t| t.interrupted).count(), 1, "{snapshot:?}");
    assert_eq!((snapshot.interruptions, house.desk.requests()), (1, 1));
    let session = held.session();
    let output = |e: &&sim::model::Logged| e.event["item"]["type"] == "function_call_output";
    assert_eq!(session.client_events.iter().filter(output).count(), 1);
    assert_eq!((session.rtp_in.missing, session.rtp_in.late, session.rtp_in.undecodable), (0, 0, 0));
    assert!(matches!(session.ended.as_ref().map(|e| &e.how), Some(End::PeerClosed | End::Hangup)));
    assert_nothing_stale(&held);
    // What the model believes was heard of the interrupted reply is what was heard.
    let cut = session.replies.iter().find(|r| r.truncated).expect("a reply was cut");
    println!("interrupted after {} of {} ms", cut.played_ms, cut.total_ms);
    assert!((1_500..4_500).contains(&cut.played_ms), "{cut:?}");
}

/// From 60 ms after each `clear` on nothing of the old reply sounds.
fn assert_nothing_stale(held: &Held) {
    let clears = held.report.times(|m| matches!(m, Moment::Clear { .. }));
    assert!(!clears.is_empty());
    for at in clears {
        let from = held.report.sample_at(at) + 480;
        let level = rms(&held.report.heard[from..from + 2_400]);
        assert!(level < SILENT, "{level:.0} after the clear at {at:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_in_g711_passes_byte_for_byte() {
    let house = House::build(Blueprint { codec: "pcmu", ..Blueprint::default() }).await;
    let held = house.call(0, ONE_TURN).await;
    held.assert_orderly();
    assert_eq!(codec(&held), (vec![Codec::Pcmu], Some(Codec::Pcmu)));
    let (down, up) = assert_heard(&held, &["one-moment", "all-busy"], &["thank-you"], PCMU_LIKENESS);
    let exact = |heard: &[i16], name: &str| exactness(heard, &companded(&clip(name)));
    let (greeting, reply) = (exact(&held.report.heard, "one-moment"), exact(&held.report.heard, "all-busy"));
    let word = exact(&held.heard, "thank-you");
    println!(
        "pcmu: likeness at worst {down:.3} to the caller, {up:.3} to the model; frames bit for bit: greeting {:.1} %, \
         reply {:.1} %, caller {:.1} %",
        greeting * 100.0,
        reply * 100.0,
        word * 100.0
    );
    // The way up waits for nothing: every frame arrives. On the way down a stall of this machine may cost a frame.
    assert_eq!(word, 1.0);
    assert!(greeting >= 0.9 && reply >= 0.97, "{greeting} {reply}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_g711_is_not_taken_the_call_is_in_opus() {
    let answer = AnswerForm { codecs: Codecs::OpusOnly, ..AnswerForm::default() };
    let model = ModelConfig { answer, ..lines::model() };
    let house = House::build(Blueprint { models: vec![model], codec: "pcmu", ..Blueprint::default() }).await;
    let held = house.call(0, INTERRUPTING).await;
    held.assert_orderly();
    let offer = &held.session().request.offer;
    assert!(offer.lines().any(|l| l.starts_with("m=audio") && l.ends_with("SAVPF 0 111")), "{offer}");
    assert_eq!(codec(&held), (vec![Codec::Opus], Some(Codec::Opus)));
    assert_heard(&held, &["one-moment", "sorry-problems"], &["thank-you", "lima"], OPUS_LIKENESS);
    assert_nothing_stale(&held);
}
