//! An ordinary call, a barge-in, many calls at once.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use sim::phone::report::EndedBy;
use sim::phone::{Moment, Step, signature};
use sim::speech::clip;
use tokio::sync::mpsc;

use crate::bridge::{Bridge, TOKEN, plan};

const SECOND: Duration = Duration::from_secs(1);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// How much alike two pieces of sound are, 1 for the same shape.
fn likeness(a: &[i16], b: &[i16]) -> f64 {
    let product =
        |x: &[i16], y: &[i16]| x.iter().zip(y).map(|(&p, &q)| f64::from(p) * f64::from(q)).sum::<f64>();
    product(a, b) / (product(a, a) * product(b, b)).sqrt()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_greeting_an_answer_and_a_goodbye() {
    let (sender, mut seen) = mpsc::channel(16);
    let bridge = Bridge::streaming(move |mut stream| {
        let sender = sender.clone();
        async move {
            let (sid, start) = stream.start().await;
            stream.speak(&sid, &clip("sorry-problems").unwrap().samples_8k()).await;
            stream.mark(&sid, "greeting").await;
            let rest = stream.rest().await;
            sender.send((stream.upgrade, start, rest)).await.unwrap();
        }
    })
    .await;
    let phone = bridge.phone().await;
    let mut live = phone.events();
    let quiet = Step::WaitForSilence { quiet: ms(400), timeout: 5 * SECOND };
    let report = phone
        .call(plan([
            Step::WaitForSpeech { timeout: 5 * SECOND },
            quiet,
            Step::Say(clip("hello").unwrap()),
            Step::Dtmf("5#".into()),
            Step::Pause(ms(300)),
            Step::HangUp,
        ]))
        .await;
    let (upgrade, start, messages): (Vec<(String, String)>, Value, Vec<Value>) = seen.recv().await.unwrap();

    // The upgrade has the captured headers and no other, and is signed over the URL of the TwiML.
    let mut names: Vec<&str> = upgrade.iter().map(|(n, _)| n.as_str()).collect();
    names.sort_unstable();
    let expected = [
        "connection",
        "host",
        "sec-websocket-key",
        "sec-websocket-version",
        "upgrade",
        "user-agent",
        "x-twilio-signature",
    ];
    assert_eq!(names, expected);
    let signed = upgrade.iter().find(|(n, _)| n == "x-twilio-signature").map(|(_, v)| v.clone()).unwrap();
    assert_eq!(signed, signature::sign(TOKEN, &bridge.stream_url, &[]));
    assert_eq!(start["start"]["customParameters"]["token"], "secret-1");
    assert_eq!(start["start"]["callSid"], report.call_sid.as_str());

    // Numbers without a hole, one frame every 20 ms of timestamp, strings on the wire.
    let number = |v: &Value| v.as_str().expect("a string").parse::<i64>().unwrap();
    for (n, message) in messages.iter().enumerate() {
        assert_eq!(number(&message["sequenceNumber"]), n as i64 + 2);
    }
    let media: Vec<&Value> = messages.iter().filter(|m| m["event"] == "media").collect();
    let stamps: Vec<i64> = media.iter().map(|m| number(&m["media"]["timestamp"])).collect();
    assert!((98..=172).contains(&stamps[0]), "{}", stamps[0]);
    assert!(stamps.windows(2).all(|w| (16..=24).contains(&(w[1] - w[0]))));
    assert!(media.iter().enumerate().all(|(n, m)| number(&m["media"]["chunk"]) == n as i64 + 1));
    let digits: Vec<&str> = messages.iter().filter_map(|m| m["dtmf"]["digit"].as_str()).collect();
    assert_eq!(digits, ["5", "#"]);
    assert_eq!(messages.last().unwrap()["event"], "stop");

    // The bridge got what the caller said.
    let got: Vec<i16> = media
        .iter()
        .flat_map(|m| base64_simd::STANDARD.decode_to_vec(m["media"]["payload"].as_str().unwrap()).unwrap())
        .map(sim::phone::g711::decode)
        .collect();
    let hello = clip("hello").unwrap().samples_8k();
    let begin = report.when(|m| matches!(m, Moment::Step { index: 2, .. })).unwrap();
    let said = &report.said[report.sample_at(begin)..][..hello.len()];
    assert!(said == hello, "every sample");
    let best =
        (0..got.len() - hello.len()).step_by(160).map(|at| likeness(&got[at..at + hello.len()], &hello));
    assert!(best.fold(0.0, f64::max) > 0.98);

    // The caller heard what the bridge said, from the first audio on, and the mark came back when it was over.
    let greeting = clip("sorry-problems").unwrap().samples_8k();
    let first = report.when(|m| *m == Moment::FirstAudio).unwrap();
    let at = report.sample_at(first).next_multiple_of(160);
    // A beat that is taken a little late may take audio that came after it was due.
    let heard =
        [at - 160, at, at + 160].map(|at| likeness(&report.heard[at..at + greeting.len()], &greeting));
    assert!(heard.iter().any(|l| *l > 0.98), "{heard:?}");
    let mark = &report.marks[0];
    let lasted = mark.echoed.unwrap() - first;
    let length = ms(greeting.len().div_ceil(160) as u64 * 20);
    // From a late beat, which takes what came after it was due, to one beat and the way of the echo.
    assert!(lasted + ms(20) >= length && lasted < length + ms(60), "{lasted:?} for {length:?}");

    // The script followed the conversation, and nothing was amiss.
    assert_eq!(report.steps, (6, 6));
    assert!(report.times(|m| matches!(m, Moment::StepTimedOut { .. })).is_empty());
    assert_eq!((report.ended.by, report.violations.len(), report.warnings.len()), (EndedBy::Caller, 0, 0));
    assert_eq!(report.said.len(), report.heard.len());
    let on = report.when(|m| *m == Moment::HeardOn).unwrap();
    assert!(on >= first && on - first < ms(300), "the clip begins with {:?} of quiet", on - first);
    assert!(live.recv().await.is_ok_and(|e| e.call_sid == report.call_sid));

    // Webhook and callbacks: signed, empty parameters present.
    let hooks = bridge.hooks();
    let inbound = &hooks[0];
    assert_eq!((inbound.path.as_str(), inbound.get("CallStatus")), ("/api/twilio/voice/inbound", "ringing"));
    assert!(inbound.params.iter().any(|(n, v)| n == "CallerZip" && v.is_empty()));
    assert!(inbound.get("CallToken").starts_with("%7B%22"));
    for hook in &hooks {
        let url = format!("{}{}", bridge.url.as_str().trim_end_matches('/'), hook.path);
        assert_eq!(
            hook.header("x-twilio-signature"),
            signature::sign(TOKEN, &url, &hook.params),
            "{}",
            hook.path
        );
        assert_eq!(hook.header("i-twilio-idempotency-token").len(), 32);
    }
    let mut events: Vec<&str> =
        hooks.iter().map(|h| h.get("StreamEvent")).filter(|e| !e.is_empty()).collect();
    events.sort_unstable();
    assert_eq!(events, ["stream-started", "stream-stopped"]);
    let last = hooks.iter().find(|h| h.path.ends_with("/voice/status")).unwrap();
    assert_eq!(last.get("CallStatus"), "completed");
    assert_eq!(report.callbacks.len(), 3);
    assert!(report.callbacks.iter().all(|c| c.status == Some(204)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interruption_is_silence_soon_after_clear() {
    let bridge = Bridge::streaming(|mut stream| async move {
        let (sid, _) = stream.start().await;
        let line = clip("all-busy").unwrap().samples_8k();
        for (n, part) in line.chunks(16_000).enumerate() {
            stream.speak(&sid, part).await;
            stream.mark(&sid, &format!("part{n}")).await;
        }
        // The caller is heard: what is left is taken back.
        let mut loud = 0;
        while let Some(message) = stream.next().await {
            if let Some(payload) = message["media"]["payload"].as_str() {
                let bytes = base64_simd::STANDARD.decode_to_vec(payload).unwrap();
                loud += usize::from(bytes.iter().any(|&b| sim::phone::g711::decode(b).abs() > 2_000));
                if loud == 3 {
                    stream.clear(&sid).await;
                }
            }
        }
    })
    .await;
    let phone = bridge.phone().await;
    let cut =
        Step::InterruptAfter { heard: ms(1_200), clip: clip("cancelled").unwrap(), timeout: 5 * SECOND };
    let report = phone.call(plan([cut, Step::Pause(ms(500)), Step::HangUp])).await;
    let clears = report.times(|m| matches!(m, Moment::Clear { .. }));
    let off = report.when(|m| *m == Moment::HeardOff).expect("the other side stops");
    assert_eq!(clears.len(), 1);
    assert!(off <= clears[0] + ms(45), "clear at {:?}, silence at {off:?}", clears[0]);
    // Nothing but silence after the frame that was sounding.
    let silent = report.sample_at(clears[0]) + 2 * 160;
    assert!(report.heard[silent..].iter().all(|s| s.abs() < 16));
    let names: Vec<(&str, bool)> = report.marks.iter().map(|m| (m.name.as_str(), m.cleared)).collect();
    assert_eq!(names, [("part0", true), ("part1", true), ("part2", true), ("part3", true)]);
    assert!(report.marks.windows(2).all(|w| w[0].echoed <= w[1].echoed));
    let said = report.when(|m| *m == Moment::SaidOn).unwrap();
    let heard = report.when(|m| *m == Moment::HeardOn).unwrap();
    assert!((said - heard).abs_diff(ms(1_200)) < ms(150), "spoke {:?} after it heard", said - heard);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_calls_at_once_keep_apart_and_in_time() {
    // Each stream hears a level of its own, from its own call's number.
    let levels = Arc::new(Mutex::new(std::collections::HashMap::new()));
    let told = levels.clone();
    let bridge = Bridge::streaming(move |mut stream| {
        let told = told.clone();
        async move {
            let (sid, start) = stream.start().await;
            let level = {
                let mut told = told.lock().unwrap();
                let level = 1_000 * (told.len() as i16 + 1);
                told.insert(start["start"]["callSid"].as_str().unwrap().to_owned(), level);
                level
            };
            stream.speak(&sid, &vec![level; 4_000]).await;
            stream.rest().await;
        }
    })
    .await;
    let phone = bridge.phone().await;
    let calls = (0..20u64).map(|seed| {
        let phone = phone.clone();
        let mut plan = plan([Step::Pause(2 * SECOND), Step::HangUp]);
        plan.seed = Some(seed);
        tokio::spawn(async move { phone.call(plan).await })
    });
    let calls: Vec<_> = calls.collect();
    for call in calls {
        let report = call.await.unwrap();
        println!("{:?}", report.lateness);
        let level = levels.lock().unwrap()[&report.call_sid];
        let loudest = report.heard.iter().copied().max().unwrap();
        assert!((loudest - level).abs() <= level / 16, "{loudest} instead of {level}");
        assert_eq!(report.heard.iter().filter(|&&s| s > 500).count(), 4_000);
        assert_eq!((report.violations.len(), report.lateness.dropped, report.lateness.missed), (0, 0, 0));
        // 2 s of pause in frames of 20 ms, and the one that was being said when the phone was put down.
        assert!((99..=102).contains(&report.lateness.frames), "{:?}", report.lateness);
    }
}
