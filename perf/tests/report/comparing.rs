//! A run beside a baseline: what is worse, what is not, and what cannot be said.

use perf::report::{Baseline, BaselineError, Comparison, Report, Verdict};

use crate::sample::{nothing, report, runs, scaled};

fn baseline() -> Baseline {
    Baseline::from_runs(&runs()).expect("three like runs")
}

fn changed(change: impl FnOnce(&mut Report)) -> Comparison {
    let mut ours = report();
    change(&mut ours);
    baseline().compare(&ours)
}

fn verdict(comparison: &Comparison, key: &str) -> Verdict {
    comparison.line(key).unwrap_or_else(|| panic!("no line {key}")).verdict
}

#[test]
fn the_range_is_that_of_the_runs() {
    let baseline = baseline();
    let cpu = baseline.figures["bridge.cpu_per_call"];
    assert_eq!((cpu.min, cpu.median, cpu.max), (0.61 * 0.95, 0.61, 0.61 * 1.08));
    assert_eq!(baseline.runs, 3);
}

#[test]
fn each_figure_has_its_verdict() {
    type Change = fn(&mut Report);
    let cases: [(&str, Verdict, Change); 17] = [
        ("bridge.cpu_per_call", Verdict::Same, |_| ()),
        // Largest 0.6588, widened to 0.8235 + 0.02.
        ("bridge.cpu_per_call", Verdict::Same, |r| r.bridge.as_mut().unwrap().cpu_percent_per_call = 0.84),
        ("bridge.cpu_per_call", Verdict::Worse, |r| r.bridge.as_mut().unwrap().cpu_percent_per_call = 0.85),
        ("bridge.cpu_per_call", Verdict::Better, |r| r.bridge.as_mut().unwrap().cpu_percent_per_call = 0.4),
        ("bridge.cpu_per_call", Verdict::Missing, |r| r.bridge = None),
        ("bridge.memory_per_call", Verdict::Worse, |r| r.bridge.as_mut().unwrap().memory_per_call_kb *= 1.5),
        ("up.added.p50", Verdict::Worse, |r| r.up.added.p50 *= 1.7),
        ("up.added.p99", Verdict::Same, |r| r.up.added.p99 *= 1.9),
        ("up.added.p99", Verdict::Worse, |r| r.up.added.p99 *= 2.4),
        ("down.added.p50", Verdict::Missing, |r| r.down.added.count = 0),
        ("up.lost", Verdict::Worse, |r| r.up.lost = 1),
        ("up.unheard", Verdict::Worse, |r| r.up.heard -= 600),
        // Four in sixty thousand were concealed in each run: ten are chance, eleven are not.
        ("down.concealed", Verdict::Same, |r| r.down.concealed = 10),
        ("down.concealed", Verdict::Worse, |r| r.down.concealed = 11),
        ("calls.failed", Verdict::Worse, |r| r.calls.failed = 1),
        ("barge_in.uncleared", Verdict::Worse, |r| r.barge_in.cleared -= 1),
        ("barge_in.stale_frames", Verdict::Worse, |r| r.barge_in.stale_frames = 1),
    ];
    for (key, expected, change) in cases {
        let comparison = changed(change);
        println!("{comparison}\n");
        assert_eq!(verdict(&comparison, key), expected, "{key}: {:?}", comparison.line(key));
        let worse = matches!(expected, Verdict::Worse | Verdict::Missing);
        assert_eq!(comparison.worse(), worse, "{key}");
        assert_eq!(comparison.verdict() == Verdict::Worse, worse, "{key}");
        assert!(comparison.to_string().lines().all(|l| l.chars().count() <= 100), "{comparison}");
    }
    assert_eq!(changed(|_| ()).verdict(), Verdict::Same);
    assert_eq!(baseline().compare(&scaled(&report(), 0.5)).verdict(), Verdict::Better);
}

#[test]
fn one_worse_outweighs_many_better() {
    let mut ours = scaled(&report(), 0.5);
    ours.calls.violations = 1;
    assert!(baseline().compare(&ours).worse());
}

#[test]
fn a_silent_bridge_is_not_fast() {
    let comparison = baseline().compare(&Report { generator: report().generator, ..nothing() });
    assert!(comparison.differences.is_empty(), "{:?}", comparison.differences);
    assert!(comparison.worse());
    assert_eq!(verdict(&comparison, "up.added.p50"), Verdict::Missing);
}

#[test]
fn what_differs_is_not_compared() {
    type Change = fn(&mut Report);
    let cases: [(&str, Change); 10] = [
        ("calls: the baseline has 100, this run 50", |r| r.setting.calls = 50),
        ("seconds: the baseline has 60, this run 30", |r| r.setting.seconds = 30),
        ("new calls a second: the baseline has 10, this run 5", |r| r.setting.ramp_per_second = 5.0),
        ("codec: the baseline has opus, this run pcmu", |r| r.setting.codec = "pcmu".into()),
        ("network: the baseline has", |r| r.setting.network = "lte".into()),
        ("bridge: the baseline has started by the suite, this run given", |r| r.setting.spawned = false),
        ("cores: the baseline has 2, this run 4", |r| r.machine.cores = 4),
        ("the phones themselves wrote late", |r| r.generator.phone_lateness.p99 = 6.0),
        ("the model itself wrote late", |r| r.generator.model_lateness.p99 = 6.0),
        ("the machine was busy", |r| r.generator.machine_idle_percent = 3.0),
    ];
    for (said, change) in cases {
        let comparison = changed(|r| {
            change(r);
            r.calls.failed = 9;
            r.up.added.p50 *= 100.0;
        });
        assert_eq!(comparison.verdict(), Verdict::NotComparable, "{said}");
        assert!(comparison.lines.iter().all(|l| l.verdict == Verdict::NotComparable), "{said}");
        assert!(!comparison.worse(), "{said}");
        assert!(comparison.to_string().contains(said), "{said} in {comparison}");
    }
}

#[test]
fn another_processor_leaves_only_counts() {
    let other = |r: &mut Report| r.machine.cpu = "Another processor".into();
    let comparison = changed(|r| {
        other(r);
        r.up.added.p50 *= 100.0;
        r.bridge = None;
    });
    assert!(!comparison.worse(), "{comparison}");
    assert_eq!(verdict(&comparison, "up.added.p50"), Verdict::NotComparable);
    assert_eq!(verdict(&comparison, "bridge.cpu_per_call"), Verdict::NotComparable);
    assert_eq!(verdict(&comparison, "up.lost"), Verdict::Same);
    assert!(comparison.to_string().contains("only failures and counts are compared"), "{comparison}");
    for change in [
        |r: &mut Report| r.up.lost = 1,
        |r: &mut Report| r.down.duplicated = 1,
        |r: &mut Report| r.barge_in.stale_frames = 1,
        |r: &mut Report| r.calls.failed = 1,
    ] {
        assert!(changed(|r| (other(r), change(r)).1).worse());
    }
}

#[test]
fn a_figure_that_the_baseline_lacks_is_not_judged() {
    let without: Vec<Report> = runs().into_iter().map(|r| Report { bridge: None, ..r }).collect();
    let baseline = Baseline::from_runs(&without).expect("three like runs");
    let comparison = baseline.compare(&report());
    assert_eq!(verdict(&comparison, "bridge.cpu_per_call"), Verdict::NotComparable);
    assert_eq!(comparison.verdict(), Verdict::Same);
}

#[test]
fn runs_that_do_not_belong_together_make_no_baseline() {
    assert_eq!(Baseline::from_runs(&[]), Err(BaselineError::TooFew(0)));
    assert_eq!(Baseline::from_runs(&runs()[..2]), Err(BaselineError::TooFew(2)));
    let with = |change: fn(&mut Report)| {
        let mut runs = runs();
        change(&mut runs[1]);
        Baseline::from_runs(&runs).expect_err("refused").to_string()
    };
    assert_eq!(
        with(|r| r.setting.calls = 7),
        "run 2 is not like the first: calls: the baseline has 100, this run 7"
    );
    assert!(with(|r| r.machine.cpu = "x".into()).starts_with("run 2 is not like the first: processor"));
    assert_eq!(
        with(|r| r.generator.machine_idle_percent = 2.0),
        "run 2 is doubtful: the machine was busy (2.00 % idle)"
    );
}
