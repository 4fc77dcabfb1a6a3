//! A media message of Twilio's stream, in and out: JSON, base64 and a frame of 20 ms.
//!
//! Each beside the way that serde_json's own documentation shows, one owned value for every field, with the same base64: what the
//! borrowed fields and the reused buffers of `twilio::wire` are for.

use std::hint::black_box;

use aria_bridge::twilio::media::{Intake, Taken};
use aria_bridge::twilio::wire::{Event, Outgoing, parse};
use base64_simd::STANDARD;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pipeline::{MediaFormat, MediaFrame, Nanos};
use serde::{Deserialize, Serialize};

// The program's own: an allocation costs here what it costs there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const STREAM_SID: &str = "MZ0123456789abcdef0123456789abcdef";
/// 20 s of a call, again and again: enough that the stamps' leap back from the last to the first is a clock that began anew.
const MESSAGES: usize = 1000;

#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
#[allow(dead_code)] // read whole, as who follows the documentation does
enum PlainIn {
    Media {
        #[serde(rename = "sequenceNumber")]
        sequence: String,
        #[serde(rename = "streamSid")]
        stream_sid: String,
        media: PlainSound,
    },
    Stop {},
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct PlainSound {
    track: String,
    chunk: String,
    timestamp: String,
    payload: String,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum PlainOut<'a> {
    Media {
        #[serde(rename = "streamSid")]
        stream_sid: &'a str,
        media: PlainPayload,
    },
}

#[derive(Serialize)]
struct PlainPayload {
    payload: String,
}

/// 20 ms of mu-law: any bytes, different in each message.
fn sound(message: usize) -> [u8; 160] {
    std::array::from_fn(|i| (i * 37 + message * 11) as u8)
}

fn messages() -> Vec<String> {
    let message = |i: usize| {
        let payload = STANDARD.encode_to_string(sound(i));
        format!(
            r#"{{"event":"media","sequenceNumber":"{}","media":{{"track":"inbound","chunk":"{}","timestamp":"{}","payload":"{payload}"}},"streamSid":"{STREAM_SID}"}}"#,
            i + 2,
            i + 1,
            i * 20 + 155,
        )
    };
    (0..MESSAGES).map(message).collect()
}

/// From text to frames.
fn incoming(criterion: &mut Criterion) {
    let messages = messages();
    let mut group = criterion.benchmark_group("message/in");
    group.throughput(Throughput::Elements(1));

    let mut intake = Intake::new(MediaFormat::default());
    let mut texts = messages.iter().cycle();
    group.bench_function("bridge", |b| {
        b.iter(|| {
            let text = texts.next().expect("it begins again");
            let Ok(Event::Media(media)) = parse(black_box(text)).map(|message| message.event) else {
                panic!("a media message")
            };
            let mut frames = 0;
            let taken = intake.take(&media, Nanos(1), |frame| {
                black_box(frame);
                frames += 1;
            });
            assert!(matches!(taken, Taken::Frames { .. }) && frames == 1);
        });
    });

    let mut texts = messages.iter().cycle();
    group.bench_function("serde_json", |b| {
        b.iter(|| {
            let text = texts.next().expect("it begins again");
            let Ok(PlainIn::Media { media, .. }) = serde_json::from_str(black_box(text)) else {
                panic!("a media message")
            };
            let bytes = STANDARD.decode_to_vec(media.payload.as_bytes()).expect("base64");
            let time: u64 = media.timestamp.parse().expect("a number");
            black_box(MediaFrame::new(Nanos(1), time * 8, &bytes).expect("160 bytes"))
        });
    });
    group.finish();
}

/// From a frame to text.
fn outgoing(criterion: &mut Criterion) {
    let frames: Vec<MediaFrame> =
        (0..MESSAGES).map(|i| MediaFrame::new(Nanos(1), 0, &sound(i)).expect("160 bytes fit")).collect();
    let mut group = criterion.benchmark_group("message/out");
    group.throughput(Throughput::Elements(1));

    let mut out = Outgoing::new(STREAM_SID);
    let mut next = frames.iter().cycle();
    group.bench_function("bridge", |b| {
        // Dropped within, as it is when it has been written: that gives the buffer its room back.
        b.iter(|| {
            let frame = next.next().expect("it begins again");
            black_box(out.media(black_box(frame.payload())).len())
        });
    });

    let mut next = frames.iter().cycle();
    group.bench_function("serde_json", |b| {
        b.iter(|| {
            let frame = next.next().expect("it begins again");
            let media = PlainPayload { payload: STANDARD.encode_to_string(black_box(frame.payload())) };
            let message = PlainOut::Media { stream_sid: STREAM_SID, media };
            black_box(serde_json::to_string(&message).expect("text is JSON").len())
        });
    });
    group.finish();
}

criterion_group!(benches, incoming, outgoing);
criterion_main!(benches);
