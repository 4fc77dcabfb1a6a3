//! What a media stream costs the thread that serves it, per message: measured, not judged. Run it by name with `--ignored --nocapture`.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use pipeline::{ModelCodec, Packet};
use tokio::runtime::Builder;
use tokio_tungstenite::tungstenite::Message;

use crate::host::{Far, Host};
use crate::twilio::Stream;

const STREAMS: usize = 50;
const FRAMES: u64 = 500;

/// CPU time of the calling thread: in the program, in the kernel.
fn cpu() -> (Duration, Duration) {
    // SAFETY: `rusage` is numbers, of which all zeros are a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is a valid place for one rusage.
    let done = unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
    assert_eq!(done, 0, "every Linux counts this");
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    (time(usage.ru_utime), time(usage.ru_stime))
}

/// The bridge's side runs on one thread of its own, whose CPU time is read by a task on it; phones and models are elsewhere.
#[test]
#[ignore = "a measurement"]
fn cpu_of_a_message() {
    let bridge = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let outside = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let host = bridge.block_on(async { tokio::spawn(Host::new()).await.expect("it starts") });
    outside.block_on(async {
        let mut ends = Vec::new();
        for _ in 0..STREAMS {
            let (stream, far, _) = Stream::of_call(&host).await;
            ends.push((stream, far));
        }
        let before = bridge.spawn(async { cpu() }).await.expect("it only reads a clock");
        let calls: Vec<_> = ends.into_iter().map(|(stream, far)| tokio::spawn(hold(stream, far))).collect();
        let mut written = 0;
        let mut kept = Vec::new();
        for call in calls {
            let (end, messages) = call.await.expect("it is held");
            written += messages;
            kept.push(end);
        }
        let after = bridge.spawn(async { cpu() }).await.expect("it only reads a clock");
        let read = STREAMS as u64 * FRAMES;
        let each = |spent: Duration| spent.as_secs_f64() * 1e6 / read as f64;
        let (program, kernel) = (each(after.0 - before.0), each(after.1 - before.1));
        println!("{read} messages read, {written} written: for one each {program:.2} us in the program, {kernel:.2} us in the kernel");
    });
    bridge.shutdown_background();
}

/// A frame each way every 20 ms; echoes what it is asked to. Gives the messages that came.
async fn hold(stream: Stream, mut far: Far) -> (Far, u64) {
    let sid = stream.sid.clone();
    let (mut sink, mut source) = stream.ws.split();
    let mut beat = tokio::time::interval(Duration::from_millis(20));
    let payload = base64_simd::STANDARD.encode_to_string([0x55; 160]);
    let (mut frame, mut messages) = (0u64, 0u64);
    while frame < FRAMES {
        tokio::select! {
            _ = beat.tick() => {
                let (number, stamp) = (frame + 2, 100 + 20 * frame);
                let text = format!(
                    r#"{{"event":"media","sequenceNumber":"{number}","media":{{"track":"inbound","chunk":"{}","timestamp":"{stamp}","payload":"{payload}"}},"streamSid":"{sid}"}}"#,
                    frame + 1
                );
                sink.send(Message::text(text)).await.expect("the stream lives");
                let rtp = frame as u32 * 160;
                let packet = Packet::new(pipeline::now(), ModelCodec::Pcmu, frame as u16, rtp, frame == 0, &[0x21; 160]);
                far.model.push(&packet.expect("160 bytes fit")).expect("the audio thread keeps up");
                while far.model.pop().is_some() {}
                while far.events.try_recv().is_ok() {}
                frame += 1;
            }
            message = source.next() => {
                messages += 1;
                if let Some(Ok(Message::Text(text))) = message && text.contains(r#""event":"mark""#) {
                    // As Twilio would, but at once.
                    let echo = text.replacen('{', r#"{"sequenceNumber":"0","#, 1);
                    sink.send(Message::text(echo)).await.expect("the stream lives");
                }
            }
        }
    }
    (far, messages)
}
