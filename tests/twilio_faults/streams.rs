//! Rows 4–10 and 20–26: who gets a stream, in what order it speaks, and how it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aria_bridge::call::{MediaClosed, MediaCommand, MediaEvent};
use pipeline::{ModelCodec, Packet};
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
            let host = host.clone();
            tries.push(tokio::spawn(async move {
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
                let closed = tokio::time::timeout(Duration::from_secs(3), stream.close_code()).await;
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

/// A peer that speaks but does not listen: what waits for it is bounded, frames that come too late are dropped, and it is given up.
#[tokio::test(flavor = "multi_thread")]
async fn fault_18_a_peer_that_does_not_read_is_given_up() {
    let host = Host::new().await;
    let (call, token) = ring(&host).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = Stream::over(&host, socket.connect(host.address).await.unwrap()).await;
    stream.start(&call, &token).await;
    let mut far = host.far().await;
    let (slow_before, mut beat) =
        (counted("aria_stream_ends_total", "slow_peer"), tokio::time::interval(Duration::from_millis(20)));
    let begun = Instant::now();
    let mut sequence = 0u16;
    let closed = loop {
        beat.tick().await;
        let stamp = u32::from(sequence) * 160;
        let packet =
            Packet::new(pipeline::now(), ModelCodec::Pcmu, sequence, stamp, sequence == 0, &[0x21; 160]);
        // Full is what a peer that does not read leads to.
        let _ = far.model.push(packet.unwrap());
        let message = stream.media_message(100 + 20 * u64::from(sequence), "f39/").to_string();
        let _ = stream.ws.get_mut().write_all(&crate::twilio::frame(0x81, message.as_bytes())).await;
        sequence += 1;
        match far.events.try_recv() {
            Ok(MediaEvent::Closed { why }) => break why,
            _ if begun.elapsed() > Duration::from_secs(30) => panic!("never given up"),
            _ => {}
        }
    };
    assert_eq!(closed, MediaClosed::Lost);
    assert_eq!(counted("aria_stream_ends_total", "slow_peer"), slow_before + 1);
    // Five seconds of patience, and what the kernel took before.
    println!("given up after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
}

/// Ten seconds of sound at once: a second of it is kept, and what comes behind is on time again.
#[tokio::test(flavor = "multi_thread")]
async fn fault_23_a_burst_does_not_delay_what_follows() {
    let host = Host::new().await;
    let (mut stream, mut far, _) = Stream::of_call(&host).await;
    for i in 0..500u64 {
        stream.sound(100 + 20 * i, 160).await;
    }
    let kept = far.packets().await.len();
    assert!((40..500).contains(&kept), "{kept}");
    stream.sound(10_100, 160).await;
    let sent = Instant::now();
    while far.model.pop().is_none() {
        assert!(sent.elapsed() < Duration::from_millis(200));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Killed at random bytes of a message, by FIN and by RST: the call hears of it within a second.
#[tokio::test(flavor = "multi_thread")]
async fn fault_20_a_connection_that_breaks_is_noticed() {
    let host = Host::new().await;
    for cut in [0, 1, 2, 7, 60, 200] {
        for reset in [false, true] {
            let (mut stream, mut far, _) = Stream::of_call(&host).await;
            stream.sound(100, 160).await;
            let message = stream.media_message(120, "f39/").to_string();
            let bytes = crate::twilio::frame(0x81, message.as_bytes());
            let tcp = stream.ws.get_mut();
            tcp.write_all(&bytes[..cut.min(bytes.len())]).await.unwrap();
            if reset {
                // Deprecated for the blocking close it makes of a positive linger; of zero it makes a reset.
                #[allow(deprecated)]
                tcp.set_linger(Some(Duration::ZERO)).unwrap();
            }
            let broken = Instant::now();
            drop(stream);
            assert_eq!(
                far.event().await,
                Some(MediaEvent::Closed { why: MediaClosed::Lost }),
                "{cut} {reset}"
            );
            assert!(broken.elapsed() < Duration::from_secs(1));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_21_a_silently_dead_socket_is_freed_within_twenty_seconds() {
    let host = Host::new().await;
    let (mut stream, mut far, _) = Stream::of_call(&host).await;
    stream.sound(100, 160).await;
    let silent = Instant::now();
    // Neither read nor written any more, and not closed.
    assert_eq!(far.event().await, Some(MediaEvent::Stalled));
    assert!((4..8).contains(&silent.elapsed().as_secs()), "{:?}", silent.elapsed());
    assert_eq!(far.event().await, Some(MediaEvent::Closed { why: MediaClosed::Lost }));
    assert!((14..20).contains(&silent.elapsed().as_secs()), "{:?}", silent.elapsed());
    drop(stream);
}

/// A muted caller: no media, but the socket answers pings.
#[tokio::test(flavor = "multi_thread")]
async fn fault_21_a_muted_line_is_no_dead_one() {
    let host = Host::new().await;
    let (mut stream, mut far, _) = Stream::of_call(&host).await;
    stream.sound(100, 160).await;
    let reading = tokio::spawn(async move {
        // Reading is what answers pings.
        let _ = tokio::time::timeout(Duration::from_secs(17), stream.close_code()).await;
        stream
    });
    let mut stream = reading.await.unwrap();
    let (mut trips, mut stalled) = (0, 0);
    while let Ok(event) = far.events.try_recv() {
        match event {
            MediaEvent::Rtt(trip) => {
                assert!(trip < Duration::from_secs(1));
                trips += 1;
            }
            MediaEvent::Stalled => stalled += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(trips >= 2, "{trips}");
    assert_eq!(stalled, 1);
    stream.sound(17_000, 160).await;
    stream.stop().await;
    assert_eq!(far.event().await, Some(MediaEvent::Stop));
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_22_media_time_follows_the_stamps() {
    let host = Host::new().await;
    let (mut stream, mut far, _) = Stream::of_call(&host).await;
    // Uneven stamps, a lost frame after the second, a mute of a second, one frame twice.
    for (stamp, twice) in [(155, false), (176, false), (215, false), (1235, true), (1254, false)] {
        let message = stream.media_message(stamp, &base64_simd::STANDARD.encode_to_string([0x55; 160]));
        for _ in 0..1 + usize::from(twice) {
            stream.send(message.clone()).await;
        }
    }
    let stamps: Vec<u32> = far.packets().await.iter().map(|packet| packet.0).collect();
    let from_first: Vec<u32> = stamps.iter().map(|stamp| stamp.wrapping_sub(stamps[0])).collect();
    assert_eq!(from_first, [0, 160, 480, 480 + 51 * 160, 480 + 52 * 160]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_24_only_marks_of_ours_come_back() {
    let host = Host::new().await;
    let (mut stream, mut far, _) = Stream::of_call(&host).await;
    for name in ["a", "b"] {
        far.commands.send(MediaCommand::Mark { name: name.into() }).await.unwrap();
        let mark = stream.message().await;
        assert_eq!(mark, json!({"event": "mark", "streamSid": stream.sid, "mark": {"name": name}}));
    }
    for i in 0..1_000 {
        stream.mark(&format!("forged {i}")).await;
    }
    for name in ["b", "b", "a"] {
        stream.mark(name).await;
    }
    assert_eq!(far.event().await, Some(MediaEvent::Mark { name: "b".into() }));
    assert_eq!(far.event().await, Some(MediaEvent::Mark { name: "a".into() }));
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_26_keys_are_limited() {
    let host = Host::new().await;
    let (mut stream, mut far, _) = Stream::of_call(&host).await;
    for odd in ["", "x", "12", "é"] {
        stream.key(odd).await;
    }
    for _ in 0..500 {
        stream.key("7").await;
    }
    stream.stop().await;
    let mut keys = 0;
    loop {
        match far.event().await {
            Some(MediaEvent::Dtmf { digit: '7' }) => keys += 1,
            Some(MediaEvent::Stop) => break,
            other => panic!("{other:?}"),
        }
    }
    assert!((20..60).contains(&keys), "{keys}");
}

/// The way down: frames as media messages, marks among them, and an interruption that nothing old survives.
#[tokio::test(flavor = "multi_thread")]
async fn a_clear_is_written_first_and_nothing_old_follows() {
    let host = Host::new().await;
    let (mut stream, mut far, _) = Stream::of_call(&host).await;
    let mut sequence = 0u16;
    let mut push = |far: &mut crate::host::Far, byte: u8| {
        let stamp = u32::from(sequence) * 160;
        let packet =
            Packet::new(pipeline::now(), ModelCodec::Pcmu, sequence, stamp, sequence == 0, &[byte; 160]);
        far.model.push(packet.unwrap()).unwrap();
        sequence += 1;
    };
    let (mut frames, mut marks) = (0, Vec::new());
    while marks.len() < 2 {
        push(&mut far, 0x21);
        let next = tokio::time::timeout(Duration::from_millis(20), stream.message()).await;
        let Ok(message) = next else { continue };
        assert_eq!(message["streamSid"], *stream.sid);
        match message["event"].as_str().unwrap() {
            "media" => {
                let payload = base64_simd::STANDARD
                    .decode_to_vec(message["media"]["payload"].as_str().unwrap())
                    .unwrap();
                assert_eq!(payload.len(), 160);
                frames += 1;
            }
            "mark" => marks.push((message["mark"]["name"].as_str().unwrap().to_owned(), frames)),
            other => panic!("{other}"),
        }
    }
    for (name, frames) in &marks {
        assert_eq!(*name, format!("g0:{frames}"));
    }
    assert_eq!(far.event().await, Some(MediaEvent::FirstFrameOut));

    far.control.send(pipeline::Command::Flush { generation: 1 }).unwrap();
    far.commands.send(MediaCommand::Clear { generation: 1, since: Instant::now() }).await.unwrap();
    while stream.message().await["event"] != "clear" {}
    let Some(MediaEvent::Cleared { generation: 1, after }) = far.event().await else { panic!() };
    assert!(after < Duration::from_millis(100), "{after:?}");
    far.control.send(pipeline::Command::OpenDownlink).unwrap();
    let mark = loop {
        push(&mut far, 0x42);
        let Ok(message) = tokio::time::timeout(Duration::from_millis(20), stream.message()).await else {
            continue;
        };
        if message["event"] == "mark" {
            break message["mark"]["name"].as_str().unwrap().to_owned();
        }
        let payload =
            base64_simd::STANDARD.decode_to_vec(message["media"]["payload"].as_str().unwrap()).unwrap();
        assert!(!payload.iter().all(|byte| *byte == 0x21), "a frame of before the interruption");
    };
    assert!(mark.starts_with("g1:"), "{mark}");
    drop(far.commands);
    assert_eq!(stream.close_code().await, Some(1000));
}
