//! `aria model`: the simulated OpenAI Realtime endpoint alone.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use aria_bridge::hosting::drain::Signals;
use aria_bridge::telemetry;
use sim::model::{ModelConfig, ModelScript, ModelServer};

use super::Failure;

#[derive(clap::Args)]
pub struct Arguments {
    /// Where its HTTP side listens. Media goes over a UDP port of its own per session.
    #[arg(long, default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// What it hears and says, as JSON; the form is in the documentation of `sim::model::ModelScript`.
    #[arg(long)]
    script: Option<PathBuf>,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    telemetry::log("info");
    let mut config =
        ModelConfig { listen: arguments.listen, media_ip: arguments.listen.ip(), ..ModelConfig::default() };
    if let Some(path) = &arguments.script {
        let text = std::fs::read_to_string(path)
            .map_err(|e| Failure::Configuration(format!("cannot read {}: {e}", path.display())))?;
        config.script = ModelScript::from_json(&text)
            .map_err(|e| Failure::Configuration(format!("{}: {e}", path.display())))?;
    }
    let mut signals = Signals::new().context("cannot listen for signals")?;
    let model = ModelServer::start(config).context("cannot start the simulated model")?;
    println!("OPENAI_BASE_URL={}", model.base_url());
    signals.next().await;
    Ok(())
}
