//! The summary in the terminal.

use perf::report::Second;

use crate::sample;

const COLUMNS: usize = 100;

fn assert_narrow(text: &str) {
    for line in text.lines() {
        assert!(line.chars().count() <= COLUMNS, "{} columns: {line}", line.chars().count());
        assert_eq!(line.trim_end(), line, "blanks at the end");
    }
}

#[test]
fn a_summary_tells_what_matters_in_a_hundred_columns() {
    let mut report = sample::report();
    report.calls.failed = 3;
    report.up.lost = 600;
    report.barge_in.stale_frames = 1;
    let text = report.to_string();
    println!("{text}");
    assert_narrow(&text);
    for part in [
        "100 calls for 60 s, opus, network SAMPLE DATA",
        "100 calls held of 100 begun, 3 failed, 0 breaches",
        "look-ahead 6.50, jitter wait 2.40",
        "118 interruptions, 118 cleared, 1 stale frame after it",
        "0.61 % of a core",
        "318 kB (51.3 MB resident in all)",
        "machine 34.0 % idle, cores awake",
    ] {
        assert!(text.contains(part), "{part}");
    }
    // Six hundred of sixty thousand, under "lost".
    let lost = text.lines().find(|l| l.contains("% of those sent")).expect("a line of shares");
    assert_eq!(lost.split_whitespace().nth(6), Some("1.00"), "{lost}");
    assert!(!text.contains("WARNING") && !text.contains("MISSED"), "{text}");
}

#[test]
fn a_late_suite_and_a_busy_machine_are_told() {
    let mut report = sample::report();
    report.generator.phone_lateness.p99 = 5.1;
    report.generator.model_lateness.p99 = 21.0;
    report.generator.machine_idle_percent = 9.9;
    report.up.added.p99 = 2.01;
    let text = report.to_string();
    assert_narrow(&text);
    for part in [
        "WARNING: the phones themselves wrote late (p99 5.10 ms)",
        "WARNING: the model itself wrote late (p99 21.0 ms)",
        "WARNING: the machine was busy (9.90 % idle)",
        "MISSED",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    report.generator.phone_lateness.p99 = 5.0;
    report.generator.model_lateness.p99 = 5.0;
    report.generator.machine_idle_percent = 10.0;
    assert!(!report.to_string().contains("WARNING"));
}

#[test]
fn what_was_not_observed_is_a_dash_and_no_zero() {
    let text = sample::nothing().to_string();
    assert_narrow(&text);
    let added = text.lines().find(|l| l.contains("added, caller")).expect("the line is there");
    assert_eq!(added.matches('–').count(), 5, "{added}");
    assert!(text.contains("process is not known"), "{text}");
    assert!(text.contains("not measured"), "{text}");
}

#[test]
fn the_goal_for_cpu_is_the_codecs() {
    let limit = |codec: &str| {
        let mut report = sample::report();
        report.setting.codec = codec.into();
        report.goals().iter().find(|g| g.key == "bridge.cpu_per_call").map(|g| (g.limit, g.met()))
    };
    assert_eq!(limit("opus"), Some((0.8, Some(true))));
    assert_eq!(limit("PCMU"), Some((0.45, Some(false))));
    assert_eq!(limit("auto"), None);
}

#[test]
fn progress_is_one_short_line() {
    let second = Second {
        at: 12,
        up: [0.213, 0.61, 100.04],
        down: [0.26, 0.9, 2.0],
        bridge_cpu_percent: Some(61.4),
        idle_percent: 34.0,
        interruptions: 2,
    };
    let line = second.to_string();
    println!("{line}");
    assert_narrow(&line);
    assert!(!line.contains('\n') && line.contains("0.21 / 0.61 / 100") && line.contains("61.4 %"), "{line}");
    let unknown = Second { bridge_cpu_percent: None, ..second };
    assert!(!unknown.to_string().contains("bridge"));
}
