//! The database goes away under load, and comes back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aria_bridge::store::{Record, Store, Unavailable};
use sqlx::{Connection, Executor};

use super::database::{Base, begun, ended, event};

/// How long the database is away.
const AWAY: Duration = Duration::from_secs(5);
/// From its return until all is in it.
const CAUGHT_UP: Duration = Duration::from_secs(10);
/// Events of each call.
const EVENTS: u64 = 20;

/// 30 calls a second until `until`; how many. Each record is taken at once.
async fn load(store: Arc<Store>, until: Instant) -> u64 {
    let mut beat = tokio::time::interval(Duration::from_millis(33));
    let (mut calls, mut slowest) = (0, Duration::ZERO);
    while Instant::now() < until {
        beat.tick().await;
        let sid = format!("CA{calls:05}");
        let begin = Instant::now();
        store.record(Record::Begun(begun(&sid, calls)));
        (0..EVENTS).for_each(|at_ms| store.record(event(&sid, at_ms)));
        store.record(ended(&sid, calls + 100));
        slowest = slowest.max(begin.elapsed());
        calls += 1;
    }
    println!("{calls} calls; the slowest waited {slowest:?} for its {} records to be taken", EVENTS + 2);
    calls
}

async fn check(base: &Base, store: &Store, calls: u64, back: Instant) {
    tokio::time::timeout(CAUGHT_UP, store.settled()).await.expect("all is brought in within ten seconds");
    println!("all records are there {:?} after the database", back.elapsed());
    assert_eq!(
        base.count("SELECT COUNT(*) FROM calls WHERE call_end = 'caller_hung_up'").await,
        calls as i64
    );
    assert_eq!(base.count("SELECT COUNT(*) FROM events").await, (calls * EVENTS) as i64);
    assert!(store.healthy() && store.connected());
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_44_sqlite_is_locked_for_seconds_and_no_record_is_lost() {
    let base = Base::sqlite("locked");
    let store = base.open();
    store.settled().await;
    let mut other = sqlx::AnyConnection::connect(&base.url).await.expect("it is there");
    other.execute("BEGIN EXCLUSIVE").await.expect("the lock");
    let calls = load(Arc::clone(&store), Instant::now() + AWAY).await;
    assert!(store.healthy() && store.ready(), "a database that is away stops no call");
    other.execute("ROLLBACK").await.expect("the lock is given back");
    check(&base, &store, calls, Instant::now()).await;
    store.close(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_44_postgres_is_down_for_seconds_and_no_record_is_lost() {
    let Some(mut base) = Base::postgres("down") else { return };
    let store = base.open();
    store.settled().await;
    let loading = tokio::spawn(load(Arc::clone(&store), Instant::now() + AWAY + Duration::from_secs(1)));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut server = base.server.take().expect("it has one");
    server.stop();
    let asked = Instant::now();
    assert_eq!(store.call("CA00000").await, Err(Unavailable));
    assert!(asked.elapsed() < Duration::from_millis(2_500), "it says so in time");
    let calls = loading.await.expect("it runs");
    assert!(!store.connected() && store.healthy());
    server.run();
    base.server = Some(server);
    check(&base, &store, calls, Instant::now()).await;
    store.close(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_44_what_a_bridge_without_a_database_recorded_is_brought_in_by_the_next() {
    let Some(mut base) = Base::postgres("absent") else { return };
    let mut server = base.server.take().expect("it has one");
    server.stop();
    let store = base.open();
    store.record(Record::Begun(begun("CA1", 1)));
    store.record_durably(event("CA1", 7)).await.expect("acknowledged without a database");
    tokio::time::sleep(Duration::from_millis(1_600)).await;
    assert!(store.ready(), "calls are taken without a database");
    store.close(Duration::ZERO).await;
    drop(store);
    server.run();
    base.server = Some(server);
    let store = base.open();
    store.settled().await;
    // Its bridge is gone: the call is closed, and lasted as long as anybody knows.
    let call = store.call("CA1").await.expect("it answers").expect("it is there");
    assert_eq!((call["ended"].as_str(), call["ended_ms"].as_i64()), (Some("aborted"), Some(8)));
    store.close(Duration::from_secs(5)).await;
}
