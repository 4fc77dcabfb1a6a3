//! `aria load`: the latency and capacity suite.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use aria_bridge::hosting::drain::Signals;
use aria_bridge::telemetry;
use clap::ValueEnum;
use perf::load::{self, LoadError, Network, Plan, Target};
use perf::report::{Baseline, Second};
use url::Url;

use super::Failure;

#[derive(clap::Args)]
pub struct Arguments {
    /// Where a running bridge or another Media Streams server listens. Without it a bridge is started for the run.
    #[arg(long)]
    url: Option<Url>,
    /// What that server's public URL is, if it differs: webhooks are signed over it.
    #[arg(long, requires = "url")]
    public_url: Option<Url>,
    /// The path of its voice webhook.
    #[arg(long, default_value = "/api/twilio/voice/inbound")]
    voice_path: String,
    /// Signs the webhooks; the server must have the same one.
    #[arg(long, env = "TWILIO_AUTH_TOKEN", hide_env_values = true)]
    auth_token: Option<String>,
    /// For the admin API of a running bridge, which tells how long its jitter buffers wait.
    #[arg(long, env = "ARIA_ADMIN_TOKEN", hide_env_values = true)]
    admin_token: Option<String>,
    /// The process of a running bridge, to measure its CPU and memory.
    #[arg(long, requires = "url")]
    pid: Option<u32>,
    /// Where the simulated model listens for a running bridge: its `OPENAI_BASE_URL` is this with `http://` before and `/v1` behind it.
    #[arg(long, default_value = "127.0.0.1:8090")]
    model: SocketAddr,
    /// The server gives back what it hears: round trips are measured, and no model is needed.
    #[arg(long, requires = "url")]
    echo: bool,
    /// Calls at once.
    #[arg(long, default_value_t = 20)]
    calls: usize,
    /// Measured time, seconds.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// New calls a second until all stand.
    #[arg(long, default_value_t = 10.0)]
    ramp: f64,
    /// What the model's leg speaks.
    #[arg(long, value_enum, default_value_t = Codec::Opus)]
    codec: Codec,
    /// The network between the model and the bridge.
    #[arg(long, value_parser = network, default_value = "clean")]
    network: Network,
    /// Seconds between the interruptions of a call; 0: none.
    #[arg(long, default_value_t = 10.0)]
    interrupt: f64,
    /// Where the result goes as JSON; of several runs, the last one.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Where the result goes as a page that holds everything it shows.
    #[arg(long)]
    html: Option<PathBuf>,
    /// A stored baseline to hold the result against; worse than it is a failure.
    #[arg(long)]
    baseline: Option<PathBuf>,
    /// Stores what the runs found as a baseline. Takes at least three runs.
    #[arg(long)]
    save_baseline: Option<PathBuf>,
    /// Runs, one after the other.
    #[arg(long, default_value_t = 1)]
    runs: usize,
    /// The program that is started as the bridge, if not this one.
    #[arg(long, conflicts_with = "url")]
    program: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Codec {
    Opus,
    Pcmu,
}

fn network(name: &str) -> Result<Network, String> {
    let names = || Network::ALL.map(Network::name).join(", ");
    Network::ALL.into_iter().find(|n| n.name() == name).ok_or_else(|| format!("known are {}", names()))
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    telemetry::log("error");
    let plan = plan(&arguments)?;
    // A baseline that cannot be read is better known before the run than after it.
    let baseline = arguments.baseline.as_deref().map(Baseline::load).transpose();
    let baseline = baseline.map_err(|error| Failure::Configuration(error.to_string()))?;
    let mut signals = Signals::new().context("cannot listen for signals")?;
    let mut reports = Vec::with_capacity(arguments.runs);
    for _ in 0..arguments.runs.max(1) {
        let report = tokio::select! {
            report = load::run(&plan, show) => report,
            // The bridge that was started for the run goes with it.
            () = signals.next() => return Err(Failure::Failed(anyhow::anyhow!("ended before it was done"))),
        };
        let report = report.map_err(|error| match error {
            LoadError::Codec(_) => Failure::Configuration(error.to_string()),
            LoadError::Start(..) => Failure::Failed(error.into()),
        })?;
        println!("{report}");
        reports.push(report);
    }
    let good = reports.iter().all(|report| report.calls.failed == 0);
    let Some(report) = reports.last() else { return Err(Failure::Shown) };
    let comparison = baseline.map(|baseline| baseline.compare(report));
    if let Some(comparison) = &comparison {
        println!("{comparison}");
    }
    if let Some(path) = &arguments.json {
        report.save(path).context("the result")?;
    }
    if let Some(path) = &arguments.html {
        let page = report.page(comparison.as_ref());
        std::fs::write(path, page).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = &arguments.save_baseline {
        Baseline::from_runs(&reports).context("no baseline")?.save(path).context("the baseline")?;
    }
    let worse = comparison.is_some_and(|comparison| comparison.worse());
    if good && !worse { Ok(()) } else { Err(Failure::Shown) }
}

fn plan(arguments: &Arguments) -> Result<Plan, Failure> {
    let target = match &arguments.url {
        Some(url) => Target::Given {
            url: url.clone(),
            public_url: arguments.public_url.clone(),
            voice_path: arguments.voice_path.clone(),
            auth_token: arguments.auth_token.clone(),
            admin_token: arguments.admin_token.clone(),
            pid: arguments.pid,
            model: arguments.model,
            echo: arguments.echo,
        },
        None => Target::Spawn {
            program: match &arguments.program {
                Some(program) => program.clone(),
                None => std::env::current_exe().context("where this program is")?,
            },
        },
    };
    Ok(Plan {
        calls: arguments.calls,
        duration: Duration::from_secs(arguments.seconds.max(1)),
        ramp_per_second: arguments.ramp,
        codec: match arguments.codec {
            Codec::Opus => "opus".to_owned(),
            Codec::Pcmu => "pcmu".to_owned(),
        },
        network: arguments.network,
        interrupt_every: (arguments.interrupt > 0.0).then(|| Duration::from_secs_f64(arguments.interrupt)),
        target,
    })
}

fn show(second: &Second, calls: usize) {
    eprintln!("{second}  {calls} calls");
}
