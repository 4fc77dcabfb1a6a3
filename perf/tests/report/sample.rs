//! Sample data: made up by formula, measured nowhere, and marked so in every report.

use std::sync::LazyLock;
use std::time::Duration;

use perf::Spread;
use perf::report::{
    BargeIn, Calls, Direction, FORMAT, Footprint, Generator, Machine, Quantiles, Report, Second, SetUp,
    Setting,
};

/// Stands where the network would, so that no picture of it can be taken for a measurement.
pub const MARK: &str = "SAMPLE DATA, not measured";

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    /// From 0 to 1.
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Around `median`, with a tail to the right.
    fn delay(&mut self, median: f64) -> f64 {
        let bell: f64 = (0..6).map(|_| self.roll() - 0.5).sum::<f64>();
        let straggler = if self.roll() < 0.004 { 1.0 + 9.0 * self.roll() } else { 1.0 };
        median * (0.55 * bell).exp() * straggler
    }
}

fn spread(dice: &mut Dice, median_ms: f64, count: usize) -> Spread {
    let mut spread = Spread::default();
    for _ in 0..count {
        spread.record(Duration::from_secs_f64(dice.delay(median_ms) / 1e3));
    }
    spread
}

fn direction(dice: &mut Dice, median_ms: f64, parts: (f64, Option<f64>)) -> Direction {
    let added = spread(dice, median_ms, 60_000);
    let shift = parts.0 + parts.1.unwrap_or_default();
    let q = Quantiles::from(&added);
    let total = Quantiles {
        mean: q.mean + shift,
        p50: q.p50 + shift,
        p95: q.p95 + shift,
        p99: q.p99 + shift,
        p999: q.p999 + shift,
        max: q.max + shift,
        ..q
    };
    Direction {
        total,
        added: q,
        look_ahead_ms: parts.0,
        jitter_wait_ms: parts.1,
        sent: 60_000,
        heard: 60_000,
        histogram: added.buckets().map(|(edge, n)| (edge.as_secs_f64() * 1e3, n)).collect(),
        ..Direction::default()
    }
}

fn second(dice: &mut Dice, at: u64) -> Second {
    let mut delays = |median: f64| {
        let p50 = median * (0.95 + 0.1 * dice.roll());
        let p99 = p50 * (2.2 + 1.2 * dice.roll());
        [p50, p99, p99 * (1.2 + 4.0 * dice.roll().powi(4))]
    };
    let (up, down) = (delays(0.21), delays(0.26));
    Second {
        at,
        up,
        down,
        bridge_cpu_percent: Some(58.0 + 6.0 * dice.roll()),
        idle_percent: 31.0 + 8.0 * dice.roll(),
        interruptions: (dice.roll() * 5.0) as u64,
    }
}

/// A run in which all went well.
pub fn report() -> Report {
    static MADE: LazyLock<Report> = LazyLock::new(make);
    MADE.clone()
}

fn make() -> Report {
    let mut dice = Dice(7);
    let dice = &mut dice;
    let mut quantiles = |median, count| Quantiles::from(&spread(dice, median, count));
    let setup = SetUp {
        webhook: quantiles(1.8, 100),
        upgrade: quantiles(1.1, 100),
        session: quantiles(19.0, 100),
        first_sound: quantiles(240.0, 100),
    };
    let barge_in = BargeIn {
        announced: 118,
        cleared: 118,
        clear: quantiles(0.4, 118),
        backlog: quantiles(55.0, 118),
        stale_frames: 0,
    };
    let generator = Generator {
        phone_lateness: quantiles(0.2, 60_000),
        model_lateness: quantiles(0.22, 60_000),
        cpu_percent: 71.0,
        machine_idle_percent: 34.0,
        cores_awake: Some(true),
    };
    let mut down = direction(dice, 0.26, (6.5, Some(2.4)));
    (down.heard, down.concealed) = (59_996, 4);
    Report {
        format: FORMAT,
        began_unix: 1_000_000_000,
        machine: Machine { cpu: "Sample processor".into(), cores: 2, kernel: "0.0-sample".into() },
        setting: Setting {
            calls: 100,
            seconds: 60,
            ramp_per_second: 10.0,
            codec: "opus".into(),
            network: MARK.into(),
            spawned: true,
        },
        calls: Calls { begun: 100, held: 100, failed: 0, violations: 0 },
        up: direction(dice, 0.21, (6.5, None)),
        down,
        barge_in,
        setup,
        bridge: Some(Footprint {
            cpu_percent_per_call: 0.61,
            cpu_percent: 61.0,
            kernel_percent: 22.0,
            threads: vec![("audio".into(), 38.0), ("tokio".into(), 21.4), ("aria".into(), 1.6)],
            switches_per_second: 9_400.0,
            memory_per_call_kb: 318.0,
            memory_kb: 51_300,
        }),
        generator,
        timeline: (0..60).map(|at| second(dice, at)).collect(),
    }
}

/// The same run, a little different each time: the runs of a baseline.
pub fn runs() -> Vec<Report> {
    [0.95, 1.0, 1.08].map(|factor| scaled(&report(), factor)).into()
}

/// All delays, CPU and memory times `factor`.
pub fn scaled(report: &Report, factor: f64) -> Report {
    let mut scaled = report.clone();
    let quantiles = |q: &mut Quantiles| {
        for value in [&mut q.mean, &mut q.p50, &mut q.p95, &mut q.p99, &mut q.p999, &mut q.max] {
            *value *= factor;
        }
    };
    for direction in [&mut scaled.up, &mut scaled.down] {
        quantiles(&mut direction.added);
        quantiles(&mut direction.total);
    }
    quantiles(&mut scaled.barge_in.clear);
    let SetUp { webhook, upgrade, session, first_sound } = &mut scaled.setup;
    [webhook, upgrade, session, first_sound].into_iter().for_each(quantiles);
    if let Some(bridge) = &mut scaled.bridge {
        bridge.cpu_percent_per_call *= factor;
        bridge.memory_per_call_kb *= factor;
    }
    scaled
}

/// A run of which nothing is known: no call, no frame, no process.
pub fn nothing() -> Report {
    let Report { machine, setting, .. } = report();
    Report {
        format: FORMAT,
        began_unix: u64::MAX,
        machine,
        setting,
        calls: Calls::default(),
        up: Direction::default(),
        down: Direction::default(),
        barge_in: BargeIn::default(),
        setup: SetUp::default(),
        bridge: None,
        generator: Generator::default(),
        timeline: Vec::new(),
    }
}
