//! Rows 15–17: connections that only take room.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::host::Host;
use crate::twilio::{Stream, get, raw_stream, read_close, ring};

/// Resolves when the bridge has closed the connection: what it said before.
async fn until_closed(tcp: &mut TcpStream) -> String {
    let mut said = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), tcp.read_to_end(&mut said)).await;
    let _ = read.expect("closed within ten seconds");
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_15_slow_heads_and_bodies_are_cut_off_and_calls_go_on() {
    let host = Host::new().await;
    let (mut call, mut far, _) = Stream::of_call(&host).await;
    let slow: Vec<_> = (0..100)
        .map(|i| {
            let address = host.address;
            tokio::spawn(async move {
                let mut tcp = TcpStream::connect(address).await.unwrap();
                let begun = Instant::now();
                let start: &[u8] = match i % 3 {
                    0 => b"",
                    1 => b"GET /api/twilio/media HTTP/1.1\r\nHost: x\r\n",
                    _ => {
                        b"POST /api/twilio/voice/inbound HTTP/1.1\r\nHost: x\r\nX-Twilio-Signature: AAAA\r\n\
                          Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\n"
                    }
                };
                tcp.write_all(start).await.unwrap();
                let (mut read, mut write) = tcp.split();
                let dribble = async {
                    loop {
                        tokio::time::sleep(Duration::from_millis(300)).await;
                        if write.write_all(b"x").await.is_err() {
                            std::future::pending::<()>().await;
                        }
                    }
                };
                let mut sink = Vec::new();
                tokio::select! {
                    _ = read.read_to_end(&mut sink) => {}
                    () = dribble => {}
                    () = tokio::time::sleep(Duration::from_secs(11)) => panic!("still open: kind {}", i % 3),
                }
                begun.elapsed()
            })
        })
        .collect();
    // Fifty frames a second beside them, none lost.
    for i in 0..300u64 {
        call.sound(100 + 20 * i, 160).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        while far.model.pop().is_some() {}
    }
    assert_eq!(far.control.stats().frames_in.get(), 300);
    assert_eq!(far.control.stats().dropped_full.get(), 0);
    for one in slow {
        assert!(one.await.unwrap() <= Duration::from_secs(10));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_15_a_stream_without_start_is_closed_after_five_seconds() {
    let host = Host::new().await;
    let begun = Instant::now();
    let mut silent = raw_stream(&host).await;
    let mut pinging = Stream::open(&host).await;
    pinging.connected().await;
    assert_eq!(read_close(&mut silent).await, Some(1008));
    assert_eq!(pinging.close_code().await, Some(1008));
    assert!((4..8).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_16_large_heads_are_refused_at_the_cap() {
    let host = Host::new().await;
    let mut tcp = TcpStream::connect(host.address).await.unwrap();
    tcp.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Large: ").await.unwrap();
    let begun = Instant::now();
    let chunk = vec![b'x'; 64 * 1024];
    let mut sent = 0;
    while sent < 20 << 20 && tcp.write_all(&chunk).await.is_ok() {
        sent += chunk.len();
    }
    assert!(sent < 20 << 20, "the bridge read it all");
    assert!(begun.elapsed() < Duration::from_secs(2));

    let mut tcp = TcpStream::connect(host.address).await.unwrap();
    let head = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Large: {}\r\n\r\n", "x".repeat(17 * 1024));
    tcp.write_all(head.as_bytes()).await.unwrap();
    assert!(until_closed(&mut tcp).await.starts_with("HTTP/1.1 431"));
    let big_but_fine = "x".repeat(15 * 1024);
    assert_eq!(get(&host, "/healthz", &[("X-Large", &big_but_fine)]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_17_idle_connections_do_not_keep_a_call_out() {
    let host = Host::new().await;
    let (mut call, mut far, _) = Stream::of_call(&host).await;
    // Both ends of each are in this process. A quarter of its descriptors is what the bridge gives such connections.
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let limit = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok());
    let crowd = limit.map_or(1500, |limit: usize| (limit / 3).min(1500));
    let mut idle = Vec::new();
    for _ in 0..crowd {
        idle.push(TcpStream::connect(host.address).await.unwrap());
    }
    let begun = Instant::now();
    let (sid, token) = ring(&host).await;
    let mut stream = Stream::open(&host).await;
    stream.start(&sid, &token).await;
    assert_eq!(host.far().await.start.call_sid, sid);
    assert!(begun.elapsed() < Duration::from_millis(300), "{:?}", begun.elapsed());
    // The live call was not put out.
    call.sound(100, 160).await;
    assert_eq!(far.packets().await.len(), 1);
    // The oldest were.
    let mut byte = [0];
    assert_eq!(idle[0].read(&mut byte).await.unwrap_or(0), 0);
}
