//! `aria call`: a simulated phone against a running bridge.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use perf::Summary;
use sim::phone::{CallPlan, CallReport, Phone, PhoneConfig, Script, Step};
use tokio::task::JoinSet;
use url::Url;

use super::Failure;

/// Without a script the caller listens, says the clip or the file, hears the reply out, and hangs up.
const DEFAULT_SCRIPT: &str =
    "wait-speech\nwait-silence 800ms\nsay something-wrong\nwait-speech\nwait-silence 1s\nhangup\n";

#[derive(clap::Args)]
pub struct Arguments {
    /// Where the bridge listens.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: Url,
    /// What the bridge's public URL is, if it differs: webhooks are signed over it.
    #[arg(long, env = "ARIA_PUBLIC_URL")]
    public_url: Option<Url>,
    /// What the caller says once ARIA has greeted: a WAV file of any rate.
    #[arg(long, conflicts_with = "script")]
    wav: Option<PathBuf>,
    /// What the caller does, one step a line; `--script-help` lists the steps.
    #[arg(long)]
    script: Option<PathBuf>,
    /// Shows the steps of a script.
    #[arg(long)]
    script_help: bool,
    /// Stereo recording of the call, the caller left, ARIA right. With several calls `-1`, `-2`, … is put before the extension.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Calls at once.
    #[arg(long, default_value_t = 1)]
    calls: usize,
    /// Longest call, seconds.
    #[arg(long, default_value_t = 120)]
    limit: u64,
    /// Signs the webhooks; the bridge must have the same one.
    #[arg(long, env = "TWILIO_AUTH_TOKEN", hide_env_values = true)]
    auth_token: Option<String>,
    /// The account that calls.
    #[arg(long, env = "TWILIO_ACCOUNT_SID")]
    account_sid: Option<String>,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    if arguments.script_help {
        print!("{}", Script::HELP);
        return Ok(());
    }
    let script = script(&arguments)?;
    let mut config = PhoneConfig::new(arguments.url.clone());
    config.public_url = arguments.public_url.clone().unwrap_or(arguments.url);
    config.auth_token = arguments.auth_token;
    if let Some(sid) = arguments.account_sid {
        config.account_sid = sid;
    }
    let phone = Phone::start(config).await.context("the simulated phone")?;

    let mut calls = JoinSet::new();
    for n in 1..=arguments.calls {
        let phone = phone.clone();
        let plan = CallPlan {
            script: script.clone(),
            limit: Duration::from_secs(arguments.limit),
            ..CallPlan::default()
        };
        calls.spawn(async move { (n, phone.call(plan).await) });
    }
    let mut good = true;
    let mut summary = Summary::default();
    while let Some(done) = calls.join_next().await {
        let (n, report) = done.context("a call failed")?;
        good &= show(n, &report);
        summary.add(&report);
        if let Some(out) = &arguments.out {
            let path = if arguments.calls == 1 { out.clone() } else { numbered(out, n) };
            report.write_wav(&path).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    println!("{summary}");
    if good { Ok(()) } else { Err(Failure::Shown) }
}

fn script(arguments: &Arguments) -> Result<Script, Failure> {
    let parse = |text: &str| text.parse::<Script>();
    if let Some(path) = &arguments.script {
        let text = std::fs::read_to_string(path)
            .map_err(|e| Failure::Configuration(format!("cannot read {}: {e}", path.display())))?;
        return parse(&text).map_err(|e| Failure::Configuration(format!("{}: {e}", path.display())));
    }
    let mut script = parse(DEFAULT_SCRIPT).context("the default script")?;
    if let Some(wav) = &arguments.wav {
        for step in &mut script.steps {
            if matches!(step, Step::Say(_)) {
                *step = Step::SayWav(wav.clone());
            }
        }
    }
    Ok(script)
}

/// Prints one call; whether the bridge kept the protocol and the caller heard something.
fn show(n: usize, report: &CallReport) -> bool {
    let heard = report.heard.iter().any(|s| s.unsigned_abs() > 500);
    println!(
        "call {n} {}: {:.1} s, ended by {:?} ({}), ARIA {}heard, {} of {} steps, {} violations",
        report.call_sid,
        report.heard.len() as f64 / 8_000.0,
        report.ended.by,
        report.ended.how,
        if heard { "" } else { "NOT " },
        report.steps.0,
        report.steps.1,
        report.violations.len()
    );
    for violation in &report.violations {
        println!("  violation: {:?} {}", violation.kind, violation.detail);
    }
    heard && report.violations.is_empty() && report.steps.0 == report.steps.1
}

fn numbered(path: &std::path::Path, n: usize) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
    path.with_file_name(format!("{stem}-{n}{extension}"))
}
