//! From what was typed to what is used.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::agent;
use super::{AudioSettings, Limits, OpenAiSettings, Secret, Settings, Sources, TwilioSettings};
use super::{outbound, raw, targets, tls, tool};

const DEFAULT_LISTEN: &str = "127.0.0.1:8080";
const DEFAULT_FILE: &str = "aria.toml";

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
    #[error("{}: {source}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, column, field and what was expected.
        source: Box<toml::de::Error>,
    },
    /// A value is out of range.
    #[error("{field}: {value:?} is not allowed: {allowed}")]
    Value {
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
    ConfigError::Value { field: field.into(), value: value.into(), allowed: allowed.into() }
}

/// Reads the file and the environment. Fails on the first thing that is wrong, naming it.
pub fn load(sources: &Sources) -> Result<Settings, ConfigError> {
    let file = read(sources)?;
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
    for (number, agent) in &file.numbers {
        if !agents.contains_key(agent) {
            let known = agents.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(value_error(
                format!("numbers.{number:?}"),
                agent,
                format!("one of the agents: {known}"),
            ));
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
        tool_private_hosts: file.tools.private_hosts,
        outbound: outbound::resolve(file.outbound, &denied, &agents)?,
        tls: tls::resolve(file.tls, env)?,
        transfer: targets::resolve(file.transfer, &denied)?,
        tool_denied_prefixes: denied,
        agents,
        numbers: file.numbers,
    })
}

fn read(sources: &Sources) -> Result<raw::File, ConfigError> {
    if let Some(text) = &sources.text {
        return toml::from_str(text).map_err(|source| ConfigError::Syntax {
            path: PathBuf::from("(text)"),
            source: Box::new(source),
        });
    }
    let named = sources.file.clone().or_else(|| sources.environment.get("ARIA_CONFIG").map(PathBuf::from));
    let path = match named {
        Some(path) => path,
        None if Path::new(DEFAULT_FILE).exists() => PathBuf::from(DEFAULT_FILE),
        None => return Ok(raw::File::default()),
    };
    let text = std::fs::read_to_string(&path)
        .map_err(|source| ConfigError::Unreadable { path: path.clone(), source })?;
    toml::from_str(&text).map_err(|source| ConfigError::Syntax { path, source: Box::new(source) })
}

fn web_url(field: &str, text: &str) -> Result<Url, ConfigError> {
    let url =
        Url::parse(text).map_err(|e| value_error(field, text, format!("an http or https URL ({e})")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() || url.query().is_some() {
        return Err(value_error(field, text, "an http or https URL with a host and without a query"));
    }
    Ok(url)
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
