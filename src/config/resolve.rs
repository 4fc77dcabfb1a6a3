//! From what was typed to what is used.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize as _;
use url::Url;

use super::agent;
use super::price::{self, Price};
use super::{
    AudioSettings, DispatchSettings, Limits, OpenAiSettings, RecordSettings, Secret, Settings, Sources,
    TwilioSettings,
};
use super::{outbound, overlay, place, raw, recording, records, tls, tool};

const DEFAULT_LISTEN: &str = "127.0.0.1:8080";

/// What is wrong with the configuration, and where.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file named by `--config` or `ARIA_CONFIG` cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, or has an unknown or ill-typed field. The text names line, column and what is allowed.
    #[error("{}: {source}{meant}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The nearest known name, in a sentence.
        meant: String,
        /// Line, column, field and what was expected.
        source: Box<toml::de::Error>,
    },
    /// A value is out of range.
    #[error("{}{field}: {value:?} is not allowed: {allowed}", at.as_deref().unwrap_or_default())]
    Value {
        /// File and line, where there is one.
        at: Option<String>,
        /// The field, as typed in the file or named in the environment.
        field: String,
        /// What was given. Never a secret.
        value: String,
        /// What is allowed.
        allowed: String,
    },
}

impl From<tool::Refused> for ConfigError {
    fn from(refused: tool::Refused) -> Self {
        value_error(refused.field, refused.value, refused.allowed)
    }
}

pub(super) fn value_error(
    field: impl Into<String>,
    value: impl Into<String>,
    allowed: impl Into<String>,
) -> ConfigError {
    ConfigError::Value { at: None, field: field.into(), value: value.into(), allowed: allowed.into() }
}

/// Reads the file and the environment. Fails on the first thing that is wrong, naming it and its line.
pub fn load(sources: &Sources) -> Result<Settings, ConfigError> {
    let (file, typed) = read(sources)?;
    resolve(file, sources).map_err(|error| match &typed {
        Some(typed) => typed.located(error),
        None => error,
    })
}

fn resolve(file: raw::File, sources: &Sources) -> Result<Settings, ConfigError> {
    let env = |name: &str| sources.environment.get(name).map(String::as_str).filter(|v| !v.is_empty());
    let secret = |name: &str| env(name).map(Secret::new);

    let listen_text = env("ARIA_LISTEN").or(file.listen.as_deref()).unwrap_or(DEFAULT_LISTEN);
    let listen = listen_text.parse().map_err(|_| {
        value_error("ARIA_LISTEN / listen", listen_text, "an address and port such as 0.0.0.0:8080")
    })?;
    let public_url = match env("ARIA_PUBLIC_URL").or(file.public_url.as_deref()) {
        Some(text) => web_url("ARIA_PUBLIC_URL / public_url", text)?,
        None => web_url("listen", &format!("http://{listen}"))?,
    };
    let mut base_url = web_url(
        "OPENAI_BASE_URL",
        env("OPENAI_BASE_URL").or(file.openai.base_url.as_deref()).unwrap_or("https://api.openai.com/v1"),
    )?;
    let trimmed = base_url.path().trim_end_matches('/').to_owned();
    base_url.set_path(&trimmed);

    let denied = tool::deny_prefixes(file.tools.deny_prefixes)?;
    let mut agents = BTreeMap::new();
    let mut typed = file.agents;
    typed.entry("default".into()).or_insert_with(|| raw::Agent {
        greeting: Some("Greet the caller and ask how you can help.".into()),
        ..raw::Agent::default()
    });
    for (name, agent) in typed {
        agents.insert(name.clone(), Arc::new(agent::resolve(name, agent, &sources.environment, &denied)?));
    }
    let recording = recording::resolve(file.recording)?;
    if let Some(name) = agents.values().find(|agent| agent.record && recording.is_none()).map(|a| &a.name) {
        let allowed = "false, or recording.to must say where recordings go";
        return Err(value_error(format!("agents.{name}.record"), "true", allowed));
    }
    for (number, agent) in &file.numbers {
        if !agents.contains_key(agent) {
            let names = || agents.keys().map(String::as_str);
            let known = names().collect::<Vec<_>>().join(", ");
            let meant =
                place::nearest(agent, names()).map_or_else(String::new, |n| format!("; did you mean {n}?"));
            return Err(value_error(
                format!("numbers.{number:?}"),
                agent,
                format!("one of the agents: {known}{meant}"),
            ));
        }
        let digits = number.strip_suffix('*').unwrap_or(number).strip_prefix('+').unwrap_or("-");
        if !digits.bytes().all(|b| b.is_ascii_digit()) || digits.len() > 15 {
            let allowed = "a number such as +15551230000, or the beginning of some such as +1555*";
            return Err(value_error(format!("numbers.{number:?}"), number, allowed));
        }
    }

    Ok(Settings {
        listen,
        public_url,
        admin_token: secret("ARIA_ADMIN_TOKEN"),
        twilio: TwilioSettings {
            account_sid: env("TWILIO_ACCOUNT_SID").map(str::to_owned).or(file.twilio.account_sid),
            auth_token: secret("TWILIO_AUTH_TOKEN"),
            auth_token_secondary: secret("TWILIO_AUTH_TOKEN_SECONDARY"),
            api_url: web_url(
                "TWILIO_API_URL",
                env("TWILIO_API_URL").or(file.twilio.api_url.as_deref()).unwrap_or("https://api.twilio.com"),
            )?,
        },
        openai: OpenAiSettings { api_key: secret("OPENAI_API_KEY"), base_url },
        limits: resolve_limits(&file.limits)?,
        audio: resolve_audio(file.audio)?,
        records: RecordSettings {
            spool: recording.as_ref().map(|recording| recording.spool.clone()),
            ..records::resolve(file.database_url.as_deref(), file.records, file.webhooks, env)?
        },
        recording,
        prices: resolve_prices(file.prices)?,
        dispatch: resolve_dispatch(file.dispatch, secret("ARIA_DISPATCH_SECRET"))?,
        tool_private_hosts: file.tools.private_hosts,
        outbound: outbound::resolve(file.outbound, &denied, &agents)?,
        tls: tls::resolve(file.tls)?,
        tool_denied_prefixes: denied,
        agents,
        numbers: file.numbers,
    })
}

/// What was typed: the file, and over it what the environment says of its fields.
fn read(sources: &Sources) -> Result<(raw::File, Option<Typed>), ConfigError> {
    let typed = match (&sources.text, sources.path()) {
        (Some(text), _) => Some(Typed { path: PathBuf::from("(text)"), text: text.clone() }),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(&path)
                .map_err(|source| ConfigError::Unreadable { path: path.clone(), source })?;
            Some(Typed { path, text })
        }
        (None, None) => None,
    };
    let file = match &typed {
        Some(typed) => toml::from_str(&typed.text).map_err(|source| typed.syntax(source))?,
        None => raw::File::default(),
    };
    let fields = overlay::fields(&sources.environment);
    if fields.is_empty() {
        return Ok((file, typed));
    }
    let mut table: toml::Table =
        typed.as_ref().map_or_else(|| Ok(toml::Table::new()), |typed| typed.text.parse()).unwrap_or_default();
    for (name, path, value) in fields {
        overlay::set(&mut table, &path, value.clone());
        // One by one, so that an error can be laid at a variable's door.
        if let Err(source) = raw::File::deserialize(table.clone()) {
            let meant = place::meant(source.message()).map_or_else(String::new, |meant| format!("; {meant}"));
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            return Err(value_error(name, shown, format!("{}{meant}", source.message())));
        }
    }
    let file = raw::File::deserialize(table).map_err(|source| {
        let path = PathBuf::from("(environment)");
        ConfigError::Syntax { path, meant: String::new(), source: Box::new(source) }
    })?;
    Ok((file, typed))
}

/// A file as it was typed.
struct Typed {
    path: PathBuf,
    text: String,
}

impl Typed {
    fn syntax(&self, source: toml::de::Error) -> ConfigError {
        let meant = place::meant(source.message()).map_or_else(String::new, |meant| format!("{meant}\n"));
        ConfigError::Syntax { path: self.path.clone(), meant, source: Box::new(source) }
    }

    /// The same error with the line of its field, if it is one of this file's.
    fn located(&self, error: ConfigError) -> ConfigError {
        match error {
            ConfigError::Value { field, value, allowed, at: None } => {
                let line = place::line(&self.text, field.rsplit(" / ").next().unwrap_or(&field));
                let at = line.map(|line| format!("{}:{line}: ", self.path.display()));
                ConfigError::Value { field, value, allowed, at }
            }
            other => other,
        }
    }
}

pub(super) fn web_url(field: &str, text: &str) -> Result<Url, ConfigError> {
    let url =
        Url::parse(text).map_err(|e| value_error(field, text, format!("an http or https URL ({e})")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() || url.query().is_some() {
        return Err(value_error(field, text, "an http or https URL with a host and without a query"));
    }
    Ok(url)
}

/// Longest that a call's answer may wait for the dispatch hook, ms.
const MAX_DISPATCH_MS: u64 = 500;

fn resolve_dispatch(
    typed: raw::Dispatch,
    secret: Option<Secret>,
) -> Result<Option<DispatchSettings>, ConfigError> {
    let Some(url) = typed.url else { return Ok(None) };
    let url = web_url("dispatch.url", &url)?;
    let timeout_ms = typed.timeout_ms.unwrap_or(MAX_DISPATCH_MS);
    if !(1..=MAX_DISPATCH_MS).contains(&timeout_ms) {
        let allowed = format!("1 to {MAX_DISPATCH_MS}");
        return Err(value_error("dispatch.timeout_ms", timeout_ms.to_string(), allowed));
    }
    Ok(Some(DispatchSettings { url, timeout: Duration::from_millis(timeout_ms), secret }))
}

fn resolve_limits(typed: &raw::Limits) -> Result<Limits, ConfigError> {
    let default = Limits::default();
    let limits = Limits {
        max_calls: typed.max_calls.unwrap_or(default.max_calls),
        calls_per_second: typed.calls_per_second.unwrap_or(default.calls_per_second),
        drain: typed.drain_seconds.map_or(default.drain, Duration::from_secs),
        max_call: typed.max_call_seconds.map_or(default.max_call, Duration::from_secs),
        renew_session: typed.renew_session_seconds.map_or(default.renew_session, Duration::from_secs),
    };
    if limits.max_calls == 0 || limits.calls_per_second == 0 {
        return Err(value_error("limits.max_calls / limits.calls_per_second", "0", "at least 1"));
    }
    Ok(limits)
}

fn resolve_prices(typed: BTreeMap<String, Price>) -> Result<BTreeMap<String, Price>, ConfigError> {
    let mut prices = price::defaults();
    for (model, price) in typed {
        let parts = [
            price.text_in,
            price.cached_text_in,
            price.text_out,
            price.audio_in,
            price.cached_audio_in,
            price.audio_out,
        ];
        if let Some(wrong) = parts.iter().find(|part| !(0.0..=1e6).contains(*part)) {
            return Err(value_error(
                format!("prices.{model:?}"),
                wrong.to_string(),
                "0 to 1000000 dollars per million tokens",
            ));
        }
        prices.insert(model, price);
    }
    Ok(prices)
}

fn resolve_audio(typed: raw::Audio) -> Result<AudioSettings, ConfigError> {
    let default = AudioSettings::default();
    let audio = AudioSettings {
        cores: typed.cores,
        opus_complexity: typed.opus_complexity.unwrap_or(default.opus_complexity),
        opus_bitrate: typed.opus_bitrate.unwrap_or(default.opus_bitrate),
    };
    if audio.opus_complexity > 10 {
        return Err(value_error("audio.opus_complexity", audio.opus_complexity.to_string(), "0 to 10"));
    }
    if !(6_000..=64_000).contains(&audio.opus_bitrate) {
        return Err(value_error("audio.opus_bitrate", audio.opus_bitrate.to_string(), "6000 to 64000 bit/s"));
    }
    if audio.cores.as_ref().is_some_and(Vec::is_empty) {
        return Err(value_error("audio.cores", "[]", "at least one core, or leave it out"));
    }
    Ok(audio)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_text(text: &str, environment: &[(&str, &str)]) -> Result<Settings, ConfigError> {
        let environment = environment.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        load(&Sources { text: Some(text.into()), environment, ..Sources::default() })
    }

    #[test]
    fn the_promised_shape_works() {
        let settings = load_text(
            r#"
            [agents.default]
            model = "gpt-realtime-2.1"
            voice = "marin"
            instructions = "You are ARIA."
            greeting = "Greet the caller and ask how you can help."
            codec = "opus"
            [[agents.default.tools]]
            type = "http"
            name = "lookup"
            description = "Looks up a city."
            method = "POST"
            url = "https://crm.example.com/lookup"
            timeout_ms = 5000
            parameters = { type = "object", properties = { city = { type = "string" } }, required = ["city"] }
            [tools]
            private_hosts = ["127.0.0.1"]
            [numbers]
            "+15551230000" = "default"
            "#,
            &[],
        )
        .unwrap();
        let agent = settings.agent_for("+15551230000");
        assert_eq!(agent.tools[0].parameters.source()["required"][0], "city");
        assert_eq!(settings.public_url.as_str(), "http://127.0.0.1:8080/");
        assert_eq!(settings.tool_private_hosts, ["127.0.0.1"]);
    }

    #[test]
    fn the_environment_wins() {
        let settings = load_text("listen = \"127.0.0.1:1\"", &[("ARIA_LISTEN", "127.0.0.1:2")]).unwrap();
        assert_eq!(settings.listen.port(), 2);
    }

    #[test]
    fn an_unknown_field_is_named_with_its_line() {
        let error = load_text("listen = \"127.0.0.1:1\"\nvoce = \"x\"\n", &[]).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("voce"), "{error}");
    }

    #[test]
    fn a_number_must_name_a_known_agent() {
        let error = load_text("[numbers]\n\"+1\" = \"nobody\"\n", &[]).unwrap_err().to_string();
        assert!(error.contains("nobody") && error.contains("default"), "{error}");
    }

    #[test]
    fn secrets_do_not_show_in_debug() {
        let settings =
            load_text("", &[("TWILIO_AUTH_TOKEN", "canary"), ("OPENAI_API_KEY", "canary")]).unwrap();
        assert!(!format!("{settings:?}").contains("canary"));
    }
}
