//! `aria doctor`: looks at everything that a call needs, and says what to fix. Exit code 0 if nothing is wrong, 1 if something is, 2 for a
//! configuration that `serve` would not start with.

mod certificate;
mod finding;
mod local;
mod outside;
mod peers;

use aria_bridge::bridge::admissible;

use super::{ConfigArgument, Failure};
use finding::Findings;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Asks nobody outside: looks at this machine alone.
    #[arg(long)]
    offline: bool,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let settings = arguments.config.load()?;
    admissible(&settings).map_err(Failure::Configuration)?;
    let mut findings = Findings::default();
    findings.good(
        "configuration",
        format!("{} agents, {} numbers", settings.agents.len(), settings.numbers.len()),
    );
    local::keys(&settings, &mut findings);
    local::limits(&settings, &mut findings);
    local::disk(&settings, &mut findings);
    local::udp(&mut findings);
    certificate::files(&settings, &mut findings);
    if !arguments.offline {
        peers::openai(&settings, &mut findings).await;
        peers::twilio(&settings, &mut findings).await;
        outside::public_url(&settings, &mut findings).await;
    }
    if findings.problems() == 0 {
        println!("\nNothing stands in the way of a call.");
        return Ok(());
    }
    println!("\n{} to fix.", findings.problems());
    Err(Failure::Shown)
}
