//! Rows 18–26: a stream at work, its time, its marks, and how it breaks.

use std::time::{Duration, Instant};

use aria_bridge::call::{MediaClosed, MediaCommand, MediaEvent};
use pipeline::{ModelCodec, Packet};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::host::{Host, counted};
use crate::twilio::{Stream, frame, ring};

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
        let _ = far.model.push(&packet.unwrap());
        let message = stream.media_message(100 + 20 * u64::from(sequence), "f39/").to_string();
        let _ = stream.ws.get_mut().write_all(&frame(0x81, message.as_bytes())).await;
        sequence += 1;
        match far.events.try_recv() {
            Ok(MediaEvent::Closed { why, .. }) => break why,
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

/// Twice as much as there is time for, for two seconds: it goes through as it comes, and what comes behind is on time.
#[tokio::test(flavor = "multi_thread")]
async fn fault_23_sound_twice_as_fast_as_real_time_does_not_pile_up() {
    let host = Host::new().await;
    let (mut stream, mut far, _) = Stream::of_call(&host).await;
    let mut came = 0;
    for i in 0..200u64 {
        stream.sound(100 + 20 * i, 160).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        while far.model.pop().is_some() {
            came += 1;
        }
    }
    came += far.packets().await.len();
    assert_eq!(came, 200, "nothing is lost");
    stream.sound(4_100, 160).await;
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
            let bytes = frame(0x81, message.as_bytes());
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
                Some(MediaEvent::Closed { why: MediaClosed::Lost, played: None }),
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
    assert_eq!(far.event().await, Some(MediaEvent::Closed { why: MediaClosed::Lost, played: None }));
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
        far.model.push(&packet.unwrap()).unwrap();
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
    assert_eq!(far.event().await, Some(MediaEvent::VoiceOut));

    far.control.send(pipeline::Command::Flush { generation: 1 }).unwrap();
    far.commands.send(MediaCommand::Clear { generation: 1, since: Instant::now() }).await.unwrap();
    while stream.message().await["event"] != "clear" {}
    let Some(MediaEvent::Cleared { generation: 1, after, .. }) = far.event().await else { panic!() };
    assert!(after < Duration::from_millis(100), "{after:?}");
    // As in a call, the rest of the old reply still comes in before the next one begins.
    let stats = far.control.stats();
    while stats.muted.get() == 0 {
        push(&mut far, 0x21);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
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
