//! A database that answers, but late.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aria_bridge::store::{Record, Unavailable};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::database::{Base, begun, ended, event};

/// How long each of its answers is held.
const HELD: Duration = Duration::from_secs(5);
/// How long it is so slow.
const SLOW: Duration = Duration::from_secs(8);
/// From its recovery until all is in it: what it holds comes first.
const CAUGHT_UP: Duration = Duration::from_secs(10 + 5);
const CALLS: u64 = 200;

/// Stands before a server; while it is `slow` every answer is held. Gives its port.
async fn relay(port: u16, slow: Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let here = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
            let (mut asks, mut gets) = client.into_split();
            let (mut answers, mut takes) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut asks, &mut takes).await });
            let slow = Arc::clone(&slow);
            tokio::spawn(async move {
                let mut bytes = vec![0; 16 * 1024];
                while let Ok(read @ 1..) = answers.read(&mut bytes).await {
                    if slow.load(Ordering::Relaxed) {
                        tokio::time::sleep(HELD).await;
                    }
                    if gets.write_all(&bytes[..read]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    here
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_44_a_database_that_takes_five_seconds_for_an_answer_costs_no_record() {
    let Some(mut base) = Base::postgres("slow") else { return };
    let port = base.url.rsplit_once(':').and_then(|(_, rest)| rest.split_once('/')).expect("a port").0;
    let port: u16 = port.parse().expect("a number");
    let slow = Arc::new(AtomicBool::new(false));
    let here = relay(port, Arc::clone(&slow)).await;
    base.url = base.url.replace(&format!(":{port}/"), &format!(":{here}/"));
    let store = base.open();
    store.settled().await;
    slow.store(true, Ordering::Relaxed);
    let began = Instant::now();
    let mut slowest = Duration::ZERO;
    for call in 0..CALLS {
        let (sid, asked) = (format!("CA{call:03}"), Instant::now());
        store.record(Record::Begun(begun(&sid, call)));
        store.record(event(&sid, 1));
        store.record(ended(&sid, call + 1));
        slowest = slowest.max(asked.elapsed());
        tokio::time::sleep(SLOW / CALLS as u32).await;
    }
    let asked = Instant::now();
    assert_eq!(store.call("CA000").await, Err(Unavailable), "an operator is told within two seconds");
    assert!(asked.elapsed() < Duration::from_millis(2_500), "{:?}", asked.elapsed());
    assert!(store.healthy() && store.ready(), "calls are taken");
    slow.store(false, Ordering::Relaxed);
    let back = Instant::now();
    tokio::time::timeout(CAUGHT_UP, store.settled()).await.expect("all is brought in");
    println!(
        "slow for {:?}; all is there {:?} later; a call waited {slowest:?}",
        back - began,
        back.elapsed()
    );
    assert_eq!(
        base.count("SELECT COUNT(*) FROM calls WHERE call_end = 'caller_hung_up'").await,
        CALLS as i64
    );
    assert_eq!(base.count("SELECT COUNT(*) FROM events").await, CALLS as i64);
    store.close(Duration::from_secs(5)).await;
}
