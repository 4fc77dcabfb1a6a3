//! `aria check`: validates a configuration without starting.

use super::{ConfigArgument, Failure};

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let settings = arguments.config.load()?;
    aria_bridge::bridge::admissible(&settings).map_err(Failure::Configuration)?;
    for name in arguments.config.sources().strangers() {
        eprintln!("aria: {name} is set and names no field");
    }
    println!(
        "The configuration is valid: {} agents, {} numbers.",
        settings.agents.len(),
        settings.numbers.len()
    );
    Ok(())
}
