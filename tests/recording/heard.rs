//! A recording against what the phone knows that its caller said and heard.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sim::model::{Line, ModelConfig, ModelScript, Turn};
use sim::network::NetworkConfig;
use sim::phone::Moment;

use super::played::{self, Played};
use crate::support::house::{Blueprint, Held, House};
use crate::support::program::folder;
use crate::support::sound::{LOUD, SILENT, rms};

/// From the end of a call until its recording is put away, on a busy machine.
const WITHIN: Duration = Duration::from_secs(20);
/// What is looked for: 200 ms of speech.
const PIECE: usize = 1_600;
/// How far it may lie from its place, samples.
const REACH: usize = 8 * 150;

/// Interrupts, waits and listens.
const SCRIPT: &str = "
wait-speech
wait-silence 500ms
say thank-you
interrupt 900ms lima
wait-silence 500ms
interrupt 400ms five
wait-silence 500ms
interrupt 2300ms two
wait-silence 1000ms
hangup
";

fn model(network: NetworkConfig) -> ModelConfig {
    let turn = Turn { reply: Some(Line::of(["all-busy"])), ..Turn::default() };
    let script =
        ModelScript { greeting: Line::of(["hello"]), turns: vec![turn; 4], ..ModelScript::default() };
    ModelConfig { script, network, ..ModelConfig::default() }
}

async fn recorded(folder: &Path, format: &str, model: ModelConfig) -> (Held, Vec<u8>) {
    let (to, spool) = (folder.join("put"), folder.join("spool"));
    let file = format!(
        "[recording]\nto = {to:?}\nspool = {spool:?}\nformat = \"{format}\"\nannouncement = \"This call is recorded.\"\n"
    );
    let house = House::build(Blueprint {
        models: vec![model],
        file,
        agent: "record = true".into(),
        ..Blueprint::default()
    })
    .await;
    let held = house.call(0, SCRIPT).await;
    held.assert_orderly();
    let path = to.join(format!("{}.{format}", held.report.call_sid));
    (held, wait_for(&path, &spool).await)
}

/// The file, once it is there and nothing of it waits any more.
pub async fn wait_for(path: &Path, spool: &Path) -> Vec<u8> {
    let until = Instant::now() + WITHIN;
    loop {
        let waiting = std::fs::read_dir(spool).map_or(0, Iterator::count);
        if waiting == 0
            && let Ok(bytes) = std::fs::read(path)
        {
            return bytes;
        }
        assert!(Instant::now() < until, "{} is not there; {waiting} files wait", path.display());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Where loud pieces of `truth` are in `recorded`, each as its distance from its own place, samples.
fn places(truth: &[i16], recorded: &[i16]) -> Vec<isize> {
    let pieces = truth.chunks_exact(PIECE).enumerate().filter(|(_, piece)| rms(piece) > LOUD);
    let place = |(n, piece): (usize, &[i16])| {
        let at = n * PIECE;
        let like = |from: usize| {
            let window = &recorded[from..from + PIECE];
            let dot: f64 = window.iter().zip(piece).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            dot / (rms(window) * rms(piece) * PIECE as f64).max(1.0)
        };
        // The recording begins with the stream, later than the call.
        let last = (at + REACH).min(recorded.len().checked_sub(PIECE)?);
        let best = (at.saturating_sub(8 * 1_500)..last).max_by(|a, b| like(*a).total_cmp(&like(*b)))?;
        (like(best) > 0.9).then_some(best as isize - at as isize)
    };
    pieces.filter_map(place).collect()
}

fn median(values: &[isize]) -> isize {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}

/// Both sides lie as they did for the caller, and what he did not hear is not there.
fn assert_as_heard(what: &str, held: &Held, played: &Played) {
    let (caller, aria) =
        (places(&held.report.said, &played.caller), places(&held.report.heard, &played.aria));
    assert!(
        caller.len() >= 4 && aria.len() >= 15,
        "{what}: {} and {} pieces are found",
        caller.len(),
        aria.len()
    );
    let began = median(&caller);
    let mut off: Vec<f64> = aria.iter().map(|place| (place - began) as f64 / 8.0).collect();
    off.sort_by(f64::total_cmp);
    let mean = off.iter().map(|off| off.abs()).sum::<f64>() / off.len() as f64;
    println!(
        "{what}: {} pieces of ARIA's voice lie {:.1} to {:.1} ms from where the caller heard them, mean of the amounts {mean:.1} ms",
        off.len(),
        off[0],
        off[off.len() - 1]
    );
    assert!(
        mean <= 20.0 && off[0] >= -60.0 && off[off.len() - 1] <= 60.0,
        "{what}: {off:?}; {}",
        held.evidence(what)
    );
    // Silence, after each interruption: what waited at Twilio was never played.
    let clears = held.report.times(|m| matches!(m, Moment::Clear { .. }));
    assert_eq!(clears.len(), 3, "{}", held.evidence(what));
    for clear in clears {
        let from = (held.report.sample_at(clear) as isize + began) as usize + 8 * 80;
        let level = rms(&played.aria[from..from + 8 * 200]);
        assert!(level < SILENT, "{what}: {level} behind the interruption at {clear:?}");
    }
}

fn jittery() -> NetworkConfig {
    NetworkConfig {
        delay: Duration::from_millis(20),
        jitter: Duration::from_millis(30),
        ..NetworkConfig::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wav_file_has_what_the_caller_heard() {
    let folder: PathBuf = folder();
    let (held, bytes) = recorded(&folder, "wav", model(NetworkConfig::default())).await;
    assert_as_heard("wav", &held, &played::wav(&bytes));
    let announced =
        held.report.when(|m| matches!(m, Moment::Spoken(text) if text == "This call is recorded."));
    let connected = held.report.when(|m| matches!(m, Moment::StreamConnecting));
    assert!(announced.is_some() && announced < connected, "{:?}", held.report);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ogg_file_has_it_too_and_keeps_the_sides_apart() {
    let folder = folder();
    let (held, bytes) = recorded(&folder, "ogg", model(jittery())).await;
    let played = played::ogg(&bytes);
    assert_as_heard("ogg, jittery", &held, &played);
    let seconds = played.caller.len() as f64 / 8_000.0;
    println!("{:.1} kbit/s", bytes.len() as f64 * 8.0 / 1_000.0 / seconds);
    // Where she speaks and he does not, nothing of her is on his side.
    let (mut hers, mut leaked) = (0.0, 0.0);
    for (caller, aria) in played.caller.chunks(160).zip(played.aria.chunks(160)) {
        if rms(aria) > 2_000.0 && rms(caller) < 300.0 {
            hers += rms(aria).powi(2);
            leaked += rms(caller).powi(2);
        }
    }
    let apart = 10.0 * f64::log10(hers / leaked);
    println!("the sides are {apart:.1} dB apart");
    assert!(apart > 30.0, "{apart}");
}
