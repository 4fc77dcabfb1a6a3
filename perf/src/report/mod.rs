//! What a run of the suite found: one value, written as JSON and shown as a page.
//!
//! Delays are in milliseconds, shares in percent of one core. `total` is what a listener with the sender's clock would measure: from the
//! moment a piece of sound was handed to the kernel by its sender to the moment it reached the other end, sample for sample.

mod baseline;
mod comparison;
mod difference;
mod doubt;
mod figure;
mod goal;
mod json;
mod number;
mod page;
mod text;
mod verdict;

use std::time::Duration;

pub use baseline::{Baseline, BaselineError, MIN_RUNS, Range};
pub use comparison::{Comparison, Line};
pub use difference::Difference;
pub use doubt::{BUSY_IDLE_PERCENT, Doubt, LATE_GENERATOR_MS};
pub use figure::Unit;
pub use goal::Goal;
pub use json::FileError;
pub use verdict::Verdict;

use serde::{Deserialize, Serialize};

use crate::Spread;

/// Grows when a field changes its meaning.
pub const FORMAT: u32 = 1;

/// One run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// When the run began, seconds since 1970.
    pub began_unix: u64,
    /// Where it ran.
    pub machine: Machine,
    /// What was asked for.
    pub setting: Setting,
    /// Calls that were begun, held to the end, and failed.
    pub calls: Calls,
    /// Caller to model.
    pub up: Direction,
    /// Model to caller.
    pub down: Direction,
    /// Interruptions.
    pub barge_in: BargeIn,
    /// From webhook to sound.
    pub setup: SetUp,
    /// What the bridge used; absent if its process is not known.
    pub bridge: Option<Footprint>,
    /// How punctual the suite itself was.
    pub generator: Generator,
    /// One entry a second of the measured time.
    pub timeline: Vec<Second>,
}

/// The machine under both the bridge and the suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// Cores the suite may use.
    pub cores: usize,
    /// Kernel release.
    pub kernel: String,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// Calls at once.
    pub calls: usize,
    /// Measured time, s, after the ramp and the warm-up.
    pub seconds: u64,
    /// New calls a second while the load grows.
    pub ramp_per_second: f64,
    /// Codec of the model's leg.
    pub codec: String,
    /// Network between the model and the bridge.
    pub network: String,
    /// Whether the bridge was started by the suite or given by address.
    pub spawned: bool,
}

/// How the calls went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    /// Begun.
    pub begun: usize,
    /// Held to the end of the run.
    pub held: usize,
    /// Ended too soon or never connected.
    pub failed: usize,
    /// Breaches of Twilio's protocol by the bridge.
    pub violations: usize,
}

/// Percentiles in ms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Observations.
    pub count: u64,
    /// Mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p999: f64,
    /// Largest.
    pub max: f64,
}

impl From<&Spread> for Quantiles {
    fn from(spread: &Spread) -> Self {
        let ms = |d: Duration| d.as_secs_f64() * 1e3;
        let [p50, p95, p99, p999, max] = [0.5, 0.95, 0.99, 0.999, 1.0].map(|q| ms(spread.percentile(q)));
        Self { count: spread.count(), mean: ms(spread.mean()), p50, p95, p99, p999, max }
    }
}

impl Quantiles {
    /// The same, unless nothing was observed: then its zeros are no figures.
    pub fn seen(&self) -> Option<&Self> {
        (self.count > 0).then_some(self)
    }
}

/// One direction of sound, all calls together.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Direction {
    /// From the sender's kernel to the receiver, for the sound itself: codec look-ahead, jitter buffer and all.
    pub total: Quantiles,
    /// What the bridge and the machine add: without the codec's look-ahead, what the simulated network delayed the frame, and what the
    /// jitter buffer waits on purpose.
    pub added: Quantiles,
    /// How much later in its packet the sound lies than in the packet it was sent in, ms: the look-ahead of the codecs on the way.
    pub look_ahead_ms: f64,
    /// What the jitter buffer waits beyond the quickest packet, as the bridge tells it, mean of the measured time, ms; nothing where there is
    /// none or it does not tell.
    pub jitter_wait_ms: Option<f64>,
    /// Frames of 20 ms that were sent in the measured time.
    pub sent: u64,
    /// Frames recognised at the other end.
    pub heard: u64,
    /// Of these, later than [`LATE_MS`] in `added`.
    pub late: u64,
    /// Frames that never came although later ones did.
    pub lost: u64,
    /// Frames that came twice.
    pub duplicated: u64,
    /// Frames in whose place something else was heard: concealment, a gap, a splice through the middle.
    pub concealed: u64,
    /// Places where the sound was shortened or stretched by less than a frame.
    pub splices: u64,
    /// `added` as a histogram: upper edge of each bucket in ms, and its count. Empty buckets are left out.
    pub histogram: Vec<(f64, u64)>,
}

/// Added delay from which a frame counts as late, ms.
pub const LATE_MS: f64 = 10.0;

/// The caller speaks, ARIA falls silent.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct BargeIn {
    /// Interruptions that the model announced.
    pub announced: u64,
    /// Of these, followed by `clear` at the phone.
    pub cleared: u64,
    /// From the announcement written by the model to `clear` at the phone.
    pub clear: Quantiles,
    /// Sound that waited at the phone when `clear` came, ms: what the caller was spared.
    pub backlog: Quantiles,
    /// Frames of the interrupted reply that came after `clear`.
    pub stale_frames: u64,
}

/// From webhook to sound.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SetUp {
    /// Webhook asked to TwiML received.
    pub webhook: Quantiles,
    /// Upgrade asked to socket open.
    pub upgrade: Quantiles,
    /// Webhook asked to the session's event channel open at the model.
    pub session: Quantiles,
    /// `start` sent to the first sound of ARIA.
    pub first_sound: Quantiles,
}

/// What the bridge's process used in the measured time.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Footprint {
    /// Percent of one core per call.
    pub cpu_percent_per_call: f64,
    /// Percent of one core in all.
    pub cpu_percent: f64,
    /// Of it, spent in the kernel, percent of one core.
    pub kernel_percent: f64,
    /// Percent of one core by thread group (name without its number).
    pub threads: Vec<(String, f64)>,
    /// Context switches a second, all threads.
    pub switches_per_second: f64,
    /// Resident memory that each call added to a bridge that held the first fifth of them, kB.
    pub memory_per_call_kb: f64,
    /// Resident memory at the end of the measured time, kB.
    pub memory_kb: u64,
}

/// How punctual the suite was: a figure of the bridge is no better than this.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Generator {
    /// The phones: frame written against its schedule.
    pub phone_lateness: Quantiles,
    /// The model: packet written against its schedule.
    pub model_lateness: Quantiles,
    /// Percent of one core that the suite itself used.
    pub cpu_percent: f64,
    /// Percent of the whole machine that was idle.
    pub machine_idle_percent: f64,
    /// Whether idle cores were kept from sleeping (the bridge asks for it where it may), which takes off CPU and delay. `None`: not known.
    #[serde(default)]
    pub cores_awake: Option<bool>,
}

impl Generator {
    /// What idle cores did, as the end of a line; nothing if that is not known.
    pub(crate) fn sleep(&self) -> &'static str {
        match self.cores_awake {
            Some(true) => ", cores awake",
            Some(false) => ", cores sleep",
            None => "",
        }
    }
}

/// One second of the measured time.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Second {
    /// Since the measured time began.
    pub at: u64,
    /// Added delay upward: median, 99th percentile and largest, ms.
    pub up: [f64; 3],
    /// The same downward.
    pub down: [f64; 3],
    /// Percent of one core that the bridge used.
    pub bridge_cpu_percent: Option<f64>,
    /// Percent of the machine that was idle.
    pub idle_percent: f64,
    /// Interruptions announced.
    pub interruptions: u64,
}
