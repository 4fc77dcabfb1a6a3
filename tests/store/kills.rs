//! A process that records at a high rate is killed 200 times.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aria_bridge::store::{Record, Store, System};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::database::{Base, begun, ended, event, settings};

const KILLS: u32 = 200;
/// From the start of a process until it is ready again, whatever the one before has left.
const READY_WITHIN: Duration = Duration::from_secs(2);
/// Where the child finds its database, and its number.
const CHILD_URL: &str = "ARIA_TEST_STORE_URL";
const CHILD_FOLDER: &str = "ARIA_TEST_STORE_FOLDER";
const CHILD_NUMBER: &str = "ARIA_TEST_STORE_NUMBER";

/// The process that is killed: four calls at a time, each record told on standard output once it is acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by fault_55"]
async fn child() {
    let (Ok(url), Ok(folder)) = (std::env::var(CHILD_URL), std::env::var(CHILD_FOLDER)) else { return };
    let number = std::env::var(CHILD_NUMBER).expect("its number");
    let store = Store::open(&settings(&url, &PathBuf::from(folder), ""), Arc::new(System)).expect("a store");
    while !store.ready() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let out = Arc::new(Mutex::new(std::io::stdout()));
    let say = move |line: String| {
        let mut out = out.lock().expect("nobody panics");
        // The parent is gone once it has killed us.
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    };
    say("READY".into());
    let line = |line: u64| {
        let (store, say, number) = (Arc::clone(&store), say.clone(), number.clone());
        async move {
            for call in (line..).step_by(4) {
                let sid = format!("CA{number}x{call}");
                let mut acks = vec![('b', store.record_durably(Record::Begun(begun(&sid, call))))];
                acks.extend((1..=10).map(|at_ms| ('v', store.record_durably(event(&sid, at_ms)))));
                acks.push(('e', store.record_durably(ended(&sid, call + 10))));
                for (kind, ack) in acks {
                    ack.await.expect("it is acknowledged");
                    say(format!("{kind} {sid}"));
                }
            }
        }
    };
    tokio::join!(line(0), line(1), line(2), line(3));
}

#[derive(Default)]
struct Acknowledged {
    begun: HashSet<String>,
    events: u64,
    ended: HashSet<String>,
}

/// Runs a child for a while and kills it; how long it took to be ready.
fn kill_one(base: &Base, number: u32, lives: Duration, acknowledged: &mut Acknowledged) -> Duration {
    let started = Instant::now();
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "kills::child", "--ignored", "--nocapture", "--test-threads=1"])
        .env(CHILD_URL, &base.url)
        .env(CHILD_FOLDER, &base.folder)
        .env(CHILD_NUMBER, number.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let mut ready = None;
    let killer = std::thread::scope(|scope| {
        let mut killer = None;
        let mut child = Some(child);
        for line in lines.map_while(Result::ok) {
            // The test harness writes on the same stream, in front of the first line.
            if ready.is_none() && line.ends_with("READY") {
                ready = Some(started.elapsed());
                let mut child = child.take().expect("it is ready once");
                killer = Some(scope.spawn(move || {
                    std::thread::sleep(lives);
                    child.kill().expect("it lives until now");
                    child.wait().expect("it is our child");
                }));
            } else if let Some((kind, sid)) = line.split_once(' ') {
                match kind {
                    "b" => acknowledged.begun.extend([sid.to_owned()]),
                    "v" => acknowledged.events += 1,
                    "e" => acknowledged.ended.extend([sid.to_owned()]),
                    _ => {}
                }
            }
        }
        killer.is_some()
    });
    assert!(killer, "the child ended before it was ready");
    ready.expect("it was ready")
}

async fn survive(base: &Base, kills: u32) {
    let mut random = SmallRng::seed_from_u64(55);
    let mut acknowledged = Acknowledged::default();
    let (begin, mut slowest) = (Instant::now(), Duration::ZERO);
    for number in 0..kills {
        let lives = Duration::from_millis(random.random_range(1..150));
        let ready = kill_one(base, number, lives, &mut acknowledged);
        slowest = slowest.max(ready);
        assert!(ready <= READY_WITHIN, "kill {number}: ready after {ready:?}");
    }
    // The last one is looked after by a bridge that lives.
    let store = base.open();
    tokio::time::timeout(Duration::from_secs(10), store.settled()).await.expect("all is brought in");
    println!(
        "{kills} kills in {:?}, ready within {slowest:?}; acknowledged: {} calls begun, {} events, {} ended",
        begin.elapsed(),
        acknowledged.begun.len(),
        acknowledged.events,
        acknowledged.ended.len()
    );
    assert!(acknowledged.events > u64::from(kills) * 10, "the test tests nothing");
    assert_eq!(
        base.count("SELECT COUNT(*) FROM calls WHERE call_end IS NULL").await,
        0,
        "no call is left open"
    );
    let lost = base.count("SELECT COUNT(*) FROM events").await;
    assert!(lost >= acknowledged.events as i64, "{lost} events of {}", acknowledged.events);
    // An event more than once would have two numbers: each call has each of its times once.
    let twice = "SELECT COUNT(*) FROM (SELECT call_sid, at_ms FROM events GROUP BY call_sid, at_ms HAVING COUNT(*) > 1) AS twice";
    assert_eq!(base.count(twice).await, 0, "no record is there twice");
    for sid in &acknowledged.begun {
        let call =
            store.call(sid).await.expect("it answers").unwrap_or_else(|| panic!("{sid} was acknowledged"));
        let end = call["ended"].as_str().unwrap_or_default();
        assert!(
            end == "caller_hung_up" || (end == "aborted" && !acknowledged.ended.contains(sid)),
            "{sid}: {end}"
        );
    }
    store.close(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_55_200_kills_lose_nothing_that_was_acknowledged() {
    survive(&Base::sqlite("kills"), KILLS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_55_kills_on_postgres() {
    if let Some(base) = Base::postgres("kills") {
        survive(&base, KILLS / 10).await;
    }
}
