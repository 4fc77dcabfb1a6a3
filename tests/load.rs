//! The load suite, run as a user runs it: what it says of a bridge can be told from the sound alone.

use std::path::PathBuf;
use std::process::{Command, Output};

use perf::report::Report;

fn directory() -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("load");
    std::fs::create_dir_all(&directory).expect("cargo's directory for tests is writable");
    directory
}

fn load(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aria"))
        .arg("load")
        .args(arguments)
        .current_dir(directory())
        .output()
        .expect("cargo has built the program")
}

/// Runs three calls and gives what was stored.
fn run(name: &str, codec: &str, more: &[&str]) -> Report {
    let json = directory().join(format!("{name}.json"));
    let path = json.to_str().expect("the path is text");
    let all =
        [&["--calls", "3", "--seconds", "4", "--interrupt", "2", "--codec", codec, "--json", path], more]
            .concat();
    let output = load(&all);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("3 calls held of 3 begun"), "{text}");
    Report::load(&json).expect("it was just stored")
}

#[test]
fn sound_is_recognised_both_ways_and_interruptions_are_measured() {
    for (codec, look_ahead) in [("opus", 6.5), ("pcmu", 0.0)] {
        let report = run(codec, codec, &[]);
        assert_eq!((report.calls.failed, report.calls.violations), (0, 0), "{codec}");
        for (road, direction) in [("up", &report.up), ("down", &report.down)] {
            assert!(direction.sent >= 300, "{codec} {road}: {} frames", direction.sent);
            let heard = direction.heard as f64 / direction.sent as f64;
            // Opus blurs the first frames behind a pause.
            assert!((0.85..1.1).contains(&heard), "{codec} {road}: {heard} of the frames were recognised");
            assert!(
                direction.total.p50 > direction.look_ahead_ms,
                "{codec} {road}: nothing is faster than its codec"
            );
            // Known of libopus at 8 kHz, found in the sound: to the sample.
            assert!(
                (direction.look_ahead_ms - look_ahead).abs() < 0.2,
                "{codec} {road}: {}",
                direction.look_ahead_ms
            );
        }
        assert!(report.barge_in.announced >= 3, "{codec}: {} interruptions", report.barge_in.announced);
        assert_eq!(report.barge_in.cleared, report.barge_in.announced, "{codec}");
        assert_eq!(report.barge_in.stale_frames, 0, "{codec}");
        let footprint = report.bridge.expect("the bridge was started here");
        assert!(footprint.cpu_percent_per_call > 0.0 && footprint.memory_per_call_kb > 0.0);
        assert_eq!(report.timeline.len(), 4);
    }
}

#[test]
fn a_network_that_loses_and_delays_is_found_in_the_figures() {
    let html = directory().join("bursts.html");
    let report =
        run("bursts", "pcmu", &["--network", "bursts", "--html", html.to_str().expect("it is text")]);
    assert!(report.down.concealed + report.down.lost > 0, "five percent are lost");
    assert_eq!(report.up.concealed + report.up.lost, 0, "the other way nothing is");
    assert!(report.down.total.p50 > 20.0, "20 ms of network: {}", report.down.total.p50);
    assert!(report.up.total.p50 < 20.0, "none upward: {}", report.up.total.p50);
    let page = std::fs::read_to_string(html).expect("it was just written");
    assert!(page.contains("<svg") && page.contains("bursts"));
}

#[test]
fn wrong_arguments_are_refused_before_anything_starts() {
    let refused = load(&["--network", "moon"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("clean, lan, inet"));
    let missing = load(&["--baseline", "nowhere.json"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("nowhere.json"));
}
