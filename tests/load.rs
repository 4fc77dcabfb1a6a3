//! The load suite, run as a user runs it: what it says of a bridge can be told from the sound alone.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

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
fn a_networks_own_jitter_is_not_the_bridges() {
    let report = run("lan", "pcmu", &["--network", "lan"]);
    let (total, added) = (report.down.total.p50, report.down.added.p50);
    // 1 ms, and up to 0.8 ms of jitter.
    assert!(total - added > 1.2, "{added} of {total} ms");
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

/// Bridges that run with a configuration below `folder`.
fn bridges(folder: &Path) -> usize {
    let folder = folder.to_str().expect("the path is text");
    let processes = std::fs::read_dir("/proc").expect("this is Linux").flatten();
    let commands = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    commands.filter(|command| String::from_utf8_lossy(command).contains(folder)).count()
}

fn within_ten_seconds(mut what: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) {
        if what() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

#[test]
fn a_run_that_is_ended_takes_its_bridge_along() {
    let folder = directory().join("ended");
    // Of a run that failed here.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the directory is writable");
    let mut suite = Command::new(env!("CARGO_BIN_EXE_aria"));
    suite.args(["load", "--calls", "1", "--seconds", "60"]).env("TMPDIR", &folder);
    let mut suite = suite.spawn().expect("cargo has built the program");
    assert!(within_ten_seconds(|| bridges(&folder) == 1), "a bridge was started");
    // SAFETY: no pointers; the process is our own child and has not been waited for.
    unsafe { libc::kill(suite.id() as i32, libc::SIGTERM) };
    let mut status = None;
    let ended = within_ten_seconds(|| {
        status = suite.try_wait().expect("it is our child");
        status.is_some()
    });
    assert!(ended, "the suite ends when it is told to");
    assert_eq!(status.and_then(|status| status.code()), Some(1), "it was not done");
    assert!(within_ten_seconds(|| bridges(&folder) == 0), "its bridge ends with it");
    assert_eq!(std::fs::read_dir(&folder).expect("it is there").count(), 0, "nothing is left of it");
}
