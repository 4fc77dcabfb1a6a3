//! `aria desk`: the simulated customer system and calendar alone.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use aria_bridge::hosting::drain::Signals;
use aria_bridge::telemetry;
use sim::desk::{Desk, DeskConfig};

use super::Failure;

#[derive(clap::Args)]
pub struct Arguments {
    /// Where it listens, for HTTP and for MCP at /mcp.
    #[arg(long, default_value = "127.0.0.1:8091")]
    listen: SocketAddr,
    /// MCP over standard input and output instead.
    #[arg(long)]
    stdio: bool,
    /// The file of its database; in memory without.
    #[arg(long)]
    database: Option<PathBuf>,
    /// What `Authorization: Bearer` must hold.
    #[arg(long, env = "DESK_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    if arguments.stdio {
        return Ok(sim::desk::stdio(arguments.database.as_deref()).await.context("the client")?);
    }
    telemetry::log("info");
    let Arguments { listen, database, token, .. } = arguments;
    let mut signals = Signals::new().context("cannot listen for signals")?;
    let config = DeskConfig { listen, database, token, ..DeskConfig::default() };
    let desk = Desk::start(config).context("cannot start the simulated desk")?;
    println!("customer system and calendar: {0}, MCP: {0}/mcp", desk.base_url());
    signals.next().await;
    Ok(())
}
