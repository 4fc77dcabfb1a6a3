//! `aria number`: shows and sets the webhooks of the account's numbers.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Context, anyhow};
use aria_bridge::config::{E164, Settings, is_loopback};
use aria_bridge::twilio::public_url::{INBOUND_PATH, PublicUrl, STATUS_PATH};
use aria_bridge::twilio::rest::{Client, Number, Webhooks};
use clap::Subcommand;
use url::Url;

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
    /// Shows the account's numbers and whom Twilio asks about their calls.
    List,
    /// Has Twilio ask this bridge about the calls of a number.
    Set(Set),
}

#[derive(clap::Args)]
struct Set {
    /// The number, E.164.
    number: String,
    /// Whom Twilio asks when the bridge does not answer; left as it is if absent.
    #[arg(long)]
    fallback: Option<Url>,
    /// Does not ask.
    #[arg(long)]
    yes: bool,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let settings = arguments.config.load()?;
    let twilio = client(&settings)?;
    match arguments.what {
        What::List => list(&settings, &twilio).await,
        What::Set(set) => change(&settings, &twilio, set).await,
    }
}

/// A client, or which variables are missing.
pub fn client(settings: &Settings) -> Result<Client, Failure> {
    Client::new(&settings.twilio).ok_or_else(|| {
        Failure::Configuration(
            "TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN must be set to ask Twilio about numbers".into(),
        )
    })
}

/// What a number's webhooks are to be. The fallback is its own.
pub fn ours(settings: &Settings) -> Webhooks {
    let public = PublicUrl::new(&settings.public_url);
    Webhooks {
        voice_url: public.http(INBOUND_PATH),
        voice_method: "POST".into(),
        voice_fallback_url: String::new(),
        status_callback: public.http(STATUS_PATH),
    }
}

async fn list(settings: &Settings, twilio: &Client) -> Result<(), Failure> {
    let numbers = twilio.numbers(None).await.context("Twilio's numbers")?;
    if numbers.is_empty() {
        println!("The account has no numbers.");
    }
    let ours = ours(settings);
    for number in numbers {
        let here = if number.webhooks.voice_url == ours.voice_url { "  (this bridge)" } else { "" };
        println!("{}{here}", number.phone_number);
        for (what, value) in rows(&number.webhooks) {
            println!("  {what:<16} {}", shown(value));
        }
        if let Some(other) = other(&number) {
            println!("  {other}");
        }
    }
    Ok(())
}

async fn change(settings: &Settings, twilio: &Client, set: Set) -> Result<(), Failure> {
    let number: E164 = set
        .number
        .parse()
        .map_err(|e| Failure::Configuration(format!("{:?} is not allowed: {e}", set.number)))?;
    if settings.public_url_is_loopback() && !is_loopback(&settings.twilio.api_url) {
        let message = format!(
            "the public URL {} is on this machine, where Twilio cannot reach it: set ARIA_PUBLIC_URL",
            settings.public_url
        );
        return Err(Failure::Configuration(message));
    }
    let found = twilio.numbers(Some(number.expose())).await.context("Twilio's numbers")?;
    let Some(found) = found.into_iter().find(|found| found.phone_number == number.expose()) else {
        return Err(anyhow!("the account has no number {}; `aria number list` shows them", set.number).into());
    };
    if let Some(other) = other(&found) {
        return Err(anyhow!("{other}; take it away in Twilio's console first").into());
    }
    let old = &found.webhooks;
    let fallback = set.fallback.map_or_else(|| old.voice_fallback_url.clone(), String::from);
    let new = Webhooks { voice_fallback_url: fallback, ..ours(settings) };
    if *old == new {
        println!("{}: nothing to change", found.phone_number);
        return Ok(());
    }
    println!("{}", found.phone_number);
    for ((what, before), (_, after)) in rows(old).into_iter().zip(rows(&new)) {
        if before == after {
            println!("  {what:<16} {}", shown(before));
        } else {
            println!("  {what:<16} {} -> {}", shown(before), shown(after));
        }
    }
    if !set.yes && !agreed()? {
        println!("Nothing was changed.");
        return Err(Failure::Shown);
    }
    let now = twilio.set_webhooks(&found.sid, &new).await.context("Twilio did not change the number")?;
    if now.webhooks != new {
        return Err(anyhow!("Twilio took it, but says something else now: {:?}", now.webhooks).into());
    }
    println!("Changed.");
    Ok(())
}

/// Who else answers the number's calls.
fn other(number: &Number) -> Option<&'static str> {
    match (number.voice_application_sid.is_empty(), number.trunk_sid.is_empty()) {
        (true, true) => None,
        (false, _) => Some("a TwiML application answers its calls, its own webhooks are not asked"),
        (true, false) => Some("a SIP trunk takes its calls, its own webhooks are not asked"),
    }
}

fn rows(webhooks: &Webhooks) -> [(&'static str, &str); 4] {
    [
        ("voice URL", &webhooks.voice_url),
        ("method", &webhooks.voice_method),
        ("fallback URL", &webhooks.voice_fallback_url),
        ("status callback", &webhooks.status_callback),
    ]
}

fn shown(value: &str) -> &str {
    if value.is_empty() { "(none)" } else { value }
}

fn agreed() -> Result<bool, Failure> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Err(anyhow!("nobody is there to agree; --yes does it without asking").into());
    }
    print!("Set these? [y/N] ");
    std::io::stdout().flush().context("standard output")?;
    let mut line = String::new();
    input.lock().read_line(&mut line).context("standard input")?;
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
