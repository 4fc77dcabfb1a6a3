//! From what was typed to what is used.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::agent;
use super::faults::{ConfigError, Faults, value_error};
use super::price::{self, Price};
use super::{
    AudioSettings, DispatchSettings, Limits, OpenAiSettings, RecordSettings, Secret, Settings, Sources,
    TwilioSettings,
};
use super::{outbound, overlay, place, raw, recording, records, tls, tool, typed};

const DEFAULT_LISTEN: &str = "127.0.0.1:8080";

/// Reads the file and the environment.
///
/// # Errors
/// All that is wrong, each by its name and line. A file that cannot be read, or is no TOML, is wrong in that way alone.
pub fn load(sources: &Sources) -> Result<Settings, ConfigError> {
    let mut faults = Faults::default();
    let (file, typed) = typed::read(sources, &mut faults)?;
    let settings = match resolve(file, sources) {
        Ok(settings) => Some(settings),
        Err(error) => {
            faults.note(error);
            None
        }
    };
    let faults = match &typed {
        Some(typed) => faults.map(|error| typed.located(error)),
        None => faults,
    };
    faults.outcome(settings)
}

fn resolve(file: raw::File, sources: &Sources) -> Result<Settings, ConfigError> {
    let mut faults = Faults::default();
    let env = |name: &str| sources.environment.get(name).map(String::as_str).filter(|v| !v.is_empty());
    let secret = |name: &str| env(name).map(Secret::new);

    let listen_text = env("ARIA_LISTEN").or(file.listen.as_deref()).unwrap_or(DEFAULT_LISTEN);
    let listen = faults.ok(listen_text.parse().map_err(|_| {
        value_error("ARIA_LISTEN / listen", listen_text, "an address and port such as 0.0.0.0:8080")
    }));
    let public_url = match (env("ARIA_PUBLIC_URL").or(file.public_url.as_deref()), listen) {
        (Some(text), _) => faults.ok(web_url("ARIA_PUBLIC_URL / public_url", text)),
        (None, Some(listen)) => faults.ok(web_url("listen", &format!("http://{listen}"))),
        (None, None) => None,
    };
    let base_url = faults.ok(web_url(
        "OPENAI_BASE_URL / openai.base_url",
        env("OPENAI_BASE_URL").or(file.openai.base_url.as_deref()).unwrap_or("https://api.openai.com/v1"),
    ));
    let api_url = faults.ok(web_url(
        "TWILIO_API_URL / twilio.api_url",
        env("TWILIO_API_URL").or(file.twilio.api_url.as_deref()).unwrap_or("https://api.twilio.com"),
    ));
    let denied = faults.ok(tool::deny_prefixes(file.tools.deny_prefixes)).unwrap_or_default();
    let mut typed = file.agents;
    typed.entry("default".into()).or_insert_with(|| raw::Agent {
        greeting: Some("Greet the caller and ask how you can help.".into()),
        ..raw::Agent::default()
    });
    let names: BTreeSet<String> = typed.keys().cloned().collect();
    let mut agents = BTreeMap::new();
    for (name, agent) in typed {
        let agent = agent::resolve(name.clone(), agent, &sources.environment, &denied);
        agents.extend(faults.ok(agent).map(|agent| (name, Arc::new(agent))));
    }
    let recording = faults.ok(recording::resolve(file.recording));
    for agent in agents.values().filter(|agent| agent.record && matches!(recording, Some(None))) {
        let allowed = "false, or recording.to must say where recordings go";
        faults.note(value_error(format!("agents.{}.record", agent.name), "true", allowed));
    }
    for (number, agent) in &file.numbers {
        faults.ok(resolve_number(number, agent, &names));
    }
    let limits = faults.ok(resolve_limits(&file.limits));
    let audio = faults.ok(resolve_audio(file.audio));
    let records = faults.ok(records::resolve(file.database_url.as_deref(), file.records, file.webhooks, env));
    let prices = faults.ok(resolve_prices(file.prices));
    let dispatch = faults.ok(resolve_dispatch(file.dispatch, secret(overlay::DISPATCH_SECRET)));
    let outbound = faults.ok(outbound::resolve(file.outbound, &denied, &names));
    let tls = faults.ok(tls::resolve(file.tls));

    let whole = || {
        let mut base_url = base_url?;
        let trimmed = base_url.path().trim_end_matches('/').to_owned();
        base_url.set_path(&trimmed);
        Some(Settings {
            listen: listen?,
            public_url: public_url?,
            admin_token: secret("ARIA_ADMIN_TOKEN"),
            twilio: TwilioSettings {
                account_sid: env("TWILIO_ACCOUNT_SID").map(str::to_owned).or(file.twilio.account_sid),
                auth_token: secret("TWILIO_AUTH_TOKEN"),
                auth_token_secondary: secret("TWILIO_AUTH_TOKEN_SECONDARY"),
                api_url: api_url?,
            },
            openai: OpenAiSettings { api_key: secret("OPENAI_API_KEY"), base_url },
            limits: limits?,
            audio: audio?,
            records: RecordSettings {
                spool: recording.as_ref()?.as_ref().map(|r| r.spool.clone()),
                ..records?
            },
            recording: recording?,
            prices: prices?,
            dispatch: dispatch?,
            tool_private_hosts: file.tools.private_hosts,
            outbound: outbound?,
            tls: tls?,
            tool_denied_prefixes: denied,
            agents,
            numbers: file.numbers,
        })
    };
    let whole = whole();
    faults.outcome(whole)
}

/// A row of `[numbers]`, where `agents` are the names that there are.
fn resolve_number(number: &str, agent: &str, agents: &BTreeSet<String>) -> Result<(), ConfigError> {
    let field = format!("numbers.{number:?}");
    if !agents.contains(agent) {
        return Err(value_error(field, agent, known_agents(agent, agents)));
    }
    let digits = number.strip_suffix('*').unwrap_or(number).strip_prefix('+').unwrap_or("-");
    if !digits.bytes().all(|b| b.is_ascii_digit()) || digits.len() > 15 {
        let allowed = "a number such as +15551230000, or the beginning of some such as +1555*";
        return Err(value_error(field, number, allowed));
    }
    Ok(())
}

/// What may stand where `given` does not name an agent.
pub(super) fn known_agents(given: &str, agents: &BTreeSet<String>) -> String {
    let names = || agents.iter().map(String::as_str);
    let meant = place::nearest(given, names()).map_or_else(String::new, |n| format!("; did you mean {n}?"));
    format!("one of the agents: {}{meant}", names().collect::<Vec<_>>().join(", "))
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
    let mut faults = Faults::default();
    let url = faults.ok(web_url("dispatch.url", &url));
    let timeout_ms = typed.timeout_ms.unwrap_or(MAX_DISPATCH_MS);
    faults.unless((1..=MAX_DISPATCH_MS).contains(&timeout_ms), || {
        value_error("dispatch.timeout_ms", timeout_ms.to_string(), format!("1 to {MAX_DISPATCH_MS}"))
    });
    let timeout = Duration::from_millis(timeout_ms);
    faults.outcome(url.map(|url| Some(DispatchSettings { url, timeout, secret })))
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
    let mut faults = Faults::default();
    faults.unless(limits.max_calls > 0, || value_error("limits.max_calls", "0", "at least 1"));
    faults.unless(limits.calls_per_second > 0, || value_error("limits.calls_per_second", "0", "at least 1"));
    faults.outcome(Some(limits))
}

fn resolve_prices(typed: BTreeMap<String, Price>) -> Result<BTreeMap<String, Price>, ConfigError> {
    let mut faults = Faults::default();
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
        for wrong in parts.iter().filter(|part| !(0.0..=1e6).contains(*part)) {
            let allowed = "0 to 1000000 dollars per million tokens";
            faults.note(value_error(format!("prices.{model:?}"), wrong.to_string(), allowed));
        }
        prices.insert(model, price);
    }
    faults.outcome(Some(prices))
}

fn resolve_audio(typed: raw::Audio) -> Result<AudioSettings, ConfigError> {
    let default = AudioSettings::default();
    let audio = AudioSettings {
        cores: typed.cores,
        awake_from_calls: typed.awake_from_calls.unwrap_or(default.awake_from_calls),
        opus_complexity: typed.opus_complexity.unwrap_or(default.opus_complexity),
        opus_bitrate: typed.opus_bitrate.unwrap_or(default.opus_bitrate),
    };
    let mut faults = Faults::default();
    faults.unless(audio.opus_complexity <= 10, || {
        value_error("audio.opus_complexity", audio.opus_complexity.to_string(), "0 to 10")
    });
    faults.unless((6_000..=64_000).contains(&audio.opus_bitrate), || {
        value_error("audio.opus_bitrate", audio.opus_bitrate.to_string(), "6000 to 64000 bit/s")
    });
    faults.unless(audio.cores.as_ref().is_none_or(|cores| !cores.is_empty()), || {
        value_error("audio.cores", "[]", "at least one core, or leave it out")
    });
    faults.outcome(Some(audio))
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
        assert!(error.contains(":2: voce") && error.contains("`agents`"), "{error}");
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let text = "lisen = \"x\"\nlisten = \"nowhere\"\n[limits]\nmax_calls = 0\ncalls_per_second = 0\n[agents.default]\n\
                    max_call_seconds = 0\nutc_offset = \"noon\"\n[agents.default.keys]\nx = { hang_up = true }\n\
                    [[agents.default.tools]]\ntype = \"http\"\nname = \"a\"\nurl = \"ftp://a.example\"\ntimeout_ms = 0\nmax_per_call = 0\n\
                    [[agents.default.tools]]\ntype = \"builtin\"\nname = \"transfer_call\"\n\
                    [outbound]\nallow = [\"1\", \"2\"]\nring_seconds = 1\nagent = \"defalt\"\n[numbers]\n\"+1\" = \"nobody\"\n\"1\" = \"default\"\n";
        let error =
            load_text(text, &[("DATABASE_URL", "mysql://u:canary@h/d"), ("ARIA_AUDIO_OPUS_BITRATE", "1")]);
        let error = error.unwrap_err();
        let told = error.to_string();
        for part in [
            "(text):1: lisen: there is no such field",
            "(text):2: ARIA_LISTEN / listen: \"nowhere\"",
            "(text):4: limits.max_calls: \"0\"",
            "(text):5: limits.calls_per_second: \"0\"",
            "(text):7: agents.default.max_call_seconds: \"0\"",
            "(text):8: agents.default.utc_offset: \"noon\"",
            "(text):9: agents.default.keys: \"x\"",
            "(text):14: agents.default.tools.a.url",
            "(text):15: agents.default.tools.a.timeout_ms",
            "(text):16: agents.default.tools.a.max_per_call",
            "agents.default.tools.transfer_call.targets",
            "(text):21: outbound.allow: \"1\"",
            "(text):21: outbound.allow: \"2\"",
            "(text):22: outbound.ring_seconds: \"1\"",
            "did you mean default?",
            "(text):25: numbers.\"+1\": \"nobody\"",
            "(text):26: numbers.\"1\": \"1\"",
            "DATABASE_URL / database_url: \"mysql:…\"",
            "audio.opus_bitrate: \"1\"",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(matches!(&error, ConfigError::Several(errors) if errors.len() == 19), "{told}");
        assert!(!told.contains("canary"), "{told}");
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
