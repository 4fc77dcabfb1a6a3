//! Row 20: media sockets that break at any byte. Nothing is left over, in one process and in the real program.

use std::net::SocketAddr;
use std::time::Duration;

use aria_bridge::bridge::SIMULATED_KEY;
use aria_bridge::call::CallEnd;
use aria_bridge::call::session::STREAM_GRACE;
use aria_bridge::hosting::registry::MAX_RECONNECTS;
use futures_util::future::join_all;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use sim::model::{End, ModelServer};
use sim::phone::report::Violation;
use sim::phone::validator::ViolationKind;
use sim::phone::{CallPlan, Phone, PhoneConfig};

use super::cutter::{Cut, Cutter, How};
use crate::support::house::{ACCOUNT, Blueprint, House, TOKEN};
use crate::support::lines::{self, caller};
use crate::support::program::{PUBLIC_URL, Program};

/// From the end of the call, or of the time that it was kept for, to nothing of it being left.
const RELEASE: Duration = Duration::from_secs(1);
/// Two and a half seconds of a call: messages of some 330 bytes, fifty a second.
const BYTES: usize = 40_000;
/// Calls begin so far apart: fewer than the door lets in a second.
const SPACING: Duration = Duration::from_millis(50);

fn cuts(number: usize, seed: u64) -> Vec<Cut> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let how = [How::Reset, How::Close, How::HalfClose];
    (0..number).map(|i| Cut { after_bytes: rng.random_range(1..BYTES), how: how[i % 3] }).collect()
}

/// Waits until `count` is at most `limit`; gives what it was last.
async fn settles(limit: usize, count: impl Fn() -> usize) -> usize {
    // A connection of the phone that is kept alive for the next request counts up to the 5 s it may idle.
    for _ in 0..1000 {
        if count() <= limit {
            break;
        }
        // Tasks end in their own time; there is no event for the last of them.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_20_a_socket_cut_at_any_byte_is_followed_by_another_and_leaves_nothing_behind() {
    const CALLS: usize = 48;
    let mut cutter = None;
    let through = |bridge: SocketAddr| cutter.insert(Cutter::start(bridge, cuts(CALLS, 20))).address();
    let house = House::behind(Blueprint::default(), through).await;
    let cutter = cutter.expect("the house was built");
    let script = "wait-speech\nwait-silence 300ms\nsay thank-you\nwait-speech\npause 2s\nhangup\n";
    // One call first: what is made once and kept, such as pooled connections, is no leak.
    let before = house.tasks();
    let calls = (0..CALLS as u32).map(|i| {
        let house = &house;
        async move {
            tokio::time::sleep(SPACING * i).await;
            house.call(0, script).await
        }
    });
    let calls = join_all(calls).await;
    let made = cutter.made();
    let (mut slowest, mut closed, mut lost, mut given_up) = (Duration::ZERO, Duration::ZERO, 0, 0);
    for held in &calls {
        let sid = &held.report.call_sid;
        // The phone takes the cut for a bridge that breaks its framing; nothing else may be wrong.
        let broken =
            |v: &Violation| v.kind == ViolationKind::Framing && v.detail.contains("Connection reset");
        assert!(held.report.violations.iter().all(broken), "{:?}", held.report);
        let cut = made.iter().filter(|m| m.call_sid.as_ref() == Some(sid)).count();
        lost += usize::from(cut > 0);
        if held.end() == Some(CallEnd::StreamLost) {
            // Streams of one call that follow each other take what was meant for others.
            given_up += 1;
            assert!(held.report.stream_sids.len() > MAX_RECONNECTS as usize, "{:?}", held.report);
            assert!(held.apology().is_some(), "a dead stream is no dead line: {:?}", held.report);
            continue;
        }
        assert_eq!(held.end(), Some(CallEnd::CallerHungUp), "{:?}", held.report);
        assert!(held.report.stream_sids.len() > cut, "{cut} cuts: {:?}", held.report);
        let after = held.released_after(held.over());
        assert!(after <= RELEASE, "released after {after:?}");
        slowest = slowest.max(after);
        let end =
            held.session().ended.as_ref().unwrap_or_else(|| panic!("the session goes on: {:?}", held.report));
        assert!(matches!(end.how, End::PeerClosed | End::Hangup), "{end:?}");
        let after = held.closed_after(held.over()).expect("it has ended");
        assert!(after <= RELEASE + Duration::from_millis(500), "session closed after {after:?}");
        closed = closed.max(after);
    }
    println!(
        "{lost} calls cut off, {given_up} of them too often; released within {slowest:?} of their end, sessions closed within {closed:?}"
    );
    assert!(lost >= CALLS / 2, "most cuts come after the start: {lost}");
    assert_eq!((house.registry.live(), house.models[0].active()), (0, 0));
    // Kept-alive connections of the phone, of the hang-ups over HTTP and of the REST client.
    let kept = 12;
    let after = settles(before + kept, || house.tasks()).await;
    println!("tasks of the bridge: {before} before, {after} after");
    assert!(after <= before + kept, "{before} tasks before, {after} after");
}

/// The phone is gone, and with it everything that Twilio would tell of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_20_a_call_whose_phone_is_gone_is_kept_for_the_grace_alone() {
    let mut cutter = None;
    let gone = vec![Cut { after_bytes: BYTES, how: How::Vanish }];
    let through = |bridge: SocketAddr| cutter.insert(Cutter::start(bridge, gone)).address();
    let house = House::behind(Blueprint::default(), through).await;
    let held = house.call(0, "pause 20s\nhangup\n").await;
    let made = cutter.expect("the house was built").made();
    let after = held.released.saturating_duration_since(made[0].at);
    println!("released {after:?} after the cut");
    assert_eq!(held.end(), Some(CallEnd::StreamLost), "{:?}", held.report);
    assert!(after >= STREAM_GRACE && after <= STREAM_GRACE + RELEASE, "{after:?}");
    assert_eq!((house.registry.live(), house.models[0].active()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_20_the_program_keeps_no_descriptor_of_a_broken_call() {
    const CALLS: usize = 24;
    let model = ModelServer::start(lines::model()).expect("a simulated model");
    let program = Program::serve(&[
        ("OPENAI_BASE_URL", &model.base_url()),
        ("OPENAI_API_KEY", SIMULATED_KEY),
        ("TWILIO_ACCOUNT_SID", ACCOUNT),
        ("TWILIO_AUTH_TOKEN", TOKEN),
    ])
    .await;
    let bridge = program.url.socket_addrs(|| None).expect("an address")[0];
    // The first three pass, so that what is kept for good is there before it is counted.
    let whole = Cut { after_bytes: usize::MAX, how: How::Close };
    let all = [vec![whole; 3], cuts(CALLS, 21)].concat();
    let cutter = Cutter::start(bridge, all);
    let phone = Phone::start(PhoneConfig {
        public_url: PUBLIC_URL.parse().expect("a URL"),
        auth_token: Some(TOKEN.into()),
        account_sid: ACCOUNT.into(),
        ..PhoneConfig::new(format!("http://{}", cutter.address()).parse().expect("a URL"))
    })
    .await
    .expect("a simulated phone");
    let call = || phone.call(CallPlan { limit: Duration::from_secs(4), ..caller("pause 3s\nhangup\n") });
    join_all((0..3).map(|_| call())).await;
    program.empty(Duration::from_secs(3)).await;
    let settled = program.descriptors();
    let threads = program.threads();
    let calls = (0..CALLS as u32).map(|i| async move {
        tokio::time::sleep(SPACING * i).await;
    });
    join_all(calls.map(|wait| async {
        wait.await;
        call().await
    }))
    .await;
    program.empty(Duration::from_secs(3)).await;
    // A connection of the phone that is kept alive for the next request counts up to the 5 s it may
    // idle, a thread of the runtime's pool for blocking work (a name looked up) up to its 10 s.
    let counted = || (program.descriptors(), program.threads());
    let mut after = counted();
    for _ in 0..150 {
        if after.0 <= settled && after.1 <= threads {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        after = counted();
    }
    println!(
        "descriptors {settled} before and {} after {} cuts, threads {threads} and {}",
        after.0,
        cutter.made().len(),
        after.1
    );
    assert!(after.0 <= settled, "{settled} descriptors before, {} after", after.0);
    assert!(after.1 <= threads, "{threads} threads before, {} after", after.1);
    program.terminate().await;
    assert!(program.ended().await.success());
}
