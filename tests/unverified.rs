//! Every fact about OpenAI's service that nobody could check, in each position, and every form of its answer: a short call works.
//!
//! The greeting is heard, a turn is answered, an interruption clears, the next reply is heard. A bridge that passes only with the
//! defaults would rely on a guess.

mod support;

use std::time::Duration;

use futures_util::future::join_all;
use sim::model::{
    AfterPause, AnswerForm, Codec, Codecs, End, Idle, MaxMessageSize, ModelConfig, NoCommonCodec, RateLimits,
    SendCodec, Truncated, Unverified,
};
use sim::phone::Moment;

use support::house::{Blueprint, Held, House};
use support::lines::{self, INTERRUPTING};
use support::sound::{SILENT, clip, likeness, rms};

/// What a short call must show.
fn judge(what: &str, held: &Held) {
    held.assert_orderly();
    let evidence = || held.evidence(what);
    for name in ["one-moment", "sorry-problems"] {
        let like = likeness(&held.report.heard, &clip(name));
        assert!(like >= 0.8, "{what}: {name} was heard with a likeness of {like:.3}; {}", evidence());
    }
    // What of the long reply was heard before it was cut off.
    let begun = likeness(&held.report.heard, &clip("all-busy")[..8_000]);
    assert!(begun >= 0.8, "{what}: the reply was heard with a likeness of {begun:.3}; {}", evidence());
    for name in ["thank-you", "lima"] {
        let like = likeness(&held.heard, &clip(name));
        assert!(like >= 0.8, "{what}: the model heard {name} with a likeness of {like:.3}; {}", evidence());
    }
    let clears = held.report.times(|m| matches!(m, Moment::Clear { .. }));
    assert!(!clears.is_empty(), "{what}: {}", evidence());
    for clear in clears {
        let from = held.report.sample_at(clear) + 480;
        let level = rms(&held.report.heard[from..from + 2_400]);
        assert!(level < SILENT, "{what}: {level:.0} after the clear; {}", evidence());
    }
    let session = held.session();
    assert_eq!(
        (session.turns.len(), held.snapshot.as_ref().map(|s| s.interruptions)),
        (2, Some(1)),
        "{what}"
    );
    assert!(matches!(session.ended.as_ref().map(|e| &e.how), Some(End::PeerClosed | End::Hangup)), "{what}");
}

/// Holds all calls at once, an agent and a model each.
async fn hold(codec: &'static str, cases: Vec<(&'static str, ModelConfig)>) -> Vec<(&'static str, Held)> {
    let (names, models): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    let house = House::build(Blueprint { models, codec, ..Blueprint::default() }).await;
    let calls = names.iter().enumerate().map(|(agent, _)| {
        let house = &house;
        async move {
            tokio::time::sleep(Duration::from_millis(40) * agent as u32).await;
            house.call(agent, INTERRUPTING).await
        }
    });
    let held = join_all(calls).await;
    let calls: Vec<_> = names.into_iter().zip(held).collect();
    for (what, held) in &calls {
        judge(what, held);
    }
    assert!(house.models.iter().all(|model| model.active() == 0), "sessions are left over");
    calls
}

fn switched(change: impl FnOnce(&mut Unverified)) -> ModelConfig {
    let mut model = lines::model();
    change(&mut model.unverified);
    model
}

fn answering(change: impl FnOnce(&mut AnswerForm)) -> ModelConfig {
    let mut model = lines::model();
    change(&mut model.answer);
    model
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_the_models_sound_is_sent() {
    let paused = |idle, after_pause, marker| {
        switched(|u| (u.idle, u.after_pause, u.marker) = (idle, after_pause, marker))
    };
    hold(
        "opus",
        vec![
            ("stops, wall clock, marked", paused(Idle::Stop, AfterPause::WallClock, true)),
            ("stops, wall clock, unmarked", paused(Idle::Stop, AfterPause::WallClock, false)),
            ("stops, continuous, marked", paused(Idle::Stop, AfterPause::Continuous, true)),
            ("stops, continuous, unmarked", paused(Idle::Stop, AfterPause::Continuous, false)),
            ("silence, marked", paused(Idle::Silence, AfterPause::WallClock, true)),
            ("silence, unmarked", paused(Idle::Silence, AfterPause::Continuous, false)),
            ("packets of 10 ms", switched(|u| u.frame_ms = 10)),
            ("packets of 40 ms", switched(|u| u.frame_ms = 40)),
            ("packets of 60 ms", switched(|u| u.frame_ms = 60)),
            ("no reports", switched(|u| u.rtcp = false)),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_the_conversation_is_told() {
    hold(
        "opus",
        vec![
            ("limits before the end", switched(|u| u.rate_limits = RateLimits::BeforeDone)),
            ("limits after the end", switched(|u| u.rate_limits = RateLimits::AfterDone)),
            ("no limits", switched(|u| u.rate_limits = RateLimits::Absent)),
            ("no conversation.created", switched(|u| u.conversation_created = false)),
            ("the legacy item.created", switched(|u| u.item_created = true)),
            ("truncated before cleared", switched(|u| u.truncated = Truncated::BeforeCleared)),
            ("never truncated", switched(|u| u.truncated = Truncated::Absent)),
            ("cancelled items stay open", switched(|u| u.cancel_closes_item = false)),
            ("no truncation by the client", switched(|u| u.client_truncate = false)),
            ("no obfuscation", switched(|u| u.obfuscation = false)),
            ("no limit on item ids", switched(|u| u.item_id_limit = None)),
            ("another default silence", switched(|u| u.silence_duration_ms = 500)),
            ("sessions end without a word", switched(|u| u.expiry_event = false)),
            ("bare offers are taken", switched(|u| u.bare_offer_with_standard_key = true)),
            ("lines are refused in answers", switched(|u| u.no_common_codec = NoCommonCodec::RejectLine)),
            ("goes on behind hosted tools", switched(|u| u.hosted_continues = true)),
            ("call ids unknown at first", switched(|u| u.call_id_unknown_for = Duration::from_secs(600))),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_answer_looks_like() {
    let nobody = ["127.9.9.1:3478", "127.9.9.2:3478"].map(|a| a.parse().expect("an address"));
    hold(
        "opus",
        vec![
            ("a full ICE agent", answering(|a| a.ice_lite = false)),
            ("bare", answering(|a| a.bare = true)),
            ("Opus only", answering(|a| a.codecs = Codecs::OpusOnly)),
            ("no max-message-size", answering(|a| a.max_message_size = MaxMessageSize::Absent)),
            ("max-message-size of 64 KiB", answering(|a| a.max_message_size = MaxMessageSize::Bytes(65_536))),
            ("max-message-size without limit", answering(|a| a.max_message_size = MaxMessageSize::Bytes(0))),
            ("no TCP", answering(|a| a.tcp_candidates = false)),
            ("three addresses", answering(|a| a.extra_candidates = nobody.into())),
            (
                "bare, full ICE, no TCP, no size",
                answering(|a| {
                    (a.bare, a.ice_lite, a.tcp_candidates) = (true, false, false);
                    a.max_message_size = MaxMessageSize::Absent;
                }),
            ),
        ],
    )
    .await;
}

/// With G.711 and Opus in the answer, each may come in any packet, whichever the server chooses to send.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn which_of_two_codecs_the_model_sends() {
    let calls = hold(
        "pcmu",
        vec![
            ("the first of the answer", switched(|u| u.sends = SendCodec::FirstInAnswer)),
            ("Opus", switched(|u| u.sends = SendCodec::PreferOpus)),
            ("the last of the answer", switched(|u| u.sends = SendCodec::LastInAnswer)),
            (
                "Opus, silence between",
                switched(|u| (u.sends, u.idle) = (SendCodec::PreferOpus, Idle::Silence)),
            ),
            ("mu-law of 60 ms", switched(|u| u.frame_ms = 60)),
            (
                "mu-law of 10 ms, continuous",
                switched(|u| (u.frame_ms, u.after_pause) = (10, AfterPause::Continuous)),
            ),
            ("a bare answer", answering(|a| a.bare = true)),
        ],
    )
    .await;
    for (what, held) in calls {
        let session = held.session();
        let sent: Vec<_> = session.rtp_in.by_codec.iter().map(|(codec, _)| *codec).collect();
        assert_eq!(sent, [Codec::Pcmu], "{what}: the bridge sends the first codec of the answer");
        let opus = what.contains("Opus") || what.contains("last");
        let expected = if opus { Codec::Opus } else { Codec::Pcmu };
        assert_eq!(session.rtp_out.codec, Some(expected), "{what}");
    }
}
