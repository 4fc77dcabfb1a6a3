//! A run of the suite: calls against a bridge, and what became of their sound.
//!
//! ```text
//!   Caller (one a call) ── upward recording ──► phone ══► bridge ══► model ──► Listener
//!   Listener ◄── phone ◄══ bridge ◄══ model ◄── downward recording ── Model (all sessions)
//! ```
//! Phone and model are of this process, so one clock stamps what is sent and what is heard. Nothing inside the bridge is asked for its opinion,
//! but how long its jitter buffer means to wait, which a user chooses to pay for and `added` leaves out.

mod bridge;
mod caller;
mod host;
mod model;
mod network;
mod tally;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sim::model::{Codecs, Drill, ModelConfig, ModelServer, Voice};
use sim::phone::report::EndedBy;
use sim::phone::{CallPlan, CallReport, Moment, Phone, PhoneConfig, Tap};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use url::Url;

pub use network::Network;

use self::bridge::Bridge;
use self::caller::Caller;
use self::host::{Cpu, Process};
use self::model::Model;
use self::tally::{Tally, lock};
use crate::Spread;
use crate::report::{Calls, FORMAT, Footprint, Generator, Report, Second, SetUp, Setting};
use crate::watermark::Score;

/// Frames of each recording: eight minutes, in which all calls begin at different places.
const FRAMES: usize = 20_000;
/// Between the last call's beginning and the first figure: streams are up, jitter buffers have settled.
const WARM_UP: Duration = Duration::from_secs(5);
/// Calls that stand before memory is first looked at, one in so many: the first calls also pay for what all of them share.
const FIRST_SHARE: usize = 5;
/// How often the bridge is asked what its jitter buffers wait. Less often counts what a wait has grown by meanwhile as added, and hides as
/// much where it has shrunk, in every frame until then; more often is a load of its own: ten times a second was 3 % of what the bridge takes
/// for ten calls.
const WAITS_A_SECOND: u32 = 5;
/// How long calls and bridge may take to end once all have hung up; and beyond that calls end by themselves.
const SPARE: Duration = Duration::from_secs(10);
/// A caller's beat. Those of real callers lie anywhere in it; with ten new calls a second all would speak in the same moment, and each frame
/// would wait for those before it.
const FRAME: Duration = Duration::from_millis(20);
/// Multiples of it modulo 1 lie evenly, however many there are.
const GOLDEN_RATIO: f64 = 0.618_033_988_75;

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Calls at once.
    pub calls: usize,
    /// Measured time.
    pub duration: Duration,
    /// New calls a second while the load grows.
    pub ramp_per_second: f64,
    /// `opus` or `pcmu`: the codec of the model's leg.
    pub codec: String,
    /// Between model and bridge.
    pub network: Network,
    /// Time between interruptions of a call; none without it.
    pub interrupt_every: Option<Duration>,
    /// The bridge.
    pub target: Target,
}

/// Whom to call.
#[expect(clippy::large_enum_variant, reason = "there is one a run")]
#[derive(Debug, Clone)]
pub enum Target {
    /// A bridge that is started for the run.
    Spawn {
        /// The program; it is run with `serve`.
        program: PathBuf,
    },
    /// A server that runs already: this bridge, or any other that speaks Twilio's protocol.
    Given {
        /// Where it listens.
        url: Url,
        /// Its public URL, if it differs.
        public_url: Option<Url>,
        /// The path of its voice webhook.
        voice_path: String,
        /// Signs webhooks.
        auth_token: Option<String>,
        /// For the admin API of this bridge.
        admin_token: Option<String>,
        /// Its process, for CPU and memory.
        pid: Option<u32>,
        /// Where the simulated model listens for it.
        model: SocketAddr,
        /// It gives back what it gets: both ways are measured in one.
        echo: bool,
    },
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The simulators or the bridge did not start.
    #[error("{0}: {1}")]
    Start(&'static str, #[source] io::Error),
    /// There is no such codec.
    #[error("codec {0:?}: opus and pcmu are known")]
    Codec(String),
}

/// Runs the suite; `progress` is told of every second of the measured time, and of the calls that stand.
pub async fn run(plan: &Plan, mut progress: impl FnMut(&Second, usize)) -> Result<Report, LoadError> {
    if !["opus", "pcmu"].contains(&plan.codec.as_str()) {
        return Err(LoadError::Codec(plan.codec.clone()));
    }
    let began_unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let calls = plan.calls.max(1);
    let network = plan.network.config();
    let (up, down) = (Arc::new(Score::new(FRAMES, 1)), Arc::new(Score::new(FRAMES, 2)));
    let stride = up.frames() / calls;
    let tally = Arc::new(Tally::new(up, Arc::clone(&down), network.delay));
    let model = Arc::new(Model::new(Arc::clone(&tally), stride));
    let mut config = ModelConfig {
        drill: Some(Drill {
            recording: down.wide(),
            stride,
            interrupt_every: plan.interrupt_every,
            observer: model.clone(),
        }),
        // The cheapest encoder that a model could have: its cost is the suite's, and its sound is the same.
        voice: Voice { complexity: 0, ..Voice::default() },
        network,
        keep_heard: Duration::ZERO,
        ..ModelConfig::default()
    };
    if plan.codec == "opus" {
        config.answer.codecs = Codecs::OpusOnly;
    }
    let echo = matches!(plan.target, Target::Given { echo: true, .. });
    if let Target::Given { model, .. } = &plan.target {
        config.listen = *model;
        config.media_ip = model.ip();
    }
    // Half a second of encoding: not on the runtime's threads.
    let server = tokio::task::spawn_blocking(move || ModelServer::start(config)).await;
    let server = server.unwrap_or_else(|e| Err(io::Error::other(e)));
    let server = server.map_err(|e| LoadError::Start("the simulated model", e))?;
    let bridge = match &plan.target {
        Target::Spawn { program } => {
            // Some room: a call that ends and one that begins may overlap.
            Bridge::spawn(program, &server.base_url(), &plan.codec, calls + 8).await
        }
        Target::Given { url, pid, admin_token, .. } => Bridge::given(url.clone(), *pid, admin_token.clone()),
    };
    let bridge = bridge.map_err(|e| LoadError::Start("the bridge", e))?;
    let phone = Phone::start(phone(&plan.target, &bridge.url)).await;
    let phone = phone.map_err(|e| LoadError::Start("the simulated phone", e))?;
    // Grow.
    let pause = Duration::from_secs_f64(1.0 / plan.ramp_per_second.max(0.1));
    let limit = pause * calls as u32 + 2 * WARM_UP + plan.duration + SPARE;
    let (mut running, mut callers) = (JoinSet::new(), Vec::with_capacity(calls));
    let mut reports = Vec::with_capacity(calls);
    let first = calls / FIRST_SHARE;
    let mut few = bridge.pid.and_then(Process::of);
    let mut next = tokio::time::interval(pause);
    next.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for n in 0..calls {
        next.tick().await;
        tokio::time::sleep(FRAME.mul_f64(n as f64 * GOLDEN_RATIO % 1.0)).await;
        if n == first && n > 0 {
            tokio::time::sleep(WARM_UP).await;
            few = bridge.pid.and_then(Process::of);
        }
        let caller = Arc::new(Caller::new(Arc::clone(&tally), n * stride, echo));
        callers.push(Arc::clone(&caller));
        let (phone, tap) = (phone.clone(), caller as Arc<dyn Tap>);
        model.calls(Instant::now());
        running.spawn(
            async move { phone.call(CallPlan { tap: Some(tap), limit, ..CallPlan::default() }).await },
        );
    }
    tokio::time::sleep(WARM_UP).await;
    tell_waits(&bridge, &callers).await;

    // Measure.
    tally.begin();
    let before = Moments::now(&bridge);
    let (mut timeline, mut last, mut wait_us) = (Vec::new(), before.clone(), Vec::new());
    let mut beat = tokio::time::interval(Duration::from_secs(1) / WAITS_A_SECOND);
    beat.tick().await;
    for at in 0..plan.duration.as_secs() {
        for _ in 1..WAITS_A_SECOND {
            beat.tick().await;
            wait_us.extend(tell_waits(&bridge, &callers).await);
        }
        beat.tick().await;
        let now = Moments::now(&bridge);
        let (up, down, interruptions) = tally.second();
        let second = Second {
            at,
            up,
            down,
            bridge_cpu_percent: now.bridge_cpu_since(&last),
            idle_percent: now.cpu.idle_since(last.cpu),
            interruptions,
        };
        reports.extend(std::iter::from_fn(|| running.try_join_next()).flatten());
        progress(&second, running.len());
        timeline.push(second);
        last = now;
        wait_us.extend(tell_waits(&bridge, &callers).await);
    }
    let after = Moments::now(&bridge);
    let cores_awake = host::cores_awake();
    reports.extend(std::iter::from_fn(|| running.try_join_next()).flatten());
    let early = reports.len();
    tally.end();

    // Let go.
    while let Ok(Some(done)) = tokio::time::timeout(SPARE, running.join_next()).await {
        reports.extend(done);
    }
    running.shutdown().await;
    bridge.end().await;
    drop(server);

    let wait = (!wait_us.is_empty())
        .then(|| Duration::from_micros((wait_us.iter().sum::<f64>() / wait_us.len() as f64) as u64));
    let down_road = if echo { &tally.up } else { &tally.down };
    Ok(Report {
        format: FORMAT,
        began_unix,
        machine: host::machine(),
        setting: Setting {
            calls,
            seconds: plan.duration.as_secs(),
            ramp_per_second: plan.ramp_per_second,
            codec: plan.codec.clone(),
            network: plan.network.name().to_owned(),
            spawned: matches!(plan.target, Target::Spawn { .. }),
        },
        calls: Calls {
            begun: calls,
            held: calls - early,
            failed: early + reports[early..].iter().filter(|r| failed(r)).count(),
            violations: reports.iter().map(|r| r.violations.len()).sum(),
        },
        up: if echo { Default::default() } else { tally.direction(&tally.up, None) },
        down: tally.direction(down_road, wait),
        barge_in: tally.barge_in(),
        setup: set_up(&reports, &model.set_up()),
        bridge: footprint(calls, few.map(|few| (first, few)), &before, &after),
        generator: Generator {
            phone_lateness: (&*lock(&tally.phone_lateness)).into(),
            model_lateness: (&*lock(&tally.model_lateness)).into(),
            cpu_percent: after.own_cpu_since(&before),
            machine_idle_percent: after.cpu.idle_since(before.cpu),
            cores_awake,
        },
        timeline,
    })
}

fn phone(target: &Target, bridge: &Url) -> PhoneConfig {
    let mut config = PhoneConfig::new(bridge.clone());
    if let Target::Given { public_url, voice_path, auth_token, .. } = target {
        config.voice_path.clone_from(voice_path);
        config.auth_token.clone_from(auth_token);
        if let Some(public_url) = public_url {
            config.public_url = public_url.clone();
        }
    }
    config
}

/// Tells each caller what the bridge's jitter buffer waits for it; gives their mean in µs, if the bridge tells.
async fn tell_waits(bridge: &Bridge, callers: &[Arc<Caller>]) -> Option<f64> {
    let waits: HashMap<String, u64> = bridge.waits().await.into_iter().collect();
    let known = callers.iter().filter_map(|caller| {
        let wait = *waits.get(&caller.call_sid()?)?;
        caller.set_wait(wait);
        Some(wait)
    });
    let known: Vec<u64> = known.collect();
    (!known.is_empty()).then(|| known.iter().sum::<u64>() as f64 / known.len() as f64)
}

/// A call that nobody meant to end.
fn failed(report: &CallReport) -> bool {
    matches!(report.ended.by, EndedBy::Failure) || report.when(|m| *m == Moment::FirstAudio).is_none()
}

fn set_up(reports: &[CallReport], session: &Spread) -> SetUp {
    let (mut webhook, mut upgrade, mut first_sound) =
        (Spread::default(), Spread::default(), Spread::default());
    for report in reports {
        let between = |a: Moment, b: Moment| {
            let when = |moment: Moment| report.when(move |m| *m == moment);
            Some(when(b)?.saturating_sub(when(a)?))
        };
        if let Some(first) = report.webhooks.first() {
            webhook.record(first.answered.saturating_sub(first.sent));
        }
        if let Some(time) = between(Moment::StreamConnecting, Moment::StreamUpgraded) {
            upgrade.record(time);
        }
        if let Some(time) = between(Moment::StartSent, Moment::FirstAudio) {
            first_sound.record(time);
        }
    }
    SetUp {
        webhook: (&webhook).into(),
        upgrade: (&upgrade).into(),
        session: session.into(),
        first_sound: (&first_sound).into(),
    }
}

/// Bridge, suite and machine at one moment.
#[derive(Clone)]
struct Moments {
    at: Instant,
    bridge: Option<Process>,
    own: Option<Process>,
    cpu: Cpu,
}

impl Moments {
    fn now(bridge: &Bridge) -> Self {
        Self {
            at: Instant::now(),
            bridge: bridge.pid.and_then(Process::of),
            own: Process::of(std::process::id()),
            cpu: Cpu::now(),
        }
    }

    fn seconds_since(&self, before: &Self) -> f64 {
        (self.at - before.at).as_secs_f64()
    }

    fn bridge_cpu_since(&self, before: &Self) -> Option<f64> {
        let used = self.bridge.as_ref()?.cpu() - before.bridge.as_ref()?.cpu();
        Some(100.0 * used / self.seconds_since(before))
    }

    fn own_cpu_since(&self, before: &Self) -> f64 {
        let used =
            self.own.as_ref().map_or(0.0, Process::cpu) - before.own.as_ref().map_or(0.0, Process::cpu);
        100.0 * used / self.seconds_since(before)
    }
}

/// `few` is the bridge when it had so many of the calls.
fn footprint(
    calls: usize,
    few: Option<(usize, Process)>,
    before: &Moments,
    after: &Moments,
) -> Option<Footprint> {
    let (first, few) = few?;
    let seconds = after.seconds_since(before);
    let cpu_percent = after.bridge_cpu_since(before)?;
    let (from, to) = (before.bridge.as_ref()?, after.bridge.as_ref()?);
    let percent = |used: f64| 100.0 * used / seconds;
    let mut threads: Vec<(String, f64)> = to
        .threads
        .iter()
        .map(|(name, used)| (name.clone(), percent(used - from.threads.get(name).unwrap_or(&0.0))))
        .filter(|(_, percent)| *percent >= 0.1)
        .collect();
    threads.sort_by(|a, b| b.1.total_cmp(&a.1));
    Some(Footprint {
        cpu_percent_per_call: cpu_percent / calls as f64,
        cpu_percent,
        kernel_percent: percent(to.kernel - from.kernel),
        threads,
        switches_per_second: to.switches.saturating_sub(from.switches) as f64 / seconds,
        memory_per_call_kb: to.memory_kb.saturating_sub(few.memory_kb) as f64 / (calls - first) as f64,
        memory_kb: to.memory_kb,
    })
}
