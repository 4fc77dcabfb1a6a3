//! The mark behind whatever was the last of a reply. The regular ones are in `streams`.

use std::time::{Duration, Instant};

use pipeline::{ModelCodec, Packet};

use crate::host::{Far, Host};
use crate::twilio::Stream;

/// Frames between two marks.
const FRAMES_PER_MARK: u16 = 8;

/// The model's next packet.
fn push(far: &mut Far, sequence: u16) {
    let (stamp, first) = (u32::from(sequence) * 160, sequence == 0);
    let packet = Packet::new(pipeline::now(), ModelCodec::Pcmu, sequence, stamp, first, &[0x21; 160]);
    far.model.push(&packet.unwrap()).unwrap();
}

/// By the caller's messages, and without them.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_reply_is_marked_whether_or_not_the_caller_is_heard() {
    let host = Host::new().await;
    for heard in [true, false] {
        let (mut soonest, mut latest) = (Duration::MAX, Duration::ZERO);
        // A machine that stops for a moment makes one of them late, or its last frame.
        for _ in 0..3 {
            let (mut stream, mut far, _) = Stream::of_call(&host).await;
            push(&mut far, 0);
            // What is made up behind the one packet is sound as well.
            let (mut last, mut frames, mut stamp) = (Instant::now(), 0, 0);
            let mark = loop {
                if heard {
                    stream.sound(stamp, 160).await;
                    stamp += 20;
                }
                match tokio::time::timeout(Duration::from_millis(20), stream.message()).await {
                    Ok(message) if message["event"] == "media" => {
                        (last, frames) = (Instant::now(), frames + 1)
                    }
                    Ok(message) => break message,
                    Err(_) => {}
                }
            };
            assert!((1..FRAMES_PER_MARK).contains(&frames), "{frames} frames");
            assert_eq!(mark["mark"]["name"], format!("g0:{frames}"));
            let after = last.elapsed();
            (soonest, latest) = (soonest.min(after), latest.max(after));
        }
        // 60 ms and a message of the caller's, or 250 ms; the rest is room.
        let limit = Duration::from_millis(if heard { 150 } else { 400 });
        assert!(soonest < limit, "heard: {heard}, {soonest:?}");
        assert!(latest >= Duration::from_millis(50), "not with each frame: {latest:?}");
    }
}
