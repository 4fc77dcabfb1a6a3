//! What goes wrong on purpose, and what the bridge does wrong.

use std::time::{Duration, Instant};

use futures_util::SinkExt;
use serde_json::Value;
use sim::phone::faults::{CloseStyle, RawMessage, SignatureFault, StreamFault, TokenFault, When};
use sim::phone::report::EndedBy;
use sim::phone::validator::ViolationKind;
use sim::phone::{CallReport, Faults, Moment, Step, signature};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use crate::bridge::{Bridge, TOKEN, plan};

const SECOND: Duration = Duration::from_secs(1);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// One message and when it came.
type Seen = Vec<(Instant, Value)>;

/// A call of `length` with these faults: what the bridge saw, in the order it came, and the report.
async fn call(faults: Faults, length: Duration) -> (Seen, Vec<(String, String)>, CallReport) {
    let (sender, mut seen) = mpsc::channel(16);
    let bridge = Bridge::streaming(move |mut stream| {
        let sender = sender.clone();
        async move {
            let mut all = vec![];
            while let Some(value) = stream.next().await {
                all.push((Instant::now(), value));
            }
            sender.send((all, stream.upgrade)).await.unwrap();
        }
    })
    .await;
    let mut plan = plan([Step::Pause(length), Step::HangUp]);
    plan.faults = faults;
    let report = bridge.phone().await.call(plan).await;
    let (all, upgrade) = seen.recv().await.unwrap();
    (all, upgrade, report)
}

fn stream(fault: StreamFault) -> Faults {
    Faults { stream: vec![fault], ..Faults::default() }
}

fn media(seen: &Seen) -> Vec<(Instant, i64)> {
    let stamp = |v: &Value| v["media"]["timestamp"].as_str().unwrap().parse().unwrap();
    seen.iter().filter(|(_, v)| v["event"] == "media").map(|(t, v)| (*t, stamp(v))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_keep_the_beat_of_the_wall_clock() {
    let (seen, _, report) = call(Faults::default(), 2 * SECOND).await;
    let frames = media(&seen);
    // Against an absolute grid from the first frame: nothing adds up. The bound is generous, the machine is shared.
    let drift = (frames.last().unwrap().0 - frames[0].0).abs_diff(ms(20 * (frames.len() as u64 - 1)));
    assert!(drift < ms(50), "{drift:?}");
    assert!((99..=102).contains(&frames.len()));
    assert!(report.lateness.p50 < ms(10), "{:?}", report.lateness);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalls_gaps_floods_and_mutes_look_as_they_should() {
    let (seen, ..) = call(stream(StreamFault::Stall { at: ms(400), lasting: ms(600) }), SECOND).await;
    let frames = media(&seen);
    let pause = frames.windows(2).map(|w| w[1].0 - w[0].0).max().unwrap();
    assert!(pause > ms(560) && pause < ms(700), "{pause:?}");
    assert!(frames.windows(2).all(|w| w[1].1 - w[0].1 <= 24), "nothing is lost in a stall");

    let (seen, ..) = call(stream(StreamFault::Gap { at: ms(400), lasting: ms(400) }), SECOND).await;
    let jump = media(&seen).windows(2).map(|w| w[1].1 - w[0].1).max().unwrap();
    assert!((396..=444).contains(&jump), "{jump}");

    let (seen, ..) = call(stream(StreamFault::Flood { at: ms(400), frames: 500 }), SECOND).await;
    let frames = media(&seen);
    assert!((545..=556).contains(&frames.len()), "{}", frames.len());
    assert!(frames.last().unwrap().1 > 11_000);

    let bridge = Bridge::streaming(|mut stream| async move {
        stream.rest().await;
    })
    .await;
    let report = bridge
        .phone()
        .await
        .call(plan([Step::Pause(ms(200)), Step::Mute(ms(600)), Step::Pause(ms(200)), Step::HangUp]))
        .await;
    assert!((18..=23).contains(&report.lateness.frames), "20 of 50 frames: {:?}", report.lateness);
}

#[tokio::test]
async fn tokens_signatures_and_names_can_be_false() {
    let faults = Faults {
        upgrade_signature: SignatureFault::WrongToken,
        token: TokenFault::Replace("forged".into()),
        start_call_sid: Some("CAffff".into()),
        ..Faults::default()
    };
    let (seen, upgrade, report) = call(faults, ms(200)).await;
    let start = &seen[1].1["start"];
    assert_eq!(
        (start["customParameters"]["token"].as_str(), start["callSid"].as_str()),
        (Some("forged"), Some("CAffff"))
    );
    let signed = upgrade.iter().find(|(n, _)| n == "x-twilio-signature").unwrap();
    let url = report.twiml[0].split('"').find(|part| part.starts_with("ws://")).unwrap();
    assert_ne!(signed.1, signature::sign(TOKEN, url, &[]));

    let faults =
        Faults { upgrade_signature: SignatureFault::Missing, token: TokenFault::Drop, ..Faults::default() };
    let (seen, upgrade, _) = call(faults, ms(200)).await;
    assert!(!upgrade.iter().any(|(n, _)| n == "x-twilio-signature"));
    assert_eq!(seen[1].1["start"]["customParameters"], serde_json::json!({}));
}

#[tokio::test]
async fn any_message_can_be_put_anywhere() {
    let raw = |when, text: &str| StreamFault::Raw { when, message: RawMessage::Text(text.into()) };
    let faults = Faults {
        stream: vec![
            raw(When::First, r#"{"event":"first"}"#),
            raw(When::BeforeStart, r#"{"event":"early","streamSid":"{streamSid}","token":"{token}"}"#),
            raw(When::AfterStart, r#"{"event":"late"}"#),
            raw(When::At(ms(300)), r#"{"event":"middle"}"#),
            raw(When::AfterStop, r#"{"event":"over"}"#),
            StreamFault::LateStart { by: ms(100) },
        ],
        ..Faults::default()
    };
    let (seen, ..) = call(faults, ms(400)).await;
    let names: Vec<&str> =
        seen.iter().map(|(_, v)| v["event"].as_str().unwrap()).filter(|n| *n != "media").collect();
    assert_eq!(names, ["first", "connected", "early", "start", "late", "middle", "stop", "over"]);
    assert_eq!(
        (seen[2].1["token"].as_str(), &seen[2].1["streamSid"]),
        (Some("secret-1"), &seen[3].1["streamSid"])
    );
    assert!(seen[3].0 - seen[1].0 >= ms(95), "start was late");
}

#[tokio::test]
async fn an_unfinished_fragment_and_bytes_below_the_framing_reach_the_bridge() {
    let (sender, mut ends) = mpsc::channel(16);
    let bridge = Bridge::streaming(move |mut stream| {
        let sender = sender.clone();
        async move {
            use futures_util::StreamExt;
            let end = loop {
                match stream.socket.next().await {
                    Some(Ok(Message::Binary(bytes))) => {
                        sender.send(format!("binary {}", bytes.len())).await.unwrap()
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => break error.to_string(),
                    None => break "end".into(),
                }
            };
            sender.send(end).await.unwrap();
        }
    })
    .await;
    let mut plan = plan([Step::Pause(ms(500)), Step::HangUp]);
    plan.faults.stream = vec![
        StreamFault::Raw { when: When::AfterStart, message: RawMessage::Frame(0x02, vec![1, 2]) },
        StreamFault::Raw { when: When::AfterStart, message: RawMessage::Frame(0x80, vec![3]) },
        StreamFault::Raw {
            when: When::At(ms(200)),
            message: RawMessage::Bytes(vec![0xFF, 0xFF, 0xFF, 0xFF]),
        },
    ];
    bridge.phone().await.call(plan).await;
    assert_eq!(ends.recv().await.unwrap(), "binary 3");
    let end = ends.recv().await.unwrap();
    assert_ne!(end, "end", "the framing is broken");
}

#[tokio::test]
async fn a_reset_is_a_reset_and_a_half_open_socket_says_nothing() {
    let (sender, mut ends) = mpsc::channel(16);
    let bridge = Bridge::streaming(move |mut stream| {
        let sender = sender.clone();
        async move {
            use futures_util::StreamExt;
            let mut last = Instant::now();
            let end = loop {
                match tokio::time::timeout(SECOND, stream.socket.next()).await {
                    Err(_) => break "silence".to_owned(),
                    Ok(Some(Ok(_))) => last = Instant::now(),
                    Ok(Some(Err(error))) => break error.to_string(),
                    Ok(None) => break "end".into(),
                }
            };
            sender.send((end, last)).await.unwrap();
        }
    })
    .await;
    let phone = bridge.phone().await;
    let mut reset = plan([]);
    reset.faults.stream = vec![StreamFault::Reset { at: ms(300) }];
    let report = phone.call(reset).await;
    let (end, _) = ends.recv().await.unwrap();
    assert!(end.contains("reset"), "{end}");
    assert_eq!(report.ended.by, EndedBy::Document, "no verb follows");

    let mut half = plan([Step::Pause(2 * SECOND), Step::HangUp]);
    half.faults.stream = vec![StreamFault::HalfOpen { at: ms(300) }];
    let report = phone.call(half).await;
    let (end, _) = ends.recv().await.unwrap();
    assert_eq!((end.as_str(), report.ended.by), ("silence", EndedBy::Caller));
    assert!(report.when(|m| *m == Moment::Fault("half-open")).is_some());

    let mut given_up = plan([]);
    given_up.faults.stream = vec![StreamFault::ProtocolError { at: ms(300) }];
    let report = phone.call(given_up).await;
    assert_eq!(ends.recv().await.unwrap().0, "silence");
    assert_eq!(report.warnings[0].code, 31_924);
    assert!(bridge.hooks().iter().any(|h| h.get("StreamError").contains("Protocol Error")));
}

#[tokio::test]
async fn ends_without_stop_or_without_a_close_frame() {
    let (seen, ..) = call(Faults { no_stop: true, ..Faults::default() }, ms(200)).await;
    assert!(seen.iter().all(|(_, v)| v["event"] != "stop"));
    let (seen, _, report) = call(Faults { close: CloseStyle::Abrupt, ..Faults::default() }, ms(200)).await;
    assert_eq!(seen.last().unwrap().1["event"], "stop", "{report:?}");
}

#[tokio::test]
async fn callbacks_come_twice_and_in_the_wrong_order() {
    let bridge = Bridge::streaming(|mut stream| async move {
        stream.rest().await;
    })
    .await;
    let mut plan = plan([Step::Pause(ms(200)), Step::HangUp]);
    plan.faults = Faults {
        duplicate_callbacks: true,
        reorder_callbacks: true,
        webhook_repeats: 3,
        ..Faults::default()
    };
    let report = bridge.phone().await.call(plan).await;
    let hooks = bridge.hooks();
    let inbound: Vec<_> = hooks.iter().filter(|h| h.path.ends_with("inbound")).collect();
    assert_eq!((inbound.len(), report.webhooks.len()), (4, 4));
    assert!(inbound.windows(2).all(|w| {
        w[0].params == w[1].params
            && w[0].header("i-twilio-idempotency-token") == w[1].header("i-twilio-idempotency-token")
    }));
    let count = |name: &str| hooks.iter().filter(|h| h.get("StreamEvent") == name).count();
    assert_eq!((count("stream-started"), count("stream-stopped")), (2, 2));
    let stopped = report.callbacks.iter().map(|c| c.sent).min().unwrap();
    let hung_up = report.when(|m| *m == Moment::StopSent).unwrap();
    assert!(stopped + ms(5) >= hung_up, "the first callback waited for the second");
}

#[tokio::test]
async fn what_the_bridge_does_wrong_is_written_down() {
    let bridge = Bridge::streaming(|mut stream| async move {
        let (sid, _) = stream.start().await;
        stream.socket.send(Message::binary(vec![1, 2, 3])).await.unwrap();
        stream.send("not json".into()).await;
        stream.send(format!(r#"{{"event":"media","streamSid":"{sid}","media":{{"payload":"////"}}}}"#)).await;
        stream.send(r#"{"event":"clear","streamSid":"MZ0"}"#.into()).await;
        // A message in two frames, below the library.
        let text = format!(r#"{{"event":"clear","streamSid":"{sid}"}}"#);
        let (a, b) = text.as_bytes().split_at(10);
        let tcp = stream.socket.get_mut();
        tcp.write_all(&[&[0x01, a.len() as u8], a, &[0x80, b.len() as u8], b].concat()).await.unwrap();
        stream.speak(&sid, &[1_000; 160]).await;
        stream.rest().await;
    })
    .await;
    let report = bridge.phone().await.call(plan([Step::Pause(ms(500)), Step::HangUp])).await;
    use ViolationKind::*;
    let kinds: Vec<ViolationKind> = report.violations.iter().map(|v| v.kind).collect();
    let mut sorted = kinds.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [Binary, NotJson, WrongStream, OddPayload, Fragmented], "{kinds:?}");
    let codes: Vec<u32> = report.warnings.iter().map(|w| w.code).collect();
    assert_eq!(codes, [31_950, 31_951], "each once a stream");
    assert_eq!(report.times(|m| matches!(m, Moment::Clear { .. })).len(), 1, "the fragmented clear counts");
    assert!(report.heard.iter().filter(|s| **s > 900).count() >= 160, "what is right is heard");
}

#[tokio::test]
async fn a_bridge_that_cannot_wait_for_start_is_found() {
    let bridge = Bridge::streaming(|mut stream| async move {
        stream.clear("MZ-guessed").await;
        stream.rest().await;
    })
    .await;
    let mut plan = plan([Step::Pause(ms(200)), Step::HangUp]);
    plan.faults.stream = vec![StreamFault::LateStart { by: ms(100) }];
    let report = bridge.phone().await.call(plan).await;
    assert_eq!(report.violations[0].kind, ViolationKind::BeforeStart);
}

#[tokio::test]
async fn a_bridge_that_does_not_read_loses_the_caller_s_voice() {
    let bridge = Bridge::streaming(|stream| async move {
        // Reads nothing for longer than the call lasts.
        tokio::time::sleep(10 * SECOND).await;
        drop(stream);
    })
    .await;
    let mut plan = plan([Step::Pause(SECOND), Step::HangUp]);
    // More than the socket's buffers and the queue hold together.
    plan.faults.stream = vec![StreamFault::Flood { at: ms(300), frames: 40_000 }];
    let report = bridge.phone().await.call(plan).await;
    assert!(report.lateness.dropped > 0);
    assert!(report.warnings.iter().any(|w| w.code == 31_930));
    assert_eq!(report.ended.by, EndedBy::Caller, "and the call itself goes on");
}
