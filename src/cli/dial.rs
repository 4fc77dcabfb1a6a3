//! `aria dial`: has a running bridge place a call (`POST /api/calls`). It is the bridge that will talk, so it is the bridge that counts
//! calls and knows its allow-list; this command only asks.

use std::time::Duration;

use anyhow::{Context, anyhow};
use aria_bridge::config::{Settings, is_loopback};
use serde_json::{Value, json};
use url::Url;

use super::{ConfigArgument, Failure};

/// The whole request: Twilio is given ten seconds a try.
const TIMEOUT: Duration = Duration::from_secs(60);

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Whom to call, E.164; outbound.allow of the bridge's configuration must have it.
    to: String,
    /// Which agent talks.
    #[arg(long)]
    agent: Option<String>,
    /// Which of the account's numbers calls.
    #[arg(long)]
    from: Option<String>,
    /// What {{name}} in the agent's texts is.
    #[arg(long = "variable", value_name = "NAME=VALUE", value_parser = variable)]
    variables: Vec<(String, String)>,
    /// The bridge; the configured listen address if absent, with TLS the public URL. The admin token is ARIA_ADMIN_TOKEN.
    #[arg(long)]
    url: Option<Url>,
    /// With the same one a repeated command places no second call; a fresh one if absent.
    #[arg(long)]
    idempotency_key: Option<String>,
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it must be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let settings = arguments.config.load()?;
    let bridge = arguments.url.clone().unwrap_or_else(|| address(&settings));
    let variables: Value = arguments.variables.iter().map(|(n, v)| (n.clone(), json!(v))).collect();
    let mut body = json!({ "to": arguments.to, "variables": variables });
    for (name, value) in [("agent", &arguments.agent), ("from", &arguments.from)] {
        if let Some(value) = value {
            body[name] = value.as_str().into();
        }
    }
    let key = arguments.idempotency_key.unwrap_or_else(|| format!("{:032x}", rand::random::<u128>()));

    let mut http = reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none());
    if is_loopback(&bridge) {
        http = http.no_proxy();
    }
    let http = http.build().context("an HTTP client")?;
    let url = format!("{}/api/calls", bridge.as_str().trim_end_matches('/'));
    let mut request = http.post(url).header("idempotency-key", &key).json(&body);
    if let Some(token) = &settings.admin_token {
        request = request.bearer_auth(token.expose());
    }
    let answer = request.send().await.with_context(|| {
        format!("no bridge answers at {bridge} (--idempotency-key {key} repeats this without calling twice)")
    })?;
    let status = answer.status();
    let answer: Value =
        serde_json::from_slice(&answer.bytes().await.context("the bridge's answer")?).unwrap_or_default();
    if !status.is_success() {
        let why = match (answer["error"].as_str(), status.as_u16()) {
            (Some(why), _) => why,
            (None, 401 | 403) => "it wants another admin token: set ARIA_ADMIN_TOKEN as the bridge has it",
            (None, _) => "it does not say why",
        };
        return Err(anyhow!("the bridge refused (HTTP {}): {why}", status.as_u16()).into());
    }
    let text = |name: &str| answer[name].as_str().unwrap_or("?").to_owned();
    println!("calling {} from {} as {}: {}", text("to"), text("from"), text("agent"), text("call_sid"));
    Ok(())
}

/// Where the configured bridge is reached from this machine.
fn address(settings: &Settings) -> Url {
    if settings.tls.is_some() {
        return settings.public_url.clone();
    }
    let mut listen = settings.listen;
    if listen.ip().is_unspecified() {
        listen.set_ip(if listen.is_ipv4() {
            [127, 0, 0, 1].into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    format!("http://{listen}").parse().expect("an address makes a URL")
}
