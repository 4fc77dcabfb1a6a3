//! Rows 4–10: who gets a stream, and in what order it may speak.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::host::{Host, TOKEN, counted};
use crate::twilio::{Stream, media_target, ring, sign};

async fn upgrade_status(host: &Host, headers: &str) -> String {
    let mut tcp = TcpStream::connect(host.address).await.unwrap();
    let request = format!("GET /api/twilio/media HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    tcp.read_exact(&mut status).await.unwrap();
    String::from_utf8_lossy(&status[9..]).into_owned()
}

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn fault_04_an_upgrade_without_a_good_signature_is_refused() {
    let host = Host::new().await;
    let signed = |url: &str| format!("{UPGRADE}X-Twilio-Signature: {}\r\n", sign(TOKEN, url, &[]));
    let target = media_target(&host);
    assert_eq!(upgrade_status(&host, UPGRADE).await, "403");
    assert_eq!(upgrade_status(&host, &format!("{UPGRADE}X-Twilio-Signature: forged\r\n")).await, "403");
    assert_eq!(upgrade_status(&host, &signed(&target.replacen("ws", "http", 1))).await, "403");
    assert_eq!(upgrade_status(&host, &signed("ws://evil.example/api/twilio/media")).await, "403");
    assert!(host.nothing_attached().await);
    assert_eq!(upgrade_status(&host, &signed(&target)).await, "101");
    assert_eq!(upgrade_status(&host, &signed(&format!("{target}/"))).await, "101");
    // A good signature, but no WebSocket.
    let signature = format!("X-Twilio-Signature: {}\r\n", sign(TOKEN, &target, &[]));
    assert_eq!(upgrade_status(&host, &signature).await, "426");
    assert_eq!(upgrade_status(&host, &signed(&target).replace("Version: 13", "Version: 8")).await, "426");
    assert_eq!(upgrade_status(&host, &signed(&target).replace("dGhl", "")).await, "400");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_05_a_token_opens_one_stream() {
    let host = Host::new().await;
    let (call, token) = ring(&host).await;
    let mut first = Stream::open(&host).await;
    first.start(&call, &token).await;
    let _far = host.far().await;
    for bad in [&*token, "", "forged", &"A".repeat(43), &"A".repeat(10_000)] {
        let mut again = Stream::open(&host).await;
        again.start(&call, bad).await;
        assert_eq!(again.close_code().await, Some(1008), "{bad:?}");
    }
    let mut none = Stream::open(&host).await;
    none.connected().await;
    let mut start = none.start_message(&call, "");
    start["start"]["customParameters"] = json!({});
    none.send(start).await;
    assert_eq!(none.close_code().await, Some(1008));
    assert!(host.nothing_attached().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_06_of_a_hundred_sockets_with_one_token_one_wins() {
    let host = Arc::new(Host::new().await);
    for _ in 0..3 {
        let (call, token) = ring(&host).await;
        let racers: Vec<_> = (0..100)
            .map(|_| {
                let (host, call, token) = (host.clone(), call.clone(), token.clone());
                tokio::spawn(async move {
                    let mut stream = Stream::open(&host).await;
                    stream.start(&call, &token).await;
                    let closed = tokio::time::timeout(Duration::from_secs(3), stream.close_code()).await;
                    closed.ok().flatten()
                })
            })
            .collect();
        let mut codes = Vec::new();
        for racer in racers {
            codes.push(racer.await.unwrap());
        }
        assert_eq!(codes.iter().filter(|code| **code == Some(1008)).count(), 99, "{codes:?}");
        let _far = host.far().await;
        assert!(host.nothing_attached().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_07_media_before_start_closes_at_once() {
    let host = Host::new().await;
    for connected in [false, true] {
        let mut stream = Stream::open(&host).await;
        if connected {
            stream.connected().await;
        }
        let sent = Instant::now();
        stream.sound(100, 160).await;
        assert_eq!(stream.close_code().await, Some(1008));
        assert!(sent.elapsed() < Duration::from_millis(500), "{:?}", sent.elapsed());
    }
    assert!(counted("aria_streams_refused_total", "out_of_order") >= 2);
}

/// All sequences up to length three over sockets; up to length five beside the state machine.
#[tokio::test(flavor = "multi_thread")]
async fn fault_08_only_the_one_order_is_served() {
    let host = Arc::new(Host::new().await);
    let at_once = Arc::new(tokio::sync::Semaphore::new(32));
    let mut tries = Vec::new();
    for length in 1..=3u32 {
        for code in 0..6usize.pow(length) {
            let events: Vec<usize> = (0..length).map(|i| code / 6usize.pow(i) % 6).collect();
            // connected, start, then anything but those two, stop only last.
            let legal = events.iter().enumerate().all(|(i, &event)| match i {
                0 => event == 0,
                1 => event == 1,
                _ => event >= 2,
            });
            let stopped = legal && events.last() == Some(&5);
            let (host, at_once) = (host.clone(), at_once.clone());
            tries.push(tokio::spawn(async move {
                let _turn = at_once.acquire().await.unwrap();
                let (call, token) = ring(&host).await;
                let mut stream = Stream::open(&host).await;
                for event in &events {
                    match event {
                        0 => stream.connected().await,
                        1 => {
                            let start = stream.start_message(&call, &token);
                            stream.send(start).await;
                        }
                        2 => stream.sound(100, 160).await,
                        3 => stream.key("1").await,
                        4 => stream.mark("g0:1").await,
                        _ => stream.stop().await,
                    }
                }
                let expected = match (legal, stopped) {
                    (false, _) => Some(1008),
                    (_, true) => Some(1000),
                    _ => None,
                };
                // Where nothing is expected there is nothing to wait for but a mistake.
                let patience = Duration::from_millis(if expected.is_some() { 5000 } else { 300 });
                let closed = tokio::time::timeout(patience, stream.close_code()).await;
                assert_eq!(closed.ok().flatten(), expected, "{events:?}");
            }));
        }
    }
    for one in tries {
        one.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_09_a_start_for_another_call_is_refused() {
    let host = Host::new().await;
    let (call, token) = ring(&host).await;
    let (other, _) = ring(&host).await;
    for (pointer, value) in [
        ("/start/callSid", other.as_str()),
        ("/start/callSid", "CA0"),
        ("/start/accountSid", "AC00000000000000000000000000000002"),
        ("/start/streamSid", "MZ00000000000000000000000000000000"),
        ("/streamSid", "MZ00000000000000000000000000000000"),
        ("/start/callSid", "CA\"}"),
    ] {
        let mut stream = Stream::open(&host).await;
        stream.connected().await;
        let mut start = stream.start_message(&call, &token);
        *start.pointer_mut(pointer).unwrap() = value.into();
        stream.send(start).await;
        assert_eq!(stream.close_code().await, Some(1008), "{pointer} {value}");
    }
    assert!(host.nothing_attached().await);
    // The forger has not cost the caller his call.
    let mut stream = Stream::open(&host).await;
    stream.start(&call, &token).await;
    assert_eq!(host.far().await.start.call_sid, call);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_10_other_tracks_and_formats_are_refused_and_never_mixed_in() {
    let host = Host::new().await;
    for (pointer, value) in [
        ("/start/tracks", json!(["outbound"])),
        ("/start/tracks", json!(["inbound", "outbound"])),
        ("/start/mediaFormat/encoding", json!("audio/opus")),
        ("/start/mediaFormat/sampleRate", json!(44_100)),
        ("/start/mediaFormat/sampleRate", json!(16_000)),
        ("/start/mediaFormat/channels", json!(2)),
        ("/start/mediaFormat", Value::Null),
    ] {
        let (call, token) = ring(&host).await;
        let mut stream = Stream::open(&host).await;
        stream.connected().await;
        let mut start = stream.start_message(&call, &token);
        *start.pointer_mut(pointer).unwrap() = value;
        stream.send(start).await;
        assert_eq!(stream.close_code().await, Some(1008), "{pointer}");
    }
    let (mut stream, mut far, _) = Stream::of_call(&host).await;
    for i in 0..10u64 {
        let mut outbound = stream.media_message(100 + 20 * i, "AAAA");
        outbound["media"]["track"] = "outbound".into();
        stream.send(outbound).await;
    }
    stream.sound(300, 160).await;
    let packets = far.packets().await;
    assert_eq!(packets.iter().map(|p| p.1).collect::<Vec<_>>(), [160]);
}
