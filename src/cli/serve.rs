//! `aria serve`: the bridge, until SIGTERM or ctrl-c.

use anyhow::Context;
use aria_bridge::bridge::{Bridge, admissible, listen};
use aria_bridge::hosting::drain::Signals;
use aria_bridge::{memory, telemetry};
use sim::model::{ModelConfig, ModelServer};
use tokio::signal::unix::{SignalKind, signal};

use super::{ConfigArgument, Failure};

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    memory::by_small_pages();
    telemetry::log("info");
    let mut settings = arguments.config.load()?;
    admissible(&settings).map_err(Failure::Configuration)?;

    for name in arguments.config.sources().strangers() {
        tracing::warn!("{name} is set and names no field");
    }

    // A base URL of one's own without a key is another simulator: it is used as it is.
    let custom = settings.openai.base_url.host_str() != Some("api.openai.com");
    let _model = if settings.openai.api_key.is_none() && !custom {
        let model = ModelServer::start(ModelConfig::default()).context("cannot start the simulated model")?;
        settings.openai.base_url = model.base_url().parse().context("the simulated model's address")?;
        tracing::warn!("OPENAI_API_KEY is not set: callers talk to the SIMULATED MODEL, not to OpenAI");
        Some(model)
    } else {
        None
    };

    let mut signals = Signals::new().context("cannot listen for signals")?;
    let mut hurry = Signals::new().context("cannot listen for signals")?;
    let public_url = settings.public_url.clone();
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    let listener = listen(settings.listen).map_err(anyhow::Error::from)?;
    let bridge =
        Bridge::start(settings, listener, Some(telemetry::metrics())).map_err(anyhow::Error::from)?;
    let address = bridge.address().context("listening socket")?;
    tracing::info!(%address, %public_url, audio = %bridge.audio_threads(), "ARIA is listening");
    println!("listening on {scheme}://{address}");
    let mut hangups = signal(SignalKind::hangup()).context("cannot listen for signals")?;
    let (asks, asked) = tokio::sync::mpsc::channel::<()>(1);
    tokio::spawn(async move {
        // Several at once are one.
        while hangups.recv().await.is_some() {
            let _ = asks.try_send(());
        }
    });
    let _reloading = tokio::spawn(bridge.reload(arguments.config.sources(), asked));
    bridge
        .serve(signals.next(), async {
            // The first signal begins the drain, the second one hurries it.
            hurry.next().await;
            hurry.next().await;
        })
        .await
        .context("serving")?;
    tracing::info!("bye");
    Ok(())
}
