//! `aria records`: removes what is kept of calls.

use anyhow::{Context, anyhow};
use aria_bridge::store::{self, Which, unix_ms};
use clap::Subcommand;

use super::{ConfigArgument, Failure};

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Removes the records of calls that are over: turns, tool calls, events, links to recordings, webhooks not yet sent.
    Delete(Whose),
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Whose {
    /// Of calls from or to this number, as it is recorded (E.164).
    #[arg(long)]
    number: Option<String>,
    /// Of calls that began more than so many days ago.
    #[arg(long, value_name = "DAYS")]
    before: Option<u64>,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let settings = arguments.config.load()?;
    let What::Delete(whose) = arguments.what;
    let which = match (whose.number, whose.before) {
        (Some(number), _) => Which::Number(number),
        (None, Some(days)) => Which::Before(unix_ms().saturating_sub(days.saturating_mul(24 * 3600 * 1000))),
        (None, None) => return Err(Failure::Configuration("--number or --before is needed".into())),
    };
    let calls = store::delete(&settings.records, &which).await;
    let calls = calls.map_err(|error| anyhow!(error)).context("the database")?;
    println!("The records of {calls} calls are removed.");
    Ok(())
}
