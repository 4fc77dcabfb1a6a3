//! What calls cost the real program, `aria serve`, in memory, threads and descriptors, and whose time they take.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use aria_bridge::bridge::SIMULATED_KEY;
use futures_util::future::join_all;
use sim::model::ModelServer;
use sim::phone::{CallReport, Moment, Phone, PhoneConfig};
use support::house::{ACCOUNT, TOKEN};
use support::lines::{self, caller};
use support::program::{PUBLIC_URL, Program};

/// Calls that live at once.
const CROWD: usize = 40;
/// What one of them may cost while nobody speaks.
const CALL_LIMIT_KB: f64 = 600.0;
/// What 100 further short calls may leave behind. The bridge remembers up to a thousand ended calls (their answer and their
/// record, some kB each); the rest is the allocator's.
const GROWTH_LIMIT_KB: i64 = 2_048;
/// Short calls under way at once, and pause between batches: below the 30 a second that the door lets in.
const BATCH: usize = 5;

async fn program(model: &ModelServer) -> (Program, Phone) {
    let program = Program::serve(&[
        ("OPENAI_BASE_URL", &model.base_url()),
        ("OPENAI_API_KEY", SIMULATED_KEY),
        ("TWILIO_ACCOUNT_SID", ACCOUNT),
        ("TWILIO_AUTH_TOKEN", TOKEN),
    ])
    .await;
    let phone = Phone::start(PhoneConfig {
        public_url: PUBLIC_URL.parse().expect("a URL"),
        auth_token: Some(TOKEN.into()),
        account_sid: ACCOUNT.into(),
        ..PhoneConfig::new(program.url.clone())
    })
    .await
    .expect("a simulated phone");
    (program, phone)
}

fn assert_heard(report: &CallReport) {
    assert!(report.violations.is_empty() && report.warnings.is_empty(), "{report:?}");
    assert!(report.when(|m| *m == Moment::StopSent).is_some(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_call_costs_at_most_600_kb() {
    let model = ModelServer::start(lines::model()).expect("a simulated model");
    let (program, phone) = program(&model).await;
    // What the first calls make once and the program keeps is no call's.
    let warm = caller("wait-speech\nwait-silence 300ms\nhangup\n");
    join_all((0..2).map(|_| phone.call(warm.clone()))).await.iter().for_each(assert_heard);
    program.empty(Duration::from_secs(5)).await;
    let (before, threads) = (program.memory_kb(), program.threads());

    let calls = (0..CROWD as u32).map(|i| {
        let phone = phone.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(50) * i).await;
            // The greeting, then silence until all have been measured.
            phone.call(caller("wait-speech\nwait-silence 300ms\npause 9s\nhangup\n")).await
        }
    });
    let crowd = tokio::spawn(join_all(calls));
    // All are there after 2 s and have been greeted after 5; the connections of their webhooks are closed 5 s after them. They stay
    // until 11.
    tokio::time::sleep(Duration::from_millis(7_500)).await;
    assert_eq!(program.live().await, CROWD);
    let (during, busy) = (program.memory_kb(), program.threads());
    crowd.await.expect("no call panics").iter().for_each(assert_heard);
    let each = (during - before) as f64 / CROWD as f64;
    println!(
        "{each:.0} kB a call: {before} kB with none, {during} kB with {CROWD}; threads {threads} and {busy}"
    );
    assert!(each <= CALL_LIMIT_KB, "{each:.0} kB a call");
    // The database's own thread comes with the first record.
    assert!(busy <= threads + 2, "calls have no threads of their own: {threads} and {busy}");
    program.empty(Duration::from_secs(5)).await;
    program.terminate().await;
    assert!(program.ended().await.success());
}

/// Its 50 frames a second wake one network thread and the audio thread beside it, and nobody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_keeps_to_one_core() {
    let model = ModelServer::start(lines::model()).expect("a simulated model");
    let (program, phone) = program(&model).await;
    let call = tokio::spawn(async move { phone.call(caller("wait-speech\npause 8s\nhangup\n")).await });
    // By then it is greeted, and what its webhook and its upgrade needed is done.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(program.live().await, 1);
    let moment = || (program.waits("network-"), program.waits("audio-"), program.waits("control-"));
    let before = moment();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after = moment();
    let since = |after: &BTreeMap<String, u64>, before: &BTreeMap<String, u64>| {
        let number = |name: &str| name.rsplit('-').next().expect("a thread's name has a number").to_owned();
        let waits = |(name, n): (&String, &u64)| (n - before.get(name).copied().unwrap_or(0), number(name));
        let mut waits: Vec<_> = after.iter().map(waits).collect();
        waits.sort_unstable_by(|a, b| b.cmp(a));
        waits
    };
    let network = since(&after.0, &before.0);
    let audio = since(&after.1, &before.1);
    let control: u64 = since(&after.2, &before.2).iter().map(|(waits, _)| waits).sum();
    println!("waits in 3 s: network {network:?}, audio {audio:?}, control {control}");
    assert_eq!(network.len(), audio.len(), "one beside each");
    let (busiest, core) = &network[0];
    assert!(*busiest >= 100 && audio[0].0 >= 100, "{network:?} {audio:?}");
    assert_eq!(*core, audio[0].1, "beside it: {network:?} {audio:?}");
    let others: u64 = network[1..].iter().chain(&audio[1..]).map(|(waits, _)| waits).sum();
    assert!(others * 10 <= *busiest, "{network:?} {audio:?}");
    assert!(control * 4 <= *busiest, "{control} {network:?}");
    call.await.expect("the call does not panic");
    program.terminate().await;
    assert!(program.ended().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_calls_leave_nothing_behind_and_the_last_one_is_waited_for() {
    let model = ModelServer::start(lines::model()).expect("a simulated model");
    let (program, phone) = program(&model).await;
    let short = caller("pause 200ms\nhangup\n");
    let mut figures = Vec::new();
    for calls in 1..=200 / BATCH {
        join_all((0..BATCH).map(|_| phone.call(short.clone()))).await.iter().for_each(assert_heard);
        if (calls * BATCH).is_multiple_of(50) {
            program.empty(Duration::from_secs(5)).await;
            figures.push((program.memory_kb(), program.descriptors(), program.threads()));
        }
    }
    println!("memory (kB), descriptors and threads after 50, 100, 150 and 200 calls: {figures:?}");
    let [_, hundred, _, two_hundred] = figures[..] else { panic!("four measurements") };
    let growth = two_hundred.0 - hundred.0;
    println!("{growth} kB in the second hundred calls");
    assert!(growth <= GROWTH_LIMIT_KB, "{growth} kB");
    // Connections that are kept alive for the next request come and go: two on each side for every call under way.
    assert!(two_hundred.1 <= hundred.1 + 4 * BATCH, "descriptors: {figures:?}");
    // One more may be tokio's, which reads the journal and takes a second thread where the first is slow to say that it is free.
    assert!(two_hundred.2 <= hundred.2 + 1, "threads: {figures:?}");
    assert_eq!(model.active(), 0, "sessions are left over");

    // SIGTERM: the call that is there is finished, a new one is not taken, and the end is a good one.
    let last = {
        let phone = phone.clone();
        tokio::spawn(async move { phone.call(caller("wait-speech\nwait-silence 2s\nhangup\n")).await })
    };
    while program.live().await == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    program.terminate().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let ready = reqwest::get(program.url.join("/readyz").expect("a path")).await.expect("it answers still");
    assert_eq!(ready.status(), 503);
    let refused = phone.call(caller("")).await;
    assert!(refused.when(|m| matches!(m, Moment::Spoken(_))).is_some(), "never dead air: {refused:?}");
    let last = last.await.expect("the call does not panic");
    assert_heard(&last);
    assert_eq!(last.steps.0, last.steps.1, "it could finish: {last:?}");
    assert_eq!(program.ended().await.code(), Some(0));
}
