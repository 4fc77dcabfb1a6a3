//! `GET /api/profile`: who may ask, what for, and that the stacks are true and taken without touching the allocator.

mod support;

use std::alloc::System;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use pipeline::GuardedAllocator;
use reqwest::{Client, Response, StatusCode, header};
use support::house::House;
use support::lines;
use tokio::sync::Mutex;

/// Notices if the signal handler allocates in the middle of an audio thread's tick.
#[global_allocator]
static ALLOCATOR: GuardedAllocator<System> = GuardedAllocator::counting(System);

/// The process has one profile at a time, and these tests share a process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

#[inline(never)]
fn burn_the_audio_core(stop: &AtomicBool) -> u64 {
    let mut sum = 0u64;
    while !stop.load(Ordering::Relaxed) {
        for n in 0..10_000u64 {
            sum = black_box(sum.rotate_left(5) ^ n);
        }
    }
    sum
}

/// A thread that is busy in a function that we know, where nothing may allocate.
struct Burner {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Burner {
    fn start(name: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let work = move || pipeline::forbid_alloc_always(|| burn_the_audio_core(&stopped));
        let thread = std::thread::Builder::new().name(name.into()).spawn(work).expect("a thread");
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Burner {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(_))));
    }
}

async fn get(house: &House, query: &str) -> Response {
    Client::new()
        .get(format!("http://{}/api/profile?{query}", house.address))
        .send()
        .await
        .expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flamegraph_shows_who_burns_the_core_and_the_handler_does_not_allocate() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let house = House::of(lines::model()).await;
    let burner = Burner::start("audio-7");
    let before = pipeline::violations();

    let answer = get(&house, "seconds=1&threads=audio").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "image/svg+xml");
    let svg = answer.text().await.expect("text");
    assert!(svg.contains("<svg") && svg.contains("burn_the_audio_core"), "{} bytes", svg.len());

    let folded = get(&house, "seconds=1&threads=audio&format=folded").await.text().await.expect("text");
    let burnt: u64 = folded
        .lines()
        .filter(|line| line.starts_with("audio;") && line.contains("burn_the_audio_core"))
        .map(|line| line.rsplit(' ').next().and_then(|n| n.parse::<u64>().ok()).expect("a count"))
        .sum();
    // A second of one core at 199 Hz, on a machine that does other things too.
    assert!((10..=400).contains(&burnt), "{burnt} of\n{folded}");
    assert!(!folded.contains("[broken stack]"), "{folded}");

    // Other threads are left alone: what runs there is not in the picture.
    let network = get(&house, "seconds=1&threads=network&format=folded").await.text().await.expect("text");
    assert!(!network.contains("burn_the_audio_core"), "{network}");
    assert_eq!(pipeline::violations(), before, "the handler allocated");
    drop(burner);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_at_a_time_and_the_next_one_after_it() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let house = House::of(lines::model()).await;
    let (first, second) = tokio::join!(get(&house, "seconds=2&threads=audio"), async {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        get(&house, "seconds=1").await
    });
    assert_eq!((first.status(), second.status()), (StatusCode::OK, StatusCode::CONFLICT));
    assert!(second.text().await.expect("text").contains("a profile is being taken"));
    // One that its asker gave up is over at once.
    let impatient = get(&house, "seconds=60");
    assert!(tokio::time::timeout(std::time::Duration::from_millis(500), impatient).await.is_err());
    let until = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while get(&house, "seconds=1&threads=audio").await.status() == StatusCode::CONFLICT {
        assert!(std::time::Instant::now() < until, "a profile that nobody waits for goes on");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_alone_and_within_bounds() {
    let house = House::of(lines::model()).await;
    for (query, why) in [
        ("seconds=0", "seconds must be a whole number from 1 to 60, not '0'"),
        ("seconds=61", "not '61'"),
        ("threads=video", "threads must be audio, network, control or all, not 'video'"),
        ("hz=100000", "hz must be a whole number from 2 to 500"),
        ("format=pdf", "format must be svg or folded"),
        ("minutes=1", "'minutes' is not known"),
    ] {
        let answer = get(&house, query).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{query}");
        let text = answer.text().await.expect("text");
        assert!(text.contains(why), "{query}: {text}");
    }
    let url = format!("http://{}/api/profile?seconds=1", house.address);
    let foreign = Client::new().get(url).header(header::ORIGIN, "https://evil.example").send().await;
    assert_eq!(foreign.expect("an answer").status(), StatusCode::FORBIDDEN);
}
