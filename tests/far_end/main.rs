//! Twilio's queue as the bridge models it, against the queue itself: a real media stream, a simulated phone that plays it, and a path
//! between the two.

mod cost;
#[allow(dead_code, reason = "another test's host, of which this one needs the half")]
#[path = "../twilio_faults/host.rs"]
mod host;
mod relay;
#[allow(dead_code, reason = "another test's client, likewise")]
#[path = "../twilio_faults/twilio.rs"]
mod twilio;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use aria_bridge::call::MediaCommand;
use pipeline::{Command, Control, ModelCodec, ModelPort, Nanos, Packet};
use sim::phone::{CallPlan, CallReport, Phone, PhoneConfig};
use tokio::sync::mpsc::Sender;

use host::{ACCOUNT, Far, Host, TOKEN};
use relay::Path;

/// The goal, and the share of the time it is for.
const NEAR: Duration = Duration::from_millis(20);
const SHARE: f64 = 0.99;
const FRAME: Duration = Duration::from_millis(20);
/// A phone later than this with its beat does not play as Twilio does, nor is a path later than this the path that it is to be; nor for
/// so long after.
const LATE: Duration = Duration::from_millis(5);
const UNTIL_TRUE: Duration = Duration::from_millis(400);
/// How long before a frame came in it was certainly not yet written, on a path without delay, and the one before it was.
const BETWEEN: Duration = Duration::from_millis(10);
const CALL: Duration = Duration::from_secs(42);
/// Calls at most, until one is played well enough.
const CALLS: usize = 4;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// What the bridge told its audio thread, and when: each change, to half a millisecond.
fn follow(control: Arc<Control>, over: Arc<AtomicBool>) -> std::thread::JoinHandle<Vec<(Nanos, Nanos)>> {
    std::thread::spawn(move || {
        let mut told: Vec<(Nanos, Nanos)> = Vec::new();
        while !over.load(SeqCst) {
            let ends = control.far_end();
            if told.last().is_none_or(|(_, last)| *last != ends) {
                told.push((pipeline::now(), ends));
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        told
    })
}

/// The model's part: replies of some seconds, pauses between them, every third reply cut off.
async fn speak(model: &mut ModelPort, commands: &Sender<MediaCommand>, control: &Control, until: Instant) {
    let mut beat = tokio::time::interval(FRAME);
    let (mut sequence, mut stamp, mut generation) = (0u16, 0u32, 0u32);
    for reply in 0u32.. {
        for frame in 0..150 + reply * 53 % 100 {
            beat.tick().await;
            if Instant::now() > until {
                return;
            }
            let packet =
                Packet::new(pipeline::now(), ModelCodec::Pcmu, sequence, stamp, frame == 0, &[0x21; 160]);
            model.push(&packet.expect("160 bytes fit")).expect("the audio thread keeps up");
            (sequence, stamp) = (sequence.wrapping_add(1), stamp.wrapping_add(160));
        }
        if reply % 3 == 2 {
            generation += 1;
            let clear = MediaCommand::Clear { generation, since: Instant::now() };
            commands.send(clear).await.expect("the stream lives");
            control.send(Command::Flush { generation }).expect("there is room");
            tokio::time::sleep(ms(40)).await;
            control.send(Command::OpenDownlink).expect("there is room");
        } else {
            let pause = ms(200 + u64::from(reply) * 170 % 900);
            tokio::time::sleep(pause).await;
            stamp = stamp.wrapping_add(pause.as_millis() as u32 * 8);
        }
        beat.reset();
    }
}

struct Played {
    report: CallReport,
    /// Zero of the report's times, on the bridge's clock.
    zero: Nanos,
    told: Vec<(Nanos, Nanos)>,
    /// When the path was late, on the bridge's clock.
    late: Vec<Nanos>,
}

async fn play(path: Path) -> Played {
    let host = Host::new().await;
    let (relay, late) = relay::start(host.address, path, LATE).await;
    let phone = Phone::start(PhoneConfig {
        public_url: host.public.parse().expect("an address makes a URL"),
        auth_token: Some(TOKEN.into()),
        account_sid: ACCOUNT.into(),
        ..PhoneConfig::new(format!("http://{relay}").parse().expect("the same"))
    })
    .await
    .expect("a simulated phone");
    let mut events = phone.events();
    let script = format!("pause {}ms\nhangup\n", CALL.as_millis()).parse().expect("a valid script");
    let plan = CallPlan { script, limit: CALL * 2, seed: Some(5), ..CallPlan::default() };
    let call = tokio::spawn(async move { phone.call(plan).await });
    let mut zero = Nanos::MAX;
    let far = host.far().await;
    // Events are told a little late, never early.
    while let Ok(event) = events.try_recv() {
        zero = zero.min(pipeline::now() - event.entry.at);
    }
    let clock = tokio::spawn(async move {
        let mut zero = Nanos::MAX;
        while let Ok(event) = events.recv().await {
            zero = zero.min(pipeline::now() - event.entry.at);
        }
        zero
    });
    let Far { mut model, control, commands, events: _heard, .. } = far;
    let (control, over) = (Arc::new(control), Arc::new(AtomicBool::new(false)));
    let told = follow(Arc::clone(&control), Arc::clone(&over));
    speak(&mut model, &commands, &control, Instant::now() + CALL - ms(1_500)).await;
    let report = call.await.expect("the call ends");
    over.store(true, SeqCst);
    let told = told.join().expect("it only looks");
    let zero = zero.min(clock.await.expect("it only listens"));
    let (now, reading) = (pipeline::now(), Instant::now());
    let late = late.moments().iter().map(|at| now - reading.duration_since(*at)).collect();
    Played { report, zero, told, late }
}

/// Each frame stands for the time until the next, but for pauses: what the phone really had before it against what the bridge believed
/// when it wrote it. Frames of a burst stand for nothing but the last. What comes right after the phone or the path itself was late is left out: a call
/// of which that is a third says too little, since a stall weighs the more the less is left beside it. `false` then.
fn is_near(played: &Played, path: &Path, what: &str) -> bool {
    let arrivals = &played.report.arrivals;
    let (mut near, mut all) = (Duration::ZERO, Duration::ZERO);
    let mut off = Vec::new();
    let (mut errors, mut deepest) = (Vec::new(), Duration::ZERO);
    let (mut late_until, mut left_out) = (Duration::ZERO, 0);
    for pair in arrivals.windows(2) {
        let here = played.zero + pair[0].at;
        let path_late = played.late.partition_point(|at| *at <= here + LATE);
        if let Some(last) = path_late.checked_sub(1) {
            late_until = late_until.max((played.late[last] + UNTIL_TRUE).saturating_sub(played.zero));
        }
        if pair[0].beat_late > LATE {
            late_until = late_until.max(pair[0].at + UNTIL_TRUE);
        }
        if pair[0].at < late_until {
            left_out += 1;
            continue;
        }
        let written = played.zero + pair[0].at - path.delay;
        let known = played.told.partition_point(|(at, _)| *at <= written - BETWEEN);
        let Some((_, ends)) = known.checked_sub(1).and_then(|last| played.told.get(last)) else { continue };
        let believed = ends.saturating_sub(written);
        let error = believed.abs_diff(pair[0].ahead);
        let stands_for = (pair[1].at - pair[0].at).min(FRAME);
        all += stands_for;
        if error <= NEAR {
            near += stands_for;
        } else {
            off.push((pair[0].at, believed, pair[0].ahead));
        }
        errors.push(error);
        deepest = deepest.max(pair[0].ahead);
    }
    assert!(played.report.violations.is_empty(), "{:?}", played.report);
    if left_out * 2 > errors.len() {
        println!("{what}: phone or path were late for {left_out} frames of {}: played again", arrivals.len());
        return false;
    }
    errors.sort_unstable();
    let at = |share: f64| errors[(errors.len() as f64 * share) as usize - 1];
    let share = near.as_secs_f64() / all.as_secs_f64();
    println!(
        "{what}: {} frames and {left_out} left out, within {NEAR:?} for {:.2} % of the time, error p50 {:?}, p99 {:?}, max {:?}; deepest {deepest:?}",
        errors.len(),
        share * 100.0,
        at(0.5),
        at(0.99),
        at(1.0)
    );
    assert!(share >= SHARE, "{what}: {share}; when, believed, true: {off:?}");
    true
}

/// Fails unless the bridge knows the queue, in the first of some calls for which this machine is quick enough.
async fn assert_near(path: Path, what: &str) {
    for _ in 0..CALLS {
        if is_near(&play(path.clone()).await, &path, what) {
            return;
        }
    }
    panic!("{what}: nothing was measured: on this machine phone or path are late too often");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_clean_path() {
    assert_near(Path::default(), "clean").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_long_path_with_jitter() {
    let path = Path { delay: ms(40), jitter: ms(8), ..Path::default() };
    assert_near(path, "40 ms and up to 8 more").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_path_that_stands_still() {
    let stalls_down = vec![(ms(9_000), ms(200))];
    let path = Path { delay: ms(20), stalls_down, stalls_up: vec![(ms(25_000), ms(250))], ..Path::default() };
    assert_near(path, "20 ms, stalls of 200 ms down and 250 ms up").await;
}
