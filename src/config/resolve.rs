//! From what was typed to what is used.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::de::Error as _;
use url::Url;

use super::agent::{Agent, DEFAULT_TOOL_TIMEOUT_MS, HttpTool, MAX_TOOL_TIMEOUT_MS};
use super::price::{self, Price};
use super::{AudioSettings, Limits, OpenAiSettings, Secret, Settings, Sources, TwilioSettings, raw, records};

const DEFAULT_LISTEN: &str = "127.0.0.1:8080";
const DEFAULT_MODEL: &str = "gpt-realtime-2.1";
const DEFAULT_VOICE: &str = "marin";
const DEFAULT_TRANSCRIPTION: &str = "gpt-realtime-whisper";
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

    let mut agents = std::collections::BTreeMap::new();
    let mut typed = file.agents;
    typed.entry("default".into()).or_insert_with(|| raw::Agent {
        greeting: Some("Greet the caller and ask how you can help.".into()),
        ..raw::Agent::default()
    });
    for (name, agent) in typed {
        agents.insert(name.clone(), Arc::new(resolve_agent(name, agent)?));
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
        records: records::resolve(file.database_url.as_deref(), file.records, file.webhooks, env)?,
        prices: resolve_prices(file.prices)?,
        tool_private_hosts: file.tools.private_hosts,
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

pub(super) fn web_url(field: &str, text: &str) -> Result<Url, ConfigError> {
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

fn resolve_agent(name: String, typed: raw::Agent) -> Result<Agent, ConfigError> {
    let mut tools = Vec::with_capacity(typed.tools.len());
    for tool in typed.tools {
        let tool = resolve_tool(&name, tool)?;
        if tools.iter().any(|t: &HttpTool| t.name == tool.name) {
            return Err(value_error(
                format!("agents.{name}.tools.name"),
                tool.name,
                "a name used once per agent",
            ));
        }
        tools.push(tool);
    }
    Ok(Agent {
        model: typed.model.unwrap_or_else(|| DEFAULT_MODEL.into()),
        voice: typed.voice.unwrap_or_else(|| DEFAULT_VOICE.into()),
        instructions: typed.instructions.unwrap_or_default(),
        greeting: typed.greeting,
        codec: typed.codec,
        turn_detection: typed.turn_detection,
        noise_reduction: typed.noise_reduction,
        transcription: match typed.transcription.as_deref() {
            Some("none") => None,
            Some(model) => Some(model.to_owned()),
            None => Some(DEFAULT_TRANSCRIPTION.to_owned()),
        },
        language: typed.language,
        reasoning_effort: typed.reasoning_effort,
        tools,
        name,
    })
}

fn resolve_tool(agent: &str, tool: raw::Tool) -> Result<HttpTool, ConfigError> {
    let raw::Tool::Http { name, description, method, url, timeout_ms, parameters } = tool;
    let field = |part: &str| format!("agents.{agent}.tools.{part}");
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        return Err(value_error(field("name"), name, "1 to 64 letters, digits, _ or -"));
    }
    let timeout_ms = timeout_ms.unwrap_or(DEFAULT_TOOL_TIMEOUT_MS);
    if !(1..=MAX_TOOL_TIMEOUT_MS).contains(&timeout_ms) {
        return Err(value_error(
            field("timeout_ms"),
            timeout_ms.to_string(),
            format!("1 to {MAX_TOOL_TIMEOUT_MS}"),
        ));
    }
    let parameters = match parameters {
        Some(table) => serde_json::to_value(table)
            .map_err(|e| value_error(field("parameters"), "", toml::de::Error::custom(e).to_string()))?,
        None => serde_json::json!({ "type": "object", "properties": {} }),
    };
    if parameters.get("type").and_then(|t| t.as_str()) != Some("object") {
        return Err(value_error(
            field("parameters"),
            parameters.to_string(),
            "a JSON Schema with type = \"object\"",
        ));
    }
    let parsed = Url::parse(&url).map_err(|e| value_error(field("url"), &url, e.to_string()))?;
    if !matches!(parsed.scheme(), "http" | "https")
        || !parsed.username().is_empty()
        || parsed.password().is_some()
    {
        return Err(value_error(
            field("url"),
            parsed.host_str().unwrap_or_default(),
            "an http or https URL without user and password",
        ));
    }
    Ok(HttpTool {
        name,
        description,
        method,
        url: parsed,
        timeout: Duration::from_millis(timeout_ms),
        parameters,
    })
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
        assert_eq!(agent.tools[0].parameters["required"][0], "city");
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
